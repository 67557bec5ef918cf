/**
 * Whole answers of several replicas to one command as one answer, and what each replica lacks of it. Pure.
 * Source: Cassandra's DataResolver and its RowIteratorMergeListener; that an answer which a limit cut says nothing of what comes after (short reads).
 * Always: nothing is said of a place that one of the answers did not reach; what a replica is given is the winner of what all of them hold, and rows
 * and deletions are merged by the table's own law.
 */
import { ByteWriter } from '../../lib/base/bytes.ts'
import {
  type PartitionData,
  type RangeTombstone,
  type ReadCommand,
  type ReadPoint,
  type ReadResult,
  RowData,
} from '../../storage/model/command.ts'
import { compareDeletions } from '../../storage/model/deletion.ts'
import { Coverage, type Resolution } from '../../storage/model/merge.ts'
import { POSITION_HEAD_BYTES } from '../../storage/model/mutation.ts'
import { partitionMutations } from '../../storage/model/partition-mutation.ts'
import { RowReader, readInt32, rowIsLive } from '../../storage/model/row.ts'

const EMPTY_ROW_BYTES = 1
const AFTER = Buffer.from([0])

export interface Merged {
  readonly result: ReadResult
  /** Where the command goes on; null: all of it is answered. */
  readonly next: ReadPoint | null
  /** By answer: mutations that give the replica what it lacks. */
  readonly repairs: readonly (readonly Buffer[])[]
  /** Partitions of which a replica lacked something. */
  readonly differing: number
}

/** Where a command goes on after the answer of one replica; null: all of it is answered. */
export function pointAfter(result: ReadResult, command: ReadCommand): ReadPoint | null {
  const last = result.partitions.at(-1)
  if (!result.more || last === undefined) return null
  const cut = command.whole ? last.cut : last.rows.at(-1)?.clustering
  return pointIn(last.position, cut ?? null, givenBefore(command, last.position), liveRows(last.rows), command)
}

function pointIn(
  position: Buffer,
  cut: Buffer | null,
  given: number,
  live: number,
  command: ReadCommand,
): ReadPoint | null {
  const partitionDone = cut === null || given + live >= command.perPartitionLimit
  if (partitionDone && command.target.kind === 'partition') return null
  return {
    position,
    clustering: partitionDone ? null : cut,
    partitionDone,
    rowsGiven: partitionDone ? 0 : given + live,
  }
}

/** Rows of the partition that were given before this command. */
export function givenBefore({ after }: ReadCommand, position: Buffer): number {
  return after !== null && !after.partitionDone && after.position.equals(position) ? after.rowsGiven : 0
}

export function liveRows(rows: readonly RowData[]): number {
  let live = 0
  for (let i = 0; i < rows.length; i++) if (!rows[i]!.isDead) live++
  return live
}

export function mergeAnswers(
  answers: readonly ReadResult[],
  command: ReadCommand,
  resolution: Resolution,
  tableId: Uint8Array,
): Merged {
  return new Merge(answers, command, resolution, tableId).run()
}

class Merge {
  readonly #answers: readonly ReadResult[]
  readonly #command: ReadCommand
  readonly #resolution: Resolution
  readonly #tableId: Uint8Array
  readonly #reader = new RowReader()
  readonly #scratch: readonly [ByteWriter, ByteWriter] = [new ByteWriter(512), new ByteWriter(512)]
  readonly #repairs: Buffer[][]
  #differing = 0

  constructor(answers: readonly ReadResult[], command: ReadCommand, resolution: Resolution, tableId: Uint8Array) {
    this.#answers = answers
    this.#command = command
    this.#resolution = resolution
    this.#tableId = tableId
    this.#repairs = answers.map(() => [])
  }

  run(): Merged {
    const answers = this.#answers
    const command = this.#command
    const at = answers.map(() => 0)
    const partitions: PartitionData[] = []
    let rows = 0
    let next: ReadPoint | null = null
    // The first partition that not all answers reach, and the place from which it must be asked for again.
    const ends = answers.map(({ more, partitions: given }) => (more ? (given.at(-1)?.position ?? null) : null))
    for (;;) {
      const position = this.#least(at)
      if (position === null) break
      const beyond = ends.find((end) => end !== null && end.compare(position) < 0)
      if (beyond) break
      const parts = answers.map(({ partitions: given }, i) => {
        const part = given[at[i]!]
        if (part === undefined || !part.position.equals(position)) return null
        at[i]!++
        return part
      })
      const merged = this.#partition(position, parts)
      const given = givenBefore(command, position)
      const live = liveRows(merged.rows)
      partitions.push(merged)
      rows += live
      if (merged.cut && given + live < command.perPartitionLimit) {
        next = pointIn(position, merged.cut, given, live, command)
        return this.#merged(partitions, next)
      }
      if (rows >= command.limit) {
        next = command.target.kind === 'partition' ? null : doneWith(position)
        return this.#merged(partitions, next, true)
      }
    }
    // What the shortest answer ended with is merged: after it nothing is known.
    for (const end of ends) if (end !== null && (next === null || end.compare(next.position) < 0)) next = doneWith(end)
    if (command.target.kind === 'partition') next = null
    return this.#merged(partitions, next)
  }

