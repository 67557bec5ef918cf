/**
 * Answers a ReadCommand from a table's sources. Written as generators that yield what must be waited for (a block of a file, a pause for the
 * event loop): a read that meets none of it runs through in one go and gives its answer at once.
 */
import {
  END_OF_PARTITION,
  type PartitionData,
  type ReadCommand,
  type ReadResult,
  type RowData,
  type Slice,
  START_OF_PARTITION,
} from '../model/command.ts'
import type { Resolution } from '../model/merge.ts'
import { EntryKind, POSITION_HEAD_BYTES } from '../model/mutation.ts'
import { afterPartition, isPrefix, partitionRecordKey, positionLength, rowKey } from './keys.ts'
import { MergedCursor } from './merged-cursor.ts'
import { RangeDeletions } from './range-deletions.ts'
import { greaterDeletion, RowResolver } from './row-resolver.ts'
import type { Source } from './source.ts'

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

export type ReadSteps<R> = Generator<Promise<unknown>, R, void>

const EVERYTHING: readonly Slice[] = [{ start: Buffer.alloc(0), end: END_OF_PARTITION }]
const NO_POSITION = Buffer.alloc(0)
/** Records looked at before a scan lets others run: a few milliseconds. */
const RECORDS_PER_TURN = 2048

export function* readRows(context: ReadContext, command: ReadCommand): ReadSteps<ReadResult> {
  return yield* new Read(context, command).run()
}

class Read {
  readonly #context: ReadContext
  readonly #command: ReadCommand
  readonly #resolver: RowResolver
  readonly #slices: readonly Slice[]
  readonly #result: PartitionData[] = []
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
    const slices = command.slices ?? EVERYTHING
    this.#slices = command.reversed ? [...slices].reverse() : slices
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
    const sources = this.#context.sources
    const resolver = this.#resolver
    const key = rowKey(position, clustering)
    let row: Buffer | null = null
    let deletion: Buffer | null = null
    let ranged: Source[] | null = null
    for (let i = 0; i < sources.length; i++) {
      const source = sources[i]!
      // What settles the row says nothing of the static row, which a deletion of the partition covers too.
      const settled = row !== null && this.#isSettled(row, source)
      if (settled && !command.wantStatic) continue
      if (!source.mayHold(position)) continue
      if (source.isFile) this.#tables++
      if (!settled) {
        const found = source.get(key)
        const version = found instanceof Promise ? yield* waitFor(found) : found
        if (version !== null) row = row === null ? version : resolver.merge(row, version)
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
    if (row !== null && ranged !== null) {
      const ranges = new RangeDeletions(ranged, position)
      const wait = ranges.find(clustering)
      if (wait) yield wait
      this.#tombstones += ranges.met
      deletion = greaterDeletion(deletion, ranges.deletion)
    }
    if (row !== null) row = resolver.applyDeletion(row, deletion)
    const live = row !== null && command.perPartitionLimit > 0 && resolver.isLive(row)
    if (live) this.#rows++
    if (live || staticRow !== null)
      this.#result.push({
        position,
        key: position.subarray(POSITION_HEAD_BYTES),
        staticRow,
        rows: live ? [{ clustering, row: row! }] : [],
      })
  }

  /** Nothing that the source may hold is newer than what the reader looks at in the row. */
  #isSettled(row: Buffer, source: Source): boolean {
    const { columns, nowSeconds } = this.#command
    const max = source.maxTimestamp
    if (columns === undefined || max === null) return false
    return this.#context.resolution.settles(row, columns, nowSeconds, max.high, max.low)
  }

  *#one(position: Buffer): ReadSteps<void> {
    if (this.#command.after?.partitionDone) return
    const sources = this.#context.sources.filter((source) => source.mayHold(position))
    for (const source of sources) if (source.isFile) this.#tables++
    if (sources.length > 0) yield* this.#partition(position, sources, new MergedCursor(sources, this.#command.reversed))
  }

  *#range(from: Buffer | null, end: Buffer | null): ReadSteps<void> {
    const { after, reversed } = this.#command
    const sources = this.#context.sources
    let start = from ?? NO_POSITION
    if (after) start = after.partitionDone ? afterPartition(after.position) : after.position
    const scan = new MergedCursor(sources, false)
    const backwards = reversed ? new MergedCursor(sources, true) : null
    const first = scan.seek(start)
    if (first) yield first
    while (!this.#more && scan.key !== null) {
      const key: Buffer = scan.key
      if (end !== null && key.compare(end) >= 0) return
      const position = key.subarray(0, positionLength(key))
      yield* this.#partition(position, sources, backwards ?? scan)
      if (this.#more) return
      if (scan.key !== null && isPrefix(position, scan.key)) {
        const wait = scan.seek(afterPartition(position))
        if (wait) yield wait
      }
    }
  }

  /** Reads one partition. The cursor may stand on one of its records already; else it is led there. */
  *#partition(position: Buffer, sources: readonly Source[], cursor: MergedCursor): ReadSteps<void> {
    const command = this.#command
    const after = command.after?.position.equals(position) ? command.after : null
    let deletion: Buffer | null = null
    for (const source of sources) {
      if (!source.hasPartitionDeletions) continue
      const got = source.get(partitionRecordKey(position, EntryKind.PARTITION_DELETION))
      deletion = greaterDeletion(deletion, got instanceof Promise ? yield* waitFor(got) : got)
    }
    const staticRow = command.wantStatic ? yield* this.#static(position, sources, deletion) : null
    const rows: RowData[] = []
    const given = after?.rowsGiven ?? 0
    const most = Math.min(command.limit - this.#rows, command.perPartitionLimit - given)
    if (most > 0 && this.#slices.length > 0) yield* this.#rowsOf(position, sources, cursor, deletion, rows, most, after)
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
      if (!source.hasStaticRows) continue
      const got = source.get(partitionRecordKey(position, EntryKind.STATIC_ROW))
      const version = got instanceof Promise ? yield* waitFor(got) : got
      if (version !== null) row = row === null ? version : this.#resolver.merge(row, version)
    }
    if (row !== null) row = this.#resolver.applyDeletion(row, deletion)
    return row !== null && this.#resolver.isLive(row) ? row : null
  }

  *#rowsOf(
    position: Buffer,
    sources: readonly Source[],
    cursor: MergedCursor,
    deletion: Buffer | null,
    rows: RowData[],
    most: number,
    after: ReadCommand['after'],
  ): ReadSteps<void> {
    const { reversed, byteLimit } = this.#command
    const resolver = this.#resolver
    const ranged = sources.filter((source) => source.hasRangeTombstones)
    const ranges = ranged.length > 0 ? new RangeDeletions(ranged, position) : null
    const headLength = position.length + 1
    try {
      for (const slice of this.#slices) {
        const start = startOf(slice, after?.clustering ?? null, reversed)
        if (start === null) continue
        const far = rowKey(position, reversed ? slice.start : slice.end)
        const near = rowKey(position, start)
        if (reversed || cursor.key === null || !isPrefix(position, cursor.key) || cursor.key.compare(near) < 0) {
          const wait = cursor.seek(near)
          if (wait) yield wait
        }
        while (cursor.key !== null) {
          const key: Buffer = cursor.key
          const order = key.compare(far)
          if (reversed ? order < 0 : order >= 0) break
          if (++this.#records % RECORDS_PER_TURN === 0) yield this.#context.pause()
          const clustering = key.subarray(headLength)
          let row: Buffer | null =
            cursor.versions === 1
              ? cursor.version(0)
              : resolver.mergeAll(cursor.versions, (index) => cursor.version(index))
          let covering = deletion
          if (ranges !== null) {
            const wait = ranges.find(clustering)
            if (wait) yield wait
            covering = greaterDeletion(deletion, ranges.deletion)
          }
          row = resolver.applyDeletion(row, covering)
          if (row !== null && resolver.isLive(row)) {
            rows.push({ clustering, row })
            this.#bytes += clustering.length + row.length
            if (this.#bytes >= byteLimit) {
              this.#more = true
              return
            }
            if (rows.length >= most) return
          }
          const wait = cursor.next()
          if (wait) yield wait
        }
      }
    } finally {
      if (ranges) this.#tombstones += ranges.met
    }
  }
}

