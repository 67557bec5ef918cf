/**
 * Memory into which blocks are read before they are unpacked: taken from and given back to a small stock, so that a look-up leaves no garbage outside
 * V8's heap, which it collects late.
 */

/** A block of the default size, packed or not, with room for a row somewhat larger. */
const BUFFER_BYTES = 8 * 1024
const KEPT_MAX = 64

export class ReadBuffers {
  readonly #kept: Buffer[] = []

  take(length: number): Buffer {
    if (length > BUFFER_BYTES) return Buffer.allocUnsafeSlow(length)
    const buffer = this.#kept.pop() ?? Buffer.allocUnsafeSlow(BUFFER_BYTES)
    return length === BUFFER_BYTES ? buffer : buffer.subarray(0, length)
  }

  /** Whether what take() gave is to be given back. */
  isOwn(taken: Buffer): boolean {
    return taken.buffer.byteLength === BUFFER_BYTES
  }

  /** Nobody may use the bytes any more. */
  give(taken: Buffer): void {
    if (this.#kept.length < KEPT_MAX) this.#kept.push(Buffer.from(taken.buffer))
  }
}
