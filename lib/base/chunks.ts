/**
 * A socket's chunks in, pieces of known size out: a view where the piece lies inside one chunk, one copy where it spans several.
 * Always: time and memory are linear in the bytes pushed, whatever the size of the chunks they came in.
 */
import { BufferList } from 'bl'
import { assert } from './assert.ts'

const EMPTY: Buffer = Buffer.alloc(0)

/** Chunks below this many bytes are gathered first, and copied together when there are so many: a Buffer object weighs more than they do. */
const SMALL_BYTES = 1024
const SMALL_CHUNKS_MAX = 512

/** The largest head that peek() shows. */
const HEAD_BYTES_MAX = 32

export class ChunkQueue {
  /** Where peek() and take() leave what was asked for: at `at` in `buffer`. */
  buffer: Buffer = EMPTY
  at = 0
  /** The fast path: one chunk, read up to #position. The slow path has it empty. */
  #chunk: Buffer = EMPTY
  #position = 0
  /** The slow path: the chunks of an incomplete piece, the small ones at their end apart. */
  readonly #list = new BufferList()
  readonly #small = new BufferList()
  #smallCount = 0
  readonly #head: Buffer = Buffer.alloc(HEAD_BYTES_MAX)

  /** Bytes held. */
  get length(): number {
    return this.#chunk.length - this.#position + this.#list.length + this.#small.length
  }

  push(chunk: Buffer): void {
    if (this.#list.length + this.#small.length === 0) {
      if (this.#position === this.#chunk.length) {
        this.#chunk = chunk
        this.#position = 0
        return
      }
      this.#gather(this.#chunk.subarray(this.#position))
      this.#chunk = EMPTY
      this.#position = 0
    }
    this.#gather(chunk)
  }

  #gather(chunk: Buffer): void {
    if (chunk.length >= SMALL_BYTES) {
      this.#mergeSmall()
      this.#list.append(chunk)
      return
    }
    this.#small.append(chunk)
    if (++this.#smallCount >= SMALL_CHUNKS_MAX) this.#mergeSmall()
  }

  #mergeSmall(): void {
    if (this.#smallCount === 0) return
    this.#list.append(this.#small.slice())
    this.#small.consume(this.#small.length)
    this.#smallCount = 0
  }

  /** Shows the next `size` bytes (at most 32) without taking them; false: they have not come yet. */
  peek(size: number): boolean {
    assert(size <= HEAD_BYTES_MAX)
    if (this.#chunk.length - this.#position >= size) {
      this.buffer = this.#chunk
      this.at = this.#position
      return true
    }
    if (this.#list.length < size) {
      if (this.#list.length + this.#small.length < size) return false
      this.#mergeSmall()
    }
    this.#list.copy(this.#head, 0, 0, size)
    this.buffer = this.#head
    this.at = 0
    return true
  }

  /** Takes the next `size` bytes; false: they have not come yet. */
  take(size: number): boolean {
    if (this.#chunk.length - this.#position >= size) {
      this.buffer = this.#chunk
      this.at = this.#position
      this.#position += size
      return true
    }
    if (this.#list.length + this.#small.length < size) return false
    this.#mergeSmall()
    this.buffer = this.#list.slice(0, size)
    this.at = 0
    this.#chunk = this.#list.slice(size)
    this.#position = 0
    this.#list.consume(this.#list.length)
    return true
  }

  /** Drops up to `size` bytes and returns how many there were. */
  skip(size: number): number {
    this.#mergeSmall()
    const dropped = Math.min(size, this.length)
    if (this.#list.length > 0) this.#list.consume(dropped)
    else this.#position += dropped
    return dropped
  }

  clear(): void {
    this.skip(this.length)
    this.release()
  }

  /** Lets go of the last chunk when all of it was taken: a connection that rests should pin nothing. */
  release(): void {
    this.buffer = EMPTY
    if (this.#position < this.#chunk.length) return
    this.#chunk = EMPTY
    this.#position = 0
  }
}
