/**
 * Work on one name at a time, in the order of asking. Always: a name is kept only while there is work for it.
 */
export class SerialLocks {
  /** The end of each name's queue. */
  readonly #tails = new Map<string, Promise<void>>()

  /** There is no work at all. */
  get isIdle(): boolean {
    return this.#tails.size === 0
  }

  /** Whether there is work under the name. */
  isHeld(name: string): boolean {
    return this.#tails.has(name)
  }

  /** Runs `work` after all that was asked for before under the same name, whatever became of it. */
  async run<T>(name: string, work: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(name)
    const done = before === undefined ? work() : before.then(work)
    const tail = done.then(ignore, ignore)
    this.#tails.set(name, tail)
    try {
      return await done
    } finally {
      if (this.#tails.get(name) === tail) this.#tails.delete(name)
    }
  }
}

function ignore(): void {}
