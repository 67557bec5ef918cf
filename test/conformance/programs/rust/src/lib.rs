//! What all programs of this language say of their checks: a line each, `ok` or `not ok`; exit status 1 when one failed.
use std::fmt::Debug;
use std::sync::atomic::{AtomicU32, Ordering};

static FAILED: AtomicU32 = AtomicU32::new(0);

pub fn check<T: PartialEq + Debug>(name: &str, got: T, wanted: T) {
    if got == wanted {
        println!("ok - {name}");
    } else {
        FAILED.fetch_add(1, Ordering::Relaxed);
        println!("not ok - {name}: got {got:?}, wanted {wanted:?}");
    }
}

/// Waits for a line of input before the program goes on.
pub fn phase(name: &str) {
    println!("phase {name}");
    let mut line = String::new();
    let _ = std::io::stdin().read_line(&mut line);
}

pub fn finish() -> ! {
    std::process::exit(if FAILED.load(Ordering::Relaxed) == 0 { 0 } else { 1 });
}
