/**
 * What one seed of the model check does: its data's shape, its options, and its operations as plain data. Every operation stands for itself, so that
 * any part of the list is a plan too, and a failing one can be cut down. Which kinds come how often is drawn anew for each seed (swarm testing,
 * Groce 2012): a bug that needs much of one thing and none of another is met.
 */
import { createDice, type Dice } from '../random.ts'
import { COMPACTIONS, OPTION_SETS } from './options.ts'

/** A cell as it is asked for; times are those of the moment at which it is written. */
export interface CellSpec {
  readonly column: number
  /** Null: a simple column. */
  readonly path: string | null
  readonly kind: 'live' | 'expiring' | 'tombstone' | 'complex'
  readonly ts: number
  /** Expiring ones: seconds. */
  readonly ttl: number
  readonly value: string
}

export type ChangeSpec =
  | { readonly kind: 'partition'; readonly ts: number; readonly ago: number }
  | {
      readonly kind: 'range'
      readonly start: string
      readonly end: string
      readonly ts: number
      readonly ago: number
    }
  | {
      readonly kind: 'row'
      /** Null: the static row. */
      readonly clustering: string | null
      readonly liveness: { readonly ts: number; readonly ttl: number } | null
      readonly deletion: { readonly ts: number } | null
      readonly cells: readonly CellSpec[]
      /** How many seconds ago the coordinator began: tombstones of the same timestamp differ in it. */
      readonly ago: number
    }

export interface MutationSpec {
  readonly table: number
  readonly partition: number
  readonly changes: readonly ChangeSpec[]
}

export interface ReadSpec {
  readonly table: number
  /** A partition, or those from one to before another (null: no bound), in the order of positions. */
  readonly target: number | { readonly from: number | null; readonly to: number | null }
  readonly slices: readonly { readonly start: string; readonly end: string; readonly single: boolean }[] | null
  readonly reversed: boolean
  readonly wantStatic: boolean
  readonly staticCounts: boolean
  readonly limit: number
  readonly perPartitionLimit: number
  readonly byteLimit: number
  readonly columns: readonly number[] | null
}

/** What goes on while a read is under way. */
export type Beside = 'nothing' | 'flush' | 'compact'

/** All of a table, all in outputs of a half, a quarter and so on, each file by itself, or the files whose number divided by `pick` leaves no rest. */
export type CompactHow = 'major' | 'split' | 'garbage' | 'some'

/** What a client of a table that keeps versions writes to a row, and which of the contexts that it has it hands back. */
export interface PutSpec {
  readonly partition: number
  readonly clustering: string
  readonly what: 'put' | 'delete' | 'add' | 'remove' | 'put and add'
  readonly seen: 'nothing' | 'now' | 'before'
  /** Seconds; 0: it stays. */
  readonly ttl: number
  readonly size: number
}

export type Operation =
  | { readonly kind: 'write'; readonly mutations: readonly MutationSpec[] }
  | { readonly kind: 'put'; readonly puts: readonly PutSpec[] }
  | { readonly kind: 'read'; readonly read: ReadSpec; readonly beside: Beside }
  /** Goes on with what the slot holds, or begins it. */
  | { readonly kind: 'page'; readonly slot: number; readonly read: ReadSpec }
  | { readonly kind: 'settle' }
  | { readonly kind: 'flush'; readonly table: number | null; readonly wait: boolean }
  | { readonly kind: 'truncate'; readonly table: number }
  | { readonly kind: 'snapshot'; readonly table: number }
  /** Truncates, and takes the last snapshot in. */
  | { readonly kind: 'restore'; readonly table: number }
  | { readonly kind: 'recreate'; readonly table: number; readonly sameId: boolean }
  | {
      readonly kind: 'compact'
      readonly table: number
      readonly how: CompactHow
      readonly pick: number
      readonly wait: boolean
    }
  /** Ends the compactions that run. */
  | { readonly kind: 'stop' }
  | {
      readonly kind: 'alter'
      readonly table: number
      readonly compaction: number
      readonly gcGraceSeconds: number | null
    }
  | { readonly kind: 'automatic'; readonly table: number; readonly on: boolean }
  | { readonly kind: 'turns'; readonly count: number }
  | { readonly kind: 'advance'; readonly ms: number }
  | { readonly kind: 'jump'; readonly seconds: number }
  | { readonly kind: 'reopen' }
  /** Survival 1 is what a killed process leaves: all that it had handed to the system. */
  | { readonly kind: 'crash'; readonly survival: number; readonly seed: number }

