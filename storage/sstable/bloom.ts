/**
 * Bloom filter over partition positions. Source: Bloom 1970; double hashing of Kirsch and Mitzenmacher 2006, with the step growing.
 * A position begins with its Murmur3 token: its two halves are the hash, mixed once more since a table may hold a narrow range of tokens.
 * Two keys of one token are not told apart: then a read finds nothing where the filter said maybe.
 *
 * filter := number of hashes u8 | 0 × 7 | bits, 8 to a byte, the least significant first
 */
import { assert } from '../../lib/base/assert.ts'

const HEAD_BYTES = 8
const BITS_MAX = 2 ** 32 - 8
const HASHES_MAX = 24

export class BloomFilter {
  readonly #bytes: Buffer
  readonly #hashes: number
  readonly #bits: number

  /** The filter that these bytes are; it keeps them. */
  constructor(bytes: Buffer) {
    this.#bytes = bytes
    this.#hashes = bytes[0]!
    this.#bits = (bytes.length - HEAD_BYTES) * 8
    assert(bytes.length > HEAD_BYTES && this.#hashes > 0 && this.#hashes <= HASHES_MAX, 'a bloom filter')
  }

  get bytes(): Buffer {
    return this.#bytes
  }

  add(position: Uint8Array): void {
    const bytes = this.#bytes
    let x = firstHash(position)
    let step = secondHash(position)
    for (let i = 0; i < this.#hashes; i++) {
      const bit = x % this.#bits
      bytes[HEAD_BYTES + (bit >>> 3)]! |= 1 << (bit & 7)
      x = (x + step) >>> 0
      step = (step + i) >>> 0
    }
  }

  mightContain(position: Uint8Array): boolean {
    const bytes = this.#bytes
    const bits = this.#bits
    let x = firstHash(position)
    let step = secondHash(position)
    for (let i = 0; i < this.#hashes; i++) {
      const bit = x % bits
      if ((bytes[HEAD_BYTES + (bit >>> 3)]! & (1 << (bit & 7))) === 0) return false
      x = (x + step) >>> 0
      step = (step + i) >>> 0
    }
    return true
  }
}

/** An empty filter; null when the chance is 1, that is, when none is wanted. */
export function createBloomFilter(partitions: number, falsePositiveChance: number): BloomFilter | null {
  assert(falsePositiveChance > 0 && falsePositiveChance <= 1)
  if (falsePositiveChance === 1) return null
  const perKey = -Math.log(falsePositiveChance) / Math.LN2 ** 2
  const bits = Math.min(BITS_MAX, Math.max(64, Math.ceil(perKey * Math.max(1, partitions))))
  const hashes = Math.max(1, Math.min(HASHES_MAX, Math.round(perKey * Math.LN2)))
  const bytes = Buffer.alloc(HEAD_BYTES + Math.ceil(bits / 8))
  bytes[0] = hashes
  return new BloomFilter(bytes)
}

function word(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!
}

function firstHash(position: Uint8Array): number {
  let h = word(position, 4) ^ Math.imul(word(position, 0), 0x9e3779b1)
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

/** Odd, so that it never stands still. */
function secondHash(position: Uint8Array): number {
  let h = word(position, 0) + Math.imul(word(position, 4), 0xcc9e2d51)
  h = Math.imul(h ^ (h >>> 15), 0x1b873593)
  h = Math.imul(h ^ (h >>> 13), 0xe6546b64)
  return ((h ^ (h >>> 16)) | 1) >>> 0
}
