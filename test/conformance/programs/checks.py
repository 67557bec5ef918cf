"""What all programs of this language say of their checks: a line each, `ok` or `not ok`; exit status 1 when one failed."""
import sys

_failed = 0


def check(name, got, wanted):
    global _failed
    good = got == wanted
    _failed += not good
    print(f"{'ok' if good else 'not ok'} - {name}" + ("" if good else f": got {got!r}, wanted {wanted!r}"), flush=True)


def phase(name):
    """Waits for a line of input before the program goes on."""
    print(f"phase {name}", flush=True)
    sys.stdin.readline()


def finish():
    sys.exit(1 if _failed else 0)
