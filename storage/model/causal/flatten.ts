/**
 * A row with versions as a reader sees it whose table resolves by timestamps: the newest live version, all of it with the time of its dot, elements
 * of or-set columns, and what was written without dots; the greater timestamps win.
 * Source: Cassandra's reconciliation, to which a table goes back that was altered. Only what is shown is flattened: what is stored stays as it is, so
 * that replicas that hold different versions still agree in the end.
 */
import { ByteWriter } from '../../../lib/base/bytes.ts'
import { type ReadResult, RowData } from '../command.ts'
import type { Resolution } from '../merge.ts'
import { compareTimestamps, RowFlag, RowReader } from '../row.ts'
import { RowWriter } from '../row-writer.ts'
import { counterHigh, counterLow, isLegacyActor, MICROS_PER_SECOND } from './context.ts'
import { CausalRow } from './state.ts'

/** By a law that goes by timestamps. */
export function flatRow(law: Pick<Resolution, 'merge'>, row: Buffer, nowSeconds: number): Buffer {
  const versions = new ByteWriter(row.length)
  flattenVersions(versions, row, nowSeconds)
  const rest = new ByteWriter(row.length)
  copyUndotted(rest, row)
  const out = new ByteWriter(row.length)
  law.merge(out, versions.buffer, 0, versions.length, rest.buffer, 0, rest.length)
  return out.view()
}

/** The rows of an answer that came from replicas as they store them. */
export function flatResult(law: Pick<Resolution, 'merge'>, result: ReadResult, nowSeconds: number): ReadResult {
  const isCausal = ({ row }: RowData): boolean => (row[0]! & RowFlag.CAUSAL) !== 0
  if (!result.partitions.some(({ rows }) => rows.some(isCausal))) return result
  const partitions = result.partitions.map((partition) => ({
    ...partition,
    rows: partition.rows.map((data) =>
      isCausal(data) ? RowData.of(data.clustering, flatRow(law, data.row, nowSeconds)) : data,
    ),
  }))
  return { ...result, partitions }
}

function copyUndotted(out: ByteWriter, row: Buffer): void {
  const reader = new RowReader().reset(row)
  const writer = new RowWriter(out)
  writer.begin()
  writer.copyLiveness(reader)
  writer.copyDeletion(reader)
  while (reader.next()) if (!reader.isDotted) writer.copyCellBytes(reader)
  writer.end()
}

/** Appends the causal part of the row as a row of ordinary cells. */
function flattenVersions(out: ByteWriter, row: Buffer, nowSeconds: number): void {
  const versions = new CausalRow().reset(row, nowSeconds)
  let newest: Buffer | null = null
  let counter = 0
  while (versions.next()) {
    if (isLegacyActor(versions.dotBuffer, versions.dotStart) || versions.counter < counter) continue
    newest = versions.version
    counter = versions.counter
  }
  const elements = versions.elements()
  const writer = new RowWriter(out)
  writer.begin()
  const high = counterHigh(counter)
  const low = counterLow(counter)
  const version = newest === null ? null : new RowReader().reset(newest)
  if (version?.hasLiveness) writer.liveness(high, low, version.livenessTtl, version.livenessExpiresAt)
  const before = counter - 1
  if (version !== null)
    writer.deletion(counterHigh(before), counterLow(before), Math.floor(counter / MICROS_PER_SECOND))
  writeCells(writer, version, elements === null ? null : new RowReader().reset(elements), high, low)
  writer.end()
}

/** Of version and elements, in order of columns; elements are not older than the version, which says nothing of them. */
function writeCells(
  writer: RowWriter,
  version: RowReader | null,
  elements: RowReader | null,
  high: number,
  low: number,
): void {
  let more = version?.next() ?? false
  let moreElements = elements?.next() ?? false
  while (more || moreElements) {
    const isElement = moreElements && (!more || elements!.columnId <= version!.columnId)
    const from = isElement ? elements! : version!
    if (!isElement || compareTimestamps(from.tsHigh, from.tsLow, high, low) < 0) {
      from.tsHigh = high
      from.tsLow = low
    }
    // Where a column became an or-set, its elements are those with dots.
    if (isElement || elements === null || !hasColumn(elements, version!.columnId)) writer.copyCell(from)
    if (isElement) moreElements = elements!.next()
    else more = version!.next()
  }
}

function hasColumn(row: RowReader, columnId: number): boolean {
  const other = new RowReader().reset(row.buffer, row.start, row.end)
  while (other.next() && other.columnId <= columnId) if (other.columnId === columnId) return true
  return false
}
