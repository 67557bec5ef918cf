/**
 * SizeTieredCompactionStrategy: SSTables of like size are merged, four or more at once, so that each cell is rewritten once for each
 * fourfold growth. Few bytes are written twice; a read may have to look into many SSTables. Source: Cassandra, Bigtable §5.4.
 * Cassandra prefers the buckets that are read most; here the bucket of the smallest SSTables comes first, which is its order where nothing is read.
 */
import type { SizeTieredOptions } from '../table-options.ts'
import { type Choice, compareAge, compareSize, type Snapshot, type SSTableInfo, totalBytes } from './strategy.ts'
import { tombstoneTask } from './tombstones.ts'

export function chooseSizeTiered(snapshot: Snapshot, options: SizeTieredOptions): Choice {
  const { memory } = snapshot
  const idle = snapshot.tables.filter((table) => !table.isCompacting)
  const inputs = mostInterestingBucket(buckets(idle, options), options)
  if (inputs.length > 0)
    return {
      task: { kind: 'merge', inputs, level: 0, outputBytesMax: Number.POSITIVE_INFINITY, why: 'compaction' },
      memory,
    }
  const output = { level: () => 0, bytesMax: Number.POSITIVE_INFINITY }
  return { task: tombstoneTask(snapshot, (a, b) => compareSize(b, a), output), memory }
}

/** SSTables of like size: each lies within bucketLow and bucketHigh of its bucket's average as it was when it came, or both are small. Ascending. */
export function buckets(tables: readonly SSTableInfo[], options: SizeTieredOptions): SSTableInfo[][] {
  const { bucketLow, bucketHigh, minSSTableBytes } = options
  const made: { readonly tables: SSTableInfo[]; average: number }[] = []
  for (const table of [...tables].sort(compareSize)) {
    const bytes = table.fileBytes
    // As sizes ascend, only the last bucket can be near.
    const last = made.at(-1)
    const isLike =
      last !== undefined &&
      ((bytes > last.average * bucketLow && bytes < last.average * bucketHigh) ||
        (bytes < minSSTableBytes && last.average < minSSTableBytes))
    if (isLike) {
      last.average = (last.average * last.tables.length + bytes) / (last.tables.length + 1)
      last.tables.push(table)
    } else made.push({ tables: [table], average: bytes })
  }
  return made.map((bucket) => bucket.tables)
}

/** The bucket of the smallest SSTables among those with enough of them; of a long one the oldest. Empty: none. */
export function mostInterestingBucket(
  all: readonly (readonly SSTableInfo[])[],
  { minThreshold, maxThreshold }: SizeTieredOptions,
): SSTableInfo[] {
  let best: SSTableInfo[] = []
  let bestAverage = Number.POSITIVE_INFINITY
  for (const bucket of all) {
    if (bucket.length < minThreshold) continue
    const trimmed = [...bucket].sort(compareAge).slice(0, maxThreshold)
    const average = totalBytes(trimmed) / trimmed.length
    if (average < bestAverage) {
      best = trimmed
      bestAverage = average
    }
  }
  return best
}

/** Compactions that are due, one of them perhaps running. */
export function pendingSizeTiered(tables: readonly SSTableInfo[], options: SizeTieredOptions): number {
  let tasks = 0
  for (const bucket of buckets(tables, options))
    if (bucket.length >= options.minThreshold) tasks += Math.ceil(bucket.length / options.maxThreshold)
  return tasks
}
