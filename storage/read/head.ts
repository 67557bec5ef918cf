/**
 * The first rows of a partition as they were read, in memory of their own, and reads that are answered from them.
 * Always: an answer is the one that a read of the sources gives, or there is none: what lies beyond the head, or before its time, is not known here.
 */
import {
  firstRowFrom,
  type PartitionData,
  type ReadCommand,
  type ReadResult,
  RowData,
  WHOLE_PARTITION,
} from '../model/command.ts'
import type { Resolution } from '../model/merge.ts'
import { POSITION_HEAD_BYTES } from '../model/mutation.ts'
import { startOf } from './read.ts'
import { RowResolver } from './row-resolver.ts'

export interface PartitionHead {
  readonly staticRow: Buffer | null
  readonly rows: readonly RowData[]
  /** There are no other rows. */
  readonly isWhole: boolean
  /** When it was read: what had expired by then is not in it. */
  readonly nowSeconds: number
  readonly bytes: number
}

/** The command that reads the head of which the given command asks for a part. */
export function headCommand(command: ReadCommand, rows: number, byteLimit: number): ReadCommand {
  const { table, target, nowSeconds } = command
  return {
    table,
    target,
    slices: null,
    reversed: false,
    wantStatic: true,
    staticCounts: false,
    limit: rows,
    perPartitionLimit: Number.POSITIVE_INFINITY,
    byteLimit,
    nowSeconds,
    after: null,
    ...(command.tombstonesMax === undefined ? {} : { tombstonesMax: command.tombstonesMax }),
  }
}

/** What the answer to a headCommand holds, copied; null when its bytes are too many. */
export function headOf(result: ReadResult, command: ReadCommand): PartitionHead | null {
  const { nowSeconds, limit, byteLimit } = command
  const partition = result.partitions[0]
  if (partition === undefined) return { staticRow: null, rows: [], isWhole: true, nowSeconds, bytes: 0 }
  let bytes = partition.staticRow?.length ?? 0
  for (const row of partition.rows) bytes += row.bytes
  if (bytes >= byteLimit) return null
  const memory = Buffer.allocUnsafeSlow(bytes)
  let at = 0
  const keep = (from: Buffer): Buffer => {
    memory.set(from, at)
    at += from.length
    return memory.subarray(at - from.length, at)
  }
  return {
    staticRow: partition.staticRow && keep(partition.staticRow),
    rows: partition.rows.map(({ clustering, row }) => RowData.of(keep(clustering), keep(row))),
    isWhole: partition.rows.length < limit,
    nowSeconds,
    bytes,
  }
}

/** Null: the head does not hold all that is asked for. */
export function readHead(
  head: PartitionHead,
  command: ReadCommand,
  options: { readonly resolution: Resolution; readonly gcGraceSeconds: number },
): ReadResult | null {
  const { reversed, nowSeconds, limit, target } = command
  if (nowSeconds < head.nowSeconds || target.kind !== 'partition') return null
  if (reversed && !head.isWhole) return null
  const after = command.after?.position.equals(target.position) ? command.after : null
  if (limit <= 0 || after?.partitionDone) return { partitions: [], more: limit <= 0, tombstones: 0 }
  const resolver = new RowResolver(options.resolution, nowSeconds, options.gcGraceSeconds)
  const given = after?.rowsGiven ?? 0
  const most = Math.min(limit, command.perPartitionLimit - given)
  const rows: RowData[] = []
  const taken = most > 0 ? takeRows(head, command, resolver, rows, most) : { bytes: 0, isKnown: true }
  if (!taken.isKnown) return null
  const staticRow = command.wantStatic && head.staticRow && resolver.isLive(head.staticRow) ? head.staticRow : null
  const partitions: PartitionData[] = []
  if (rows.length > 0 || (staticRow !== null && given === 0)) {
    const { position } = target
    partitions.push({ position, key: position.subarray(POSITION_HEAD_BYTES), staticRow, rows })
  }
  const count = rows.length > 0 || !command.staticCounts ? rows.length : partitions.length
  const bytes = taken.bytes + (partitions.length > 0 ? (staticRow?.length ?? 0) : 0)
  return { partitions, more: count >= limit || bytes >= command.byteLimit, tombstones: resolver.tombstones }
}

/** Adds the rows of the command's slices; `isKnown` false: the head ends before they do. */
function takeRows(
  head: PartitionHead,
  command: ReadCommand,
  resolver: RowResolver,
  rows: RowData[],
  most: number,
): { bytes: number; isKnown: boolean } {
  const { reversed } = command
  const slices = command.slices ?? WHOLE_PARTITION
  let bytes = 0
  for (const slice of reversed ? [...slices].reverse() : slices) {
    const start = startOf(slice, command.after?.clustering ?? null, reversed)
    if (start === null) continue
    const first = firstRowFrom(head.rows, reversed ? slice.start : start)
    const end = firstRowFrom(head.rows, reversed ? start : slice.end)
    for (let i = 0; i < end - first; i++) {
      const row = head.rows[reversed ? end - 1 - i : first + i]!
      if (!resolver.isLive(row.rowBuffer, row.rowStart, row.rowEnd)) continue
      rows.push(row)
      bytes += row.bytes
      if (rows.length >= most || bytes >= command.byteLimit) return { bytes, isKnown: true }
    }
    const last = head.rows[head.rows.length - 1]
    const isBeyond = !head.isWhole && (last === undefined || slice.end.compare(last.clustering) > 0)
    if (isBeyond && !(slice.single && end > first)) return { bytes, isKnown: false }
  }
  return { bytes, isKnown: true }
}
