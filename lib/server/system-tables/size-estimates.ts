/**
 * system.size_estimates and table_estimates: for each stored table and each range of the ring that the node owns, how many partitions of what
 * size. Spark and its like cut their scans by them. Source: Cassandra 5.0.6's tables and ranges; as there, only SSTables count.
 */
import type { Schema } from '../../schema/keyspace.ts'
import type { PlainRow } from './plain-values.ts'

const TOKEN_MIN = -(2n ** 63n)

export interface EstimateSource {
  readonly schema: Schema
  /** Decimal tokens of the node, which owns the whole ring. */
  readonly tokens: readonly string[]
  estimate(tableId: string): { readonly partitions: number; readonly bytes: number } | null
}

/** Rows of the table of that name; null when it is none of the two. */
export function estimateRows(table: string, source: EstimateSource): PlainRow[] | null {
  if (table !== 'size_estimates' && table !== 'table_estimates') return null
  const ranges = rangesOf(source.tokens)
  const rangeTypes = table === 'table_estimates' ? ['primary', 'local_primary'] : [undefined]
  const rows: PlainRow[] = []
  for (const keyspace of source.schema.keyspaces.values()) {
    if (keyspace.isVirtual || keyspace.replication.get('class')?.endsWith('.LocalStrategy')) continue
    for (const { id, name } of keyspace.tables.values()) {
      const estimate = source.estimate(id)
      if (estimate === null) continue
      const { partitions, bytes } = estimate
      for (const range_type of rangeTypes)
        for (const { start, end, share } of ranges)
          rows.push({
            keyspace_name: keyspace.name,
            table_name: name,
            range_type,
            range_start: String(start),
            range_end: String(end),
            mean_partition_size: partitions === 0 ? 0 : Math.round(bytes / partitions),
            partitions_count: Math.round(partitions * share),
          })
    }
  }
  return rows
}

/** The ring cut at the tokens and at its end; `share` is each range's part of it. */
function rangesOf(tokens: readonly string[]): { start: bigint; end: bigint; share: number }[] {
  const cuts = tokens.map(BigInt).sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))
  if (cuts[0] !== TOKEN_MIN) cuts.unshift(TOKEN_MIN)
  return cuts.map((start, i) => {
    const end = cuts[i + 1] ?? TOKEN_MIN
    const width = (end === TOKEN_MIN ? -TOKEN_MIN : end) - start
    return { start, end, share: Number(width) / 2 ** 64 }
  })
}
