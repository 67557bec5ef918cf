/**
 * What a write changes of a row that keeps versions, as a row to be joined with others: its dots are given here, once, by the leader. Pure.
 * Source: Almeida, Shoker, Baquero, Delta State Replicated Data Types (2018), whose causal deltas these are.
 *
 * A version has a dot of the actor; elements of or-set columns have dots of its twin (the actor with its last bit set). So a context's part of versions
 * can be told from that of elements, and a put replaces the versions that its writer had seen without a word of elements.
 * Always: a delta has seen no dot that neither its writer nor its leader had, but those of its own actor between the last one of the row and its own.
 */
import { assert } from '../../../lib/base/assert.ts'
import { ByteWriter } from '../../../lib/base/bytes.ts'
import { ANNOTATION_COLUMN_ID, CellFlag, compareTimestamps, RowReader, VERSION_COLUMN_ID } from '../row.ts'
import { RowWriter } from '../row-writer.ts'
import {
  ACTOR_BYTES,
  appendDottedWith,
  appendInterval,
  appendJoined,
  contextEntries,
  contextOfDots,
  counterHigh,
  counterLow,
  coversContext,
  coversDot,
  DOT_BYTES,
  greatestCounter,
  joinContexts,
  lastCounter,
  legacyTimestamp,
  MICROS_PER_SECOND,
  makeDot,
  makeLegacyContext,
  NO_CONTEXT,
} from './context.ts'
import { type Dots, twinsOf } from './dots.ts'

/** A row is put if there is a version, its or-set columns are changed if there are sets, it is deleted if there is neither. */
export interface CausalWrite {
  /** What the writer has seen; null: nothing, and what it removes from or-set columns is what the leader has. */
  readonly context: Buffer | null
  /** An ordinary row: tombstones in it count for nothing. */
  readonly version: Buffer | null
  /**
   * Changes of or-set columns as an ordinary row: a path cell adds the element, a path tombstone removes what was seen of it, a complex deletion
   * removes all elements of the column that were seen, before others are added.
   */
  readonly sets: Buffer | null
}

const EMPTY_ROW: Buffer = Buffer.from([0])

/**
 * Whether the write removes elements that its writer has seen, and the leader, whose row this is, may not have them all: it must get
 * them from other replicas first.
 */
export function lacksSeen(state: Buffer | null, { context, sets }: CausalWrite): boolean {
  if (sets === null || context === null || !hasRemovals(sets)) return false
  return !coversContext(seenBy(state), context)
}

function hasRemovals(sets: Buffer): boolean {
  const reader = new RowReader().reset(sets)
  while (reader.next()) if (reader.isComplexDeletion || reader.isTombstone) return true
  return false
}

/** All that the row's holder has seen, as far as its bytes tell. */
function seenBy(state: Buffer | null): Buffer {
  if (state === null) return NO_CONTEXT
  const reader = new RowReader().reset(state)
  let high = reader.hasDeletion ? reader.deletionTsHigh : Number.NEGATIVE_INFINITY
  let low = reader.deletionTsLow
  const own = reader.hasContext ? state.subarray(reader.contextStart, reader.contextEnd) : NO_CONTEXT
  if (reader.hasLiveness && compareTimestamps(reader.livenessTsHigh, reader.livenessTsLow, high, low) > 0) {
    high = reader.livenessTsHigh
    low = reader.livenessTsLow
  }
  while (reader.next()) {
    if (reader.isDotted || compareTimestamps(reader.tsHigh, reader.tsLow, high, low) <= 0) continue
    high = reader.tsHigh
    low = reader.tsLow
  }
  return Number.isFinite(high) ? joinContexts(makeLegacyContext(high, low), own) : own
}

/** The row to be joined; `state`: the row as its leader has it, null: there is none. Who makes many of them keeps a DeltaWriter. */
export function deltaOf(state: Buffer | null, write: CausalWrite, dots: Dots): Buffer {
  return new DeltaWriter().delta(state, write, dots)
}

/** An element that is added, or a cell without a dot that is removed. */
interface Change {
  readonly column: number
  readonly path: Buffer
  readonly tsHigh: number
  readonly tsLow: number
  readonly ttl: number
  readonly expiresAt: number
  /** Null: a tombstone. */
  readonly value: Buffer | null
}

/** Of or-set columns: elements with dots are gone once their dots are in the context, those of before the table kept versions by tombstones. */
interface Removed {
  readonly dots: Buffer[]
  readonly cells: Change[]
}

const NO_CHANGES: readonly Change[] = []

