/**
 * Random histories of one row on several replicas, run by the real code and by a slow model that knows causality itself.
 *
 * The model: an event makes things (a version, elements, or nothing but a mark) and has seen things. A replica is the set of events that it has heard
 * of, in whatever way. What is visible is what one of them made and none of them had seen. Contexts, intervals and dots are nowhere in it.
 * After each step the replica must show what the model says, and its context must cover exactly the things that its events made or had seen.
 */
import { ByteWriter } from '../../lib/base/bytes.ts'
import { Purger } from '../../storage/compaction/purge.ts'
import {
  coversDot,
  coversLegacy,
  legacyTimestamp,
  makeDot,
  NO_CONTEXT,
  validateContext,
} from '../../storage/model/causal/context.ts'
import { type CausalWrite, DeltaWriter, deltaOf, lacksSeen } from '../../storage/model/causal/delta.ts'
import type { Dots } from '../../storage/model/causal/dots.ts'
import { KnownRows } from '../../storage/model/causal/known-rows.ts'
import { CausalRow } from '../../storage/model/causal/state.ts'
import { CausalVersions } from '../../storage/model/merge.ts'
import { MutationReader } from '../../storage/model/mutation.ts'
import { PartitionMutationWriter } from '../../storage/model/partition-mutation.ts'
import { RowReader } from '../../storage/model/row.ts'
import { RowWriter } from '../../storage/model/row-writer.ts'
import { validateRow } from '../../storage/model/validation.ts'
import type { Dice } from './random.ts'

/** The code under test; planted bugs replace parts of it. */
export interface CausalCode {
  join(a: Buffer, b: Buffer): Buffer
  /** A number: the row was not looked at, and this was the last counter that it was given. */
  delta(state: Buffer | number | null, write: CausalWrite, dots: Dots): Buffer
  /** The last counter that a row was given by this actor; null: the row must be read. */
  lastOf(known: KnownRows, row: MutationReader, write: CausalWrite, dots: Dots): number | null
  /** Tells those who remember rows of what others wrote. */
  joined(known: KnownRows, mutation: MutationReader): void
  /** What a compaction makes of a row; null: nothing is left. */
  compact(state: Buffer, nowSeconds: number): Buffer | null
  /** Whether a node that forgot something gets a new actor. */
  readonly renewsActors: boolean
  /** Whether a leader that lacks what a removal has seen asks others. */
  readonly asksOthers: boolean
}

const law = new CausalVersions()

function deltaAfter(last: number, write: CausalWrite, dots: Dots): Buffer {
  const out = new ByteWriter(64)
  new DeltaWriter().appendAfter(out, last, write, dots)
  return out.view()
}

export const REAL_CODE: CausalCode = {
  join: (a, b) => {
    const out = new ByteWriter(a.length + b.length)
    law.merge(out, a, 0, a.length, b, 0, b.length)
    return out.view()
  },
  delta: (state, write, dots) =>
    typeof state === 'number' ? deltaAfter(state, write, dots) : deltaOf(state, write, dots),
  lastOf: (known, row) => (known.find(row) ? known.last : null),
  joined: (known, mutation) => known.joined(mutation),
  compact: (state, nowSeconds) => {
    const purger = new Purger(nowSeconds, GC_GRACE)
    purger.within(NO_CONTEXT, { high: Number.POSITIVE_INFINITY, low: 0 })
    if (!purger.isCandidate(state)) return state
    const out = new ByteWriter(state.length)
    return purger.purge(out, state) ? out.view() : null
  },
  renewsActors: true,
  asksOthers: true,
}

/** Sets of things and of events are bits of a number. */
const THINGS_MAX = 28
const COLUMNS = [3, 5] as const
const PATHS = ['x', 'y'].map((path) => Buffer.from(path))
const LEGACY_TIMESTAMP = 40
const BEGIN_SECONDS = 1_000
const GC_GRACE = 1_000_000
/** Versions of which a leader would say something: it counts them when it cannot be sure that there are fewer. */
const VERSIONS_SAID = 4
/** More than are remembered beside it: then the row is not. */
const OTHER_ROWS = 9

