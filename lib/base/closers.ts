/** What was opened, to be closed in the opposite order (AsyncDisposableStack, which Node.js 20 has not). */

export class Closers implements AsyncDisposable {
  #closers: (() => unknown)[] = []

  use<T extends AsyncDisposable>(resource: T): T {
    this.#closers.push(() => resource[Symbol.asyncDispose]())
    return resource
  }

  defer(close: () => unknown): void {
    this.#closers.push(close)
  }

  /** Closes all, also when one of them fails; then throws the first failure. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closers = this.#closers.reverse()
    this.#closers = []
    const failures: unknown[] = []
    for (const close of closers) {
      try {
        await close()
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw failures[0]
  }
}