/** Makes one delta after another; it has memory for its work, and remembers nothing. */
export class DeltaWriter {
  readonly #own = new ByteWriter(512)
  #out = this.#own
  readonly #writer = new RowWriter(this.#out)
  readonly #value = new ByteWriter(512)
  readonly #valueWriter = new RowWriter(this.#value)
  readonly #reader = new RowReader()
  readonly #other = new RowReader()
  readonly #interval = new ByteWriter(64)
  readonly #dot: Buffer = Buffer.alloc(DOT_BYTES)
  /** An actor as it was given, and as actor of versions and of elements. */
  #given: Buffer = NO_CONTEXT
  #actor: Buffer = NO_CONTEXT
  #twin: Buffer = NO_CONTEXT
  /** The delta's context, and memory for what it becomes next. */
  #context = new ByteWriter(128)
  #nextContext = new ByteWriter(128)
  #state: Buffer = EMPTY_ROW
  #stateContext = 0
  #stateContextEnd = 0
  #seen: Buffer | null = null
  #dots: Dots | null = null
  #above = 0
  /** The greatest counter of the actor that the leader knows of the row; 0: none. */
  #last = 0
  /** That of the version, or of the deletion, which was made last; 0: it changed or-set columns alone. */
  counter = 0
  /** Of the version at hand: seconds, and when it expires; 0: it stays. */
  #ttl = 0
  #expiresAt = 0

  /** In memory of its own. */
  delta(state: Buffer | null, write: CausalWrite, dots: Dots): Buffer {
    this.#own.reset()
    this.append(this.#own, state, write, dots)
    return this.#own.copy()
  }

  /** The same, appended. */
  append(out: ByteWriter, state: Buffer | null, write: CausalWrite, dots: Dots): void {
    this.#out = out
    this.#begin(state ?? EMPTY_ROW, write.context, dots)
    this.#last = lastCounter(this.#state, this.#actor, this.#stateContext, this.#stateContextEnd)
    this.#delta(write)
  }

  /**
   * The same without a look at the row: of a write without sets, whose context has nothing that was written before the table kept versions. `last`: no
   * counter that the actor gave the row is greater. Then no dot of the row is claimed that was not seen, and the contexts of those who write what they have
   * read stay one interval of this actor, as if the row had been read. Others' dots may have greater counters.
   */
  appendAfter(out: ByteWriter, last: number, write: CausalWrite, dots: Dots): void {
    this.#out = out
    this.#begin(EMPTY_ROW, write.context, dots)
    this.#last = last
    this.#above = Math.max(this.#above, last)
    this.#delta(write)
  }

  #delta({ context, version, sets }: CausalWrite): void {
    const isDelete = version === null && sets === null
    const isOfVersions = version !== null || isDelete
    this.counter = 0
    if (isOfVersions) {
      const counter = this.#next()
      this.counter = counter
      appendDottedWith(this.#context, context ?? NO_CONTEXT, isDelete, this.#actor, lowOf(this.#last, counter), counter)
    }
    const changes = sets === null ? NO_CHANGES : this.#changes(sets)
    const newest = this.#above
    const writer = this.#writer
    writer.out = this.#out
    writer.begin()
    const legacy = isOfVersions && context !== null ? legacyTimestamp(context) : null
    if (legacy !== null) writer.deletion(legacy.high, legacy.low, this.#deletionTime(legacy.high, legacy.low, newest))
    writer.context(this.#context.buffer, 0, this.#context.length)
    for (const { column, path, tsHigh, tsLow, ttl, expiresAt, value } of changes)
      if (value !== null) writer.dottedCell(column, path, tsHigh, tsLow, ttl, expiresAt, value)
      else if (legacy === null || compareTimestamps(tsHigh, tsLow, legacy.high, legacy.low) > 0)
        writer.pathTombstone(column, path, tsHigh, tsLow, Math.floor(newest / MICROS_PER_SECOND))
    if (version !== null) this.#version(version, this.counter)
    writer.end()
  }

  #begin(state: Buffer, seen: Buffer | null, dots: Dots): void {
    const { hasContext, contextStart, contextEnd } = this.#reader.reset(state)
    this.#state = state
    this.#stateContext = hasContext ? contextStart : 0
    this.#stateContextEnd = hasContext ? contextEnd : 0
    this.#seen = seen
    this.#dots = dots
    this.#context.reset()
    this.#above = greatestCounter(state, this.#stateContext, this.#stateContextEnd)
    if (seen !== null) this.#above = Math.max(this.#above, greatestCounter(seen))
    this.actorOf(dots)
  }

  /** Of versions. */
  actorOf({ actor }: Dots): Buffer {
    if (this.#given !== actor) {
      this.#given = actor
      ;[this.#actor, this.#twin] = twinsOf(actor)
    }
    return this.#actor
  }

  /** A new dot's counter. All dots of its actor between the last one that the leader knows of the row and this one are to be seen with it. */
  #next(): number {
    const counter = this.#dots!.next(this.#above)
    assert(counter > this.#above && Number.isSafeInteger(counter), 'counters ascend')
    this.#above = counter
    return counter
  }

  #giveTwin(): number {
    const counter = this.#next()
    const last = lastCounter(this.#state, this.#twin, this.#stateContext, this.#stateContextEnd)
    this.#cover(this.#twin, lowOf(last, counter), counter)
    return counter
  }

  #cover(actor: Uint8Array, low: number, high: number): void {
    const context = this.#context
    if (context.length === 0) {
      appendInterval(context, actor, low, high)
      return
    }
    const interval = this.#interval
    interval.reset()
    appendInterval(interval, actor, low, high)
    this.#coverAll(interval.buffer, interval.length)
  }

  /** What the context in bytes[0, length) has seen. */
  #coverAll(bytes: Buffer, length: number): void {
    const context = this.#context
    const joined = this.#nextContext
    joined.reset()
    appendJoined(joined, context.buffer, 0, context.length, bytes, 0, length)
    this.#nextContext = context
    this.#context = joined
  }

  /** What was written before the table kept versions is deleted as it was before if it was: so that such a deletion grows old. */
  #deletionTime(high: number, low: number, counter: number): number {
    const { hasDeletion, deletionTsHigh, deletionTsLow, deletionLocalTime } = this.#reader.reset(this.#state)
    const isDeleted = hasDeletion && compareTimestamps(deletionTsHigh, deletionTsLow, high, low) >= 0
    return isDeleted ? deletionLocalTime : Math.floor(counter / MICROS_PER_SECOND)
  }

