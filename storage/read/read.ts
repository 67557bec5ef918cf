/**
 * Answers a ReadCommand from a table's sources, newest first. What cannot matter is not looked at: SSTables whose bounds or filter exclude the
 * partition or the rows, those all of whose data is older than a deletion of the partition or than the row that was found already.
 * Always: memory is bounded by the answer, whatever is passed over; after RECORDS_PER_TURN records others get the event loop.
 */
import {
  type PartitionData,
  type ReadCommand,
  type ReadResult,
  RowData,
  type Slice,
  START_OF_PARTITION,
  WHOLE_PARTITION,
} from '../model/command.ts'
import type { Resolution } from '../model/merge.ts'
import { EntryKind, POSITION_HEAD_BYTES } from '../model/mutation.ts'
import { compareTimestamps, readInt32 } from '../model/row.ts'
import { afterPartition, partitionRecordKey, positionLength, rowKey } from './keys.ts'
import { MergedCursor } from './merged-cursor.ts'
import { RangeDeletions, type RangeSink } from './range-deletions.ts'
import { greaterDeletion, RowResolver } from './row-resolver.ts'
import { abandon, type Source } from './source.ts'
import { Span } from './span.ts'
import { type ReadSteps, waitFor } from './steps.ts'
import { WholeForm, WholePartition } from './whole.ts'

export interface ReadContext {
  readonly resolution: Resolution
  readonly gcGraceSeconds: number
  /** False: a partition has one row, with the empty clustering. */
  readonly hasClustering: boolean
  /** Newest first. */
  readonly sources: readonly Source[]
  /** Resolves after others had the event loop. */
  pause(): Promise<void>
  /** Told at the end of a read of one partition in how many SSTables it looked, and how many tombstones and live rows it met. */
  didRead(tables: number, tombstones: number, rows: number): void
  didScan(tombstones: number, rows: number): void
}

const NO_POSITION = Buffer.alloc(0)
const AFTER = Buffer.from([0])
/** Records looked at before a scan lets others run: a few milliseconds. */
const RECORDS_PER_TURN = 2048

export function* readRows(context: ReadContext, command: ReadCommand): ReadSteps<ReadResult> {
  return yield* new Read(context, command).run()
}

/** Where the rows of a partition are read, and what is known of it before. */
interface PartitionPlan {
  readonly position: Buffer
  /** Leads to the rows; may stand on one of the partition's records already. */
  readonly cursor: MergedCursor
  readonly deletion: Buffer | null
  readonly staticRow: Buffer | null
  /** Those in which there may be range tombstones of the partition that matter. */
  readonly ranged: readonly Source[]
}

class Read {
  readonly #context: ReadContext
  readonly #command: ReadCommand
  readonly #resolver: RowResolver
  readonly #slices: readonly Slice[]
  readonly #tombstonesMax: number
  /** Null: only what is live is asked for. */
  readonly #whole: WholeForm | null
  readonly #result: PartitionData[] = []
  /** Of the record at hand. */
  readonly #row = new Span()
  #tombstones = 0
  #rows = 0
  #bytes = 0
  #more = false
  #records = 0
  #tables = 0

  constructor(context: ReadContext, command: ReadCommand) {
    this.#context = context
    this.#command = command
    this.#resolver = new RowResolver(context.resolution, command.nowSeconds, context.gcGraceSeconds)
    const slices = command.slices ?? WHOLE_PARTITION
    this.#slices = command.reversed ? [...slices].reverse() : slices
    this.#tombstonesMax = command.tombstonesMax ?? Number.POSITIVE_INFINITY
    this.#whole = command.whole ? new WholeForm(context.resolution, command, context.gcGraceSeconds) : null
  }

