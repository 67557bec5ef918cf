/**
 * A row that is too large for one mutation, as several rows that come to it when they are merged: what repair and streaming send. The writes of which
 * it grew were each small enough; together they need not be.
 * Always: merged in any order, by the law of the row's table, the parts are the row. What supersedes versions comes with the last part, so whoever
 * has got but some of them lacks nothing that he had.
 */
import { ByteWriter } from '../../lib/base/bytes.ts'
import { contextOfDots, DOT_BYTES, withoutDots } from './causal/context.ts'
import { RowReader } from './row.ts'
import { RowWriter } from './row-writer.ts'

/** None larger than `bytesMax` (plus what the row holds beside its cells), unless one cell is. */
export function rowParts(row: Buffer, bytesMax: number): readonly Buffer[] {
  if (row.length <= bytesMax) return [row]
  const parts: Buffer[] = []
  const cells = new RowReader().reset(row)
  const ahead = new RowReader().reset(row)
  const writer = new RowWriter(new ByteWriter(bytesMax))
  const given: Buffer[] = []
  let dots: Buffer[] = []
  let from = ahead.cellsStart
  while (ahead.next()) {
    if (ahead.cellEnd - from > bytesMax && ahead.cellStart > from) {
      begin(writer)
      const seen = contextOfDots(dots.sort(Buffer.compare))
      writer.context(seen, 0, seen.length)
      parts.push(finish(writer, cells, ahead.cellStart))
      for (const dot of dots) given.push(dot)
      dots = []
      from = ahead.cellStart
    }
    if (ahead.isDotted) dots.push(row.subarray(ahead.pathStart, ahead.pathStart + DOT_BYTES))
  }
  if (parts.length === 0) return [row]
  begin(writer)
  writer.copyLiveness(cells)
  writer.copyDeletion(cells)
  if (cells.hasContext) {
    const rest = withoutDots(row.subarray(cells.contextStart, cells.contextEnd), given.sort(Buffer.compare))
    writer.context(rest, 0, rest.length)
  }
  parts.push(finish(writer, cells, row.length))
  return parts
}

function begin(writer: RowWriter): void {
  writer.out.reset()
  writer.begin()
}

/** Gives the part, with the cells as far as they lie before `end`. */
function finish(writer: RowWriter, cells: RowReader, end: number): Buffer {
  while (cells.cellEnd < end && cells.next()) writer.copyCell(cells)
  writer.end()
  return writer.out.copy()
}