export interface Shape {
  readonly partitions: readonly string[]
  readonly clusterings: readonly string[]
  /** Where slices and range tombstones begin and end, ascending. */
  readonly bounds: readonly string[]
  readonly gcGraceSeconds: number
  /** Of an operation of the disk to let others have a turn. */
  readonly diskTurnChance: number
  /** Index of what the tables are made with. */
  readonly compaction: number
  /** Of a job's thread to die at each of its steps. */
  readonly deathChance: number
  /** There is a table that keeps versions. */
  readonly hasVersions: boolean
}

export interface Plan {
  readonly seed: number
  readonly options: number
  readonly shape: Shape
  readonly operations: readonly Operation[]
}

const SIMPLE_COLUMNS = [0, 1, 2, 200]
const COMPLEX_COLUMNS = [3, 4]
const COLUMNS = [0, 1, 2, 3, 4, 200]
/** Table 0 has clustering and a static row, 1 a single row a partition, 2 is not in the commit log; the one after them keeps versions. */
export const TABLES = 3
export const VERSIONS_TABLE = TABLES
/** Of seeds whose plans were drawn before there was such a table the most are as they were. */
const VERSIONS_CHANCE = 0.3
const VERSIONS_SALT = 0x7e51
const PATHS = ['', 'a', 'aa', 'b', '\xff']
const END = '\xff'
const GC_GRACES = [0, 10, 3_600, 864_000]
const TIME_BASES = [0, -300, 2 ** 32 - 40, -(2 ** 32) - 40, 1.7e15, 2 ** 52]
const SCAN_SLOTS = 3
const BESIDE: readonly Beside[] = ['flush', 'compact']
const HOW: readonly CompactHow[] = ['major', 'major', 'split', 'garbage', 'some', 'some']

export function createPlan(seed: number, operations: number): Plan {
  const dice = createDice(seed)
  const versions = createDice(seed ^ VERSIONS_SALT)
  const hasVersions = versions.chance(VERSIONS_CHANCE)
  const shape = { ...createShape(dice), hasVersions }
  return {
    seed,
    options: seed % OPTION_SETS.length,
    shape,
    operations: new Generator(dice, shape, operations, versions).operations,
  }
}

function createShape(dice: Dice): Omit<Shape, 'hasVersions'> {
  const partitions: string[] = []
  const count = dice.pick([1, 2, 5, 12, 40])
  for (let i = 0; i < count; i++)
    partitions.push(dice.chance(0.1) ? `long partition key ${i} ${'k'.repeat(300)}` : `p${i}`)
  // A clustering is a component or two, each with its marker; none is a prefix of another.
  const clusterings = new Set<string>()
  const wanted = dice.pick([1, 4, 10, 60])
  while (clusterings.size < wanted) {
    const first = `\x10${String.fromCharCode(97 + dice.int(Math.ceil(wanted / 3)))}\x00`
    clusterings.add(`${first}\x20${String.fromCharCode(dice.int(Math.max(4, wanted)))}\x00`)
  }
  const sorted = [...clusterings].sort()
  const bounds = new Set(['', END])
  for (const clustering of sorted) {
    bounds.add(clustering)
    bounds.add(`${clustering}\x00`)
    bounds.add(clustering.slice(0, 3))
    bounds.add(`${clustering.slice(0, 3)}${END}`)
  }
  return {
    partitions,
    clusterings: sorted,
    bounds: [...bounds].sort(),
    gcGraceSeconds: dice.pick(GC_GRACES),
    diskTurnChance: dice.pick([0, 0.1, 0.5, 1]),
    compaction: dice.int(COMPACTIONS.length),
    deathChance: dice.pick([0, 0, 0, 0.001, 0.02]),
  }
}

/** How often each kind comes, for one seed. */
interface Weights {
  readonly kinds: readonly (readonly [Operation['kind'], number])[]
  readonly rangeDeletion: number
  readonly partitionDeletion: number
  readonly rowDeletion: number
  readonly ttl: number
  readonly statics: number
  readonly complex: number
  readonly largeValues: number
  /** Reads of one row, and of one column. */
  readonly points: number
  readonly beside: number
}

