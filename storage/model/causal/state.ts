/**
 * A row of a vector-clock table as its readers see it: its live versions, each an ordinary row, in order of their dots; the elements of its or-set
 * columns; and the context that says what somebody who read this has seen. What the row held before its table kept versions is one more version,
 * with the dot of the actor of eight zeros and its greatest timestamp.
 */
import { ByteWriter } from '../../../lib/base/bytes.ts'
import { ANNOTATION_COLUMN_ID, compareRanges, compareTimestamps, RowReader, VERSION_COLUMN_ID } from '../row.ts'
import { RowWriter } from '../row-writer.ts'
import {
  ACTOR_BYTES,
  coversDot,
  DOT_BYTES,
  joinContexts,
  makeLegacyContext,
  NO_CONTEXT,
  readCounter,
  withoutEntries,
} from './context.ts'
import { mayForget, prunableEntries } from './prune.ts'

/** What one in the upper half of a timestamp counts for. */
const HIGH = 2 ** 32

/** A cursor over the live versions of one row: `reset`, then `next` until it is false. */
export class CausalRow {
  readonly #reader = new RowReader()
  #row: Buffer = NO_CONTEXT
  #now = 0
  #context: Buffer | null = null
  /** Something in the row has a dot, or it has a context. */
  #isCausal = false
  #legacyIsLive = false
  #legacyIsNext = false
  /** The greatest timestamp of what has no dots. */
  #legacyHigh = 0
  #legacyLow = 0
  /** The current version is versionBuffer[versionStart, versionEnd), its dot begins at `dotStart` of `dotBuffer`. */
  versionBuffer: Buffer = NO_CONTEXT
  versionStart = 0
  versionEnd = 0
  dotBuffer: Buffer = NO_CONTEXT
  dotStart = 0
  /** The dot's; of what was written before the table kept versions: its timestamp, as far as a number tells. */
  counter = 0

  /** Any row of a vector-clock table, whenever it was written, in row[start, end). Everything given before is void. */
  reset(row: Buffer, nowSeconds: number, start = 0, end: number = row.length): this {
    this.#row = row
    this.#now = nowSeconds
    this.#context = null
    const reader = this.#reader.reset(row, start, end)
    this.#isCausal = reader.hasContext
    // What one put made, as most rows are: nothing but versions.
    this.#legacyIsLive = false
    if (!reader.hasContext || reader.hasLiveness || !this.#beginsWithVersion()) this.#findLegacy()
    this.#legacyIsNext = this.#legacyIsLive
    return this
  }

  #beginsWithVersion(): boolean {
    const reader = this.#reader
    const isFirst = !reader.next() || reader.columnId === VERSION_COLUMN_ID
    reader.rewind()
    return isFirst
  }

