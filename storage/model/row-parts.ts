/**
 * A row that is too large for one mutation, as several rows that come to it when they are merged: what repair and streaming send. The writes of which
 * it grew were each small enough; together they need not be.
 * Always: merged in any order, by the law of the row's table, the parts are the row. What supersedes versions comes with the last part, so whoever
 * has got but some of them lacks nothing that he had.
 */
import { ByteWriter } from '../../lib/base/bytes.ts'
import {
  ACTOR_BYTES,
  DOT_BYTES,
  joinContexts,
  makeContext,
  NO_CONTEXT,
  readCounter,
  withoutDots,
} from './causal/context.ts'
import { RowReader } from './row.ts'
import { RowWriter } from './row-writer.ts'

/** Cells [from, to) of the row, by their places in its bytes. */
interface Run {
  readonly from: number
  readonly to: number
}

/** None larger than `bytesMax` (plus what the row holds beside its cells), unless one cell is. */
export function rowParts(row: Buffer, bytesMax: number): readonly Buffer[] {
  if (row.length <= bytesMax) return [row]
  const reader = new RowReader().reset(row)
  const runs = runsOf(reader, bytesMax)
  if (runs.length === 1) return [row]
  let context = reader.hasContext ? row.subarray(reader.contextStart, reader.contextEnd) : null
  const out = new ByteWriter(bytesMax)
  const parts: Buffer[] = []
  for (const [i, run] of runs.entries()) {
    const isLast = i === runs.length - 1
    out.reset()
    const writer = new RowWriter(out)
    writer.begin()
    if (isLast) {
      if (reader.hasLiveness)
        writer.liveness(reader.livenessTsHigh, reader.livenessTsLow, reader.livenessTtl, reader.livenessExpiresAt)
      if (reader.hasDeletion) writer.deletion(reader.deletionTsHigh, reader.deletionTsLow, reader.deletionLocalTime)
      if (context !== null) writer.context(context, 0, context.length)
    } else if (context !== null) {
      const dots = dotsIn(reader, run)
      const seen = dots.map(contextOf).reduce(joinContexts, NO_CONTEXT)
      writer.context(seen, 0, seen.length)
      context = withoutDots(context, dots)
    }
    reader.rewind()
    while (reader.next()) if (reader.cellStart >= run.from && reader.cellStart < run.to) writer.copyCell(reader)
    writer.end()
    parts.push(out.copy())
  }
  return parts
}

function runsOf(reader: RowReader, bytesMax: number): Run[] {
  const runs: Run[] = []
  let from = reader.cellsStart
  let end = from
  while (reader.next()) {
    if (reader.cellEnd - from > bytesMax && end > from) {
      runs.push({ from, to: end })
      from = end
    }
    end = reader.cellEnd
  }
  runs.push({ from, to: end })
  return runs
}

function dotsIn(reader: RowReader, { from, to }: Run): Buffer[] {
  const dots: Buffer[] = []
  reader.rewind()
  while (reader.next())
    if (reader.isDotted && reader.cellStart >= from && reader.cellStart < to)
      dots.push(reader.buffer.subarray(reader.pathStart, reader.pathStart + DOT_BYTES))
  return dots
}

function contextOf(dot: Buffer): Buffer {
  const counter = readCounter(dot, ACTOR_BYTES)
  return makeContext(dot.subarray(0, ACTOR_BYTES), counter - 1, counter)
}
