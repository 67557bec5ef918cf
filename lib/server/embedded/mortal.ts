/**
 * Doors that can be shut at once: a node of this process that is killed runs no further line of its own. Its timers never fire, what it asks of disk and
 * network is never answered, its connections are gone, as if its process had died.
 */
import type { ListenHttpService } from '../../runtime/node/http-service.ts'
import type { Clock, Disk, DiskFile, Listener, Network, Socket, SocketHandlers } from '../../runtime/runtime.ts'

/** Never settles: whoever waits for it waits for the end of the world, and is collected as garbage. */
function never<T>(): Promise<T> {
  return new Promise<T>(() => {})
}

export class Mortality {
  #isDead = false
  #busy = 0
  #idle: (() => void) | null = null
  readonly #onDeath = new Set<() => unknown>()

  get isDead(): boolean {
    return this.#isDead
  }

  /** Resolves when what was being done has come to its end, of which the dead do not hear. */
  async die(): Promise<void> {
    this.#isDead = true
    const ends = Array.from(this.#onDeath, async (end) => end())
    this.#onDeath.clear()
    if (this.#busy > 0)
      await new Promise<void>((resolve) => {
        this.#idle = resolve
      })
    await Promise.allSettled(ends)
  }

  /** Undo with the disposable, when it is no longer there to be ended. */
  atDeath(end: () => unknown): Disposable {
    this.#onDeath.add(end)
    return { [Symbol.dispose]: () => void this.#onDeath.delete(end) }
  }

  async does<T>(act: () => Promise<T>): Promise<T> {
    if (this.#isDead) return never()
    this.#busy++
    try {
      const result = await act()
      return this.#isDead ? await this.#left<T>() : result
    } catch (error) {
      if (!this.#isDead) throw error
      return await this.#left<T>()
    } finally {
      if (!this.#isDead) this.#busy--
    }
  }

  /** What it did has ended after its death. */
  #left<T>(): Promise<T> {
    this.#busy--
    if (this.#busy === 0) this.#idle?.()
    return never()
  }
}

export function mortalClock(clock: Clock, life: Mortality): Clock {
  return {
    monotonicMs: () => clock.monotonicMs(),
    wallMicros: () => clock.wallMicros(),
    after(delayMs, run) {
      if (life.isDead) return { [Symbol.dispose]() {} }
      const mourning = life.atDeath(() => timer[Symbol.dispose]())
      const timer = clock.after(delayMs, () => {
        mourning[Symbol.dispose]()
        run()
      })
      return {
        [Symbol.dispose]() {
          mourning[Symbol.dispose]()
          timer[Symbol.dispose]()
        },
      }
    },
    soon: (run) =>
      clock.soon(() => {
        if (!life.isDead) run()
      }),
  }
}

export function mortalDisk(disk: Disk, life: Mortality): Disk {
  const does = <T>(act: () => Promise<T>): Promise<T> => life.does(act)
  const file = (real: DiskFile): DiskFile => {
    const mourning = life.atDeath(() => real.close())
    return {
      path: real.path,
      read: (target, position) => does(() => real.read(target, position)),
      write: (source, position) => does(() => real.write(source, position)),
      sync: () => does(() => real.sync()),
      truncate: (size) => does(() => real.truncate(size)),
      size: () => does(() => real.size()),
      close() {
        mourning[Symbol.dispose]()
        return does(() => real.close())
      },
    }
  }
  return {
    open: (path, mode) => does(async () => file(await disk.open(path, mode))),
    mkdir: (path) => does(() => disk.mkdir(path)),
    list: (path) => does(() => disk.list(path)),
    stat: (path) => does(() => disk.stat(path)),
    rename: (from, to) => does(() => disk.rename(from, to)),
    link: (from, to) => does(() => disk.link(from, to)),
    remove: (path) => does(() => disk.remove(path)),
    removeTree: (path) => does(() => disk.removeTree(path)),
    syncDirectory: (path) => does(() => disk.syncDirectory(path)),
    freeBytes: (path) => does(() => disk.freeBytes(path)),
    space: (path) => does(() => disk.space(path)),
    lock: (path) =>
      does(async () => {
        const lock = await disk.lock(path)
        const mourning = life.atDeath(() => lock[Symbol.asyncDispose]())
        return {
          [Symbol.asyncDispose]() {
            mourning[Symbol.dispose]()
            return does(async () => lock[Symbol.asyncDispose]())
          },
        }
      }),
  }
}

export function mortalNetwork(network: Network, life: Mortality): Network {
  return {
    listen: (address, port, accept) =>
      life.does(async () => {
        const listener = await network.listen(address, port, (socket) => {
          if (life.isDead) socket.destroy()
          else accept(new MortalSocket(socket, life))
        })
        return mortalListener(listener, life)
      }),
    connect: (address, port, options) =>
      life.does(async () => new MortalSocket(await network.connect(address, port, options), life)),
  }
}

export function mortalHttp(listen: ListenHttpService, life: Mortality): ListenHttpService {
  return (options) =>
    life.does(async () => {
      const listener = await listen({
        ...options,
        onConnection(socket) {
          if (life.isDead) socket.destroy()
          else options.onConnection(socket)
        },
        onRequest(incoming, outgoing) {
          if (!life.isDead) options.onRequest(incoming, outgoing)
        },
        onMalformed(code, socket) {
          if (!life.isDead) options.onMalformed(code, socket)
        },
      })
      const mourning = life.atDeath(async () => {
        const stopped = listener.stop()
        listener.closeAll()
        await stopped
      })
      return {
        ...listener,
        stop() {
          mourning[Symbol.dispose]()
          return life.does(() => listener.stop())
        },
      }
    })
}

function mortalListener(listener: Listener, life: Mortality): Listener {
  const mourning = life.atDeath(() => listener.close())
  return {
    address: listener.address,
    port: listener.port,
    close() {
      mourning[Symbol.dispose]()
      return life.does(() => listener.close())
    },
  }
}

class MortalSocket implements Socket {
  readonly remoteAddress: string
  readonly remotePort: number
  readonly localAddress: string
  readonly localPort: number
  readonly #inner: Socket
  readonly #life: Mortality
  readonly #mourning: Disposable

  constructor(inner: Socket, life: Mortality) {
    this.#inner = inner
    this.#life = life
    this.remoteAddress = inner.remoteAddress
    this.remotePort = inner.remotePort
    this.localAddress = inner.localAddress
    this.localPort = inner.localPort
    this.#mourning = life.atDeath(() => inner.destroy())
    if (life.isDead) inner.destroy()
  }

  get pendingBytes(): number {
    return this.#inner.pendingBytes
  }

  on(handlers: SocketHandlers): void {
    this.#inner.on({
      data: (chunk) => {
        if (!this.#life.isDead) handlers.data(chunk)
      },
      drain: () => {
        if (!this.#life.isDead) handlers.drain()
      },
      close: (error) => {
        this.#mourning[Symbol.dispose]()
        if (!this.#life.isDead) handlers.close(error)
      },
    })
  }

  write(bytes: Uint8Array): boolean {
    return this.#life.isDead || this.#inner.write(bytes)
  }

  pause(): void {
    this.#inner.pause()
  }

  resume(): void {
    this.#inner.resume()
  }

  end(): void {
    if (!this.#life.isDead) this.#inner.end()
  }

  destroy(): void {
    this.#inner.destroy()
  }
}