  #findLegacy(): void {
    const reader = this.#reader
    let isLive = reader.livenessIsLive(this.#now)
    let high = reader.hasLiveness ? reader.livenessTsHigh : Number.NEGATIVE_INFINITY
    let low = reader.livenessTsLow
    while (reader.next()) {
      if (reader.isDotted || reader.columnId === ANNOTATION_COLUMN_ID) continue
      if (compareTimestamps(reader.tsHigh, reader.tsLow, high, low) > 0) {
        high = reader.tsHigh
        low = reader.tsLow
      }
      if (reader.isLive(this.#now)) isLive = true
    }
    reader.rewind()
    this.#legacyHigh = high
    this.#legacyLow = low
    this.#legacyIsLive = isLive
  }

  /**
   * What a reader of this row has seen, what was written before the table kept versions included; actors that may be forgotten (prune.ts) are not in it.
   */
  get context(): Buffer {
    this.#context ??= this.#fullContext()
    return this.#context
  }

  #fullContext(): Buffer {
    const { hasContext, contextStart, contextEnd, hasDeletion, deletionTsHigh, deletionTsLow } = this.#reader
    const own = hasContext ? this.#withoutForgotten(contextStart, contextEnd) : NO_CONTEXT
    let legacy: Buffer = hasDeletion ? makeLegacyContext(deletionTsHigh, deletionTsLow) : NO_CONTEXT
    if (this.#legacyIsLive) legacy = joinContexts(legacy, makeLegacyContext(this.#legacyHigh, this.#legacyLow))
    return joinContexts(legacy, own)
  }

  #withoutForgotten(start: number, end: number): Buffer {
    const row = this.#row
    if (!mayForget(row, start, end)) return row.subarray(start, end)
    const reader = new RowReader().reset(row, this.#reader.start, this.#reader.end)
    const dots: number[] = []
    while (reader.next()) if (reader.isDotted && reader.isLive(this.#now)) dots.push(reader.pathStart)
    return dots.length === 0
      ? row.subarray(start, end)
      : withoutEntries(row, start, end, prunableEntries(row, start, end, dots))
  }

  /** Goes to the next live version; false after the last. */
  next(): boolean {
    if (this.#legacyIsNext) {
      this.#legacyIsNext = false
      this.#takeLegacy()
      return true
    }
    const reader = this.#reader
    while (reader.next()) {
      if (reader.columnId < VERSION_COLUMN_ID || !reader.isDotted || !reader.isLive(this.#now)) continue
      this.versionBuffer = this.#row
      this.versionStart = reader.valueStart
      this.versionEnd = reader.valueEnd
      this.dotBuffer = this.#row
      this.dotStart = reader.pathStart
      this.counter = readCounter(this.#row, reader.pathStart + ACTOR_BYTES)
      return true
    }
    return false
  }

  /** Goes back to before the first version. */
  rewind(): void {
    this.#reader.rewind()
    this.#legacyIsNext = this.#legacyIsLive
  }

  /** The current version. */
  get version(): Buffer {
    return this.versionBuffer.subarray(this.versionStart, this.versionEnd)
  }

  get dot(): Buffer {
    return this.dotBuffer.subarray(this.dotStart, this.dotStart + DOT_BYTES)
  }

  #takeLegacy(): void {
    if (this.#isCausal) {
      this.versionBuffer = this.#legacyRow()
      this.versionStart = 0
      this.versionEnd = this.versionBuffer.length
    } else {
      this.versionBuffer = this.#row
      this.versionStart = this.#reader.start
      this.versionEnd = this.#reader.end
    }
    this.dotBuffer = this.#legacyDot()
    this.dotStart = 0
    this.counter = this.#legacyHigh * HIGH + this.#legacyLow
  }

  #legacyDot(): Buffer {
    const dot = Buffer.alloc(DOT_BYTES)
    makeLegacyContext(this.#legacyHigh, this.#legacyLow).copy(dot, ACTOR_BYTES, ACTOR_BYTES + 1)
    return dot
  }

  /** What has no dots, as a row of its own. */
  #legacyRow(): Buffer {
    const reader = this.#reader
    const out = new ByteWriter(reader.end - reader.start)
    const writer = new RowWriter(out)
    writer.begin()
    writer.copyLiveness(reader)
    while (reader.next()) if (!reader.isDotted) writer.copyCellBytes(reader)
    writer.end()
    reader.rewind()
    return out.view()
  }

  /** Live versions. */
  count(): number {
    return this.countUnseen(NO_CONTEXT)
  }

  /** Live versions that the context has not seen: a write with it leaves them beside its own. */
  countUnseen(context: Buffer): number {
    const reader = this.#reader
    reader.rewind()
    let count = 0
    if (this.#legacyIsLive && !coversDot(context, this.#legacyDot(), 0)) count++
    while (reader.next()) {
      if (reader.columnId < VERSION_COLUMN_ID || !reader.isDotted || !reader.isLive(this.#now)) continue
      if (context.length === 0 || !coversDot(context, this.#row, reader.pathStart)) count++
    }
    this.rewind()
    return count
  }

  /** The live elements of or-set columns, as cells of an ordinary row: plain path cells, of each element the newest. Null: there are none. */
  elements(): Buffer | null {
    const reader = this.#reader
    reader.rewind()
    const columns = new Map<number, Map<string, Element>>()
    while (reader.next() && reader.columnId < VERSION_COLUMN_ID) {
      if (!reader.isDotted || !reader.isLive(this.#now)) continue
      let found = columns.get(reader.columnId)
      if (found === undefined) {
        found = new Map()
        columns.set(reader.columnId, found)
      }
      const element = elementAt(reader)
      const key = element.path.toString('latin1')
      const other = found.get(key)
      if (other === undefined || compareAge(element, other) > 0) found.set(key, element)
    }
    this.rewind()
    if (columns.size === 0) return null
    const out = new ByteWriter(256)
    const writer = new RowWriter(out)
    writer.begin()
    for (const [column, found] of columns) writeElements(writer, column, found.values())
    writer.end()
    return out.view()
  }
}

interface Element {
  readonly path: Buffer
  readonly value: Buffer
  readonly dot: Buffer
  readonly tsHigh: number
  readonly tsLow: number
  readonly ttl: number
  readonly expiresAt: number
}

function elementAt(reader: RowReader): Element {
  const { buffer, pathStart, pathEnd, valueStart, valueEnd, tsHigh, tsLow, ttl, localDeletionTime } = reader
  return {
    path: buffer.subarray(pathStart + DOT_BYTES, pathEnd),
    value: buffer.subarray(valueStart, valueEnd),
    dot: buffer.subarray(pathStart, pathStart + DOT_BYTES),
    tsHigh,
    tsLow,
    ttl,
    expiresAt: localDeletionTime,
  }
}

/** By counters; the actors decide between equal ones. */
function compareAge(a: Element, b: Element): number {
  const byCounter = compareTimestamps(a.tsHigh, a.tsLow, b.tsHigh, b.tsLow)
  return byCounter !== 0 ? byCounter : compareRanges(a.dot, 0, ACTOR_BYTES, b.dot, 0, ACTOR_BYTES)
}

function writeElements(writer: RowWriter, column: number, elements: Iterable<Element>): void {
  const sorted = [...elements].sort((a, b) => Buffer.compare(a.path, b.path))
  for (const { path, value, tsHigh, tsLow, ttl, expiresAt } of sorted)
    if (ttl === 0) writer.pathCell(column, path, tsHigh, tsLow, value)
    else writer.expiringPathCell(column, path, tsHigh, tsLow, ttl, expiresAt, value)
}