  *run(): ReadSteps<ReadResult> {
    const { target } = this.#command
    if (this.#command.limit <= 0) this.#more = true
    else if (target.kind === 'range') yield* this.#range(target.start, target.end)
    else {
      const clustering = this.#single()
      if (clustering !== null) yield* this.#point(target.position, clustering)
      else yield* this.#one(target.position)
    }
    const tombstones = this.#tombstones + this.#resolver.tombstones
    if (target.kind === 'range') this.#context.didScan(tombstones, this.#rows)
    else this.#context.didRead(this.#tables, tombstones, this.#rows)
    return { partitions: this.#result, more: this.#more, tombstones }
  }

  /** The clustering of the only row that is asked for; null when more may be. */
  #single(): Buffer | null {
    const { slices, after } = this.#command
    if (after !== null) return null
    if (slices === null) return this.#context.hasClustering ? null : START_OF_PARTITION
    const slice = slices.length === 1 ? slices[0]! : null
    return slice?.single ? slice.start : null
  }

  /** Reads one row by its whole key: one look-up in each source. */
  *#point(position: Buffer, clustering: Buffer): ReadSteps<void> {
    const command = this.#command
    const { sources, hasClustering } = this.#context
    const resolver = this.#resolver
    const key = rowKey(position, clustering)
    let row: Buffer | null = null
    let deletion: Buffer | null = null
    let ranged: Source[] | null = null
    for (let i = 0; i < sources.length; i++) {
      const source = sources[i]!
      if (deletion !== null && this.#isPassedOver(source, deletion)) continue
      // What settles the row says nothing of the static row, which a deletion of the partition covers too.
      const settled = row !== null && this.#isSettled(row, source)
      if (settled && !command.wantStatic) continue
      if (!source.mayHold(position)) continue
      if (source.isFile) this.#tables++
      if (!settled) {
        if (!hasClustering || source.mayHoldRow(clustering)) {
          const found = source.get(key)
          const version = found instanceof Promise ? yield* waitFor(found) : found
          if (version !== null) row = row === null ? version : resolver.merge(row, version)
        }
        if (source.hasRangeTombstones) {
          if (ranged === null) ranged = [source]
          else ranged.push(source)
        }
      }
      if (!source.hasPartitionDeletions) continue
      const got = source.get(partitionRecordKey(position, EntryKind.PARTITION_DELETION))
      deletion = greaterDeletion(deletion, got instanceof Promise ? yield* waitFor(got) : got)
    }
    const staticRow = command.wantStatic ? yield* this.#static(position, sources, deletion) : null
    let covering = deletion
    if (ranged !== null) {
      const ranges = this.#rangeDeletions(position, ranged, deletion, true, null)
      const begun = ranges.begin(clustering)
      if (begun) yield begun
      const ended = ranges.end(Buffer.concat([clustering, AFTER]))
      if (ended) yield ended
      this.#tombstones += ranges.met
      covering = greaterDeletion(deletion, ranges.deletion)
    }
    if (row !== null) row = resolver.applyDeletion(row, covering)
    if (this.#whole !== null) return this.#wholePoint(this.#whole, clustering, row, deletion, covering, staticRow)
    if (row !== null && resolver.isFlattened(row)) row = resolver.flat(row)
    const live = row !== null && command.perPartitionLimit > 0 && (command.dead === true || resolver.isLive(row))
    if (live) this.#rows++
    if (live || staticRow !== null)
      this.#result.push({
        position,
        key: position.subarray(POSITION_HEAD_BYTES),
        staticRow,
        rows: live ? [RowData.of(clustering, row!)] : [],
      })
  }

