/**
 * What a run does, drawn from its seed before it begins: the cluster, its settings, the faults and their times, the clients and what they ask for. Each run
 * leaves a random part of all that out ("swarm testing", Groce 2012): what hides one bug may be what shows another.
 * A plan is plain data, so that a failing one can be cut down.
 */
import { createSeededRandom } from '../../../lib/runtime/simulated/random.ts'
import { type Dice, diceOf } from './dice.ts'
import { drawAmbushes, drawCompactions, drawDisks, drawFaults, drawRemote } from './draw-faults.ts'

export type LevelName = 'ONE' | 'QUORUM' | 'ALL' | 'LOCAL_QUORUM' | 'EACH_QUORUM'

/** At these a read meets every write that was acknowledged. */
export interface Levels {
  readonly write: LevelName
  readonly read: LevelName
  /** No read goes back behind another one. Not so when a disk fails: what is in memory is read on, though the log will not have it. */
  readonly monotonic: boolean
}

export type Fault =
  /** `survival`: of what was not synced, when the power fails; null: only the process dies. */
  | { readonly kind: 'crash'; readonly node: number; readonly survival: number | null; readonly downMs: number }
  | { readonly kind: 'stop'; readonly node: number; readonly downMs: number }
  | { readonly kind: 'pause'; readonly node: number; readonly ms: number }
  /** Blocks the ways from each of `from` to each of `to`. */
  | { readonly kind: 'block'; readonly from: readonly number[]; readonly to: readonly number[]; readonly ms: number }
  | { readonly kind: 'clog'; readonly from: number; readonly to: number; readonly ms: number }
  | { readonly kind: 'reset'; readonly one: number; readonly other: number }
  | {
      readonly kind: 'bad link'
      readonly one: number
      readonly other: number
      readonly latencyMs: number
      readonly lossChance: number
      readonly resetChance: number
      readonly ms: number
    }
  | {
      readonly kind: 'wall'
      readonly node: number
      readonly skewMs: number
      readonly strobeMs: number
      readonly frozen: boolean
      readonly ms: number
    }
  | { readonly kind: 'slow disk'; readonly node: number; readonly latencyMs: number; readonly ms: number }
  /** The next sync fails. */
  | { readonly kind: 'failed sync'; readonly node: number }
  /** There is no more room than so many bytes. */
  | { readonly kind: 'full disk'; readonly node: number; readonly freeBytes: number; readonly ms: number }
  /** Reads, writes or syncs fail, each with some chance: EIO. */
  | {
      readonly kind: 'failing disk'
      readonly node: number
      readonly operations: readonly ('read' | 'write' | 'sync')[]
      readonly chance: number
      readonly ms: number
    }
  /** A bit of an SSTable of the clients' tables is another one; `log`: of the commit log, while the node is down. The end of the run finds good copies. */
  | { readonly kind: 'bit rot'; readonly node: number; readonly where: 'table' | 'log'; readonly downMs: number }
  /** Not a fault, but rare: all is flushed and merged. */
  | { readonly kind: 'compact'; readonly node: number }
  /**
   * The first node that has the next entry of the metadata log is cut off before it can tell, and all others die and come back: whatever they
   * promised, they promised it to this entry.
   */
  | { readonly kind: 'ambush'; readonly survival: number | null; readonly downMs: number; readonly ms: number }

export interface PlannedFault {
  readonly atMs: number
  readonly fault: Fault
}

