/**
 * Takes client connections, as many as there may be, and lets them go.
 * Always: no more than `connectionsMax` are open, and no more than `handshakesMax` of them are served before they have said who they are.
 */

import { MetadataCache } from '../../protocol/metadata.ts'
import type { Clock, Listener, Log, Network, Random, Socket } from '../runtime/runtime.ts'
import { ALLOW_ALL, type Authenticator } from './authenticator.ts'
import { Connection, type ConnectionContext, type ConnectionOwner } from './connection.ts'
import { ClientEvents } from './events.ts'
import { Compressions } from './handshake.ts'
import { CLIENT_LIMITS, type ClientCounters, type ClientLimits, createClientCounters, RequestBudget } from './limits.ts'
import { OutboxTurns } from './outbox.ts'
import type { Processor, Tracer } from './processor.ts'

export interface ClientListenerOptions {
  readonly clock: Clock
  readonly log: Log
  readonly random: Random
  readonly network: Network
  readonly processor: Processor
  /** Default: everybody is let in. */
  readonly authenticator?: Authenticator
  readonly tracer?: Tracer
  /** Those that differ from CLIENT_LIMITS. */
  readonly limits?: Partial<ClientLimits>
}

/** An idle connection is found within a quarter of the time. */
const SWEEPS_PER_IDLE = 4

export class ClientListener implements ConnectionOwner {
  readonly events = new ClientEvents()
  readonly counters: ClientCounters = createClientCounters()
  readonly limits: ClientLimits
  readonly #network: Network
  readonly #context: ConnectionContext
  readonly #connections = new Set<Connection>()
  /** Accepted, not served yet; in the order in which they came. */
  readonly #waiting = new Set<Connection>()
  readonly #handshaking = new Set<Connection>()
  /** Sweeps since a connection was last seen to do anything. */
  readonly #idleSweeps = new Map<Connection, number>()
  #listeners: Listener[] = []
  #lastId = 0
  #isClosing = false
  #sweepTimer: Disposable | null = null
  #emptied: (() => void) | null = null
  readonly #closing: Promise<void>[] = []
  #closed: Promise<void> | null = null

  constructor(options: ClientListenerOptions) {
    const { clock, log, random, processor } = options
    this.limits = { ...CLIENT_LIMITS, ...options.limits }
    this.#network = options.network
    this.#context = {
      clock,
      log,
      random: random.stream('incidents'),
      processor,
      authenticator: options.authenticator ?? ALLOW_ALL,
      tracer: options.tracer ?? null,
      events: this.events,
      limits: this.limits,
      budget: new RequestBudget(this.limits),
      counters: this.counters,
      metadata: new MetadataCache(),
      compressions: new Compressions(),
      turns: new OutboxTurns(clock),
    }
    if (this.limits.idleMs > 0) this.#scheduleSweep()
  }

  get connections(): ReadonlySet<Connection> {
    return this.#connections
  }

  /** Bytes of requests being executed. */
  get requestBytes(): number {
    return this.#context.budget.bytes
  }

  /** May be called for several addresses. Port 0 takes a free one. */
  async listen(address: string, port: number): Promise<Listener> {
    const listener = await this.#network.listen(address, port, (socket) => this.accept(socket))
    this.#listeners.push(listener)
    return listener
  }

  accept(socket: Socket): void {
    if (this.#isClosing || this.#connections.size >= this.limits.connectionsMax) {
      this.counters.connectionsRefused += 1
      socket.on({ data: () => {}, drain: () => {}, close: () => {} })
      socket.destroy()
      return
    }
    this.counters.connectionsOpened += 1
    this.#lastId += 1
    const connection = new Connection(socket, this.#lastId, this.#context, this)
    if (connection.phase === 'closed') return
    this.#connections.add(connection)
    this.#waiting.add(connection)
    this.#serveNext()
  }

  settled(connection: Connection): void {
    this.#handshaking.delete(connection)
    this.#serveNext()
  }

  closed(connection: Connection): void {
    this.#connections.delete(connection)
    this.#waiting.delete(connection)
    this.#idleSweeps.delete(connection)
    this.settled(connection)
    if (this.#connections.size === 0) this.#emptied?.()
  }

  /** Takes no new connections; those there are go on. */
  stopListening(): void {
    this.#isClosing = true
    // A listener's close ends with its last connection: it is begun here and waited for in close().
    for (const listener of this.#listeners) this.#closing.push(listener.close())
    this.#listeners = []
  }

  /** Lets each connection finish what it has in flight, for `graceMs` at most, then closes what is left. May be called twice. */
  close(graceMs: number): Promise<void> {
    this.#closed ??= this.#close(graceMs)
    return this.#closed
  }

  async #close(graceMs: number): Promise<void> {
    this.stopListening()
    this.#sweepTimer?.[Symbol.dispose]()
    this.#sweepTimer = null
    for (const connection of [...this.#connections]) connection.drain()
    if (this.#connections.size > 0) {
      await new Promise<void>((resolve) => {
        const deadline = this.#context.clock.after(graceMs, () => {
          for (const connection of [...this.#connections]) connection.destroy()
        })
        this.#emptied = () => {
          deadline[Symbol.dispose]()
          resolve()
        }
      })
    }
    await Promise.all(this.#closing)
  }

  #serveNext(): void {
    for (const connection of this.#waiting) {
      if (this.#handshaking.size >= this.limits.handshakesMax) return
      this.#waiting.delete(connection)
      this.#handshaking.add(connection)
      connection.serve()
    }
  }

  #scheduleSweep(): void {
    this.#sweepTimer = this.#context.clock.after(this.limits.idleMs / SWEEPS_PER_IDLE, () => {
      for (const connection of [...this.#connections]) this.#sweep(connection)
      this.#scheduleSweep()
    })
  }

  #sweep(connection: Connection): void {
    const sweeps = connection.sweep() ? 0 : (this.#idleSweeps.get(connection) ?? 0) + 1
    this.#idleSweeps.set(connection, sweeps)
    if (sweeps >= SWEEPS_PER_IDLE) connection.destroy()
  }
}
