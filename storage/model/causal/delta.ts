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
import { ANNOTATION_COLUMN_ID, CellFlag, compareTimestamps, RowReader, RowWriter, VERSION_COLUMN_ID } from '../row.ts'
import {
  ACTOR_BYTES,
  coversContext,
  coversDot,
  coversLegacy,
  DOT_BYTES,
  filterContext,
  greatestCounter,
  joinContexts,
  lastCounter,
  legacyTimestamp,
  MICROS_PER_SECOND,
  makeContext,
  makeDot,
  makeLegacyContext,
  NO_CONTEXT,
  readCounter,
} from './context.ts'
import type { Dots } from './dots.ts'

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

/** The row to be joined; `state`: the row as its leader has it, null: there is none. */
export function deltaOf(state: Buffer | null, write: CausalWrite, dots: Dots): Buffer {
  return new Delta(state ?? EMPTY_ROW, write, dots).make()
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

class Delta {
  readonly #state: Buffer
  readonly #write: CausalWrite
  readonly #dots: Dots
  readonly #reader = new RowReader()
  /** The context of the state's own bytes. */
  readonly #stateContext: Buffer
  #context: Buffer = NO_CONTEXT
  #above: number

  constructor(state: Buffer, write: CausalWrite, dots: Dots) {
    this.#state = state
    this.#write = write
    this.#dots = dots
    const { hasContext, contextStart, contextEnd } = this.#reader.reset(state)
    this.#stateContext = hasContext ? state.subarray(contextStart, contextEnd) : NO_CONTEXT
    this.#above = Math.max(greatestCounter(this.#stateContext), greatestCounter(write.context ?? NO_CONTEXT))
  }

  make(): Buffer {
    const { context, version, sets } = this.#write
    const isDelete = version === null && sets === null
    if (context !== null && (version !== null || isDelete))
      this.#context = filterContext(context, (at) => !isLegacy(context, at) && (isDelete || !isTwin(context, at)))
    const actor = twin(this.#dots.actor, 0)
    const versionCounter = version !== null || isDelete ? this.#give(actor) : 0
    const value = version === null ? null : versionValue(version)
    const changes = sets === null ? [] : this.#changes(sets)
    const greatest = this.#above

    const out = new ByteWriter(256 + (version?.length ?? 0) + (sets?.length ?? 0))
    const writer = new RowWriter(out)
    writer.begin()
    const legacy = sets !== null && version === null ? null : legacyTimestamp(context ?? NO_CONTEXT)
    if (legacy !== null) writer.deletion(legacy.high, legacy.low, this.#deletionTime(legacy.high, legacy.low, greatest))
    writer.context(this.#context, 0, this.#context.length)
    for (const { column, path, tsHigh, tsLow, ttl, expiresAt, value: element } of changes)
      if (element !== null) writer.dottedCell(column, path, tsHigh, tsLow, ttl, expiresAt, element)
      else if (legacy === null || compareTimestamps(tsHigh, tsLow, legacy.high, legacy.low) > 0)
        writer.pathTombstone(column, path, tsHigh, tsLow, Math.floor(greatest / MICROS_PER_SECOND))
    if (value !== null) {
      const dot = makeDot(actor, versionCounter)
      const { ttl, expiresAt, row } = value
      writer.dottedCell(
        VERSION_COLUMN_ID,
        dot,
        dot.readInt32BE(ACTOR_BYTES),
        dot.readUInt32BE(ACTOR_BYTES + 4),
        ttl,
        expiresAt,
        row,
      )
    }
    writer.end()
    return out.view()
  }

  /** A new dot: its counter. All of its actor between the last one that the leader knows of the row and this one are seen with it. */
  #give(actor: Buffer): number {
    const counter = this.#dots.next(this.#above)
    assert(counter > this.#above && Number.isSafeInteger(counter), 'counters ascend')
    this.#above = counter
    const last = lastCounter(this.#stateContext, actor)
    this.#context = joinContexts(this.#context, makeContext(actor, last === 0 ? counter - 1 : last, counter))
    return counter
  }

  /** What was written before the table kept versions is deleted as it was before if it was: so that such a deletion grows old. */
  #deletionTime(high: number, low: number, counter: number): number {
    const { hasDeletion, deletionTsHigh, deletionTsLow, deletionLocalTime } = this.#reader.reset(this.#state)
    const isDeleted = hasDeletion && compareTimestamps(deletionTsHigh, deletionTsLow, high, low) >= 0
    return isDeleted ? deletionLocalTime : Math.floor(counter / MICROS_PER_SECOND)
  }

  /** In the order of cells. Removed dots go into the context. */
  #changes(sets: Buffer): Change[] {
    const actor = twin(this.#dots.actor, 1)
    const added: Change[] = []
    const removed: Change[] = []
    const reader = new RowReader().reset(sets)
    let column = -1
    let isCleared = false
    let last = 0
    while (reader.next()) {
      if (reader.columnId !== column) isCleared = false
      column = reader.columnId
      if (reader.isComplexDeletion) {
        isCleared = true
        this.#remove(column, null, removed)
        continue
      }
      const path = Buffer.from(reader.buffer.subarray(reader.pathStart, reader.pathEnd))
      if (!isCleared) this.#remove(column, path, removed, reader.isTombstone)
      if (reader.isTombstone) continue
      last = this.#give(actor)
      const dot = makeDot(actor, last)
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
    if (last === 0) this.#give(actor)
    return [...removed, ...added].sort(
      (a, b) =>
        a.column - b.column || Number(a.value !== null) - Number(b.value !== null) || Buffer.compare(a.path, b.path),
    )
  }

  /** The dots of an element (null: of all of the column) that were seen are removed; an element that is added takes the place of what the leader has of it. */
  #remove(column: number, path: Buffer | null, removed: Change[], isRemoval = true): void {
    const seen = this.#write.context
    const reader = this.#reader.reset(this.#state)
    while (reader.next() && reader.columnId <= column) {
      if (reader.columnId < column || !reader.hasPath) continue
      const { pathEnd, tsHigh, tsLow } = reader
      const pathStart = reader.isDotted ? reader.pathStart + DOT_BYTES : reader.pathStart
      if (path !== null && path.compare(this.#state, pathStart, pathEnd) !== 0) continue
      if (reader.isDotted) {
        if (isRemoval && seen !== null && !coversDot(seen, this.#state, reader.pathStart)) continue
        this.#forget(reader.pathStart)
      } else if (isRemoval && !reader.isTombstone) {
        if (seen !== null && !coversContext(seen, makeLegacyContext(tsHigh, tsLow))) continue
        const own = Buffer.from(this.#state.subarray(pathStart, pathEnd))
        removed.push({ column, path: own, tsHigh, tsLow, ttl: 0, expiresAt: 0, value: null })
      }
    }
  }

  /** The dot has been seen, and is not there: it is removed. */
  #forget(dotAt: number): void {
    const counter = readCounter(this.#state, dotAt + ACTOR_BYTES)
    const actor = this.#state.subarray(dotAt, dotAt + ACTOR_BYTES)
    this.#context = joinContexts(this.#context, makeContext(actor, counter - 1, counter))
  }
}

function isTwin(context: Buffer, actorAt: number): boolean {
  return (context[actorAt + ACTOR_BYTES - 1]! & 1) === 1
}

function isLegacy(context: Buffer, actorAt: number): boolean {
  return actorAt === 0 && coversLegacy(context)
}

function twin(actor: Buffer, bit: 0 | 1): Buffer {
  const own = Buffer.from(actor)
  own[ACTOR_BYTES - 1] = (own[ACTOR_BYTES - 1]! & 0xfe) | bit
  return own
}

/** A version without what says only that something is not there, and when the last of it expires; null: nothing is there. */
function versionValue(version: Buffer): { row: Buffer; ttl: number; expiresAt: number } | null {
  const reader = new RowReader().reset(version)
  const out = new ByteWriter(version.length)
  const writer = new RowWriter(out)
  let stays = false
  let ttl = 0
  let expiresAt = 0
  const take = (isExpiring: boolean, itsTtl: number, at: number): void => {
    if (!isExpiring) stays = true
    else if (at > expiresAt || (at === expiresAt && itsTtl < ttl)) {
      ttl = itsTtl
      expiresAt = at
    }
  }
  writer.begin()
  if (reader.hasLiveness) {
    take(reader.livenessTtl !== 0, reader.livenessTtl, reader.livenessExpiresAt)
    writer.liveness(reader.livenessTsHigh, reader.livenessTsLow, reader.livenessTtl, reader.livenessExpiresAt)
  }
  while (reader.next()) {
    if ((reader.flags & (CellFlag.TOMBSTONE | CellFlag.COMPLEX_DELETION)) !== 0) continue
    if (reader.columnId !== ANNOTATION_COLUMN_ID) take(reader.isExpiring, reader.ttl, reader.localDeletionTime)
    writer.copyCell(reader)
  }
  writer.end()
  if (!stays && ttl === 0) return null
  return { row: out.view(), ttl: stays ? 0 : ttl, expiresAt: stays ? 0 : expiresAt }
}
