/**
 * Cursors over bytes: ByteReader checks every bound and throws BytesError when the bytes end early, ByteWriter grows.
 * All numbers are big-endian, as on the wire and on disk. Views share memory with the buffer they were cut from.
 */

/** The bytes ended before the value did, or a length was negative. Callers turn it into an error of their own room. */
export class BytesError extends Error {
  override name = 'BytesError'
}

export class ByteReader {
  buffer: Buffer
  position: number
  end: number

  constructor(buffer: Buffer, position = 0, end = buffer.length) {
    this.buffer = buffer
    this.position = position
    this.end = end
  }

  remaining(): number {
    return this.end - this.position
  }

  #take(length: number): number {
    const at = this.position
    if (length < 0 || length > this.end - at)
      throw new BytesError(`${length} bytes expected at ${at}, ${this.end - at} left`)
    this.position = at + length
    return at
  }

  uint8(): number {
    const at = this.#take(1)
    return this.buffer[at]!
  }

  int8(): number {
    return (this.uint8() << 24) >> 24
  }

  uint16(): number {
    const at = this.#take(2)
    return (this.buffer[at]! << 8) | this.buffer[at + 1]!
  }

  int16(): number {
    return (this.uint16() << 16) >> 16
  }

  int32(): number {
    const at = this.#take(4)
    const b = this.buffer
    return (b[at]! << 24) | (b[at + 1]! << 16) | (b[at + 2]! << 8) | b[at + 3]!
  }

  uint32(): number {
    return this.int32() >>> 0
  }

  int64(): bigint {
    const at = this.#take(8)
    return this.buffer.readBigInt64BE(at)
  }

  float64(): number {
    const at = this.#take(8)
    return this.buffer.readDoubleBE(at)
  }

  /** Unsigned LEB128 of at most 32 bits. */
  varuint(): number {
    let result = 0
    let shift = 0
    for (;;) {
      const byte = this.uint8()
      if (shift === 28 && byte > 15) throw new BytesError('varuint of more than 32 bits')
      result |= (byte & 0x7f) << shift
      if (byte < 0x80) return result >>> 0
      shift += 7
    }
  }

  /** The next `length` bytes, sharing memory: whoever keeps them copies them. */
  view(length: number): Buffer {
    const at = this.#take(length)
    return this.buffer.subarray(at, at + length)
  }

  utf8(length: number): string {
    const at = this.#take(length)
    return this.buffer.toString('utf8', at, at + length)
  }

  skip(length: number): void {
    this.#take(length)
  }
}

export class ByteWriter {
  buffer: Buffer
  length: number

  constructor(capacity = 256) {
    this.buffer = Buffer.allocUnsafeSlow(capacity)
    this.length = 0
  }

  /** Makes room for `size` more bytes and returns where they begin; the caller fills them. */
  reserve(size: number): number {
    const at = this.length
    const needed = at + size
    if (needed > this.buffer.length) this.#grow(needed)
    this.length = needed
    return at
  }

  #grow(needed: number): void {
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.buffer.length * 2))
    this.buffer.copy(grown, 0, 0, this.length)
    this.buffer = grown
  }

  uint8(value: number): void {
    const at = this.reserve(1)
    this.buffer[at] = value
  }

  uint16(value: number): void {
    const at = this.reserve(2)
    this.buffer[at] = value >>> 8
    this.buffer[at + 1] = value
  }

  /** Signed or unsigned: the low 32 bits are written. */
  int32(value: number): void {
    const at = this.reserve(4)
    this.putInt32(at, value)
  }

  putInt32(at: number, value: number): void {
    const b = this.buffer
    b[at] = value >>> 24
    b[at + 1] = value >>> 16
    b[at + 2] = value >>> 8
    b[at + 3] = value
  }

  int64(value: bigint): void {
    const at = this.reserve(8)
    this.buffer.writeBigInt64BE(value, at)
  }

  float64(value: number): void {
    const at = this.reserve(8)
    this.buffer.writeDoubleBE(value, at)
  }

  /** Unsigned LEB128 of at most 32 bits. */
  varuint(value: number): void {
    let rest = value >>> 0
    while (rest >= 0x80) {
      this.uint8((rest & 0x7f) | 0x80)
      rest >>>= 7
    }
    this.uint8(rest)
  }

  bytes(source: Uint8Array): void {
    const at = this.reserve(source.length)
    this.buffer.set(source, at)
  }

  /** Copies source[start, end). */
  slice(source: Uint8Array, start: number, end: number): void {
    const size = end - start
    const at = this.reserve(size)
    const target = this.buffer
    if (size < 24) for (let i = 0; i < size; i++) target[at + i] = source[start + i]!
    else target.set(source.subarray(start, end), at)
  }

  utf8(text: string): void {
    const size = Buffer.byteLength(text)
    const at = this.reserve(size)
    this.buffer.write(text, at, size, 'utf8')
  }

  /** What was written so far, sharing memory: valid until the next write or reset. */
  view(): Buffer {
    return this.buffer.subarray(0, this.length)
  }

  /** A copy of what was written so far. */
  copy(): Buffer {
    return Buffer.from(this.view())
  }

  reset(): void {
    this.length = 0
  }
}
