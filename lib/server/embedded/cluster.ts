/**
 * A whole cluster inside this process, for tests and programs: real nodes that real drivers reach over TCP, each on a loopback address of its own, with links that
 * can be cut, nodes that can be killed, and a wall clock that can be moved.
 */
import { resolve } from 'node:path'
import { INTERNODE_DEFAULTS } from '../../../cluster/internode/settings.ts'
import { defaultSettings } from '../../config/load.ts'
import type { Settings } from '../../config/settings.ts'
import { parseDuration } from '../../config/units.ts'
import { openNodeClock } from '../../runtime/node/clock.ts'
import { openNodeDisk } from '../../runtime/node/disk.ts'
import { SILENT_LOG } from '../../runtime/node/log.ts'
import { openNodeNetwork } from '../../runtime/node/network.ts'
import { openNodeRandom } from '../../runtime/node/random.ts'
import type { Clock, Log, Network, Random } from '../../runtime/runtime.ts'
import { openSimulatedDisk } from '../../runtime/simulated/disk.ts'
import type { StartedNode } from '../assembly.ts'
import { StartError } from '../start-error.ts'
import { Machine } from './machine.ts'
import { Wires } from './wires.ts'

export interface ClusterOptions {
  /** So many nodes in one data centre, `datacenter1`. */
  readonly nodes?: number
  /** Data centres and how many nodes each has, in place of `nodes`. */
  readonly dcs?: Readonly<Record<string, number>>
  /** Racks in each data centre; its nodes take turns. Default 1. */
  readonly racks?: number
  /** Keep nothing on disk. What a node has written it finds again when it is restarted. */
  readonly memory?: boolean
  /** Where to keep the data, a folder a node; default ./data. */
  readonly directory?: string
  /** Of the first node; the others have those that follow. Default: a loopback network that nobody uses. */
  readonly address?: string
  /** For clients, of every node. Default 9042. */
  readonly port?: number
  /** Of every node. `num_tokens` is 16 unless it is said: a cluster for a test starts quicker so. */
  readonly settings?: Partial<Settings>
  /** Default: silent. */
  readonly log?: Log
}

/** One node, by its number from 1 on. */
export interface ClusterNode {
  readonly number: number
  readonly address: string
  readonly port: number
  readonly datacenter: string
  readonly rack: string
  readonly isRunning: boolean
  /** UUID; null while it does not run. */
  readonly hostId: string | null
  /** The node itself; null while it does not run. */
  readonly started: StartedNode | null
  /** In order: others are told, what is in flight is answered. */
  stop(): Promise<void>
  /** As kill -9. Others find out by its silence. */
  kill(): Promise<void>
  /** Starts it again with what it had written, also after stop(). Resolves when the others that it reaches know. */
  restart(): Promise<void>
}

export interface ClusterClock {
  /** Moves the wall clock of all nodes on (`'11d'`, `'90s'`, or ms): data expires, hints and tombstones age, who is away is away for longer (`max_hint_window`). Timers do not run sooner. */
  advance(by: string | number): void
}

export interface StartedCluster {
  /** Addresses of all nodes; the port is one for all. */
  readonly contactPoints: readonly string[]
  readonly port: number
  /** The first node's data centre. */
  readonly localDataCenter: string
  readonly nodes: readonly ClusterNode[]
  readonly clock: ClusterClock
  /** From 1. */
  node(number: number): ClusterNode
  /** Nodes of different groups, by number, do not reach each other any more; who is in no group reaches all. Clients reach all nodes. */
  partition(...groups: readonly (readonly number[])[]): void
  /** Undoes all partitions. Nodes find each other again within seconds: settle() waits for it. */
  heal(): void
  /** Resolves when all running nodes that reach each other know that of each other. */
  settle(): Promise<void>
  close(): Promise<void>
}

