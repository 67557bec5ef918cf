/**
 * The bytes that gather while the disk writes those before them: records, and room for marks, of one stretch of a segment. Two buffers take
 * turns; one that grew large is not kept.
 */
import { crc32 } from 'node:zlib'
import { checkWords, RECORD_HEAD_BYTES, seedAt } from './segment.ts'

const BUFFER_BYTES = 256 * 1024
/** A buffer that grew beyond is not kept for the next group. */
const BUFFER_KEPT_BYTES_MAX = 4 * 1024 * 1024

export class RecordBuffer {
  #buffer: Buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES)
  #length = 0
  #spare: Buffer | null = null

  get length(): number {
    return this.#length
  }

  /** Makes room for `size` bytes, which hold anything; returns where they begin. */
  reserve(size: number): number {
    const at = this.#length
    if (at + size > this.#buffer.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(at + size, this.#buffer.length * 2))
      this.#buffer.copy(grown, 0, 0, at)
      this.#buffer = grown
    }
    this.#length = at + size
    return at
  }

  /** Copies a record of `bytes` payload bytes for that offset of a segment; `size` is what it takes there. */
  add(parts: readonly Uint8Array[], place: { bytes: number; size: number; segmentSeed: number; offset: number }): void {
    const { bytes, size } = place
    const at = this.reserve(size)
    const buffer = this.#buffer
    const seed = seedAt(place.segmentSeed, place.offset)
    let crc = seed
    let to = at + RECORD_HEAD_BYTES
    for (let i = 0; i < parts.length; i++) {
      const part = parts[i]!
      crc = crc32(part, crc)
      buffer.set(part, to)
      to += part.length
    }
    putInt32(buffer, at, bytes)
    putInt32(buffer, at + 4, checkWords(seed, bytes, 0))
    putInt32(buffer, at + 8, crc)
    while (to < at + size) buffer[to++] = 0
  }

  /** What has gathered; the next bytes go elsewhere. */
  take(): { readonly buffer: Buffer; readonly length: number } {
    const taken = { buffer: this.#buffer, length: this.#length }
    this.#buffer = this.#spare ?? Buffer.allocUnsafeSlow(BUFFER_BYTES)
    this.#spare = null
    this.#length = 0
    return taken
  }

  /** A buffer that was taken, and is written. */
  giveBack(buffer: Buffer): void {
    if (buffer.length <= BUFFER_KEPT_BYTES_MAX) this.#spare = buffer
  }
}

function putInt32(target: Buffer, at: number, value: number): void {
  target[at] = value >>> 24
  target[at + 1] = value >>> 16
  target[at + 2] = value >>> 8
  target[at + 3] = value
}