export interface Plan {
  readonly seed: number
  readonly datacenters: readonly number[]
  /** Copies in each data centre. */
  readonly replication: readonly number[]
  readonly levels: Levels
  readonly clients: number
  readonly thinkMs: number
  readonly workloads: readonly string[]
  /** Length of phase 1. */
  readonly seconds: number
  /** Nodes that are not there when the cluster forms: they join it in phase 1. */
  readonly late: readonly { readonly node: number; readonly atMs: number }[]
  /** A node that leaves in phase 1: by itself, or taken out after it died; wiped: its disk was lost, and it comes again as a new node. */
  readonly leaving: {
    readonly node: number
    readonly atMs: number
    readonly how: 'decommission' | 'remove' | 'wipe'
  } | null
  readonly faults: readonly PlannedFault[]
  readonly network: {
    readonly latencyMs: number
    readonly wanLatencyMs: number
    readonly lossChance: number
    readonly fragmentChance: number
  }
  readonly disk: { readonly syncMs: number; readonly otherMs: number }
  readonly settings: {
    readonly commitlog_sync: 'group' | 'batch'
    readonly commitlog_segment_size: number
    readonly memtable_offheap_space: number
    readonly num_tokens: number
    readonly hinted_handoff_enabled: boolean
  }
  /** Microseconds that each node's clock gains in a second. */
  readonly driftMicros: readonly number[]
  readonly latenessMs: number
}

export interface PlanOptions {
  readonly seconds: number
  /** Null: drawn. */
  readonly nodes: number | null
  /** Those to choose from. */
  readonly workloads: readonly string[]
  /** Default: drawn. */
  readonly levels?: Levels | null
  /** No faults at all. */
  readonly quiet?: boolean
  /** Only clusters that a node joins later, where they are large enough. */
  readonly joins?: boolean
  /** Only clusters that a node leaves, where they are large enough. */
  readonly leaves?: boolean
}

const KIB = 1024

export function drawPlan(seed: number, options: PlanOptions): Plan {
  const dice = diceOf(createSeededRandom(seed).stream('plan'))
  const nodes = options.nodes ?? dice.pick([1, 2, 3, 3, 3, 4, 5, 5, 6, 7])
  const two = nodes >= 4 && dice.chance(0.35)
  const datacenters = two ? [Math.ceil(nodes / 2), Math.floor(nodes / 2)] : [nodes]
  const replication = datacenters.map((size) =>
    dice.chance(0.75) ? Math.min(3, size) : 1 + dice.int(Math.min(5, size)),
  )
  // Drawn apart, so that the rest of the plan is what it was without.
  const apart = (name: string): Dice => diceOf(createSeededRandom(seed).stream(name))
  const wanted = options.workloads.filter((name) => (APART.has(name) ? apart(name) : dice).chance(0.6))
  const drawnFaults = options.quiet ? [] : drawFaults(dice, nodes, options.seconds * 1000)
  const drawn = drawLevels(dice, two)
  const late = drawLate(diceOf(createSeededRandom(seed).stream('late')), datacenters, replication, options)
  const levels = options.levels ?? drawn
  const ring = { datacenters, replication, late, levels }
  const leaving = drawLeaving(diceOf(createSeededRandom(seed).stream('leaving')), ring, options)
  const clients = 1 + dice.int(6)
  const thinkMs = dice.pick([5, 30, 100])
  const workloads = wanted.length > 0 ? wanted : [dice.pick(options.workloads)]
  const faults = [
    ...drawnFaults,
    ...drawRemote(apart('remote'), nodes, workloads, options),
    ...drawCompactions(apart('compactions'), nodes, workloads, options),
    ...drawDisks(apart('disks'), { nodes, replication, workloads }, options),
    ...drawAmbushes(apart('ambushes'), nodes, workloads, options),
  ]
    // What follows a fault may be drawn for a time when all is healed already.
    .filter(({ atMs }) => atMs < options.seconds * 1000)
    .sort((a, b) => a.atMs - b.atMs)
  return {
    seed,
    datacenters,
    replication,
    levels: { ...levels, monotonic: levels.monotonic && !hasFailingDisk({ faults }) },
    clients,
    thinkMs,
    workloads,
    seconds: options.seconds,
    late,
    leaving,
    faults,
    network: {
      latencyMs: dice.pick([0.3, 1, 5, 20]),
      wanLatencyMs: dice.pick([10, 40, 100]),
      lossChance: dice.pick([0, 0, 0.001, 0.02, 0.1]),
      fragmentChance: dice.pick([0, 0.1, 0.5]),
    },
    disk: { syncMs: dice.pick([0, 1, 5, 20]), otherMs: dice.pick([0, 0, 0.2]) },
    settings: {
      commitlog_sync: dice.pick(['group', 'batch']),
      commitlog_segment_size: dice.pick([128, 256, 1024]) * KIB,
      memtable_offheap_space: dice.pick([64, 256, 4096]) * KIB,
      num_tokens: dice.pick([1, 4, 16]),
      hinted_handoff_enabled: !workloads.every((name) => WITHOUT_HINTS.has(name)) || apart('hints').chance(0.3),
    },
    driftMicros: Array.from({ length: nodes }, () => (dice.chance(0.5) ? 0 : dice.int(2001) - 1000)),
    latenessMs: dice.pick([0, 0, 1, 20]),
  }
}

