/**
 * Assertions: a false one is a bug of ours, and stops the process rather than let it write wrong data.
 * They stay on in production.
 */

export class AssertionError extends Error {
  override name = 'AssertionError'
}

/** Throws AssertionError when `condition` is false. The message names what was expected to hold. */
export function assert(condition: boolean, message = 'assertion failed'): asserts condition {
  if (!condition) throw new AssertionError(message)
}

/** For the default branch of a switch over a closed set of cases: the compiler proves that it is never reached. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${String(value)}`)
}
