/** Where bytes lie in a buffer: a view of them without its object. Reads that walk over many records use a few spans again and again. */

const NOWHERE = Buffer.alloc(0)

/** Longer runs are compared by native code, which costs more to call than a short loop. */
const NATIVE_COMPARE_BYTES = 40

export class Span {
  buffer: Buffer = NOWHERE
  start = 0
  end = 0

  set(buffer: Buffer, start: number, end: number): this {
    this.buffer = buffer
    this.start = start
    this.end = end
    return this
  }

  setTo(bytes: Buffer): this {
    return this.set(bytes, 0, bytes.length)
  }

  view(): Buffer {
    return this.buffer.subarray(this.start, this.end)
  }

  /** Unsigned byte order, a prefix first. */
  compare(other: Span): number {
    return compareBytes(this, other.buffer, other.start, other.end)
  }

  compareTo(bytes: Buffer): number {
    return compareBytes(this, bytes, 0, bytes.length)
  }

  startsWith(prefix: Buffer): boolean {
    const { length } = prefix
    if (this.end - this.start < length) return false
    const { buffer, start } = this
    for (let i = length - 1; i >= 0; i--) if (buffer[start + i] !== prefix[i]) return false
    return true
  }
}

function compareBytes({ buffer, start, end }: Span, other: Buffer, otherStart: number, otherEnd: number): number {
  const shared = Math.min(end - start, otherEnd - otherStart)
  if (shared > NATIVE_COMPARE_BYTES) return buffer.compare(other, otherStart, otherEnd, start, end)
  for (let i = 0; i < shared; i++) {
    const difference = buffer[start + i]! - other[otherStart + i]!
    if (difference !== 0) return difference
  }
  return end - start - (otherEnd - otherStart)
}
