/**
 * Records in memory outside V8's heap: a few large buffers, filled one after another and dropped all at once.
 * An address is a 32-bit number; a record is a length and its bytes, and never moves or changes, so views of it stay true.
 */
import { assert } from '../../lib/base/assert.ts'
import { copyBytes } from '../../lib/base/bytes.ts'
import { readInt32 } from '../model/row.ts'

const SLAB_BYTES_MIN = 4 * 1024
const SLAB_BYTES_MAX = 1024 * 1024
/** Addresses count 8-byte words, so that 32 bits reach 32 GiB. */
const WORD_SHIFT = 3
/** Words of a slab: 17 bits. A record longer than a slab gets one of its own and begins at its start. */
const OFFSET_BITS = 17
const OFFSET_MASK = (1 << OFFSET_BITS) - 1
const LENGTH_BYTES = 4

/** No record has it. */
export const NO_ADDRESS = 0

export class Slabs {
  readonly #slabs: Buffer[] = []
  #current: Buffer = Buffer.alloc(0)
  #used = 0
  #allocated = 0

  /** Bytes taken from the system. */
  get bytes(): number {
    return this.#allocated
  }

  /** Makes a record of `length` bytes, to be filled at once by the caller: slab(address) from start(address) on. */
  reserve(length: number): number {
    const size = (LENGTH_BYTES + length + 7) & ~7
    if (this.#used + size > this.#current.length) this.#grow(size)
    const at = this.#used
    this.#used = at + size
    const slab = this.#current
    slab[at] = length >>> 24
    slab[at + 1] = length >>> 16
    slab[at + 2] = length >>> 8
    slab[at + 3] = length
    return (((this.#slabs.length - 1) << OFFSET_BITS) | (at >>> WORD_SHIFT)) >>> 0
  }

  /** Copies source[start, end) into a new record. */
  add(source: Uint8Array, start: number, end: number): number {
    const address = this.reserve(end - start)
    copyBytes(source, start, end, this.#current, this.start(address))
    return address
  }

  slab(address: number): Buffer {
    return this.#slabs[address >>> OFFSET_BITS]!
  }

  /** Where the record's bytes begin in its slab. */
  start(address: number): number {
    return ((address & OFFSET_MASK) << WORD_SHIFT) + LENGTH_BYTES
  }

  length(address: number): number {
    return readInt32(this.slab(address), (address & OFFSET_MASK) << WORD_SHIFT)
  }

  /** Of a record with its length before it. */
  storedBytes(address: number): number {
    return LENGTH_BYTES + this.length(address)
  }

  /** Copies the record with its length before it (u32); returns where it ends in the target. */
  copyStored(address: number, target: Uint8Array, at: number): number {
    const slab = this.slab(address)
    const from = (address & OFFSET_MASK) << WORD_SHIFT
    const size = this.storedBytes(address)
    copyBytes(slab, from, from + size, target, at)
    return at + size
  }

  #grow(size: number): void {
    const first = this.#slabs.length === 0
    // Tables with little in them stay small; the first word stays free so that no address is NO_ADDRESS.
    const wanted = first ? SLAB_BYTES_MIN : Math.min(SLAB_BYTES_MAX, this.#current.length * 4)
    const bytes = Math.max(wanted, size + 8)
    assert(this.#slabs.length < 1 << (32 - OFFSET_BITS), 'slab addresses are used up')
    this.#current = Buffer.allocUnsafeSlow(bytes)
    this.#slabs.push(this.#current)
    this.#allocated += bytes
    this.#used = first ? 8 : 0
  }
}
