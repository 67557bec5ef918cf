/**
 * The faults of a plan: what fails, when, and for how long. Each kind of trouble has a stream of chance of its own, so that one more of them leaves the
 * others as they were.
 */
import type { Dice } from './dice.ts'
import type { Fault, PlannedFault, PlanOptions } from './plan.ts'

const KIB = 1024

/** A node that is cut off, so that what it takes stays with it, and is far away from the others after that. */
export function drawRemote(
  dice: Dice,
  nodes: number,
  workloads: readonly string[],
  { seconds, quiet = false }: PlanOptions,
): PlannedFault[] {
  const faults: PlannedFault[] = []
  if (quiet || nodes < 3 || !workloads.includes('glimpses')) return faults
  for (let atMs = dice.int(2_000); atMs < seconds * 1000; atMs += 6_000 + dice.int(6_000)) {
    const node = dice.int(nodes)
    const ms = 2_000 + dice.int(2_000)
    const others = without(nodes, [node])
    faults.push({ atMs, fault: { kind: 'block', from: [node], to: others, ms } })
    if (dice.chance(0.7)) faults.push({ atMs, fault: { kind: 'block', from: others, to: [node], ms } })
    for (const other of others) {
      const far = { latencyMs: dice.pick([20, 100, 300]), lossChance: 0, resetChance: 0, ms: ms + 4_000 }
      faults.push({ atMs, fault: { kind: 'bad link', one: node, other, ...far } })
    }
  }
  return faults
}

/** What goes on at QUORUM while a node's disk is full, fails or rots. Not glimpses: where a disk fails, they promise nothing. */
const WITHOUT_A_DISK = new Set(['rows', 'sets', 'expiring'])

/** Of one node only: each range has other copies. */
export function drawDisks(
  dice: Dice,
  {
    nodes,
    replication,
    workloads,
  }: { readonly nodes: number; readonly replication: readonly number[]; readonly workloads: readonly string[] },
  { seconds, quiet = false }: PlanOptions,
): PlannedFault[] {
  const faults: PlannedFault[] = []
  if (quiet || !workloads.every((name) => WITHOUT_A_DISK.has(name)) || dice.chance(0.4)) return faults
  const node = dice.int(nodes)
  const mayRot = replication.every((copies) => copies >= 3)
  const kinds = ['full', 'failing', ...(mayRot ? ['table', 'log'] : [])].filter(() => dice.chance(0.6))
  if (kinds.length === 0) return faults
  for (let atMs = dice.int(3_000); atMs < seconds * 1000; atMs += 2_000 + dice.int(4_000)) {
    const kind = dice.pick(kinds)
    const ms = 500 + dice.int(6_000)
    if (kind === 'full')
      faults.push({ atMs, fault: { kind: 'full disk', node, freeBytes: dice.pick([0, 64, 512]) * KIB, ms } })
    else if (kind === 'failing') {
      const operations = (['read', 'write', 'sync'] as const).filter(() => dice.chance(0.5))
      faults.push({ atMs, fault: { kind: 'failing disk', node, operations, chance: dice.pick([0.02, 0.2, 1]), ms } })
    } else {
      const where = kind === 'log' ? 'log' : 'table'
      if (where === 'table') faults.push({ atMs, fault: { kind: 'compact', node } })
      faults.push({ atMs: atMs + 200, fault: { kind: 'bit rot', node, where, downMs: ms } })
      continue
    }
    // What it took for written is only missed by who reads the disk again.
    if (dice.chance(0.6))
      faults.push({ atMs: atMs + ms + 50, fault: { kind: 'crash', node, survival: dice.pick([null, 0]), downMs: 500 } })
  }
  return faults
}

export function drawCompactions(
  dice: Dice,
  nodes: number,
  workloads: readonly string[],
  { seconds }: PlanOptions,
): PlannedFault[] {
  const faults: PlannedFault[] = []
  if (!workloads.includes('expiring') || dice.chance(0.3)) return faults
  for (let atMs = dice.int(4_000); atMs < seconds * 1000; atMs += 1_000 + dice.int(4_000))
    faults.push({ atMs, fault: { kind: 'compact', node: dice.int(nodes) } })
  return faults
}

/** Those who decide about the metadata log die when it hurts most. */
export function drawAmbushes(
  dice: Dice,
  nodes: number,
  workloads: readonly string[],
  { seconds, quiet = false }: PlanOptions,
): PlannedFault[] {
  const faults: PlannedFault[] = []
  if (quiet || nodes < 3 || !workloads.includes('ddl') || dice.chance(0.5)) return faults
  for (let atMs = dice.int(4_000); atMs < seconds * 1000; atMs += 8_000 + dice.int(8_000)) {
    const survival = dice.pick([null, 0, 0.5])
    faults.push({
      atMs,
      fault: { kind: 'ambush', survival, downMs: dice.pick([10, 500]), ms: 4_000 + dice.int(4_000) },
    })
  }
  return faults
}

type Drawer = (dice: Dice, nodes: number) => Fault | null

