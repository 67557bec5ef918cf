/**
 * system.size_estimates and table_estimates: for each stored table and each range of the ring whose first replica the node is, how many partitions of
 * what size. Spark and its like cut their scans by them. Source: Cassandra 5.0.6's tables and ranges; as there, only SSTables count.
 */
import type { TokenRange } from '../../../cluster/ring/placement.ts'
import type { KeyspaceSchema, Schema } from '../../schema/keyspace.ts'
import type { PlainRow } from './plain-values.ts'

const TOKEN_MIN = -(2n ** 63n)
const RING = 2 ** 64

export interface EstimateSource {
  readonly schema: Schema
  readonly hostId: string
  readonly datacenter: string
  /** All ranges of the keyspace's ring; null: its data is each node's own. */
  ranges(keyspace: KeyspaceSchema): readonly TokenRange[] | null
  estimate(tableId: string): { readonly partitions: number; readonly bytes: number } | null
}

/** Rows of the table of that name; null when it is none of the two. */
export function estimateRows(table: string, source: EstimateSource): PlainRow[] | null {
  if (table !== 'size_estimates' && table !== 'table_estimates') return null
  const rows: PlainRow[] = []
  for (const keyspace of source.schema.keyspaces.values()) {
    const all = keyspace.isVirtual ? null : source.ranges(keyspace)
    if (all === null) continue
    const kinds = ownRanges(table, all, source)
    const owned = ownedShare(all, source.hostId)
    for (const { id, name } of keyspace.tables.values()) {
      const estimate = source.estimate(id)
      if (estimate === null) continue
      const { partitions, bytes } = estimate
      for (const { range_type, ranges } of kinds)
        for (const { start, end, share } of ranges)
          rows.push({
            keyspace_name: keyspace.name,
            table_name: name,
            range_type,
            range_start: String(start),
            range_end: String(end),
            mean_partition_size: partitions === 0 ? 0 : Math.round(bytes / partitions),
            partitions_count: owned === 0 ? 0 : Math.round((partitions * share) / owned),
          })
    }
  }
  return rows
}

interface OwnRanges {
  readonly range_type: string | undefined
  readonly ranges: readonly CutRange[]
}

/** `local_primary`: first replica of those in the node's data centre. */
function ownRanges(table: string, all: readonly TokenRange[], { hostId, datacenter }: EstimateSource): OwnRanges[] {
  const primary = cut(all.filter(({ replicas }) => replicas.natural[0]?.hostId === hostId))
  if (table === 'size_estimates') return [{ range_type: undefined, ranges: primary }]
  const first = (range: TokenRange): string | undefined =>
    range.replicas.natural.find((node) => node.datacenter === datacenter)?.hostId
  return [
    { range_type: 'primary', ranges: primary },
    { range_type: 'local_primary', ranges: cut(all.filter((range) => first(range) === hostId)) },
  ]
}

interface CutRange {
  readonly start: bigint
  readonly end: bigint
  /** Part of the ring. */
  readonly share: number
}

/** In the order of the ring; the range that goes around its end is two. */
function cut(ranges: readonly TokenRange[]): CutRange[] {
  return ranges
    .flatMap(({ after, token }) =>
      after < token || token === TOKEN_MIN
        ? [{ start: after, end: token }]
        : [
            { start: TOKEN_MIN, end: token },
            { start: after, end: TOKEN_MIN },
          ],
    )
    .map(({ start, end }) => ({ start, end, share: width(start, end) / RING }))
    .sort((a, b) => (a.start < b.start ? -1 : 1))
}

/** The ring's end counts as its beginning. */
function width(start: bigint, end: bigint): number {
  return Number((end === TOKEN_MIN ? -TOKEN_MIN : end) - start)
}

/** Which part of the ring the node holds, as whichever replica. */
function ownedShare(ranges: readonly TokenRange[], hostId: string): number {
  const held = ranges.filter(({ replicas }) => replicas.natural.some((node) => node.hostId === hostId))
  return cut(held).reduce((sum, { share }) => sum + share, 0)
}