/** As nodes need no more for each other than seconds: a cluster that does not come together by then will not. */
const SETTLE_MS = 60_000
const LOOK_EVERY_MS = 20
/** A connection that is being made when links heal fails, and is tried again after the greatest back-off. */
const LINKS_MS = INTERNODE_DEFAULTS.connectTimeoutMs + INTERNODE_DEFAULTS.backoffMaxMs
/** Seeds found the cluster together; who comes later joins it, which takes longer. */
const SEEDS_MAX = 7
const PORT = 9042
/** Segments are made before they are needed, and here they take memory. */
const MEMORY_SEGMENT_BYTES = 8 * 1024 * 1024

/** Resolves when all nodes serve clients and know each other. Rejects with a StartError when one cannot start. */
export async function startCluster(options: ClusterOptions = {}): Promise<StartedCluster> {
  const real = openNodeClock()
  const network = openNodeNetwork()
  const random = openNodeRandom()
  const port = options.port ?? PORT
  const places = placesOf(options)
  const first = options.address ?? `${await freeNetwork(network, random, port)}.1`
  const wires = new Wires()
  const clock = movableClock(real)
  const addresses = places.map((_, i) => addressAfter(first, i))
  const seeds = seedsOf(places).map((place) => addresses[place]!)
  const machines = places.map(({ datacenter, rack }, i) => {
    const address = addresses[i]!
    const directory = resolve(options.directory ?? 'data', `node${i + 1}`)
    const settings = defaultSettings({
      num_tokens: 16,
      admin_port: 0,
      ...(options.memory ? { commitlog_segment_size: MEMORY_SEGMENT_BYTES } : {}),
      ...options.settings,
      rpc_address: address,
      native_transport_port: port,
      seeds,
      dc: datacenter,
      rack,
      data_file_directories: [options.memory ? '/memory' : directory],
    })
    wires.place(i + 1, address, settings.storage_port)
    const memory = options.memory ? openSimulatedDisk() : null
    return new Machine({
      number: i + 1,
      settings,
      clock,
      disk: memory ?? openNodeDisk(),
      ...(memory ? { forgetProcess: () => memory.forgetProcess() } : {}),
      network,
      random: random.stream(`node ${i + 1}`),
      wires,
      log: options.log ?? SILENT_LOG,
    })
  })
  const cluster = new EmbeddedCluster(machines, wires, clock)
  try {
    await Promise.all(machines.map((machine) => machine.start()))
    await cluster.settle()
  } catch (error) {
    await cluster.close()
    throw error
  }
  return cluster
}

class EmbeddedCluster implements StartedCluster {
  readonly contactPoints: readonly string[]
  readonly port: number
  readonly localDataCenter: string
  readonly nodes: readonly ClusterNode[]
  readonly clock: MovableClock
  readonly #machines: readonly Machine[]
  readonly #wires: Wires
  /** When nodes that gave up connections have tried them again. */
  #linksAtMs = 0

