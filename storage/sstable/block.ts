/**
 * A block: sorted entries with prefix-compressed keys, and restart points where a key stands whole. Source: LevelDB's table format.
 *
 * block := entry* | restart offset u32 * | number of restarts u32
 * entry := shared varuint | unshared varuint | value length varuint | unshared key bytes | value
 * A key is the first `shared` bytes of the key before it and the unshared ones; at a restart point shared is 0.
 */
import { assert } from '../../lib/base/assert.ts'
import { ByteWriter } from '../../lib/base/bytes.ts'
import type { Span } from '../read/span.ts'

export class BlockBuilder {
  readonly #restartInterval: number
  #out = new ByteWriter(20 * 1024)
  #restarts: number[] = []
  #sinceRestart = 0
  #lastKey: Buffer = Buffer.alloc(64)
  #lastLength = 0
  /** Entries so far. */
  count = 0

  constructor(restartInterval: number) {
    this.#restartInterval = restartInterval
  }

  /** Bytes of the block if it ended now. */
  get size(): number {
    return this.#out.length + 4 * this.#restarts.length + 4
  }

  /** Keys must ascend; the caller sees to it. */
  add(key: Uint8Array, value: Uint8Array): void {
    const out = this.#out
    let shared = 0
    if (this.count === 0 || this.#sinceRestart === this.#restartInterval) {
      this.#restarts.push(out.length)
      this.#sinceRestart = 0
    } else {
      const last = this.#lastKey
      const limit = Math.min(this.#lastLength, key.length)
      while (shared < limit && last[shared] === key[shared]) shared++
    }
    out.varuint(shared)
    out.varuint(key.length - shared)
    out.varuint(value.length)
    out.slice(key, shared, key.length)
    out.bytes(value)
    if (key.length > this.#lastKey.length) this.#lastKey = Buffer.alloc(key.length * 2)
    this.#lastKey.set(key)
    this.#lastLength = key.length
    this.#sinceRestart += 1
    this.count += 1
  }

  /** The finished block, valid until the next add; the builder is empty then. */
  finish(): Buffer {
    const out = this.#out
    for (const restart of this.#restarts) out.int32(restart)
    out.int32(this.#restarts.length)
    const block = out.view()
    if (block.length > 1024 * 1024) this.#out = new ByteWriter(20 * 1024)
    else out.reset()
    this.#restarts = []
    this.#sinceRestart = 0
    this.count = 0
    return block
  }
}

/** A decoded block in memory. Its bytes never change. */
export class Block {
  readonly bytes: Buffer
  readonly restarts: Uint32Array
  /** Where the entries end and the restart points begin. */
  readonly entriesEnd: number

  constructor(bytes: Buffer) {
    this.bytes = bytes
    const count = bytes.readUInt32BE(bytes.length - 4)
    this.entriesEnd = bytes.length - 4 - 4 * count
    assert(this.entriesEnd > 0 && count > 0, 'a block has an entry')
    this.restarts = new Uint32Array(count)
    for (let i = 0; i < count; i++) this.restarts[i] = bytes.readUInt32BE(this.entriesEnd + 4 * i)
  }
}

const EMPTY = Buffer.alloc(0)

const KEPT_BYTES = 1024

/** Stands on an entry of a block, or on none. */
export class BlockCursor {
  #block: Block | null = null
  #bytes: Buffer = EMPTY
  #entryStart = 0
  #entryEnd = 0
  #valueStart = 0
  #key: Buffer = Buffer.allocUnsafe(64)
  #keyLength = 0
  #keyCopy: Buffer | null = null
  /** Keys that were given without views, one after another; a full one is left to those who were given them. */
  #kept: Buffer = EMPTY
  #keptLength = 0
  valid = false

  /** Goes to a block, onto none of its entries. */
  reset(block: Block | null): void {
    this.#block = block
    this.#bytes = block?.bytes ?? EMPTY
    this.valid = false
    this.#keyCopy = null
  }

  get block(): Block | null {
    return this.#block
  }

  /** The entry's key, in memory that never changes. */
  get key(): Buffer {
    if (this.#keyCopy === null) {
      const copy = Buffer.allocUnsafe(this.#keyLength)
      this.#key.copy(copy, 0, 0, this.#keyLength)
      this.#keyCopy = copy
    }
    return this.#keyCopy
  }

  /** The entry's value, a view of the block. */
  get value(): Buffer {
    return this.#bytes.subarray(this.#valueStart, this.#entryEnd)
  }

  /** As `key`, without a view: each call copies it behind the one before. */
  keyInto(span: Span): void {
    const length = this.#keyLength
    if (length > this.#kept.length - this.#keptLength) {
      this.#kept = Buffer.allocUnsafe(Math.max(KEPT_BYTES, length))
      this.#keptLength = 0
    }
    const kept = this.#kept
    const key = this.#key
    const start = this.#keptLength
    if (length > 48) key.copy(kept, start, 0, length)
    else for (let i = 0; i < length; i++) kept[start + i] = key[i]!
    this.#keptLength = start + length
    span.set(kept, start, start + length)
  }

  /** As `value`, without a view. */
  valueInto(span: Span): void {
    span.set(this.#bytes, this.#valueStart, this.#entryEnd)
  }

  /** Where the value begins in the block's bytes. */
  get valueStart(): number {
    return this.#valueStart
  }

  /** Order of the entry's key and the target. */
  compare(target: Uint8Array): number {
    return compareBytes(this.#key, 0, this.#keyLength, target)
  }

  /** Whether the entry's key begins so. */
  startsWith(prefix: Uint8Array): boolean {
    return this.#keyLength >= prefix.length && compareBytes(this.#key, 0, prefix.length, prefix) === 0
  }

  first(): void {
    this.#decodeWhole(0)
  }

  last(): void {
    const block = this.#block!
    this.#decodeWhole(block.restarts.at(-1)!)
    while (this.#entryEnd < block.entriesEnd) this.#decode(this.#entryEnd)
  }

  next(): void {
    if (this.#entryEnd >= this.#block!.entriesEnd) this.valid = false
    else this.#decode(this.#entryEnd)
  }

  previous(): void {
    const start = this.#entryStart
    if (start === 0) {
      this.valid = false
      return
    }
    const { restarts } = this.#block!
    let low = 0
    let high = restarts.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if (restarts[middle]! < start) low = middle
      else high = middle - 1
    }
    this.#decodeWhole(restarts[low]!)
    while (this.#entryEnd < start) this.#decode(this.#entryEnd)
  }

  /** To the first entry whose key is at or after the target; invalid when there is none. */
  seek(target: Uint8Array): void {
    const { restarts, entriesEnd } = this.#block!
    let low = 0
    let high = restarts.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if (this.#compareRestart(restarts[middle]!, target) < 0) low = middle
      else high = middle - 1
    }
    this.#decodeWhole(restarts[low]!)
    // `matched` bytes of the target are those of the last key that is before it: most entries are told from their shared length alone.
    let matched = commonPrefix(this.#key, this.#keyLength, target)
    for (;;) {
      const order = compareFrom(this.#key, this.#keyLength, target, matched)
      if (order >= 0) return
      for (;;) {
        if (this.#entryEnd >= entriesEnd) {
          this.valid = false
          return
        }
        const shared = this.#decode(this.#entryEnd)
        if (shared < matched) return
        if (shared === matched) break
      }
      matched += commonPrefixFrom(this.#key, this.#keyLength, target, matched)
    }
  }

  /** To the last entry whose key is before the target; invalid when there is none. */
  seekBefore(target: Uint8Array): void {
    this.seek(target)
    if (this.valid) this.previous()
    else this.last()
  }

  #compareRestart(at: number, target: Uint8Array): number {
    const bytes = this.#bytes
    let position = at + 1 // shared is 0
    let length = bytes[position++]!
    if (length >= 0x80) {
      let shift = 7
      length &= 0x7f
      for (;;) {
        const byte = bytes[position++]!
        length |= (byte & 0x7f) << shift
        if (byte < 0x80) break
        shift += 7
      }
    }
    while (bytes[position++]! >= 0x80);
    return compareBytes(bytes, position, position + length, target)
  }

  #decodeWhole(at: number): void {
    this.#keyLength = 0
    this.#decode(at)
  }

  /** Reads the entry at `at`, the one after the current; returns how many key bytes it shares with that. */
  #decode(at: number): number {
    const bytes = this.#bytes
    this.#entryStart = at
    let position = at
    let shared = bytes[position++]!
    let unshared = bytes[position++]!
    let value = bytes[position++]!
    if ((shared | unshared | value) >= 0x80) {
      position = at
      shared = this.#varuint(position)
      position = this.#after
      unshared = this.#varuint(position)
      position = this.#after
      value = this.#varuint(position)
      position = this.#after
    }
    const length = shared + unshared
    if (length > this.#key.length) {
      const grown = Buffer.allocUnsafeSlow(length * 2)
      this.#key.copy(grown, 0, 0, shared)
      this.#key = grown
    }
    const key = this.#key
    if (unshared > 48) bytes.copy(key, shared, position, position + unshared)
    else for (let i = 0; i < unshared; i++) key[shared + i] = bytes[position + i]!
    this.#keyLength = length
    this.#keyCopy = null
    this.#valueStart = position + unshared
    this.#entryEnd = this.#valueStart + value
    this.valid = true
    return shared
  }

  #after = 0
  #varuint(at: number): number {
    const bytes = this.#bytes
    let position = at
    let result = 0
    let shift = 0
    for (;;) {
      const byte = bytes[position++]!
      result |= (byte & 0x7f) << shift
      if (byte < 0x80) break
      shift += 7
    }
    this.#after = position
    return result >>> 0
  }
}

/** Unsigned order of bytes[start, end) and the target. Short runs in JavaScript, the rest natively. */
export function compareBytes(bytes: Uint8Array, start: number, end: number, target: Uint8Array): number {
  const length = end - start
  const limit = Math.min(length, target.length)
  const near = Math.min(limit, 32)
  for (let i = 0; i < near; i++) {
    const difference = bytes[start + i]! - target[i]!
    if (difference !== 0) return difference
  }
  if (limit > near) {
    const rest = Buffer.compare(bytes.subarray(start + near, start + limit), target.subarray(near, limit))
    if (rest !== 0) return rest
  }
  return length - target.length
}

function commonPrefix(key: Uint8Array, keyLength: number, target: Uint8Array): number {
  return commonPrefixFrom(key, keyLength, target, 0)
}

/** How many bytes are equal from `from` on. */
function commonPrefixFrom(key: Uint8Array, keyLength: number, target: Uint8Array, from: number): number {
  const limit = Math.min(keyLength, target.length)
  let at = from
  while (at < limit && key[at] === target[at]) at++
  return at - from
}

/** Order of two byte strings whose first `matched` bytes are equal, and whose byte after those differs or is missing. */
function compareFrom(key: Uint8Array, keyLength: number, target: Uint8Array, matched: number): number {
  if (matched < keyLength && matched < target.length) return key[matched]! - target[matched]!
  return keyLength - target.length
}
