/**
 * A network of many hosts in one process. Each host has an address and its own Network door; between any two there is a link in each direction with its
 * latency, bandwidth, losses, and blocks. Machines can lose power, processes be killed.
 * It needs no more than a clock, so that it runs over virtual time and over real time alike.
 */
import { assert } from '../../base/assert.ts'
import type { Clock, Listener, Network, Random, Socket } from '../runtime.ts'
import { LAN, Link, type LinkConditions, type Waiting } from './link.ts'
import { networkError, SimulatedSocket, type SocketWorld } from './socket.ts'

export interface SimulatedNetworkOptions {
  /** Of the wires: never paused. */
  readonly clock: Clock
  readonly random: Random
  /** Of links that nobody has changed. Default: LAN. */
  readonly conditions?: Partial<LinkConditions>
  /** Chance that what arrives is handed over in two parts; if there is any, two parts may also come as one. Default 0. */
  readonly fragmentChance?: number
  /** Sees all that is read. */
  readonly onDelivered?: (from: string, to: string, bytes: Buffer) => void
}

interface Listening {
  readonly accept: (socket: Socket) => void
  readonly sockets: Set<SimulatedSocket>
  isOpen: boolean
  closed: (() => void) | null
}

interface Host {
  readonly address: string
  readonly clock: Clock
  readonly listeners: Map<number, Listening>
  readonly sockets: Set<SimulatedSocket>
  nextPort: number
}

/** A host reaches itself at once. */
const LOOPBACK: LinkConditions = {
  latencyMinMs: 0.02,
  latencyMs: 0.02,
  lossChance: 0,
  resetChance: 0,
  bytesPerMs: 1_000_000,
}

const FIRST_FREE_PORT = 32_768
/** A connection attempt is repeated after 1 s, 2 s, 4 s … and given up after about two minutes, as Linux does it. */
const CONNECT_RETRY_MS = 1_000
const CONNECT_ATTEMPTS = 7
/** How soon a machine that is on again answers those who still send to it. */
const RESTARTED_WAIT_MS = 2_000

export class SimulatedNetwork {
  readonly #clock: Clock
  readonly #random: Random
  readonly #conditions: LinkConditions
  readonly #hosts = new Map<string, Host>()
  /** Machines that are on, without a process: they refuse connections. */
  readonly #idle = new Set<string>()
  readonly #links = new Map<string, Link>()
  readonly #waitingForHost = new Map<string, Set<Waiting>>()
  readonly #world: SocketWorld