  /** Whether a source has nothing to say beside a deletion of the partition: a whole read tells deletions that are equally new apart. */
  #isPassedOver(source: Source, deletion: Buffer): boolean {
    return this.#context.resolution.isByTimestamp && isCovered(source, deletion, this.#whole === null ? 0 : 1)
  }

  /** Gives one row with the deletions that cover it. */
  #wholePoint(
    whole: WholeForm,
    clustering: Buffer,
    row: Buffer | null,
    deletion: Buffer | null,
    covering: Buffer | null,
    staticRow: Buffer | null,
  ): void {
    const { target } = this.#command
    const found = new WholePartition(false, Number.POSITIVE_INFINITY)
    const left = row === null ? null : whole.row(row)
    if (left !== null) found.add(clustering, left, !this.#resolver.isLive(left))
    const ofRange = covering === deletion ? null : whole.deletion(covering)
    const { start, end } = this.#slices[0]!
    if (ofRange !== null) found.range(start, end, ofRange)
    this.#rows += found.live
    const data = found.data((target as { position: Buffer }).position, whole.deletion(deletion), staticRow)
    if (data !== null) this.#result.push(data)
  }

  /** Nothing that the source may hold is newer than what the reader looks at in the row. */
  #isSettled(row: Buffer, source: Source): boolean {
    const { columns, nowSeconds } = this.#command
    const max = source.maxTimestamp
    if (columns === undefined || max === null || this.#whole !== null) return false
    return this.#context.resolution.settles(row, columns, nowSeconds, max.high, max.low)
  }

  /** Reads rows of one partition. */
  *#one(position: Buffer): ReadSteps<void> {
    const { after, wantStatic, reversed } = this.#command
    if (after?.partitionDone) return
    const holding = this.#context.sources.filter((source) => source.mayHold(position))
    for (const source of holding) if (source.isFile) this.#tables++
    if (holding.length === 0) return
    const deletion = yield* this.#deletionOf(position, holding)
    const sources = deletion === null ? holding : holding.filter((source) => !this.#isPassedOver(source, deletion))
    const staticRow = wantStatic ? yield* this.#static(position, sources, deletion) : null
    const inSlices = sources.filter((source) => this.#slices.some(({ start, end }) => source.mayHoldRows(start, end)))
    const ranged = sources.filter((source) => source.hasRangeTombstones)
    const cursor = new MergedCursor(inSlices, reversed)
    yield* this.#partition({ position, cursor, deletion, staticRow, ranged })
  }

  /** The partition's own deletion: the greatest of the sources'. */
  *#deletionOf(position: Buffer, sources: readonly Source[]): ReadSteps<Buffer | null> {
    let deletion: Buffer | null = null
    let waits: Promise<Buffer | null>[] | null = null
    let key: Buffer | null = null
    try {
      for (const source of sources) {
        if (!source.hasPartitionDeletions) continue
        key ??= partitionRecordKey(position, EntryKind.PARTITION_DELETION)
        const got = source.get(key)
        if (!(got instanceof Promise)) deletion = greaterDeletion(deletion, got)
        else if (waits === null) waits = [got]
        else waits.push(got)
      }
    } catch (error) {
      abandon(waits)
      throw error
    }
    if (waits !== null) for (const got of yield* waitFor(Promise.all(waits))) deletion = greaterDeletion(deletion, got)
    return deletion
  }

  *#range(from: Buffer | null, end: Buffer | null): ReadSteps<void> {
    const { after, reversed, wantStatic } = this.#command
    const { sources } = this.#context
    const rangedSources = sources.filter((source) => source.hasRangeTombstones)
    let start = from ?? NO_POSITION
    if (after) start = after.partitionDone ? afterPartition(after.position) : after.position
    const scan = new MergedCursor(sources, false, true)
    const backwards = reversed ? new MergedCursor(sources, true, true) : null
    const first = scan.seek(start)
    if (first) yield first
    while (!this.#more && scan.key !== null) {
      if (end !== null && scan.key.compareTo(end) >= 0) return
      const key = scan.key.view()
      const position = key.subarray(0, positionLength(key))
      let deletion: Buffer | null = null
      if (kindAt(scan, position) === EntryKind.PARTITION_DELETION) {
        for (let i = 0; i < scan.versions; i++) deletion = greaterDeletion(deletion, scan.version(i))
        const wait = scan.next()
        if (wait) yield wait
      }
      let staticRow: Buffer | null = null
      if (kindAt(scan, position) === EntryKind.STATIC_ROW) {
        if (wantStatic) staticRow = this.#visible(this.#merged(scan), deletion)
        const wait = scan.next()
        if (wait) yield wait
      }
      const ranged = kindAt(scan, position) === EntryKind.RANGE_TOMBSTONE ? rangedSources : []
      yield* this.#partition({ position, cursor: backwards ?? scan, deletion, staticRow, ranged })
      if (this.#more) return
      if (kindAt(scan, position) !== -1) {
        const wait = scan.seek(afterPartition(position))
        if (wait) yield wait
      }
      if (++this.#records % RECORDS_PER_TURN === 0) yield this.#context.pause()
    }
  }

  /** The record at the cursor, merged, in memory that stays. */
  #merged(cursor: MergedCursor): Buffer {
    if (cursor.versions === 1) return cursor.version(0)
    return this.#resolver.mergeAll(cursor.versions, (index) => cursor.version(index))
  }

  /** Whether a reader sees the row at the cursor under a deletion; `#row` is then where it lies. */
  #isVisible(cursor: MergedCursor, deletion: Buffer | null): boolean {
    const row = this.#row
    if (cursor.versions === 1) cursor.versionInto(0, row)
    else row.setTo(this.#merged(cursor))
    if (deletion === null && this.#whole === null && !this.#resolver.isFlattened(row.buffer, row.start))
      return this.#resolver.isLive(row.buffer, row.start, row.end)
    const left = this.#visible(row.view(), deletion)
    if (left === null) return false
    row.setTo(left)
    return true
  }

  /** The row under a deletion; null when a reader does not see it. */
  #visible(row: Buffer, deletion: Buffer | null): Buffer | null {
    const resolver = this.#resolver
    let left = resolver.applyDeletion(row, deletion)
    if (this.#whole !== null) return left === null ? null : this.#whole.row(left)
    if (left !== null && resolver.isFlattened(left)) left = resolver.flat(left)
    return left !== null && resolver.isLive(left) ? left : null
  }

  /** Gives a partition with its rows and all that is deleted in it. */
  *#wholePartition(plan: PartitionPlan, whole: WholeForm): ReadSteps<void> {
    const command = this.#command
    const { position, staticRow } = plan
    const after = command.after?.position.equals(position) ? command.after : null
    const given = after?.rowsGiven ?? 0
    const found = new WholePartition(command.reversed, command.byteLimit - this.#bytes)
    found.bytes = staticRow?.length ?? 0
    const most = Math.min(command.limit - this.#rows, command.perPartitionLimit - given)
    if (this.#slices.length > 0) yield* this.#rowsOf(plan, found.rows, most, after, found)
    this.#rows += found.live
    const isStaticLive = staticRow !== null && this.#resolver.isLive(staticRow)
    if (command.staticCounts && found.live === 0 && given === 0 && isStaticLive) this.#rows++
    this.#bytes += found.bytes
    if (this.#isTooMany() || this.#rows >= command.limit || this.#bytes >= command.byteLimit) this.#more = true
    const data = found.data(position, whole.deletion(plan.deletion), staticRow)
    if (data !== null) this.#result.push(data)
  }

  /** Gives a partition with its rows. */
  *#partition(plan: PartitionPlan): ReadSteps<void> {
    if (this.#whole !== null) return yield* this.#wholePartition(plan, this.#whole)
    const command = this.#command
    const { position, staticRow } = plan
    const after = command.after?.position.equals(position) ? command.after : null
    const rows: RowData[] = []
    const given = after?.rowsGiven ?? 0
    const most = Math.min(command.limit - this.#rows, command.perPartitionLimit - given)
    if (most > 0 && this.#slices.length > 0) yield* this.#rowsOf(plan, rows, most, after, null)
    if (this.#isTooMany()) this.#more = true
    if (rows.length === 0 && (staticRow === null || given > 0)) return
    this.#result.push({ position, key: position.subarray(POSITION_HEAD_BYTES), staticRow, rows })
    if (staticRow) this.#bytes += staticRow.length
    if (rows.length > 0) this.#rows += rows.length
    else if (command.staticCounts) this.#rows++
    if (this.#rows >= command.limit || this.#bytes >= command.byteLimit) this.#more = true
  }

  *#static(position: Buffer, sources: readonly Source[], deletion: Buffer | null): ReadSteps<Buffer | null> {
    let row: Buffer | null = null
    for (const source of sources) {
      if (!source.hasStaticRows || !source.mayHold(position)) continue
      const got = source.get(partitionRecordKey(position, EntryKind.STATIC_ROW))
      const version = got instanceof Promise ? yield* waitFor(got) : got
      if (version !== null) row = row === null ? version : this.#resolver.merge(row, version)
    }
    return row === null ? null : this.#visible(row, deletion)
  }

  *#rowsOf(
    plan: PartitionPlan,
    rows: RowData[],
    most: number,
    after: ReadCommand['after'],
    found: WholePartition | null,
  ): ReadSteps<void> {
    const { position, deletion, ranged } = plan
    const ranges = ranged.length > 0 ? this.#rangeDeletions(position, ranged, deletion, false, found) : null
    try {
      for (const slice of this.#slices) {
        const start = startOf(slice, after?.clustering ?? null, this.#command.reversed)
        if (start === null) continue
        if (ranges !== null) {
          const wait = ranges.begin(start)
          if (wait) yield wait
        }
        if (!(yield* this.#slice(plan, slice, start, ranges, rows, most, found))) return
        if (ranges === null) continue
        const wait = ranges.end(this.#command.reversed ? slice.start : slice.end)
        if (wait) yield wait
        if (ranges.stoppedAt === null) continue
        found!.cutAt(ranges.stoppedAt)
        return
      }
    } finally {
      if (ranges) this.#tombstones += ranges.met
    }
  }

  /** False: the read is over, or the partition's rows are. */
  *#slice(
    plan: PartitionPlan,
    slice: Slice,
    start: Buffer,
    ranges: RangeDeletions | null,
    rows: RowData[],
    most: number,
    found: WholePartition | null,
  ): ReadSteps<boolean> {
    const { reversed, byteLimit } = this.#command
    const { position, cursor, deletion } = plan
    const resolver = this.#resolver
    const headLength = position.length + 1
    const far = rowKey(position, reversed ? slice.start : slice.end)
    const near = rowKey(position, start)
    if (reversed || !cursor.key?.startsWith(position) || cursor.key.compareTo(near) < 0) {
      const wait = cursor.seek(near)
      if (wait) yield wait
    }
    while (cursor.key !== null) {
      const { key } = cursor
      const order = key.compareTo(far)
      if (reversed ? order < 0 : order >= 0) break
      if (++this.#records % RECORDS_PER_TURN === 0) yield this.#context.pause()
      let covering = deletion
      if (ranges !== null) {
        const clustering = key.buffer.subarray(key.start + headLength, key.end)
        const wait = ranges.find(clustering)
        if (wait) yield wait
        const stopped = ranges.stoppedAt
        if (stopped !== null && !stopped.equals(clustering)) {
          found!.cutAt(stopped)
          return false
        }
        covering = greaterDeletion(deletion, ranges.deletion)
      }
      const isVisible = this.#isVisible(cursor, covering)
      const { buffer, start, end } = this.#row
      if (found !== null) {
        const clustering = key.buffer.subarray(key.start + headLength, key.end)
        if (isVisible) found.add(clustering, this.#row.view(), !resolver.isLive(buffer, start, end))
        const tombstones = this.#tombstones + resolver.tombstones + (ranges?.met ?? 0)
        // A record of which nothing is left must not show, not even as a place where the read ended.
        const isEnough = isVisible && (found.isFull || found.live >= most)
        if (isEnough || tombstones > this.#tombstonesMax) {
          found.cutAt(clustering)
          return false
        }
      } else if (isVisible) {
        const row = new RowData(key.buffer, key.start + headLength, key.end, buffer, start, end, false)
        rows.push(row)
        this.#bytes += row.bytes
        if (this.#bytes >= byteLimit) {
          this.#more = true
          return false
        }
        if (rows.length >= most) return false
      } else if (this.#tombstones + resolver.tombstones + (ranges?.met ?? 0) > this.#tombstonesMax) return false
      const wait = cursor.next()
      if (wait) yield wait
    }
    return true
  }

  #isTooMany(): boolean {
    return this.#tombstones + this.#resolver.tombstones > this.#tombstonesMax
  }

  #rangeDeletions(
    position: Buffer,
    sources: readonly Source[],
    covered: Buffer | null,
    isSingle: boolean,
    sink: RangeSink | null,
  ): RangeDeletions {
    return new RangeDeletions({
      sources,
      position,
      reversed: !isSingle && this.#command.reversed,
      covered,
      gcBefore: this.#whole?.gcBefore ?? this.#command.nowSeconds - this.#context.gcGraceSeconds,
      tombstonesMax: this.#tombstonesMax,
      isSingle,
      sink,
      pause: () => this.#context.pause(),
    })
  }
}

/** Whether the deletion covers all that the source holds, and is newer than all of it if `order` is 1. */
function isCovered(source: Source, deletion: Buffer, order: 0 | 1): boolean {
  const max = source.maxTimestamp
  if (max === null) return false
  return compareTimestamps(readInt32(deletion, 0), readInt32(deletion, 4) >>> 0, max.high, max.low) >= order
}

/** The kind of the record at the cursor; -1 when it is none of the partition. */
function kindAt(cursor: MergedCursor, position: Buffer): number {
  const { key } = cursor
  return key?.startsWith(position) ? key.buffer[key.start + position.length]! : -1
}

/** The bound at which reading a slice begins (its end when reversed), or null when all of it was given before. */
export function startOf(slice: Slice, last: Buffer | null, reversed: boolean): Buffer | null {
  if (last === null) return reversed ? slice.end : slice.start
  if (reversed) {
    if (last.compare(slice.start) <= 0) return null
    return last.compare(slice.end) < 0 ? last : slice.end
  }
  if (last.compare(slice.end) >= 0) return null
  const next = Buffer.concat([last, AFTER])
  if (next.compare(slice.end) >= 0) return null
  return next.compare(slice.start) > 0 ? next : slice.start
}