/** The bound at which reading a slice begins (its end when reversed), or null when all of it was given before. */
function startOf(slice: Slice, last: Buffer | null, reversed: boolean): Buffer | null {
  if (last === null) return reversed ? slice.end : slice.start
  if (reversed) {
    if (last.compare(slice.start) <= 0) return null
    return last.compare(slice.end) < 0 ? last : slice.end
  }
  if (last.compare(slice.end) >= 0) return null
  const next = Buffer.concat([last, Buffer.from([0])])
  if (next.compare(slice.end) >= 0) return null
  return next.compare(slice.start) > 0 ? next : slice.start
}

/** Waits in a generator and gives what came. */
export function* waitFor<T>(promise: Promise<T>): ReadSteps<T> {
  let value: { readonly got: T } | null = null
  yield promise.then((got) => {
    value = { got }
  })
  return (value as unknown as { readonly got: T }).got
}

/** Runs the steps: at once when they wait for nothing. */
export function drive<R>(steps: ReadSteps<R>): R | Promise<R> {
  const first = steps.next()
  return first.done ? first.value : driveLater(steps, first.value)
}

async function driveLater<R>(steps: ReadSteps<R>, first: Promise<unknown>): Promise<R> {
  let wait = first
  for (;;) {
    let step: IteratorResult<Promise<unknown>, R>
    try {
      await wait
      step = steps.next()
    } catch (error) {
      // Lets the steps' own finally blocks run, then tells the caller.
      step = steps.throw(error)
    }
    if (step.done) return step.value
    wait = step.value
  }
}
