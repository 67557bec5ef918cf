import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.util.Objects;

/** What all programs of this language say of their checks: a line each, `ok` or `not ok`; exit status 1 when one failed. */
final class Checks {
  private static final BufferedReader INPUT = new BufferedReader(new InputStreamReader(System.in));
  private static int failed = 0;

  static void check(String name, Object got, Object wanted) {
    boolean good = Objects.equals(got, wanted);
    if (!good) failed++;
    System.out.println((good ? "ok - " : "not ok - ") + name + (good ? "" : ": got " + got + ", wanted " + wanted));
  }

  /** Waits for a line of input before the program goes on. */
  static void phase(String name) throws IOException {
    System.out.println("phase " + name);
    INPUT.readLine();
  }

  static void finish() {
    System.exit(failed == 0 ? 0 : 1);
  }

  private Checks() {}
}