const lasting = (dice: Dice): number => dice.pick([200, 1_000, 3_000, 8_000, 20_000]) * (0.5 + dice.int(100) / 100)

function some(dice: Dice, nodes: number): number[] {
  const chosen = Array.from({ length: nodes }, (_, node) => node).filter(() => dice.chance(0.5))
  return chosen.length > 0 ? chosen : [dice.int(nodes)]
}

const without = (nodes: number, left: readonly number[]): number[] =>
  Array.from({ length: nodes }, (_, node) => node).filter((node) => !left.includes(node))

function twoNodes(dice: Dice, nodes: number): [number, number] | null {
  if (nodes < 2) return null
  const one = dice.int(nodes)
  return [one, (one + 1 + dice.int(nodes - 1)) % nodes]
}

/** Each run has a random half of them. */
const DRAWERS: Record<string, Drawer> = {
  kill: (dice, nodes) => ({ kind: 'crash', node: dice.int(nodes), survival: null, downMs: lasting(dice) }),
  power: (dice, nodes) => ({
    kind: 'crash',
    node: dice.int(nodes),
    survival: dice.pick([0, 0.5, 1]),
    downMs: lasting(dice),
  }),
  stop: (dice, nodes) => ({ kind: 'stop', node: dice.int(nodes), downMs: lasting(dice) }),
  pause: (dice, nodes) => ({ kind: 'pause', node: dice.int(nodes), ms: lasting(dice) }),
  isolate: (dice, nodes) => {
    const node = dice.int(nodes)
    return { kind: 'block', from: [node], to: without(nodes, [node]), ms: lasting(dice) }
  },
  split: (dice, nodes) => {
    const half = some(dice, nodes)
    return { kind: 'block', from: half, to: without(nodes, half), ms: lasting(dice) }
  },
  clog: (dice, nodes) => {
    const pair = twoNodes(dice, nodes)
    return pair && { kind: 'clog', from: pair[0], to: pair[1], ms: Math.min(5_000, lasting(dice)) }
  },
  reset: (dice, nodes) => {
    const pair = twoNodes(dice, nodes)
    return pair && { kind: 'reset', one: pair[0], other: pair[1] }
  },
  'bad link': (dice, nodes) => {
    const pair = twoNodes(dice, nodes)
    return (
      pair && {
        kind: 'bad link',
        one: pair[0],
        other: pair[1],
        latencyMs: dice.pick([5, 50, 100]),
        lossChance: dice.pick([0, 0.05, 0.3]),
        resetChance: dice.pick([0, 0, 0.01]),
        ms: lasting(dice),
      }
    )
  },
  wall: (dice, nodes) => ({
    kind: 'wall',
    node: dice.int(nodes),
    skewMs: dice.pick([-1, 1]) * dice.pick([1, 50, 400, 5_000, 60_000, 288_000]),
    strobeMs: dice.chance(0.2) ? dice.pick([1, 20, 500]) : 0,
    frozen: dice.chance(0.2),
    ms: lasting(dice),
  }),
  'slow disk': (dice, nodes) => ({
    kind: 'slow disk',
    node: dice.int(nodes),
    latencyMs: dice.pick([20, 200, 3_000]),
    ms: lasting(dice),
  }),
  'failed sync': (dice, nodes) => ({ kind: 'failed sync', node: dice.int(nodes) }),
}

export function drawFaults(dice: Dice, nodes: number, spanMs: number): PlannedFault[] {
  const faults: PlannedFault[] = []
  if (dice.chance(0.1)) return faults
  const kinds = Object.keys(DRAWERS).filter(() => dice.chance(0.4))
  if (kinds.length === 0) return faults
  const everyMs = dice.pick([1_000, 4_000, 12_000])
  for (let atMs = dice.int(everyMs); atMs < spanMs; atMs += 1 + dice.int(2 * everyMs)) {
    const fault = DRAWERS[dice.pick(kinds)]!(dice, nodes)
    if (fault === null) continue
    const oneWay = fault.kind === 'block' && dice.chance(0.4)
    faults.push({ atMs, fault })
    if (fault.kind === 'block' && !oneWay)
      faults.push({ atMs, fault: { kind: 'block', from: fault.to, to: fault.from, ms: fault.ms } })
  }
  if (nodes > 2 && dice.chance(0.2)) faults.push(...drawSwizzle(dice, nodes, dice.int(spanMs)))
  return faults.sort((a, b) => a.atMs - b.atMs)
}

/** The links of some nodes stop one after the other, and come back in another order: FoundationDB's "swizzle". */
function drawSwizzle(dice: Dice, nodes: number, fromMs: number): PlannedFault[] {
  return some(dice, nodes).flatMap((node): PlannedFault[] => {
    const atMs = fromMs + dice.int(5_000)
    const ms = 5_000 + dice.int(10_000)
    const others = without(nodes, [node])
    return [
      { atMs, fault: { kind: 'block', from: [node], to: others, ms } },
      { atMs, fault: { kind: 'block', from: others, to: [node], ms } },
    ]
  })
}
