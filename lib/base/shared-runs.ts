/**
 * One work that answers many: it runs once at a time, and who asks while it runs shares the next run with all who do. Always: an asker's run begins after
 * its asking, so it tells of all that was so then. Source: group commit; a read index that many reads share (Ongaro's thesis on Raft, §6.4).
 */
export class SharedRuns<T> {
  readonly #work: () => Promise<T>
  #running: Promise<T> | null = null
  /** What is to begin when the one that runs has ended, whatever became of it. */
  #next: Promise<T> | null = null

  constructor(work: () => Promise<T>) {
    this.#work = work
  }

  run(): Promise<T> {
    if (this.#next !== null) return this.#next
    if (this.#running === null) return this.#begin()
    const begin = (): Promise<T> => this.#begin()
    this.#next = this.#running.then(begin, begin)
    return this.#next
  }

  #begin(): Promise<T> {
    this.#next = null
    const running = this.#work().finally(() => {
      this.#running = null
    })
    this.#running = running
    return running
  }
}
