/**
 * The links between the nodes of a cluster in one process, over the real network: which of them are cut. A cut link is a network that swallows everything:
 * what is written vanishes, nothing comes, a connection is never made. When it heals, connections that were cut are reset.
 * Always: clients are never cut off, only nodes from each other. A socket lies with the node that made it, so that each link is looked at once.
 */
import type { ConnectOptions, Socket, SocketHandlers } from '../../runtime/runtime.ts'

/** By number. */
type Pair = `${number} ${number}`

export class Wires {
  /** `address:port` where other nodes are reached, and who is there. */
  readonly #places = new Map<string, number>()
  readonly #cut = new Set<Pair>()
  readonly #sockets = new Set<WiredSocket>()
  /** A connection was given up because of a cut: who wanted it waits a while before the next. */
  #gaveUp = false

  /** Other nodes reach that one there. */
  place(node: number, address: string, port: number): void {
    this.#places.set(`${address}:${port}`, node)
  }

  /** Null: no node is there. */
  at(address: string, port: number): number | null {
    return this.#places.get(`${address}:${port}`) ?? null
  }

  isCut(from: number, to: number): boolean {
    return this.#cut.has(`${from} ${to}`)
  }

  /** Nodes of different groups do not reach each other; who is in no group reaches all. Earlier cuts stay. */
  partition(groups: readonly (readonly number[])[]): void {
    for (const group of groups)
      for (const other of groups)
        if (group !== other)
          for (const from of group) for (const to of other) if (from !== to) this.#cut.add(`${from} ${to}`)
    for (const socket of this.#sockets) if (this.isCut(socket.from, socket.to)) socket.cut()
  }

  /** Whether connections were given up meanwhile. */
  heal(): boolean {
    const gaveUp = this.#gaveUp
    this.#gaveUp = false
    this.#cut.clear()
    for (const socket of [...this.#sockets]) socket.resetIfCut()
    return gaveUp
  }

  /** A connection between two nodes that is made while their link is whole; ETIMEDOUT when it is not. */
  async connect(
    from: number,
    to: number,
    options: ConnectOptions,
    dial: () => Promise<Socket>,
    sleep: (ms: number) => Promise<void>,
  ): Promise<Socket> {
    if (!this.isCut(from, to)) {
      const socket = new WiredSocket(await dial(), from, to, () => this.#sockets.delete(socket))
      this.#sockets.add(socket)
      if (this.isCut(from, to)) socket.cut()
      return socket
    }
    this.#gaveUp = true
    await sleep(options.timeoutMs ?? CONNECT_MS)
    throw Object.assign(new Error(`no connection from node ${from} to node ${to}: they are parted`), {
      code: 'ETIMEDOUT',
    })
  }
}

const CONNECT_MS = 2_000

class WiredSocket implements Socket {
  readonly from: number
  readonly to: number
  readonly #inner: Socket
  readonly #onClose: () => void
  #isCut = false

  constructor(inner: Socket, from: number, to: number, onClose: () => void) {
    this.#inner = inner
    this.from = from
    this.to = to
    this.#onClose = onClose
  }

  get remoteAddress(): string {
    return this.#inner.remoteAddress
  }

  get remotePort(): number {
    return this.#inner.remotePort
  }

  get localAddress(): string {
    return this.#inner.localAddress
  }

  get localPort(): number {
    return this.#inner.localPort
  }

  get pendingBytes(): number {
    return this.#inner.pendingBytes
  }

  cut(): void {
    this.#isCut = true
  }

  resetIfCut(): void {
    if (this.#isCut) this.#inner.destroy()
  }

  on(handlers: SocketHandlers): void {
    this.#inner.on({
      data: (chunk) => {
        if (!this.#isCut) handlers.data(chunk)
      },
      drain: () => handlers.drain(),
      close: (error) => {
        this.#onClose()
        handlers.close(error)
      },
    })
  }

  write(bytes: Uint8Array): boolean {
    return this.#isCut || this.#inner.write(bytes)
  }

  pause(): void {
    this.#inner.pause()
  }

  resume(): void {
    this.#inner.resume()
  }

  end(): void {
    if (this.#isCut) this.#inner.destroy()
    else this.#inner.end()
  }

  destroy(): void {
    this.#inner.destroy()
  }
}
