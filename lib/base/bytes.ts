/**
 * Cursors over bytes: ByteReader checks every bound and throws BytesError when the bytes end early, ByteWriter grows.
 * All numbers are big-endian, as on the wire and on disk. Views share memory with the buffer they were cut from.
 */

/** The bytes ended before the value did, or a length was negative. Callers turn it into an error of their own room. */
export class BytesError extends Error {
  override name = 'BytesError'
}

/**
 * What a Buffer's own subarray() makes. From the memory itself it costs a third: to ask a Buffer for its memory is a call into native code, so
 * that is done once for many views.
 */
const View = (
  Buffer as unknown as { [Symbol.species]: new (memory: ArrayBufferLike, start: number, length: number) => Buffer }
)[Symbol.species]

const EMPTY: Buffer = Buffer.alloc(0)

/** Longer ranges are copied by native code, which costs more to call than a short loop. */
const COPY_LOOP_BYTES_MAX = 64

/** Copies source[start, end) to target[at, …). The two do not overlap. */
export function copyBytes(source: Uint8Array, start: number, end: number, target: Uint8Array, at: number): void {
  const length = end - start
  if (length > COPY_LOOP_BYTES_MAX) {
    target.set(source.subarray(start, end), at)
    return
  }
  let from = start
  let to = at
  for (const last = end - 4; from <= last; from += 4, to += 4) {
    target[to] = source[from]!
    target[to + 1] = source[from + 1]!
    target[to + 2] = source[from + 2]!
    target[to + 3] = source[from + 3]!
  }
  for (; from < end; from++, to++) target[to] = source[from]!
}

/** Longer ones are compared by native code. */
const EQUAL_LOOP_BYTES_MAX = 32

export function equalBytes(one: Uint8Array, other: Uint8Array): boolean {
  if (one.length !== other.length) return false
  if (one.length > EQUAL_LOOP_BYTES_MAX) return Buffer.compare(one, other) === 0
  for (let i = 0; i < one.length; i++) if (one[i] !== other[i]) return false
  return true
}

export class ByteReader {
  buffer: Buffer
  position: number
  end: number
  /** The buffer of which views were asked for last, its memory, and where it begins there. */
  #viewed: Buffer = EMPTY
  #memory: ArrayBufferLike = EMPTY.buffer
  #origin = 0

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
    if (this.buffer !== this.#viewed) this.#look(this.buffer)
    return new View(this.#memory, this.#origin + at, length)
  }

  #look(buffer: Buffer): void {
    this.#viewed = buffer
    this.#memory = buffer.buffer
    this.#origin = buffer.byteOffset
  }

  /** Lets go of the buffer. */
  release(): void {
    this.buffer = EMPTY
    this.#look(EMPTY)
  }

  utf8(length: number): string {
    const at = this.#take(length)
    return this.buffer.toString('utf8', at, at + length)
  }

  skip(length: number): void {
    this.#take(length)
  }
}

/** Writers that begin with no more share a slab of 8 KiB with others. */
const POOLED_BYTES = 1024

export class ByteWriter {
  /** Another one after `use` and when it grows. */
  buffer: Buffer
  length: number
  /** The buffer's, and where it begins there. */
  #memory: ArrayBufferLike
  #origin: number
  /** The last one that was made of this buffer: it serves again for as many bytes. */
  #view: Buffer = EMPTY

  constructor(capacity = 256) {
    // Memory of its own costs a µs and a part of a collection: more than most small writers write.
    this.buffer = capacity <= POOLED_BYTES ? Buffer.allocUnsafe(capacity) : Buffer.allocUnsafeSlow(capacity)
    this.#memory = this.buffer.buffer
    this.#origin = this.buffer.byteOffset
    this.length = 0
  }

  /** Begins anew in other memory. */
  use(buffer: Buffer): void {
    this.#own(buffer)
    this.length = 0
  }

  #own(buffer: Buffer): void {
    this.buffer = buffer
    this.#memory = buffer.buffer
    this.#origin = buffer.byteOffset
    this.#view = EMPTY
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
    this.#own(grown)
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
    const length = source.length
    const at = this.reserve(length)
    if (length <= COPY_LOOP_BYTES_MAX) copyBytes(source, 0, length, this.buffer, at)
    else this.buffer.set(source, at)
  }

  /** Copies source[start, end). */
  slice(source: Uint8Array, start: number, end: number): void {
    const at = this.reserve(end - start)
    copyBytes(source, start, end, this.buffer, at)
  }

  utf8(text: string): void {
    const size = Buffer.byteLength(text)
    const at = this.reserve(size)
    this.buffer.write(text, at, size, 'utf8')
  }

  /** What was written so far, sharing memory: valid until the next write or reset. */
  view(): Buffer {
    if (this.#view.length !== this.length) this.#view = new View(this.#memory, this.#origin, this.length)
    return this.#view
  }

  /** A copy of what was written so far. */
  copy(): Buffer {
    return Buffer.from(this.view())
  }

  reset(): void {
    this.length = 0
  }
}