  #merged(partitions: PartitionData[], next: ReadPoint | null, isFull = false): Merged {
    const tombstones = this.#answers.reduce((most, answer) => Math.max(most, answer.tombstones), 0)
    return {
      result: { partitions, more: isFull || next !== null, tombstones },
      next,
      repairs: this.#repairs,
      differing: this.#differing,
    }
  }

  #least(at: readonly number[]): Buffer | null {
    let least: Buffer | null = null
    for (let i = 0; i < at.length; i++) {
      const position = this.#answers[i]!.partitions[at[i]!]?.position
      if (position !== undefined && (least === null || position.compare(least) < 0)) least = position
    }
    return least
  }

  #partition(position: Buffer, parts: readonly (PartitionData | null)[]): PartitionData {
    const { reversed } = this.#command
    let cut: Buffer | null = null
    let deletion: Buffer | null = null
    for (const part of parts) {
      if (part === null) continue
      if (part.cut && (cut === null || (reversed ? part.cut.compare(cut) > 0 : part.cut.compare(cut) < 0)))
        cut = part.cut
      if (part.deletion && (deletion === null || compareDeletions(part.deletion, 0, deletion, 0) > 0))
        deletion = part.deletion
    }
    const within = parts.map((part) => (part === null ? [] : clip(part.rangeTombstones ?? [], cut, reversed)))
    const rangeTombstones = mergeRanges(within, deletion)
    const staticRow = this.#row(
      parts.map((part) => part?.staticRow ?? null),
      deletion,
    )
    const { rows, versions } = this.#rows(parts, cut, deletion, rangeTombstones)
    const merged = {
      position,
      key: position.subarray(POSITION_HEAD_BYTES),
      staticRow,
      rows,
      deletion,
      rangeTombstones,
      cut,
    }
    this.#repair(merged, parts, within, versions)
    return merged
  }

  /** The rows up to the cut, and the versions of each, by answer. */
  #rows(
    parts: readonly (PartitionData | null)[],
    cut: Buffer | null,
    deletion: Buffer | null,
    ranges: readonly RangeTombstone[],
  ): { rows: RowData[]; versions: MergedRow[] } {
    const { reversed, nowSeconds } = this.#command
    const rows: RowData[] = []
    const versions: MergedRow[] = []
    const at = parts.map(() => 0)
    let range = reversed ? ranges.length - 1 : 0
    for (;;) {
      let clustering: Buffer | null = null
      for (let i = 0; i < parts.length; i++) {
        const own = parts[i]?.rows[at[i]!]?.clustering
        if (own === undefined) continue
        if (clustering === null || (reversed ? own.compare(clustering) > 0 : own.compare(clustering) < 0))
          clustering = own
      }
      if (clustering === null) break
      if (cut !== null && (reversed ? clustering.compare(cut) < 0 : clustering.compare(cut) > 0)) break
      const of: (Buffer | null)[] = []
      for (let i = 0; i < parts.length; i++) {
        const own = parts[i]?.rows[at[i]!]
        if (own?.clustering.equals(clustering)) {
          of.push(own.row)
          at[i]!++
        } else of.push(null)
      }
      if (reversed) while (range >= 0 && ranges[range]!.start.compare(clustering) > 0) range--
      else while (range < ranges.length && ranges[range]!.end.compare(clustering) <= 0) range++
      const nearest = ranges[range]
      const isCovered =
        nearest !== undefined && nearest.start.compare(clustering) <= 0 && nearest.end.compare(clustering) > 0
      const row = this.#row(of, isCovered ? nearest.deletion : deletion)
      versions.push({ clustering, row, of })
      if (row !== null) rows.push(RowData.of(clustering, row, !rowIsLive(this.#reader.reset(row), nowSeconds)))
    }
    return { rows, versions }
  }

  /** The versions as one, without what the deletion covers; null: nothing is left. */
  #row(versions: readonly (Buffer | null)[], deletion: Buffer | null): Buffer | null {
    let row: Buffer | null = null
    for (const version of versions) {
      if (version === null) continue
      if (row === null) row = version
      else if (!row.equals(version)) {
        const out = this.#scratch[0]
        out.reset()
        this.#resolution.merge(out, row, 0, row.length, version, 0, version.length)
        row = out.copy()
      }
    }
    if (row === null || deletion === null) return row
    const tsHigh = readInt32(deletion, 0)
    const tsLow = readInt32(deletion, 4) >>> 0
    const coverage = this.#resolution.coverage(row, 0, row.length, tsHigh, tsLow)
    if (coverage === Coverage.NONE) return row
    if (coverage === Coverage.ALL) return null
    const out = this.#scratch[1]
    out.reset()
    this.#resolution.applyDeletion(out, row, 0, row.length, tsHigh, tsLow)
    return out.length > EMPTY_ROW_BYTES ? out.copy() : null
  }

  /** Makes for each answer what it lacks of the merged partition. */
  #repair(
    merged: PartitionData,
    parts: readonly (PartitionData | null)[],
    ranges: readonly (readonly RangeTombstone[])[],
    versions: readonly MergedRow[],
  ): void {
    let differs = false
    for (let i = 0; i < parts.length; i++) {
      const part = parts[i]!
      const { position, deletion, staticRow, rangeTombstones } = merged
      const lacking = {
        position,
        deletion: deletion && !part?.deletion?.equals(deletion) ? deletion : null,
        staticRow: staticRow !== null && !part?.staticRow?.equals(staticRow) ? staticRow : null,
        rangeTombstones: rangeTombstones!.filter((range) => !ranges[i]!.some((own) => isSame(own, range))),
        rows: versions.filter(
          (version): version is KnownRow => version.row !== null && !version.of[i]?.equals(version.row),
        ),
      }
      const made = partitionMutations(this.#tableId, lacking)
      if (made.length === 0) continue
      this.#repairs[i]!.push(...made)
      differs = true
    }
    if (differs) this.#differing++
  }
}

interface MergedRow {
  readonly clustering: Buffer
  /** Null: nothing is left of it. */
  readonly row: Buffer | null
  /** By answer. */
  readonly of: readonly (Buffer | null)[]
}

interface KnownRow extends MergedRow {
  readonly row: Buffer
}

function doneWith(position: Buffer): ReadPoint {
  return { position, clustering: null, partitionDone: true, rowsGiven: 0 }
}

function isSame(a: RangeTombstone, b: RangeTombstone): boolean {
  return a.start.equals(b.start) && a.end.equals(b.end) && a.deletion.equals(b.deletion)
}

/** The parts of ranges within what was read. */
function clip(ranges: readonly RangeTombstone[], cut: Buffer | null, reversed: boolean): readonly RangeTombstone[] {
  if (cut === null) return ranges
  const clipped: RangeTombstone[] = []
  const bound = reversed ? cut : Buffer.concat([cut, AFTER])
  for (const { start, end, deletion } of ranges) {
    const from = reversed && start.compare(bound) < 0 ? bound : start
    const to = !reversed && end.compare(bound) > 0 ? bound : end
    if (from.compare(to) < 0) clipped.push({ start: from, end: to, deletion })
  }
  return clipped
}

/** Lists of disjoint ascending ranges as one: each place has the greatest deletion, where it is newer than the partition's own. */
function mergeRanges(lists: readonly (readonly RangeTombstone[])[], covered: Buffer | null): readonly RangeTombstone[] {
  const others = lists.filter(({ length }) => length > 0)
  if (others.length === 0) return []
  const bounds = others
    .flatMap((ranges) => ranges.flatMap(({ start, end }) => [start, end]))
    .sort(Buffer.compare)
    .filter((bound, i, all) => i === 0 || !bound.equals(all[i - 1]!))
  const at = others.map(() => 0)
  const merged: { start: Buffer; end: Buffer; deletion: Buffer }[] = []
  for (let i = 0; i + 1 < bounds.length; i++) {
    const start = bounds[i]!
    const end = bounds[i + 1]!
    let deletion: Buffer | null = null
    for (let k = 0; k < others.length; k++) {
      const ranges = others[k]!
      while (at[k]! < ranges.length && ranges[at[k]!]!.end.compare(start) <= 0) at[k]!++
      const range = ranges[at[k]!]
      if (range === undefined || range.start.compare(start) > 0) continue
      if (deletion === null || compareDeletions(range.deletion, 0, deletion, 0) > 0) deletion = range.deletion
    }
    if (deletion === null || (covered !== null && compareDeletions(deletion, 0, covered, 0) <= 0)) continue
    const last = merged.at(-1)
    if (last?.end.equals(start) && last.deletion.equals(deletion)) last.end = end
    else merged.push({ start, end, deletion })
  }
  return merged
}
