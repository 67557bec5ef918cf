/**
 * The sparse index of an SSTable: for each data block a separator, a key that is not before the block's last and is before the next block's first,
 * and the block's handle. Up to INDEX_BLOCK_BYTES of it is one block, the root, in memory while the file is open. A larger one is cut into index blocks
 * among the data blocks, which are loaded when they are needed, and the root names those: so a file of 100 GB has a root of about 100 KB.
 */
import type { Block } from './block.ts'
import { BlockBuilder, BlockCursor } from './block.ts'
import { encodeHandle, type Handle, handleLength, handleOffset } from './format.ts'

const INDEX_BLOCK_BYTES = 32 * 1024
const RESTART_INTERVAL = 4

export class IndexBuilder {
  readonly #leafBytes: number
  #leaf = new BlockBuilder(RESTART_INTERVAL)
  readonly #root = new BlockBuilder(RESTART_INTERVAL)
  #lastSeparator: Buffer = Buffer.alloc(0)
  #leaves = 0

  constructor(leafBytes: number = INDEX_BLOCK_BYTES) {
    this.#leafBytes = leafBytes
  }

  /** One data block. When true is returned an index block is full: write takeLeaf() and tell leafWritten() where. */
  add(separator: Buffer, handle: Handle): boolean {
    this.#leaf.add(separator, encodeHandle(handle))
    this.#lastSeparator = separator
    return this.#leaf.size >= this.#leafBytes
  }

  takeLeaf(): Buffer {
    return this.#leaf.finish()
  }

  leafWritten(handle: Handle): void {
    this.#root.add(this.#lastSeparator, encodeHandle(handle))
    this.#leaves += 1
  }

  /** Whether there are entries that belong into one more index block before the root is taken. */
  get hasOpenLeaf(): boolean {
    return this.#leaves > 0 && this.#leaf.count > 0
  }

  get levels(): number {
    return this.#leaves > 0 ? 2 : 1
  }

  takeRoot(): Buffer {
    return this.#leaves > 0 ? this.#root.finish() : this.#leaf.finish()
  }
}

/** A key that is not before `last` and before `next`, as short as can be. */
export function separator(last: Buffer, next: Buffer): Buffer {
  const limit = Math.min(last.length, next.length)
  let shared = 0
  while (shared < limit && last[shared] === next[shared]) shared++
  if (shared >= limit || last[shared]! + 1 >= next[shared]!) return Buffer.from(last)
  const short = Buffer.from(last.subarray(0, shared + 1))
  short[shared]! += 1
  return short
}

/** Loads the index block with that handle: at once if it is in memory. */
export type LoadBlock = (offset: number, length: number) => Block | Promise<Block>

/** Stands on the index entry of a data block, or on none. Movements that give a promise are done when it resolves. */
export class IndexCursor {
  readonly #root = new BlockCursor()
  readonly #leaf: BlockCursor
  readonly #load: LoadBlock | null

  /** `load` is null for an index of one level. */
  constructor(root: Block, load: LoadBlock | null) {
    this.#root.reset(root)
    this.#load = load
    this.#leaf = load ? new BlockCursor() : this.#root
  }

  get valid(): boolean {
    return this.#root.valid && this.#leaf.valid
  }

  get offset(): number {
    return handleOffset(this.#leaf.block!.bytes, this.#leaf.valueStart)
  }

  get length(): number {
    return handleLength(this.#leaf.block!.bytes, this.#leaf.valueStart)
  }

  /** Order of the block's separator and the key. */
  compareSeparator(key: Uint8Array): number {
    return this.#leaf.compare(key)
  }

  get separator(): Buffer {
    return this.#leaf.key
  }

  /** To the block that holds the first key at or after the target, if there is any such key. */
  seek(target: Uint8Array): Promise<void> | undefined {
    this.#root.seek(target)
    return this.#enter((leaf) => leaf.seek(target))
  }

  first(): Promise<void> | undefined {
    this.#root.first()
    return this.#enter((leaf) => leaf.first())
  }

  last(): Promise<void> | undefined {
    this.#root.last()
    return this.#enter((leaf) => leaf.last())
  }

  next(): Promise<void> | undefined {
    this.#leaf.next()
    if (this.#load === null || this.#leaf.valid) return undefined
    this.#root.next()
    return this.#enter((leaf) => leaf.first())
  }

  previous(): Promise<void> | undefined {
    this.#leaf.previous()
    if (this.#load === null || this.#leaf.valid) return undefined
    this.#root.previous()
    return this.#enter((leaf) => leaf.last())
  }

  /** Goes into the index block that the root stands on. */
  #enter(move: (leaf: BlockCursor) => void): Promise<void> | undefined {
    if (this.#load === null) return undefined
    if (!this.#root.valid) {
      this.#leaf.reset(null)
      return undefined
    }
    const at = this.#root.valueStart
    const bytes = this.#root.block!.bytes
    const block = this.#load(handleOffset(bytes, at), handleLength(bytes, at))
    if (block instanceof Promise) {
      return block.then((loaded) => {
        this.#leaf.reset(loaded)
        move(this.#leaf)
      })
    }
    this.#leaf.reset(block)
    move(this.#leaf)
    return undefined
  }
}