  /** Writes the version; one in which nothing is there is none. */
  #version(version: Buffer, counter: number): void {
    const stripped = this.#strip(version)
    if (stripped === null) return
    const dot = this.#dot
    const high = counterHigh(counter)
    const low = counterLow(counter)
    dot.set(this.#actor)
    dot.writeUInt32BE(high, ACTOR_BYTES)
    dot.writeUInt32BE(low, ACTOR_BYTES + 4)
    this.#writer.dottedCell(VERSION_COLUMN_ID, dot, high, low, this.#ttl, this.#expiresAt, stripped)
  }

  /** A version without what says only that something is not there; null: nothing is. It expires with the last of it. */
  #strip(version: Buffer): Buffer | null {
    const gone = CellFlag.TOMBSTONE | CellFlag.COMPLEX_DELETION
    const reader = this.#reader.reset(version)
    let stays = reader.hasLiveness && reader.livenessTtl === 0
    let isWhole = !reader.hasDeletion
    this.#ttl = 0
    this.#expiresAt = 0
    if (reader.livenessTtl !== 0) this.#livesUntil(reader.livenessTtl, reader.livenessExpiresAt)
    while (reader.next()) {
      if ((reader.flags & gone) !== 0) isWhole = false
      else if (reader.columnId === ANNOTATION_COLUMN_ID) continue
      else if (reader.isExpiring) this.#livesUntil(reader.ttl, reader.localDeletionTime)
      else stays = true
    }
    if (!stays && this.#ttl === 0) return null
    if (stays) this.#ttl = 0
    if (isWhole) return version
    const writer = this.#valueWriter
    this.#value.reset()
    writer.begin()
    reader.rewind()
    writer.copyLiveness(reader)
    while (reader.next()) if ((reader.flags & gone) === 0) writer.copyCellBytes(reader)
    writer.end()
    return this.#value.view()
  }

  #livesUntil(ttl: number, expiresAt: number): void {
    if (expiresAt < this.#expiresAt || (expiresAt === this.#expiresAt && ttl >= this.#ttl)) return
    this.#ttl = ttl
    this.#expiresAt = expiresAt
  }

