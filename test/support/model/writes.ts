/** The plan's changes, as the judge takes them at the moment at which they are written, and as the bytes of a mutation. */
import type { MutationWriter } from '../../../storage/model/mutation.ts'
import { RowReader } from '../../../storage/model/row.ts'
import type { Written } from './judge.ts'
import { bound, latin, type Partition } from './places.ts'
import type { ChangeSpec } from './plan.ts'

export function resolve(change: ChangeSpec, nowSeconds: number): Written {
  if (change.kind === 'partition') return { kind: 'partition', ts: change.ts, localTime: nowSeconds - change.ago }
  const now = nowSeconds - change.ago
  if (change.kind === 'range') {
    const { start, end, ts } = change
    return { kind: 'range', start, end, ts, localTime: now }
  }
  const { clustering, liveness, deletion, cells } = change
  return {
    kind: 'row',
    clustering,
    liveness: liveness && { ...liveness, expiresAt: now + liveness.ttl },
    deletion: deletion && { ts: deletion.ts, localTime: now },
    cells: cells.map(({ column, path, kind, ts, ttl, value }) =>
      kind === 'complex'
        ? { kind, column, ts, localTime: now }
        : {
            kind,
            column,
            path,
            ts,
            ttl,
            value,
            localTime: kind === 'expiring' ? now + ttl : kind === 'tombstone' ? now : 0,
          },
    ),
  }
}

const high = (ts: number): number => Math.floor(ts / 0x1_0000_0000) | 0
const low = (ts: number): number => (ts - Math.floor(ts / 0x1_0000_0000) * 0x1_0000_0000) >>> 0

export function encode(
  writer: MutationWriter,
  table: Buffer,
  partition: Partition,
  changes: readonly Written[],
): Buffer {
  writer.begin(table, partition.high, partition.low, latin(partition.key))
  for (const change of changes) {
    if (change.kind === 'partition') writer.partitionDeletion(high(change.ts), low(change.ts), change.localTime)
    else if (change.kind === 'range')
      writer.rangeTombstone(bound(change.start), bound(change.end), high(change.ts), low(change.ts), change.localTime)
    else encodeRow(writer, change)
  }
  return Buffer.from(writer.finish())
}

export function encodeDelta(
  writer: MutationWriter,
  table: Buffer,
  partition: Partition,
  clustering: string,
  delta: Buffer,
): Buffer {
  writer.begin(table, partition.high, partition.low, latin(partition.key))
  writer.beginRow(latin(clustering))
  const reader = new RowReader().reset(delta)
  writer.row.copyHead(reader)
  while (reader.next()) writer.row.copyCell(reader)
  writer.endRow()
  return Buffer.from(writer.finish())
}

function encodeRow(writer: MutationWriter, row: Extract<Written, { kind: 'row' }>): void {
  const { clustering, liveness, deletion } = row
  if (clustering === null) writer.beginStaticRow()
  else writer.beginRow(latin(clustering))
  if (liveness) writer.row.liveness(high(liveness.ts), low(liveness.ts), liveness.ttl, liveness.expiresAt)
  if (deletion) writer.row.deletion(high(deletion.ts), low(deletion.ts), deletion.localTime)
  for (const cell of row.cells) {
    const { column, ts, kind, localTime } = cell
    const [tsHigh, tsLow] = [high(ts), low(ts)]
    if (kind === 'complex') writer.row.complexDeletion(column, tsHigh, tsLow, localTime)
    else if (cell.path === null) {
      if (kind === 'live') writer.row.cell(column, tsHigh, tsLow, latin(cell.value))
      else if (kind === 'tombstone') writer.row.tombstone(column, tsHigh, tsLow, localTime)
      else writer.row.expiringCell(column, tsHigh, tsLow, cell.ttl, localTime, latin(cell.value))
    } else {
      const path = latin(cell.path)
      if (kind === 'live') writer.row.pathCell(column, path, tsHigh, tsLow, latin(cell.value))
      else if (kind === 'tombstone') writer.row.pathTombstone(column, path, tsHigh, tsLow, localTime)
      else writer.row.expiringPathCell(column, path, tsHigh, tsLow, cell.ttl, localTime, latin(cell.value))
    }
  }
  writer.endRow()
}
