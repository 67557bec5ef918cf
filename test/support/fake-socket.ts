/** A socket that a test plays the other end of. */
import type { Socket, SocketHandlers } from '../../lib/runtime/runtime.ts'

export class FakeSocket implements Socket {
  readonly remoteAddress = '192.0.2.1'
  readonly remotePort = 40_000
  readonly localAddress = '192.0.2.2'
  readonly localPort = 7_000
  pendingBytes = 0
  readonly written: Buffer[] = []
  isClosed = false
  #handlers: SocketHandlers | null = null

  on(handlers: SocketHandlers): void {
    this.#handlers = handlers
  }

  write(bytes: Uint8Array): boolean {
    this.written.push(Buffer.from(bytes))
    return true
  }

  pause(): void {}

  resume(): void {}

  end(): void {
    this.destroy()
  }

  destroy(): void {
    if (this.isClosed) return
    this.isClosed = true
    this.#handlers?.close(null)
  }

  /** What the other end says. */
  feed(bytes: Buffer): void {
    if (!this.isClosed) this.#handlers!.data(bytes)
  }

  get bytes(): Buffer {
    return Buffer.concat(this.written)
  }
}