class Generator {
  readonly operations: Operation[] = []
  readonly #dice: Dice
  readonly #shape: Shape
  readonly #weights: Weights
  readonly #timeBase: number
  /** Timestamps grow by this per operation, and differ by so much either way. */
  readonly #timeSlope: number
  readonly #timeSpread: number
  #tables: readonly number[]
  /** Of them, those that keep no versions. */
  readonly #plain: readonly number[]

  constructor(dice: Dice, shape: Shape, count: number, versions: Dice) {
    this.#dice = dice
    this.#shape = shape
    const sometimes = (most: number): number => (dice.chance(0.4) ? 0 : dice.int(100) * 0.01 * most)
    this.#weights = {
      kinds: [
        ['write', 50 + dice.int(50)],
        ['read', 20 + dice.int(50)],
        ['page', sometimes(20)],
        ['settle', sometimes(20)],
        ['flush', sometimes(8)],
        ['compact', sometimes(5)],
        ['stop', sometimes(1)],
        ['alter', sometimes(1)],
        ['automatic', sometimes(1)],
        ['snapshot', dice.chance(0.3) ? 1 : 0],
        ['restore', dice.chance(0.3) ? 1 : 0],
        ['truncate', dice.chance(0.3) ? 0.3 : 0],
        ['recreate', dice.chance(0.3) ? 0.3 : 0],
        ['turns', sometimes(10)],
        ['advance', sometimes(5)],
        ['jump', sometimes(2)],
        ['reopen', sometimes(1)],
        ['crash', sometimes(1)],
      ],
      rangeDeletion: sometimes(0.3),
      partitionDeletion: sometimes(0.08),
      rowDeletion: sometimes(0.3),
      ttl: sometimes(0.6),
      statics: sometimes(0.2),
      complex: sometimes(0.6),
      largeValues: sometimes(0.05),
      points: dice.pick([0.2, 0.5, 0.9]),
      beside: sometimes(0.1),
    }
    this.#timeBase = dice.pick(TIME_BASES)
    this.#timeSlope = dice.pick([0, 0.02, 0.3, 2])
    this.#timeSpread = dice.pick([1, 5, 20])
    this.#plain = dice.pick([[0], [0], [1], [2], [0, 1], [0, 1, 2]])
    this.#tables = this.#plain
    if (shape.hasVersions) this.#tables = versions.chance(0.6) ? [VERSIONS_TABLE] : [...this.#plain, VERSIONS_TABLE]
    while (this.operations.length < count) {
      const operation = this.#operation()
      // The most is at stake while a flush or a compaction is under way.
      if (operation.kind === 'crash' && dice.chance(0.6)) {
        const table = dice.pick(this.#tables)
        this.operations.push(
          dice.chance(0.5)
            ? { kind: 'flush', table: null, wait: false }
            : { kind: 'compact', table, how: dice.pick(HOW), pick: 1 + dice.int(4), wait: false },
          { kind: 'turns', count: 1 + dice.int(dice.pick([4, 40, 200])) },
        )
      }
      this.operations.push(operation)
    }
  }