type Kind = 'version' | 'element' | 'mark' | 'twin mark' | 'legacy'

interface Thing {
  readonly kind: Kind
  readonly dot: Buffer
  readonly counter: number
  /** Of an element. */
  readonly place: string
  /** Seconds. */
  readonly expiresAt: number
}

interface Event {
  readonly made: number
  readonly seen: number
}

/** What somebody has read: bytes, and the things that they stand for. */
interface Seen {
  readonly bytes: Buffer
  readonly things: number
}

interface Replica {
  state: Buffer | null
  /** Events. */
  heard: number
  dots: RecordedDots
  known: KnownRows
}

class RecordedDots implements Dots {
  readonly actor: Buffer
  readonly given: number[] = []
  #last: number

  constructor(actor: Buffer, from: number) {
    this.actor = actor
    this.#last = from
  }

  next(above: number): number {
    this.#last = Math.max(this.#last, above) + 1
    this.given.push(this.#last)
    return this.#last
  }
}

/** The mutation that joins the row with one of a partition, at its entry. */
function entryOf(partition: number, row: Buffer): MutationReader {
  const writer = new PartitionMutationWriter()
  writer.begin(Buffer.alloc(16, 1), Buffer.alloc(10, partition).fill(0, 8))
  writer.row(NO_CONTEXT, row)
  const reader = new MutationReader().reset(writer.finish())
  reader.next()
  return reader
}

const NOTHING = Buffer.from([0])
const OWN_ROW = entryOf(0, NOTHING)

/** Runs one history; throws where the code and the model differ. */
export function runHistory(dice: Dice, code: CausalCode = REAL_CODE): void {
  new History(dice, code).run()
}

class History {
  readonly #dice: Dice
  readonly #code: CausalCode
  readonly #replicas: Replica[] = []
  readonly #things: Thing[] = []
  readonly #events: Event[] = []
  readonly #flying: { readonly delta: Buffer; readonly event: number }[] = []
  readonly #read: Seen[] = []
  readonly #saved: { readonly state: Buffer | null; readonly heard: number }[] = [{ state: null, heard: 0 }]
  readonly #given = new Set<string>()
  readonly #row = new CausalRow()
  readonly #cells = new RowReader()
  #now = BEGIN_SECONDS
  #actors = 0

  constructor(dice: Dice, code: CausalCode) {
    this.#dice = dice
    this.#code = code
  }