/** What is in memory may be read on, though no disk will have it. */
export function hasFailingDisk({ faults }: Pick<Plan, 'faults'>): boolean {
  return faults.some(({ fault }) => fault.kind === 'failed sync' || fault.kind === 'failing disk')
}

/** The last node of each data centre that has more nodes than copies may come late. */
function drawLate(
  dice: Dice,
  datacenters: readonly number[],
  replication: readonly number[],
  { joins = false, seconds }: PlanOptions,
): Plan['late'] {
  const late: { node: number; atMs: number }[] = []
  let nodes = 0
  for (const [dc, size] of datacenters.entries()) {
    nodes += size
    if (size > replication[dc]! && (joins || dice.chance(0.3)))
      late.push({ node: nodes - 1, atMs: dice.int(seconds * 500) })
  }
  return late
}

/** From a data centre that has more nodes than copies, and that nobody joins. */
function drawLeaving(
  dice: Dice,
  { datacenters, replication, late, levels }: Pick<Plan, 'datacenters' | 'replication' | 'late' | 'levels'>,
  { leaves = false, seconds }: PlanOptions,
): Plan['leaving'] {
  if (!leaves && !dice.chance(0.2)) return null
  const candidates: number[] = []
  let first = 0
  for (const [dc, size] of datacenters.entries()) {
    const nodes = Array.from({ length: size }, (_, i) => first + i)
    if (size > replication[dc]! && !late.some(({ node }) => nodes.includes(node))) candidates.push(...nodes)
    first += size
  }
  if (candidates.length === 0) return null
  // What one replica alone acknowledged, or has, dies with it.
  const mayDie = levels.write !== 'ONE' && replication.every((copies) => copies > 1)
  // The system's own keyspaces have three copies, and let nobody go without whom they would not.
  const mayGo = datacenters.reduce((sum, size) => sum + size, 0) > 3
  if (!mayDie && !mayGo) return null
  const how = !mayDie || (mayGo && dice.chance(0.4)) ? 'decommission' : dice.chance(0.5) ? 'wipe' : 'remove'
  return { node: dice.pick(candidates), atMs: dice.int(seconds * 500), how }
}

function drawLevels(dice: Dice, two: boolean): Levels {
  const quorum: Levels = { write: 'QUORUM', read: 'QUORUM', monotonic: true }
  const others: Levels[] = two
    ? [{ write: 'EACH_QUORUM', read: 'LOCAL_QUORUM', monotonic: false }]
    : [{ write: 'LOCAL_QUORUM', read: 'LOCAL_QUORUM', monotonic: true }]
  others.push({ write: 'ALL', read: 'ONE', monotonic: false }, { write: 'ONE', read: 'ALL', monotonic: true })
  return dice.chance(0.6) ? quorum : dice.pick(others)
}

/** Workloads that came later. */
const APART = new Set(['glimpses', 'expiring', 'hinted', 'clocked'])

/** Nothing that these promise needs hints. */
const WITHOUT_HINTS = new Set(['rows', 'sets', 'cas', 'glimpses', 'expiring', 'clocked'])