  constructor(machines: readonly Machine[], wires: Wires, clock: MovableClock) {
    const { native_transport_port: port, dc } = machines[0]!.settings
    this.contactPoints = machines.map(({ settings }) => settings.rpc_address)
    this.port = port
    this.localDataCenter = dc
    this.nodes = machines.map((machine) => this.#nodeOf(machine))
    this.clock = clock
    this.#machines = machines
    this.#wires = wires
  }

  node(number: number): ClusterNode {
    const node = this.nodes[number - 1]
    if (!node) throw new RangeError(`There is no node ${number}: they are numbered from 1 to ${this.nodes.length}`)
    return node
  }

  partition(...groups: readonly (readonly number[])[]): void {
    for (const group of groups) for (const number of group) this.node(number)
    this.#wires.partition(groups)
  }

  heal(): void {
    if (this.#wires.heal()) this.#linksAtMs = this.clock.monotonicMs() + LINKS_MS
  }

  async settle(): Promise<void> {
    const linksMs = this.#linksAtMs - this.clock.monotonicMs()
    if (linksMs > 0) await new Promise<void>((resolve) => void this.clock.after(linksMs, resolve))
    const ends = this.clock.monotonicMs() + SETTLE_MS
    for (let missing = this.#missing(); missing !== null; missing = this.#missing()) {
      if (this.clock.monotonicMs() > ends) throw new Error(`The cluster did not settle: ${missing}`)
      await new Promise<void>((resolve) => void this.clock.after(LOOK_EVERY_MS, resolve))
    }
  }

  async close(): Promise<void> {
    this.#wires.heal()
    await Promise.all(this.#machines.map((machine) => machine.stop()))
  }

  /** Null: all is as it should be. */
  #missing(): string | null {
    for (const { number, node } of this.#machines) {
      if (!node) continue
      for (const other of this.#machines) {
        if (!other.node || other.number === number) continue
        if (this.#wires.isCut(number, other.number)) continue
        if (!node.cluster.serves(other.node.hostId))
          return `node ${number} does not know that node ${other.number} serves`
      }
    }
    return null
  }

  #nodeOf(machine: Machine): ClusterNode {
    const { settings } = machine
    return {
      number: machine.number,
      address: settings.rpc_address,
      port: settings.native_transport_port,
      datacenter: settings.dc,
      rack: settings.rack,
      get isRunning() {
        return machine.node !== null
      },
      get hostId() {
        return machine.node?.hostId ?? null
      },
      get started() {
        return machine.node
      },
      stop: () => machine.stop(),
      kill: () => machine.kill(),
      restart: async () => {
        await machine.stop()
        await machine.start()
        await this.settle()
      },
    }
  }
}

interface MovableClock extends Clock, ClusterClock {}

function movableClock(real: Clock): MovableClock {
  let offsetMicros = 0
  return {
    monotonicMs: () => real.monotonicMs(),
    wallMicros: () => real.wallMicros() + offsetMicros,
    after: (delayMs, run) => real.after(delayMs, run),
    soon: (run) => real.soon(run),
    advance(by) {
      const ms = typeof by === 'number' ? by : parseDuration(by)
      if (!(ms >= 0)) throw new RangeError(`Time does not go back: ${by}`)
      offsetMicros += Math.round(ms * 1000)
    },
  }
}

interface Place {
  readonly datacenter: string
  readonly rack: string
}

function placesOf({ nodes, dcs, racks = 1 }: ClusterOptions): Place[] {
  const places = Object.entries(dcs ?? { datacenter1: nodes ?? 3 }).flatMap(([datacenter, count]) =>
    Array.from({ length: count }, (_, i) => ({ datacenter, rack: `rack${(i % racks) + 1}` })),
  )
  if (places.length === 0) throw new StartError('A cluster has one node at least')
  return places
}

/** The first node of each data centre, and further ones until there are so many. */
function seedsOf(places: readonly Place[]): number[] {
  const numbers = places.map((_, i) => i)
  const isFirst = (i: number): boolean =>
    places.findIndex(({ datacenter }) => datacenter === places[i]!.datacenter) === i
  return [...numbers.filter(isFirst), ...numbers.filter((i) => !isFirst(i))].slice(0, SEEDS_MAX)
}

function addressAfter(first: string, steps: number): string {
  const at = first.lastIndexOf('.')
  const last = Number(first.slice(at + 1))
  if (at < 0 || !Number.isInteger(last) || last + steps > 254)
    throw new StartError(`${first}: an address of IPv4 is expected, after which there are as many as there are nodes`)
  return `${first.slice(0, at)}.${last + steps}`
}

const TRIES = 50

/** Three parts of a loopback address at which the port is free. Elsewhere than on Linux only 127.0.0.1 is an address without further ado. */
async function freeNetwork(network: Network, random: Random, port: number): Promise<string> {
  for (let tries = 0; tries < TRIES; tries++) {
    const name = `127.${64 + Math.floor(random.float() * 128)}.${Math.floor(random.float() * 256)}`
    try {
      const listener = await network.listen(`${name}.1`, port, (socket) => socket.destroy())
      await listener.close()
      return name
    } catch (error) {
      const { code } = error as { code?: unknown }
      if (code !== 'EADDRINUSE')
        throw new StartError(
          `${name}.1 is no address of this machine (${String(code)}): give it further addresses of loopback, and name the first as \`address\``,
        )
    }
  }
  throw new StartError(`No loopback network has port ${port} free`)
}