  #operation(): Operation {
    const dice = this.#dice
    const { kinds } = this.#weights
    let roll = dice.int(1_000_000) / 1_000_000
    roll *= kinds.reduce((sum, [, weight]) => sum + weight, 0)
    let kind: Operation['kind'] = 'settle'
    for (const [name, weight] of kinds) {
      if (roll < weight) {
        kind = name
        break
      }
      roll -= weight
    }
    const table = dice.pick(this.#tables)
    switch (kind) {
      case 'write': {
        if (table === VERSIONS_TABLE) return { kind: 'put', puts: this.#puts() }
        const mutations: MutationSpec[] = [this.#mutation()]
        while (dice.chance(0.15)) mutations.push(this.#mutation())
        return { kind, mutations }
      }
      case 'read':
        return {
          kind,
          read: this.#read(false),
          beside: dice.chance(this.#weights.beside) ? dice.pick(BESIDE) : 'nothing',
        }
      case 'page':
        return { kind, slot: dice.int(SCAN_SLOTS), read: this.#read(true) }
      case 'flush':
        return { kind, table: dice.chance(0.3) ? null : table, wait: dice.chance(0.5) }
      case 'compact':
        return { kind, table, how: dice.pick(HOW), pick: 1 + dice.int(4), wait: dice.chance(0.5) }
      case 'alter': {
        const gcGraceSeconds = dice.chance(0.3) ? dice.pick(GC_GRACES) : null
        return { kind, table, compaction: dice.int(COMPACTIONS.length), gcGraceSeconds }
      }
      case 'automatic':
        return { kind, table, on: dice.chance(0.5) }
      case 'truncate':
      case 'snapshot':
      case 'restore':
        return { kind, table }
      case 'recreate':
        return { kind, table, sameId: dice.chance(0.5) }
      case 'turns':
        return { kind, count: 1 + dice.int(30) }
      case 'advance':
        return { kind, ms: dice.pick([1, 100, 1_000, 10_000, 60_000]) }
      case 'jump':
        return { kind, seconds: this.#jump() }
      case 'crash':
        return { kind, survival: dice.pick([0, 0.5, 1]), seed: dice.int(2 ** 31) }
      default:
        return { kind } as Operation
    }
  }

  #jump(): number {
    const { gcGraceSeconds } = this.#shape
    return this.#dice.pick([1, 7, 30, 3_600, gcGraceSeconds + 1, 2 * gcGraceSeconds + 100])
  }

  #ts(): number {
    const dice = this.#dice
    const now = Math.floor(this.#timeBase + this.operations.length * this.#timeSlope)
    return dice.chance(0.02) ? now - 2 ** dice.int(40) : now + dice.int(2 * this.#timeSpread + 1) - this.#timeSpread
  }

  #puts(): PutSpec[] {
    const dice = this.#dice
    const puts = [this.#put()]
    while (dice.chance(0.15)) puts.push(this.#put())
    return puts
  }

  #put(): PutSpec {
    const dice = this.#dice
    return {
      partition: dice.int(this.#shape.partitions.length),
      clustering: dice.pick(this.#shape.clusterings),
      what: dice.pick(['put', 'put', 'put', 'put and add', 'delete', 'add', 'add', 'remove']),
      seen: dice.pick(['nothing', 'now', 'now', 'now', 'before']),
      ttl: this.#ttl(),
      size: dice.chance(this.#weights.largeValues) ? 1_500 : 0,
    }
  }

  #mutation(): MutationSpec {
    const dice = this.#dice
    const table = dice.pick(this.#plain)
    const changes: ChangeSpec[] = [this.#change(table)]
    while (dice.chance(0.3)) changes.push(this.#change(table))
    return { table, partition: dice.int(this.#shape.partitions.length), changes }
  }

  #change(table: number): ChangeSpec {
    const dice = this.#dice
    const { partitionDeletion, rangeDeletion, rowDeletion, statics } = this.#weights
    const ago = dice.int(2)
    if (dice.chance(partitionDeletion)) return { kind: 'partition', ts: this.#ts(), ago }
    if (table !== 1 && dice.chance(rangeDeletion)) {
      const [start, end] = this.#interval()
      return { kind: 'range', start, end, ts: this.#ts(), ago }
    }
    const isStatic = table !== 1 && dice.chance(statics)
    const ts = this.#ts()
    const ttl = this.#ttl()
    if (!isStatic && dice.chance(rowDeletion)) {
      const clustering = this.#clustering(table)
      const after = dice.chance(0.2)
      return {
        kind: 'row',
        clustering,
        liveness: after ? { ts: this.#ts(), ttl } : null,
        deletion: { ts },
        cells: after ? this.#cells(ts, ttl) : [],
        ago,
      }
    }
    return {
      kind: 'row',
      clustering: isStatic ? null : this.#clustering(table),
      liveness: isStatic || dice.chance(0.4) ? null : { ts, ttl },
      deletion: null,
      cells: this.#cells(ts, ttl),
      ago,
    }
  }

  #clustering(table: number): string {
    return table === 1 ? '' : this.#dice.pick(this.#shape.clusterings)
  }

  #ttl(): number {
    return this.#dice.chance(this.#weights.ttl) ? this.#dice.pick([1, 5, 20, 60, 4_000]) : 0
  }

  #cells(ts: number, rowTtl: number): CellSpec[] {
    const dice = this.#dice
    const cells: CellSpec[] = []
    const one = (column: number, path: string | null): void => {
      const ttl = dice.chance(0.8) ? rowTtl : this.#ttl()
      const dead = dice.chance(0.15)
      cells.push({
        column,
        path,
        kind: dead ? 'tombstone' : ttl > 0 ? 'expiring' : 'live',
        ts: dice.chance(0.8) ? ts : this.#ts(),
        ttl: dead ? 0 : ttl,
        value: dead ? '' : this.#value(),
      })
    }
    for (const column of COLUMNS) {
      if (!COMPLEX_COLUMNS.includes(column)) {
        if (dice.chance(0.5)) one(column, null)
      } else if (dice.chance(this.#weights.complex)) {
        if (dice.chance(0.3)) {
          const at = dice.chance(0.7) ? ts - 1 : this.#ts()
          cells.push({ column, path: null, kind: 'complex', ts: at, ttl: 0, value: '' })
        }
        for (const path of PATHS) if (dice.chance(0.4)) one(column, path)
      }
    }
    return cells
  }

  #value(): string {
    const dice = this.#dice
    if (dice.chance(this.#weights.largeValues)) {
      let text = ''
      while (text.length < 1_500) text += String.fromCharCode(dice.int(256)).repeat(dice.pick([1, 1, 100]))
      return text
    }
    return dice.pick(['', 'a', 'b', 'ab', '\x00', '\x80', '\xff', `value ${dice.int(20)}`, 'x'.repeat(100)])
  }

  /** Two bounds in order; now and then everything. */
  #interval(): readonly [string, string] {
    const dice = this.#dice
    if (dice.chance(0.1)) return ['', END]
    const { bounds } = this.#shape
    const a = dice.int(bounds.length)
    const b = dice.chance(0.5) ? Math.min(bounds.length - 1, a + 1 + dice.int(4)) : dice.int(bounds.length)
    if (a === b) return [bounds[Math.max(0, a - 1)]!, bounds[Math.max(1, a)]!]
    return a < b ? [bounds[a]!, bounds[b]!] : [bounds[b]!, bounds[a]!]
  }

  #read(paged: boolean): ReadSpec {
    const dice = this.#dice
    const table = dice.pick(this.#tables)
    const isVersions = table === VERSIONS_TABLE
    const count = this.#shape.partitions.length
    const bound = (): number | null => (dice.chance(0.5) ? null : dice.int(count))
    const target = dice.chance(0.6) ? dice.int(count) : { from: bound(), to: bound() }
    let slices: ReadSpec['slices'] = null
    if (table === 1) slices = dice.chance(0.2) ? [{ start: '', end: END, single: false }] : null
    else if (!paged && typeof target === 'number' && dice.chance(this.#weights.points)) {
      const start = dice.pick(this.#shape.clusterings)
      slices = [{ start, end: `${start}\x00`, single: dice.chance(0.7) }]
    } else if (dice.chance(0.5)) slices = this.#slices()
    const single = slices?.[0]?.single === true
    const share = dice.pick([0.25, 0.6])
    const columns = single || dice.chance(0.2) ? SIMPLE_COLUMNS.filter(() => dice.chance(share)) : null
    return {
      table,
      target,
      slices,
      reversed: dice.chance(0.35),
      wantStatic: table !== 1 && dice.chance(0.5) && !isVersions,
      staticCounts: dice.chance(0.5) && !isVersions,
      limit: paged ? dice.pick([1, 2, 3, 7, 50]) : dice.chance(0.3) ? 1 + dice.int(20) : Number.POSITIVE_INFINITY,
      perPartitionLimit: dice.chance(0.15) && !isVersions ? 1 + dice.int(4) : Number.POSITIVE_INFINITY,
      byteLimit: dice.chance(paged ? 0.3 : 0.05) && !isVersions ? dice.pick([1, 100, 1_000]) : Number.POSITIVE_INFINITY,
      columns: columns !== null && columns.length > 0 && !isVersions ? columns : null,
    }
  }

  #slices(): { start: string; end: string; single: boolean }[] {
    const dice = this.#dice
    if (dice.chance(0.05)) return []
    const slices: { start: string; end: string; single: boolean }[] = []
    let [start, end] = this.#interval()
    slices.push({ start, end, single: false })
    while (dice.chance(0.4)) {
      ;[start, end] = this.#interval()
      if (start >= slices.at(-1)!.end) slices.push({ start, end, single: false })
    }
    return slices
  }
}
