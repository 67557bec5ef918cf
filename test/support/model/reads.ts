/** The plan's reads, as the store's command and as what is asked of the judge; and where the next page of one begins. */
import { assert } from '../../../lib/base/assert.ts'
import type { ReadCommand, ReadPoint, ReadResult } from '../../../storage/model/command.ts'
import type { Question } from './compare.ts'
import { bound, type Partition } from './places.ts'
import type { ReadSpec } from './plan.ts'

/** Everything in the first table. */
export const ALL: ReadSpec = {
  table: 0,
  target: { from: null, to: null },
  slices: null,
  reversed: false,
  wantStatic: true,
  staticCounts: true,
  limit: Number.POSITIVE_INFINITY,
  perPartitionLimit: Number.POSITIVE_INFINITY,
  byteLimit: Number.POSITIVE_INFINITY,
  columns: null,
}

export interface Asked {
  /** All partitions, in the order of positions. */
  readonly order: readonly Partition[]
  /** Where it goes on; null: it begins. */
  readonly after: ReadPoint | null
  readonly nowSeconds: number
}

/** As the store takes it. */
export function commandOf(table: string, read: ReadSpec, given: Asked): ReadCommand {
  const { order, after, nowSeconds } = given
  const { target, slices, columns } = read
  const position = (index: number | null): Buffer | null => (index === null ? null : order[index]!.position)
  return {
    table,
    target:
      typeof target === 'number'
        ? { kind: 'partition', position: position(target)! }
        : { kind: 'range', start: position(target.from), end: position(target.to) },
    slices: slices?.map(({ start, end, single }) => ({ start: bound(start), end: bound(end), single })) ?? null,
    reversed: read.reversed,
    wantStatic: read.wantStatic,
    staticCounts: read.staticCounts,
    limit: read.limit,
    perPartitionLimit: read.perPartitionLimit,
    byteLimit: read.byteLimit,
    nowSeconds,
    after,
    ...(columns === null ? {} : { columns }),
  }
}

/** As the judge takes it. */
export function questionOf(read: ReadSpec, { order, after }: Pick<Asked, 'order' | 'after'>): Question {
  const { target, slices } = read
  let partitions: number[]
  if (typeof target === 'number') partitions = [target]
  else {
    const from = target.from ?? 0
    const to = target.to ?? order.length
    partitions = order.map((_, index) => index).slice(from, Math.max(from, to))
  }
  let last: Question['after'] = null
  if (after !== null) {
    const partition = order.findIndex(({ position }) => position.equals(after.position))
    partitions = partitions.filter((index) => index > partition || (index === partition && !after.partitionDone))
    last = { partition, clustering: after.clustering?.toString('latin1') ?? null, rowsGiven: after.rowsGiven }
  }
  return {
    ...read,
    partitions,
    isPoint:
      typeof target === 'number' &&
      after === null &&
      (read.table === 1 ? slices === null : slices?.length === 1 && slices[0]!.single),
    after: last,
  }
}

/** Where the next page begins, as the query engine says it. */
export function nextPoint(read: ReadSpec, after: ReadPoint | null, result: ReadResult): ReadPoint {
  const last = result.partitions.at(-1)
  assert(last !== undefined, 'a page that promises more gives something')
  const before = after?.position.equals(last.position) && !after.partitionDone ? after.rowsGiven : 0
  const row = last.rows.at(-1)
  const rowsGiven = before + last.rows.length
  return {
    position: Buffer.from(last.position),
    clustering: row ? Buffer.from(row.clustering) : null,
    partitionDone: row === undefined || read.table === 1 || rowsGiven >= read.perPartitionLimit,
    rowsGiven,
  }
}

/** For the message of a difference. */
export function describeCommand(command: ReadCommand): string {
  const plain = (_: string, value: unknown): unknown => {
    if (value === Number.POSITIVE_INFINITY) return 'none'
    const bytes = value as { type?: unknown; data?: number[] } | null
    return bytes !== null && typeof bytes === 'object' && bytes.type === 'Buffer'
      ? Buffer.from(bytes.data!).toString('latin1')
      : value
  }
  return JSON.stringify(command, plain)
}