  constructor(options: SimulatedNetworkOptions) {
    this.#clock = options.clock
    this.#random = options.random.stream('network')
    this.#conditions = { ...LAN, ...options.conditions }
    this.#world = {
      clock: options.clock,
      random: this.#random,
      fragmentChance: options.fragmentChance ?? 0,
      link: (from, to) => this.link(from, to),
      isUp: (address) => this.#hosts.has(address),
      waitForHost: (address, stream) => {
        const waiting = this.#waitingForHost.get(address) ?? new Set()
        this.#waitingForHost.set(address, waiting.add(stream))
      },
      delivered: options.onDelivered ?? (() => {}),
    }
  }

  /** Switches a machine on. Its process's clock says when it hears of anything. */
  attach(address: string, clock: Clock): Network {
    assert(!this.#hosts.has(address), `${address} is there already`)
    const host: Host = { address, clock, listeners: new Map(), sockets: new Set(), nextPort: FIRST_FREE_PORT }
    this.#hosts.set(address, host)
    this.#idle.delete(address)
    const waiting = this.#waitingForHost.get(address)
    this.#waitingForHost.delete(address)
    for (const stream of waiting ?? [])
      this.#clock.after(this.#random.float() * RESTARTED_WAIT_MS, () => stream.retry())
    return {
      listen: (at, port, accept) => this.#listen(host, at, port, accept),
      connect: (to, port, { timeoutMs } = {}) => this.#connect(host, to, port, timeoutMs),
    }
  }

  /** `killed`: its process is gone, and its system says so. `power`: nobody says anything. */
  detach(address: string, how: 'killed' | 'power'): void {
    if (how === 'power') this.#idle.delete(address)
    const host = this.#hosts.get(address)
    if (host === undefined) return
    this.#hosts.delete(address)
    if (how === 'killed') this.#idle.add(address)
    for (const listening of host.listeners.values()) listening.isOpen = false
    for (const socket of [...host.sockets]) {
      if (how === 'killed') socket.killed()
      else socket.lost()
    }
    host.sockets.clear()
  }

  /** The way from one address to another; the way back is another. */
  link(from: string, to: string): Link {
    const name = `${from}>${to}`
    let link = this.#links.get(name)
    if (link === undefined) {
      const conditions = from === to ? LOOPBACK : this.#conditions
      link = new Link(
        { ...conditions },
        this.#random.stream(name),
        () => this.#clock.monotonicMs(),
        (delayMs, run) => void this.#clock.after(delayMs, run),
      )
      this.#links.set(name, link)
    }
    return link
  }

  /** Breaks all connections between two hosts. */
  reset(one: string, other: string): void {
    for (const socket of [...(this.#hosts.get(one)?.sockets ?? [])]) if (socket.remoteAddress === other) socket.break()
  }

  /** Open connections of a host. */
  connections(address: string): number {
    return this.#hosts.get(address)?.sockets.size ?? 0
  }

  async #listen(host: Host, address: string, port: number, accept: (socket: Socket) => void): Promise<Listener> {
    if (address !== host.address && address !== '0.0.0.0')
      throw networkError('EADDRNOTAVAIL', `${address} on ${host.address}`)
    const bound = port === 0 ? this.#freePort(host) : port
    if (host.listeners.get(bound)?.isOpen) throw networkError('EADDRINUSE', `${address}:${bound}`)
    const listening: Listening = { accept, sockets: new Set(), isOpen: true, closed: null }
    host.listeners.set(bound, listening)
    return {
      address,
      port: bound,
      close: () =>
        new Promise((resolve) => {
          listening.isOpen = false
          if (host.listeners.get(bound) === listening) host.listeners.delete(bound)
          if (listening.sockets.size === 0) resolve()
          else listening.closed = resolve
        }),
    }
  }

  #freePort(host: Host): number {
    const used = new Set([...host.sockets].map((socket) => socket.localPort))
    for (;;) {
      const port = host.nextPort++
      if (host.nextPort > 65_535) host.nextPort = FIRST_FREE_PORT
      if (!host.listeners.has(port) && !used.has(port)) return port
    }
  }

  #connect(host: Host, address: string, port: number, timeoutMs = Number.POSITIVE_INFINITY): Promise<Socket> {
    return new Promise((resolve, reject) => {
      let isOver = false
      let patience: Disposable | null = null
      const settle = (how: () => void): void => {
        isOver = true
        patience?.[Symbol.dispose]()
        how()
      }
      if (timeoutMs < Number.POSITIVE_INFINITY)
        patience = host.clock.after(timeoutMs, () =>
          settle(() => reject(networkError('ETIMEDOUT', `connect ${address}:${port}`))),
        )
      const local = { address: host.address, port: this.#freePort(host) }
      const out = this.link(host.address, address)
      const back = this.link(address, host.address)
      const until = (arrivalMs: number): number => Math.max(0, arrivalMs - this.#clock.monotonicMs())
      const attempt = (number: number): void => {
        // Another process may have this address by now.
        if (isOver || this.#hosts.get(host.address) !== host) return
        this.#clock.after(until(out.arrivalMs(0)), () => {
          const target = this.#hosts.get(address)
          const isSilent = target === undefined && !this.#idle.has(address)
          if (isSilent || out.isBlocked || back.isBlocked) {
            if (number < CONNECT_ATTEMPTS)
              this.#clock.after(CONNECT_RETRY_MS * 2 ** (number - 1), () => attempt(number + 1))
            else host.clock.soon(() => settle(() => reject(networkError('ETIMEDOUT', `connect ${address}:${port}`))))
            return
          }
          const listening = target?.listeners.get(port)
          const answerMs = until(back.arrivalMs(0))
          if (target === undefined || !listening?.isOpen) {
            const refused = networkError('ECONNREFUSED', `connect ${address}:${port}`)
            host.clock.after(answerMs, () => settle(() => reject(refused)))
            return
          }
          if (this.#hosts.get(host.address) !== host) return
          const [near, far] = this.#join(host, target, local, port, listening)
          const establishedMs = this.#clock.monotonicMs() + answerMs + until(out.arrivalMs(0))
          SimulatedSocket.join(near, far, establishedMs)
          host.clock.after(answerMs, () => {
            if (isOver) near.destroy()
            else settle(() => resolve(near))
          })
          target.clock.after(until(establishedMs), () => {
            if (listening.isOpen) listening.accept(far)
            else far.destroy()
          })
        })
      }
      attempt(1)
    })
  }

  #join(
    host: Host,
    target: Host,
    local: { readonly address: string; readonly port: number },
    port: number,
    listening: Listening,
  ): [SimulatedSocket, SimulatedSocket] {
    const remote = { address: target.address, port }
    const near = new SimulatedSocket(this.#world, host.clock, local, remote, (socket) => host.sockets.delete(socket))
    const far = new SimulatedSocket(this.#world, target.clock, remote, local, (socket) => {
      target.sockets.delete(socket)
      listening.sockets.delete(socket)
      if (!listening.isOpen && listening.sockets.size === 0) listening.closed?.()
    })
    host.sockets.add(near)
    target.sockets.add(far)
    listening.sockets.add(far)
    return [near, far]
  }
}
