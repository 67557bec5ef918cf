/**
 * Reads by an index at a level of several replicas. Each replica's index names the rows that it holds with the term; a row that not all of them give, or
 * not alike, is read by its key from all before it counts: so none is given that a newer version elsewhere takes out, and none is missed that
 * one of them knows.
 * Source: Cassandra's replica filtering protection (CASSANDRA-8272).
 * Always: rows come in the order of the table; who asks filters them once more, as with one node.
 */

import type { PartitionData, ReadCommand, ReadPoint, ReadResult, RowData, Slice } from '../../storage/model/command.ts'
import { END_OF_PARTITION } from '../../storage/model/command.ts'
import { askPiece, type PieceAnswer } from './range-parts.ts'
import { ReadCollector } from './read-collector.ts'
import { pointAfter } from './read-merge.ts'
import type { RangePiece, ReadPlan } from './read-plan.ts'
import { concurrencyAfter } from './read-ranges.ts'

/** How the coordinator asks. */
export interface IndexedReads {
  /** Where the command's rows may be. */
  readonly pieces: readonly RangePiece[]
  /** Plain answers of as many replicas as the level needs, one by one. */
  askEach(command: ReadCommand, plan: ReadPlan): Promise<readonly ReadResult[]>
  /** At the level, by key. */
  read(command: ReadCommand): Promise<ReadResult>
}

/** Partitions that are read by key at the same time. */
const AT_ONCE = 16
/** Rows of one answer. */
const ROWS_MIN = 32
const BYTES_MAX = 1024 * 1024
const BYTES_MIN = 64 * 1024

export async function readByIndexes(command: ReadCommand, reads: IndexedReads): Promise<ReadResult> {
  const collector = new ReadCollector(command)
  const { pieces } = reads
  let concurrency = 1
  for (let at = 0; at < pieces.length; ) {
    const batch = pieces.slice(at, at + concurrency)
    const asked = batch.map((piece, i) =>
      // A command that goes on does so in the first piece.
      askIn(command, piece, i === 0 ? collector.after : null, collector.rows, batch.length, reads),
    )
    const answers = (await Promise.all(asked)).flat()
    for (let i = 0; i < answers.length; i++) {
      let next = await takeAll(collector, answers[i]!.answer, reads)
      while (next !== null && !collector.isFull) {
        const again = await askIn(command, answers[i]!.piece, next, collector.rows, 1, reads)
        answers.splice(i, 1, ...again)
        next = await takeAll(collector, again[0]!.answer, reads)
      }
      if (collector.isFull) return collector.result(true)
    }
    at += batch.length
    concurrency = concurrencyAfter(concurrency, at, collector.rows, command.limit)
  }
  return collector.result(false)
}

interface Given {
  readonly part: ReadCommand
  readonly results: readonly ReadResult[]
}

function askIn(
  command: ReadCommand,
  piece: RangePiece,
  after: ReadPoint | null,
  rows: number,
  atOnce: number,
  reads: IndexedReads,
): Promise<PieceAnswer<Given>[]> {
  return askPiece(piece, after?.position ?? null, async (one, isFirst, among) => {
    const part = partOf(command, one, isFirst ? after : null, rows, atOnce * among)
    return { part, results: await reads.askEach(part, one.plan) }
  })
}

function partOf(
  command: ReadCommand,
  { start, end }: RangePiece,
  after: ReadPoint | null,
  rows: number,
  atOnce: number,
): ReadCommand {
  return {
    ...command,
    target: command.target.kind === 'range' ? { kind: 'range', start, end } : command.target,
    limit: Math.max(command.limit - rows, ROWS_MIN),
    byteLimit: Math.max(Math.floor(BYTES_MAX / atOnce), BYTES_MIN),
    after,
  }
}

/** Takes what the answers say, after what they do not agree on was looked at. Gives where the part goes on. */
async function takeAll(
  collector: ReadCollector,
  { results, part }: Given,
  reads: IndexedReads,
): Promise<ReadPoint | null> {
  const { found, next } = unite(results, part)
  await settle(found, part, reads)
  const partitions = found.map(({ agreed }) => agreed).filter((agreed) => agreed !== null)
  const tombstones = results.reduce((most, answer) => Math.max(most, answer.tombstones), 0)
  collector.take({ partitions, more: next !== null, tombstones }, next)
  return next
}

interface Found {
  readonly position: Buffer
  /** What all answers say alike, or what was read by key; null: nothing, or not known yet. */
  agreed: PartitionData | null
  /** Of a partition on which they differ: the rows that some of them give. */
  readonly clusterings: readonly Buffer[]
}