  run(): void {
    const dice = this.#dice
    const count = 2 + dice.int(3)
    for (let i = 0; i < count; i++)
      this.#replicas.push({ state: null, heard: 0, dots: this.#newActor(), known: this.#newKnownRows() })
    if (dice.chance(0.2)) this.#beginWithLegacy()
    const steps = 4 + dice.int(22)
    for (let i = 0; i < steps && this.#things.length < THINGS_MAX; i++) this.#step()
    this.#converge()
  }

  /** Few bytes, so that actors' order and nearness vary; clocks that differ. */
  #newActor(): RecordedDots {
    const actor = Buffer.alloc(8)
    this.#actors++
    actor[0] = this.#dice.int(2) * 0x80
    actor[7] = this.#actors * 2 + this.#dice.int(2)
    return new RecordedDots(actor, this.#dice.pick([0, 0, 100, 2 ** 32 - 3]))
  }

  #beginWithLegacy(): void {
    const made = this.#thing({ kind: 'legacy', dot: NO_CONTEXT, counter: 0, place: '', expiresAt: Infinity })
    const event = this.#event({ made, seen: 0 })
    const delta = rowOf((row) => {
      row.liveness(0, LEGACY_TIMESTAMP, 0, 0)
      row.cell(1, 0, LEGACY_TIMESTAMP, Buffer.of(this.#things.length - 1))
    })
    this.#flying.push({ delta, event })
    for (const replica of this.#replicas) if (this.#dice.chance(0.7)) this.#receive(replica, delta, 1 << event)
  }

  #thing(thing: Thing): number {
    this.#things.push(thing)
    return 1 << (this.#things.length - 1)
  }

  #event(event: Event): number {
    this.#events.push(event)
    return this.#events.length - 1
  }

  #step(): void {
    const dice = this.#dice
    const replica = dice.pick(this.#replicas)
    const choice = dice.int(100)
    if (choice < 38) this.#write(replica)
    else if (choice < 62) this.#deliver(replica)
    else if (choice < 76) {
      const { state, heard } = dice.pick(this.#replicas)
      if (state !== null) this.#receive(replica, state, heard)
    } else if (choice < 86) this.#readSome()
    else if (choice < 90) this.#saved.push({ state: replica.state, heard: replica.heard })
    else if (choice < 94) this.#crash(replica)
    else if (choice < 97) this.#compact(replica)
    else this.#now += dice.int(12)
    this.#check(replica)
  }

  /** `isOwn`: its leader made it, and knows of it. */
  #receive(replica: Replica, state: Buffer, heard: number, isOwn = false): void {
    if (!isOwn) this.#code.joined(replica.known, entryOf(0, state))
    replica.state = replica.state === null ? state : this.#code.join(replica.state, state)
    replica.heard |= heard
  }

  /** Deltas are lost, come twice and in any order. */
  #deliver(replica: Replica): void {
    if (this.#flying.length === 0) return
    const at = this.#dice.int(this.#flying.length)
    const { delta, event } = this.#flying[at]!
    if (this.#dice.chance(0.6)) this.#flying.splice(at, 1)
    if (this.#dice.chance(0.9)) this.#receive(replica, delta, 1 << event)
  }

  /** It goes on with what it had once, or with nothing; what it had sent is not taken back. */
  #crash(replica: Replica): void {
    const { state, heard } = this.#dice.pick(this.#saved)
    const isOwn = (heard & ~replica.heard) === 0
    replica.state = isOwn ? state : null
    replica.heard = isOwn ? heard : 0
    if (this.#code.renewsActors) replica.dots = this.#newActor()
    replica.known = this.#newKnownRows()
  }

  /** A table of eight rows, so that rows go from it. */
  #newKnownRows(): KnownRows {
    const random = { fill: <T extends Uint8Array>(target: T): T => target.fill(this.#dice.int(256)) }
    return new KnownRows({ random, setsFirst: 1, setsMax: 1 })
  }

  /** What compactions and whole reads make of it; nothing is past gc_grace. */
  #compact(replica: Replica): void {
    if (replica.state !== null) replica.state = this.#code.compact(replica.state, this.#now)
  }

  #readSome(): void {
    let state: Buffer | null = null
    let heard = 0
    for (const replica of this.#replicas) {
      if (replica.state === null || this.#dice.chance(0.4)) continue
      state = state === null ? replica.state : this.#code.join(state, replica.state)
      heard |= replica.heard
    }
    if (state !== null) this.#read.push(this.#seenIn(state, heard))
  }

  #seenIn(state: Buffer, heard: number): Seen {
    return { bytes: Buffer.from(this.#row.reset(state, this.#now).context), things: this.#covered(heard) }
  }

  #covered(heard: number): number {
    let things = 0
    for (let i = 0; i < this.#events.length; i++)
      if ((heard & (1 << i)) !== 0) things |= this.#events[i]!.made | this.#events[i]!.seen
    return things
  }

  #visible(heard: number): number {
    let visible = this.#present(heard)
    for (let i = 0; i < this.#things.length; i++) if (this.#things[i]!.expiresAt <= this.#now) visible &= ~(1 << i)
    return visible & this.#of('version', 'element', 'legacy')
  }

  #of(...kinds: Kind[]): number {
    let things = 0
    for (let i = 0; i < this.#things.length; i++) if (kinds.includes(this.#things[i]!.kind)) things |= 1 << i
    return things
  }

  #context(replica: Replica): Seen | null {
    const dice = this.#dice
    if (dice.chance(0.25)) return null
    if (dice.chance(0.5) && this.#read.length > 0) return dice.pick(this.#read)
    return replica.state === null ? { bytes: NO_CONTEXT, things: 0 } : this.#seenIn(replica.state, replica.heard)
  }

  #write(replica: Replica): void {
    const dice = this.#dice
    const context = this.#context(replica)
    const choice = dice.int(10)
    const isPut = choice < 6
    const hasSets = choice === 5 || choice >= 7
    const ttl = isPut && dice.chance(0.15) ? 1 + dice.int(10) : 0
    const first = this.#things.length
    const sets = hasSets ? this.#sets(first + (isPut ? 1 : 0)) : null
    const write: CausalWrite = {
      context: context?.bytes ?? null,
      version: isPut ? versionOf(first, ttl, this.#now) : null,
      sets: sets?.row ?? null,
    }
    if (this.#code.asksOthers && lacksSeen(replica.state, write))
      for (const other of this.#replicas) if (other.state !== null) this.#receive(replica, other.state, other.heard)
    let seen = 0
    if (isPut) seen |= (context?.things ?? 0) & this.#of('version', 'mark', 'legacy')
    else if (!hasSets) seen |= context?.things ?? 0
    const here = this.#present(replica.heard)
    // A removal means what its writer has seen, wherever it is.
    const anywhere = this.#present(this.#replicas.reduce((all, { heard }) => all | heard, 0)) & (context?.things ?? 0)
    for (const { place, isRemoval } of sets?.touched ?? [])
      for (let i = 0; i < first; i++) {
        const thing = this.#things[i]!
        const there = isRemoval ? here | anywhere : here
        if (thing.kind !== 'element' || (there & (1 << i)) === 0) continue
        if (thing.place !== place && !(place.length === 1 && thing.place.startsWith(place))) continue
        if (!isRemoval || context === null || (context.things & (1 << i)) !== 0) seen |= 1 << i
      }
    if (dice.chance(0.2)) this.#writeOthers(replica)
    const { given, actor } = replica.dots
    given.length = 0
    const delta = this.#lead(replica, write)
    const name = (i: number, kind: Kind, place = '', expiresAt = Infinity): number => {
      const isTwin = kind === 'element' || kind === 'twin mark'
      const own = Buffer.from(actor)
      own[7] = isTwin ? own[7]! | 1 : own[7]! & 0xfe
      const dot = makeDot(own, given[i]!)
      const text = dot.toString('latin1')
      if (this.#given.has(text)) throw new Error('a dot was given twice')
      this.#given.add(text)
      return this.#thing({ kind, dot, counter: given[i]!, place, expiresAt })
    }
    let made = 0
    let next = 0
    if (isPut) made |= name(next++, 'version', '', ttl === 0 ? Infinity : this.#now + ttl)
    else if (!hasSets) made |= name(next++, 'mark')
    if (sets !== null) {
      for (const place of sets.added) made |= name(next++, 'element', place)
      if (sets.added.length === 0) made |= name(next++, 'twin mark')
    }
    if (next !== given.length) throw new Error('more dots than things')
    if (sets?.touched.some(({ isRemoval }) => isRemoval)) {
      // A removal may tell, too, what its leader knows of elements: those that are there, and those that were.
      const told = this.#toldOf(delta, this.#covered(replica.heard), first)
      made |= told & this.#present(replica.heard) & ~seen
      seen |= told & ~made
    }
    const event = this.#event({ made, seen: seen & ~made })
    if (dice.chance(0.95)) this.#flying.push({ delta, event })
    this.#receive(replica, delta, 1 << event, true)
    this.#checkRow(delta, 1 << event)
  }

  /** Reads the row if it is not known well enough. */
  #lead({ state, dots, known }: Replica, write: CausalWrite): Buffer {
    const { version, sets, context } = write
    const isOfVersions = version !== null || sets === null
    const last = this.#code.lastOf(known, OWN_ROW, write, dots)
    const isKnown = known.find(OWN_ROW)
    const room = isKnown ? known.room : 0
    const mayBeUnread = sets === null && (context === null || !coversLegacy(context))
    if (last !== null && mayBeUnread && (version === null || room > 0 || !isKnown)) {
      const delta = this.#code.delta(last, write, dots)
      known.set(dots.given[0]!, version === null ? room : room - 1, true)
      return delta
    }
    const delta = this.#code.delta(state, write, dots)
    if (!isOfVersions) return delta
    const left = state === null ? 0 : this.#row.reset(state, this.#now).countUnseen(context ?? NO_CONTEXT)
    known.set(dots.given[0]!, VERSIONS_SAID - left - (version === null ? 0 : 1), true)
    return delta
  }

  /** Other rows get dots of the actor, and are remembered in place of this one. */
  #writeOthers({ dots, known }: Replica): void {
    for (let row = 1; row <= OTHER_ROWS; row++) {
      known.find(entryOf(row, NOTHING))
      known.set(dots.next(0), 1, true)
    }
  }

  /** Of the first things those of elements, among `things`, that the row covers. */
  #toldOf(row: Buffer, things: number, first: number): number {
    const { hasContext, contextStart, contextEnd } = new RowReader().reset(row)
    if (!hasContext) return 0
    let told = 0
    for (let i = 0; i < first; i++) {
      const { kind, dot } = this.#things[i]!
      if ((kind !== 'element' && kind !== 'twin mark') || (things & (1 << i)) === 0) continue
      if (coversDot(row, dot, 0, contextStart, contextEnd)) told |= 1 << i
    }
    return told
  }

  /** Made and not seen, expired or not: what expired can be seen to be there until a compaction. */
  #present(heard: number): number {
    let made = 0
    let seen = 0
    for (let i = 0; i < this.#events.length; i++) {
      if ((heard & (1 << i)) === 0) continue
      made |= this.#events[i]!.made
      seen |= this.#events[i]!.seen
    }
    return made & ~seen
  }

  /** Changes of or-set columns. */
  #sets(firstThing: number): {
    row: Buffer
    added: string[]
    touched: { readonly place: string; readonly isRemoval: boolean }[]
  } {
    const dice = this.#dice
    const added: string[] = []
    const touched: { place: string; isRemoval: boolean }[] = []
    let thing = firstThing
    const only = dice.int(3)
    const row = rowOf((writer) => {
      for (const [i, column] of COLUMNS.entries()) {
        if (only < 2 && only !== i) continue
        const isCleared = dice.chance(0.2)
        if (isCleared) {
          writer.complexDeletion(column, 0, 1, 1)
          touched.push({ place: `${column}`, isRemoval: true })
        }
        for (const path of PATHS) {
          const place = `${column}${path}`
          const choice = dice.int(3)
          if (choice === 0) {
            writer.pathCell(column, path, 0, 2, Buffer.of(thing++))
            added.push(place)
            if (!isCleared) touched.push({ place, isRemoval: false })
          } else if (choice === 1 && !isCleared) {
            writer.pathTombstone(column, path, 0, 2, 1)
            touched.push({ place, isRemoval: true })
          }
        }
      }
    })
    return { row, added, touched }
  }

  #check({ state, heard, known }: Replica): void {
    if (state !== null) this.#checkRow(state, heard)
    else if (this.#visible(heard) !== 0) throw new Error('nothing is there')
    if (state === null || !known.find(OWN_ROW) || known.room === 0) return
    if (this.#row.reset(state, this.#now).count() + known.room > VERSIONS_SAID)
      throw new Error('there is less room for versions than was remembered')
  }

  #checkRow(state: Buffer, heard: number): void {
    validateRow(state, 0, state.length)
    const visible = this.#visible(heard)
    const row = this.#row.reset(state, this.#now)
    const { context } = row
    validateContext(context)
    let versions = 0
    let count = 0
    while (row.next()) {
      const id = row.version.at(-1)!
      versions |= 1 << id
      count++
      const { kind, dot } = this.#things[id]!
      if (kind === 'version' && !row.dot.equals(dot)) throw new Error('a version has the dot of another')
    }
    if (versions !== (visible & this.#of('version', 'legacy'))) throw new Error('other versions are there')
    if (row.count() !== count) throw new Error('versions are counted otherwise')
    this.#checkElements(row.elements(), visible & this.#of('element'))
    this.#checkContext(context, heard)
  }

  /** Of each element the newest. */
  #checkElements(cells: Buffer | null, visible: number): void {
    const newest = new Map<string, number>()
    for (let i = 0; i < this.#things.length; i++) {
      if ((visible & (1 << i)) === 0) continue
      const { place } = this.#things[i]!
      const other = newest.get(place)
      if (other === undefined || this.#isNewer(this.#things[i]!, this.#things[other]!)) newest.set(place, i)
    }
    let found = 0
    const reader = this.#cells
    if (cells !== null) {
      validateRow(cells, 0, cells.length, true)
      reader.reset(cells)
      while (reader.next()) {
        const place = `${reader.columnId}${cells.toString('latin1', reader.pathStart, reader.pathEnd)}`
        if (newest.get(place) !== cells[reader.valueStart]) throw new Error('another element is there')
        found++
      }
    }
    if (found !== newest.size) throw new Error('an element is missing')
  }

  #isNewer(a: Thing, b: Thing): boolean {
    return a.counter !== b.counter ? a.counter > b.counter : a.dot.compare(b.dot) > 0
  }

  #checkContext(context: Buffer, heard: number): void {
    const covered = this.#covered(heard)
    for (let i = 0; i < this.#things.length; i++) {
      const { kind, dot } = this.#things[i]!
      const is = kind === 'legacy' ? legacyTimestamp(context) !== null : coversDot(context, dot, 0)
      if (is !== ((covered & (1 << i)) !== 0))
        throw new Error(is ? 'it claims what it has not seen' : 'it has forgotten')
    }
  }

  /** All of them together, in several orders, are the same bytes. */
  #converge(): void {
    let heard = 0
    for (const replica of this.#replicas) {
      this.#check(replica)
      heard |= replica.heard
    }
    const states = this.#replicas.map(({ state }) => state).filter((state) => state !== null)
    if (states.length === 0) return
    const { join } = this.#code
    const forwards = states.reduce(join)
    this.#checkRow(forwards, heard)
    const same = (other: Buffer, what: string): void => {
      if (!other.equals(forwards)) throw new Error(`not ${what}`)
    }
    same([...states].reverse().reduce(join), 'commutative')
    same(
      states.reduceRight((joined, state) => join(state, joined)),
      'associative',
    )
    same(join(forwards, forwards), 'idempotent')
    same(join(forwards, this.#dice.pick(states)), 'absorbing')
  }
}

function rowOf(write: (row: RowWriter) => void): Buffer {
  const row = new RowWriter(new ByteWriter(64))
  row.begin()
  write(row)
  row.end()
  return row.out.view()
}

function versionOf(thing: number, ttl: number, now: number): Buffer {
  return rowOf((row) => {
    row.liveness(0, 7, ttl, now + ttl)
    if (ttl === 0) row.cell(1, 0, 7, Buffer.of(thing))
    else row.expiringCell(1, 0, 7, ttl, now + ttl, Buffer.of(thing))
  })
}
