/**
 * Buffers that go round: taken to be written into, given back when nobody looks at them any more. One that is not given back is garbage, no more.
 * To allocate one of a few KiB takes longer than to fill it, and the collector of garbage has to hear of it.
 */

/** Of a buffer as it is taken; it may come back grown. */
const BUFFER_BYTES = 16 * 1024
const BUFFER_BYTES_MAX = 256 * 1024
/** Of all that wait to be taken. */
const WAITING_BYTES_MAX = 4 * 1024 * 1024

export class BufferPool {
  /** The one given back last is taken first: it is in the processor's cache. */
  readonly #waiting: Buffer[] = []
  #waitingBytes = 0

  take(): Buffer {
    const buffer = this.#waiting.pop()
    if (buffer === undefined) return Buffer.allocUnsafeSlow(BUFFER_BYTES)
    this.#waitingBytes -= buffer.length
    return buffer
  }

  give(buffer: Buffer): void {
    const { length } = buffer
    if (length < BUFFER_BYTES || length > BUFFER_BYTES_MAX || this.#waitingBytes + length > WAITING_BYTES_MAX) return
    this.#waitingBytes += length
    this.#waiting.push(buffer)
  }
}