/** What the answers have up to where all of them reach. */
function unite(answers: readonly ReadResult[], command: ReadCommand): { found: Found[]; next: ReadPoint | null } {
  const next = nearest(
    answers.map((answer) => pointAfter(answer, command)),
    command.reversed,
  )
  const at = answers.map(() => 0)
  const found: Found[] = []
  for (;;) {
    let position: Buffer | null = null
    for (let i = 0; i < answers.length; i++) {
      const own = answers[i]!.partitions[at[i]!]?.position
      if (own !== undefined && (position === null || own.compare(position) < 0)) position = own
    }
    if (position === null || (next !== null && position.compare(next.position) > 0)) return { found, next }
    const parts = answers.map(({ partitions }, i) => {
      const part = partitions[at[i]!]
      if (part === undefined || !part.position.equals(position)) return null
      at[i]!++
      return part
    })
    found.push(unitePartition(position, parts, next, command.reversed))
  }
}

function unitePartition(
  position: Buffer,
  parts: readonly (PartitionData | null)[],
  next: ReadPoint | null,
  reversed: boolean,
): Found {
  const isCut = next !== null && !next.partitionDone && next.clustering !== null && next.position.equals(position)
  const last = isCut ? next.clustering! : null
  const within = parts.map((part) => {
    if (part === null || last === null) return part?.rows ?? []
    return part.rows.filter(({ clustering }) =>
      reversed ? clustering.compare(last) >= 0 : clustering.compare(last) <= 0,
    )
  })
  const first = parts[0] ?? null
  const isAgreed = parts.every((part, i) => isSame(first, within[0]!, part, within[i]!))
  if (isAgreed && first !== null) return { position, agreed: { ...first, rows: within[0]! }, clusterings: [] }
  const clusterings = within
    .flatMap((rows) => rows.map(({ clustering }) => clustering))
    .sort(Buffer.compare)
    .filter((clustering, i, all) => i === 0 || !clustering.equals(all[i - 1]!))
  return { position, agreed: null, clusterings }
}

function isSame(a: PartitionData | null, aRows: RowData[], b: PartitionData | null, bRows: RowData[]): boolean {
  if (a === null || b === null || aRows.length !== bRows.length) return a === b
  if (a.staticRow === null || b.staticRow === null ? a.staticRow !== b.staticRow : !a.staticRow.equals(b.staticRow))
    return false
  return aRows.every(({ clustering, row }, i) => clustering.equals(bRows[i]!.clustering) && row.equals(bRows[i]!.row))
}

/** The place that comes first; null is after all. */
function nearest(points: readonly (ReadPoint | null)[], reversed: boolean): ReadPoint | null {
  let first: ReadPoint | null = null
  for (const point of points) if (point !== null && (first === null || isBefore(point, first, reversed))) first = point
  return first
}

function isBefore(a: ReadPoint, b: ReadPoint, reversed: boolean): boolean {
  const order = a.position.compare(b.position)
  if (order !== 0) return order < 0
  if (a.partitionDone || a.clustering === null) return false
  if (b.partitionDone || b.clustering === null) return true
  return reversed ? a.clustering.compare(b.clustering) > 0 : a.clustering.compare(b.clustering) < 0
}

/** Reads by key what the answers do not agree on. */
async function settle(found: readonly Found[], command: ReadCommand, reads: IndexedReads): Promise<void> {
  const open = found.filter(({ agreed }) => agreed === null)
  for (let at = 0; at < open.length; at += AT_ONCE) {
    const batch = open.slice(at, at + AT_ONCE)
    const results = await Promise.all(batch.map((each) => reads.read(byKey(each, command))))
    for (let i = 0; i < batch.length; i++) batch[i]!.agreed = results[i]!.partitions[0] ?? null
  }
}

/** The rows that are in doubt; of an index of partitions all that the command allows. */
function byKey({ position, clusterings }: Found, command: ReadCommand): ReadCommand {
  const { index, columns: _, after: __, ...rest } = command
  const isWhole = index?.ofPartition === true || clusterings.length === 0
  const slices = isWhole ? command.slices : clusterings.map(sliceOfRow)
  return {
    ...rest,
    target: { kind: 'partition', position },
    slices,
    after: isWhole && command.after?.position.equals(position) ? command.after : null,
    limit: Number.POSITIVE_INFINITY,
    perPartitionLimit: Number.POSITIVE_INFINITY,
    byteLimit: Number.POSITIVE_INFINITY,
  }
}

function sliceOfRow(clustering: Buffer): Slice {
  // Of a table without clustering columns, whose only row has the empty one.
  if (clustering.length === 0) return { start: clustering, end: END_OF_PARTITION, single: true }
  return { start: clustering, end: Buffer.concat([clustering, ROW_END]), single: true }
}

/** No row lies between a clustering and itself with this. */
const ROW_END = Buffer.from([0])
