/**
 * Tables that are answered from memory: partitions with their rows in the storage encoding, read with the same commands as stored tables,
 * so that the query engine does not see a difference.
 * Always: partitions stand in the order in which a scan gives them; a partition's rows ascend by clustering, and all of them are live.
 */
import {
  firstRowFrom,
  type PartitionData,
  type ReadCommand,
  type ReadResult,
  type RowData,
  WHOLE_PARTITION,
} from '../../../storage/model/command.ts'
import { POSITION_HEAD_BYTES } from '../../../storage/model/mutation.ts'

export interface MemoryPartition {
  readonly position: Buffer
  /** Made when they are asked for. */
  rows(): readonly RowData[]
}

export type PartitionOrder = (a: Buffer, b: Buffer) => number

/** By token, as on a ring. */
export const TOKEN_ORDER: PartitionOrder = (a, b) => a.compare(b)
/** By key: Cassandra's order for virtual keyspaces. */
export const KEY_ORDER: PartitionOrder = (a, b) =>
  a.compare(b, POSITION_HEAD_BYTES, b.length, POSITION_HEAD_BYTES, a.length)

/** The partitions must be in the order. */
export function readMemory(
  partitions: readonly MemoryPartition[],
  order: PartitionOrder,
  command: ReadCommand,
): ReadResult {
  const result: PartitionData[] = []
  const reading = { rows: 0, bytes: 0, more: command.limit <= 0 }
  const { target, after } = command
  for (const partition of partitions) {
    if (reading.more) break
    const { position } = partition
    if (target.kind === 'partition' ? !position.equals(target.position) : isOutside(position, target)) continue
    const passed = after ? order(position, after.position) : 1
    if (passed < 0 || (passed === 0 && after!.partitionDone)) continue
    const rows = readPartition(partition, passed === 0 ? after : null, command, reading)
    if (rows.length > 0) result.push({ position, key: position.subarray(POSITION_HEAD_BYTES), staticRow: null, rows })
  }
  return { partitions: result, more: reading.more, tombstones: 0 }
}

function isOutside(position: Buffer, range: { readonly start: Buffer | null; readonly end: Buffer | null }): boolean {
  if (range.start !== null && position.compare(range.start) < 0) return true
  return range.end !== null && position.compare(range.end) >= 0
}

function readPartition(
  partition: MemoryPartition,
  after: ReadCommand['after'],
  command: ReadCommand,
  reading: { rows: number; bytes: number; more: boolean },
): RowData[] {
  const { reversed } = command
  const all = partition.rows()
  const most = Math.min(command.limit - reading.rows, command.perPartitionLimit - (after?.rowsGiven ?? 0))
  const given: RowData[] = []
  if (most <= 0) return given
  const slices = command.slices ?? WHOLE_PARTITION
  for (const slice of reversed ? [...slices].reverse() : slices) {
    let first = firstRowFrom(all, slice.start)
    let end = firstRowFrom(all, slice.end)
    if (after?.clustering && !reversed) first = Math.max(first, upperBound(all, after.clustering))
    if (after?.clustering && reversed) end = Math.min(end, firstRowFrom(all, after.clustering))
    for (let i = 0; i < end - first; i++) {
      const row = all[reversed ? end - 1 - i : first + i]!
      given.push(row)
      reading.rows += 1
      reading.bytes += row.bytes
      if (reading.rows >= command.limit || reading.bytes >= command.byteLimit) reading.more = true
      if (reading.more || given.length >= most) return given
    }
  }
  return given
}

/** Index of the first row after the clustering. */
function upperBound(rows: readonly RowData[], clustering: Buffer): number {
  const at = firstRowFrom(rows, clustering)
  return at < rows.length && rows[at]!.clustering.equals(clustering) ? at + 1 : at
}
