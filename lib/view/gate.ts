/** Who writes to a table, and who needs that nobody does. Always: while the gate is closed nobody is inside. */
export class Gate {
  #inside = 0
  #closed: Promise<void> | null = null
  #emptied: (() => void) | null = null

  /** Resolves inside; leave() must follow. */
  async enter(): Promise<void> {
    while (this.#closed !== null) await this.#closed
    this.#inside++
  }

  leave(): void {
    this.#inside--
    if (this.#inside > 0 || this.#emptied === null) return
    this.#emptied()
    this.#emptied = null
  }

  /** Runs `work` while nobody is inside: those who are there leave first, those who come wait. */
  async alone<T>(work: () => Promise<T>): Promise<T> {
    while (this.#closed !== null) await this.#closed
    let open = (): void => {}
    this.#closed = new Promise((resolve) => {
      open = resolve
    })
    try {
      if (this.#inside > 0)
        await new Promise<void>((resolve) => {
          this.#emptied = resolve
        })
      return await work()
    } finally {
      this.#closed = null
      open()
    }
  }
}