  /** In the order of cells. Removed dots go into the context. */
  #changes(sets: Buffer): Change[] {
    const added: Change[] = []
    const removed: Removed = { dots: [], cells: [] }
    const known = this.#known()
    const reader = this.#other.reset(sets)
    let column = -1
    let isCleared = false
    /** Something was to be removed that the leader has not, or it is not known whether there was. */
    let mayBeGone = false
    while (reader.next()) {
      if (reader.columnId !== column) isCleared = false
      column = reader.columnId
      const cells = known.get(column)
      if (reader.isComplexDeletion) {
        isCleared = true
        mayBeGone = true
        for (const those of cells?.values() ?? []) this.#remove(those, column, removed, true)
        continue
      }
      const path = Buffer.from(reader.buffer.subarray(reader.pathStart, reader.pathEnd))
      const those = cells?.get(path.toString('latin1'))
      if (!isCleared && those !== undefined) this.#remove(those, column, removed, reader.isTombstone)
      if (reader.isTombstone) {
        if (those === undefined) mayBeGone = true
        continue
      }
      const dot = makeDot(this.#twin, this.#giveTwin())
      added.push({
        column,
        path: Buffer.concat([dot, path]),
        tsHigh: dot.readInt32BE(ACTOR_BYTES),
        tsLow: dot.readUInt32BE(ACTOR_BYTES + 4),
        ttl: reader.ttl,
        expiresAt: reader.localDeletionTime,
        value: Buffer.from(reader.buffer.subarray(reader.valueStart, reader.valueEnd)),
      })
    }
    // A removal is a write, too: whoever has seen its dot knows of it.
    if (added.length === 0) this.#giveTwin()
    if (removed.dots.length > 0) {
      const gone = contextOfDots(removed.dots.sort(Buffer.compare))
      this.#coverAll(gone, gone.length)
    }
    if (mayBeGone) this.#tellElements(added)
    return [...removed.cells, ...added].sort(
      (a, b) =>
        a.column - b.column || Number(a.value !== null) - Number(b.value !== null) || Buffer.compare(a.path, b.path),
    )
  }

  /**
   * What was to be removed may be gone here, by a removal that others have not heard of and never will: they are told all that is known of elements,
   * those that are there and those that were.
   */
  #tellElements(told: Change[]): void {
    const state = this.#state
    const context = this.#context
    const reader = this.#reader.reset(state)
    while (reader.next() && reader.columnId < VERSION_COLUMN_ID) {
      if (!reader.isDotted || coversDot(context.buffer, state, reader.pathStart, 0, context.length)) continue
      told.push({
        column: reader.columnId,
        path: Buffer.from(state.subarray(reader.pathStart, reader.pathEnd)),
        tsHigh: reader.tsHigh,
        tsLow: reader.tsLow,
        ttl: reader.ttl,
        expiresAt: reader.localDeletionTime,
        value: Buffer.from(state.subarray(reader.valueStart, reader.valueEnd)),
      })
    }
    const known = this.#interval
    known.reset()
    for (const { actorAt, end } of contextEntries(state, this.#stateContext, this.#stateContextEnd))
      if ((state[actorAt + ACTOR_BYTES - 1]! & 1) === 1) known.slice(state, actorAt, end)
    this.#coverAll(known.buffer, known.length)
  }

  /** Where the cells of each element are that the leader has, by column and path. */
  #known(): Map<number, Map<string, number[]>> {
    const known = new Map<number, Map<string, number[]>>()
    const reader = this.#reader.reset(this.#state)
    while (reader.next() && reader.columnId < VERSION_COLUMN_ID) {
      if (!reader.hasPath) continue
      let cells = known.get(reader.columnId)
      if (cells === undefined) {
        cells = new Map()
        known.set(reader.columnId, cells)
      }
      const pathStart = reader.isDotted ? reader.pathStart + DOT_BYTES : reader.pathStart
      const path = this.#state.toString('latin1', pathStart, reader.pathEnd)
      const those = cells.get(path)
      if (those === undefined) cells.set(path, [reader.cellStart])
      else those.push(reader.cellStart)
    }
    return known
  }

  /** The dots of an element that were seen are removed; one that is added takes the place of all that the leader has of it. */
  #remove(cells: readonly number[], column: number, { dots, cells: removed }: Removed, isRemoval: boolean): void {
    const seen = this.#seen
    const state = this.#state
    const reader = this.#reader.reset(state)
    for (const at of cells) {
      reader.cellEnd = at
      reader.next()
      const { pathStart, pathEnd, tsHigh, tsLow } = reader
      if (reader.isDotted) {
        if (isRemoval && seen !== null && !coversDot(seen, state, pathStart)) continue
        dots.push(state.subarray(pathStart, pathStart + DOT_BYTES))
      } else if (isRemoval && !reader.isTombstone) {
        if (seen !== null && !coversContext(seen, makeLegacyContext(tsHigh, tsLow))) continue
        const path = Buffer.from(state.subarray(pathStart, pathEnd))
        removed.push({ column, path, tsHigh, tsLow, ttl: 0, expiresAt: 0, value: null })
      }
    }
  }
}

/** Where the interval of a new dot begins. `last`: the one before it that its actor is known to have given the row; 0: none is. */
function lowOf(last: number, counter: number): number {
  return last === 0 ? counter - 1 : last
}
