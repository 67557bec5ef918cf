/**
 * A place in an SSTable's order of entries, or none. Steps inside a block that is in memory are synchronous; a movement that gives a promise is done
 * when it resolves, and only then may the cursor be used again.
 */
import type { Block } from './block.ts'
import { BlockCursor } from './block.ts'
import type { IndexCursor } from './index.ts'
import type { CursorOptions, TableReader } from './reader.ts'

export class TableCursor {
  readonly #table: TableReader
  readonly #index: IndexCursor
  readonly #data = new BlockCursor()
  readonly #start: Buffer | null
  readonly #end: Buffer | null
  readonly #fillCache: boolean
  /** The block that #data is in begins there; -1: in none. */
  #blockOffset = -1

  /** Use TableReader.cursor. */
  constructor(table: TableReader, options: CursorOptions) {
    this.#table = table
    this.#start = options.start ?? null
    this.#end = options.end ?? null
    this.#fillCache = options.fillCache ?? true
    this.#index = table.index(this.#fillCache)
  }

  /** Stands on an entry. */
  get valid(): boolean {
    return this.#data.valid
  }

  /** In memory that never changes, as is the value. */
  get key(): Buffer {
    return this.#data.key
  }

  get value(): Buffer {
    return this.#data.value
  }

  /** To the first entry at or after the key. */
  seek(key: Buffer): Promise<void> | undefined {
    const wait = this.#index.seek(key)
    if (wait) return wait.then(() => this.#seekInBlock(key))
    return this.#seekInBlock(key)
  }

  #seekInBlock(key: Buffer): Promise<void> | undefined {
    if (!this.#index.valid) return this.#leave()
    const wait = this.#enter()
    if (wait) return wait.then(() => this.#seekFound(key))
    return this.#seekFound(key)
  }

  /** The separator is not before the key, but the block's last entry may be: then the next block begins with the entry. */
  #seekFound(key: Buffer): Promise<void> | undefined {
    this.#data.seek(key)
    return this.#data.valid ? undefined : this.#nextBlock()
  }

  /** To the last entry before the key. */
  seekBefore(key: Buffer): Promise<void> | undefined {
    const wait = this.#index.seek(key)
    if (wait) return wait.then(() => this.#seekBeforeInBlock(key))
    return this.#seekBeforeInBlock(key)
  }

  #seekBeforeInBlock(key: Buffer): Promise<void> | undefined {
    if (!this.#index.valid) return this.last()
    const wait = this.#enter()
    if (wait) return wait.then(() => this.#seekBeforeFound(key))
    return this.#seekBeforeFound(key)
  }

  #seekBeforeFound(key: Buffer): Promise<void> | undefined {
    this.#data.seekBefore(key)
    return this.#data.valid ? undefined : this.#previousBlock()
  }

  first(): Promise<void> | undefined {
    const wait = this.#index.first()
    if (wait) return wait.then(() => this.#enterThen('first'))
    return this.#enterThen('first')
  }

  last(): Promise<void> | undefined {
    const wait = this.#index.last()
    if (wait) return wait.then(() => this.#enterThen('last'))
    return this.#enterThen('last')
  }

  next(): Promise<void> | undefined {
    this.#data.next()
    return this.#data.valid ? undefined : this.#nextBlock()
  }

  previous(): Promise<void> | undefined {
    this.#data.previous()
    return this.#data.valid ? undefined : this.#previousBlock()
  }

  #nextBlock(): Promise<void> | undefined {
    if (this.#end !== null && this.#index.compareSeparator(this.#end) >= 0) return this.#leave()
    const wait = this.#index.next()
    if (wait) return wait.then(() => this.#enterThen('first'))
    return this.#enterThen('first')
  }

  #previousBlock(): Promise<void> | undefined {
    const wait = this.#index.previous()
    if (wait) return wait.then(() => this.#enterPrevious())
    return this.#enterPrevious()
  }

  #enterPrevious(): Promise<void> | undefined {
    if (this.#start !== null && this.#index.valid && this.#index.compareSeparator(this.#start) < 0) return this.#leave()
    return this.#enterThen('last')
  }

  #enterThen(edge: 'first' | 'last'): Promise<void> | undefined {
    if (!this.#index.valid) return this.#leave()
    const wait = this.#enter()
    if (wait) return wait.then(() => this.#data[edge]())
    this.#data[edge]()
    return undefined
  }

  /** Goes into the block that the index stands on. */
  #enter(): Promise<void> | undefined {
    const { offset } = this.#index
    if (offset === this.#blockOffset) return undefined
    const block = this.#table.block(offset, this.#index.length, this.#fillCache)
    if (block instanceof Promise) return block.then((loaded) => this.#entered(loaded, offset))
    this.#entered(block, offset)
    return undefined
  }

  #entered(block: Block, offset: number): void {
    this.#data.reset(block)
    this.#blockOffset = offset
  }

  #leave(): undefined {
    this.#data.reset(null)
    this.#blockOffset = -1
    return undefined
  }
}
