/**
 * A place in an SSTable's order of entries, or none. Steps inside a block that is in memory are synchronous; a movement that gives a promise is done
 * when it resolves, and only then may the cursor be used again.
 */
import type { Span } from '../read/span.ts'
import type { Block } from './block.ts'
import { BlockCursor } from './block.ts'
import type { IndexCursor } from './index.ts'
import { ReadAhead } from './read-ahead.ts'
import type { CursorOptions, TableReader } from './reader.ts'

/** A cursor that read more than this in one run leaves the cache to others. */
const CACHED_RUN_BYTES = 256 * 1024

export class TableCursor {
  readonly #table: TableReader
  readonly #index: IndexCursor
  readonly #data = new BlockCursor()
  readonly #start: Buffer | null
  readonly #end: Buffer | null
  readonly #fillCache: boolean
  /** The block that #data is in begins there; -1: in none. */
  #blockOffset = -1
  /** Made when the cursor goes from one block to the next. */
  #ahead: ReadAhead | null = null

  /** Use TableReader.cursor. */
  constructor(table: TableReader, options: CursorOptions) {
    this.#table = table
    this.#start = options.start ?? null
    this.#end = options.end ?? null
    this.#fillCache = options.fillCache ?? !(options.isScan && table.isLarge)
    this.#index = table.index(options.fillCache ?? true)
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

  keyInto(span: Span): void {
    this.#data.keyInto(span)
  }

  valueInto(span: Span): void {
    this.#data.valueInto(span)
  }

  /** To the first entry at or after the key. */
  seek(key: Buffer): Promise<void> | undefined {
    this.#ahead?.reset()
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
    this.#ahead?.reset()
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
    if (wait) return wait.then(() => this.#enterThen('first', true))
    return this.#enterThen('first', true)
  }

  #previousBlock(): Promise<void> | undefined {
    const wait = this.#index.previous()
    if (wait) return wait.then(() => this.#enterPrevious())
    return this.#enterPrevious()
  }

  #enterPrevious(): Promise<void> | undefined {
    if (this.#start !== null && this.#index.valid && this.#index.compareSeparator(this.#start) < 0) return this.#leave()
    return this.#enterThen('last', true)
  }

  #enterThen(edge: 'first' | 'last', fromNeighbour = false): Promise<void> | undefined {
    if (!this.#index.valid) return this.#leave()
    const wait = fromNeighbour ? this.#enterNeighbour(edge === 'first') : this.#enter()
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

  /** As #enter, for a cursor that comes from the block before or after. */
  #enterNeighbour(forward: boolean): Promise<void> | undefined {
    const { offset, length } = this.#index
    const cached = this.#table.cachedBlock(offset)
    if (cached !== undefined) {
      this.#entered(cached, offset)
      return undefined
    }
    this.#ahead ??= new ReadAhead(this.#table)
    const bytes = this.#ahead.get(offset, length)
    if (bytes === null) return this.#ahead.load(offset, length, forward).then(() => this.#decode(offset, length))
    return this.#decode(offset, length)
  }

  /** Enters a block that was read ahead, or that a short file has not. */
  #decode(offset: number, length: number): Promise<void> | undefined {
    const ahead = this.#ahead!
    const fillCache = this.#fillCache && ahead.runBytes <= CACHED_RUN_BYTES
    const block = this.#table.decode(ahead.get(offset, length), offset, fillCache)
    if (block instanceof Promise) return block.then((decoded) => this.#entered(decoded, offset))
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
