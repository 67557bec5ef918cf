/**
 * Which SSTables are worth a compaction for what can be dropped of them alone. Source: Cassandra's AbstractCompactionStrategy (tombstone_threshold and its
 * neighbours) and the rule by which it drops fully expired SSTables.
 * Always: an SSTable is dropped whole only if all that it holds is past gc_grace, and nothing outside that it overlaps, in files or memory, may hold
 * data as old as what it may cover. The engine looks once more when it drops.
 */
import { overlaps, type Snapshot, type SSTableInfo, type Task } from './strategy.ts'

const SECOND_MS = 1000
/** An SSTable is not rewritten for its tombstones more often, whatever the options say: those that stay would be rewritten for ever. */
const INTERVAL_MIN_S = 1

/** What is older, in seconds since 1970, is past gc_grace. */
export function gcBefore(snapshot: Snapshot): number {
  return Math.floor(snapshot.nowMs / SECOND_MS) - snapshot.options.gcGraceSeconds
}

/** Those that can be dropped whole, now and together. */
export function fullyExpired(snapshot: Snapshot): SSTableInfo[] {
  const before = gcBefore(snapshot)
  const { onlyPurgeRepairedTombstones } = snapshot.options.compaction
  const isExpired = (table: SSTableInfo): boolean =>
    table.lastDropSeconds < before && (!onlyPurgeRepairedTombstones || table.repairedAtMs > 0)
  const candidates = snapshot.tables.filter((table) => isExpired(table) && !table.isCompacting)
  if (candidates.length === 0) return candidates
  // One that is expired covers nothing that anybody sees, and what it holds is not seen either: only the others count.
  const others = snapshot.tables.filter((table) => !isExpired(table))
  return candidates.filter((candidate) => {
    const covered = candidate.maxTimestamp
    if (covered === null) return true
    if (snapshot.memtableMinTimestamp !== null && snapshot.memtableMinTimestamp <= covered) return false
    return !others.some(
      (other) => other.minTimestamp !== null && other.minTimestamp <= covered && overlaps(other, candidate),
    )
  })
}

/** Whether enough of an SSTable would go if it were rewritten alone. */
export function worthDroppingTombstones(table: SSTableInfo, snapshot: Snapshot): boolean {
  const { compaction } = snapshot.options
  if (!compaction.tombstoneCompaction || table.isCompacting) return false
  if (compaction.onlyPurgeRepairedTombstones && table.repairedAtMs === 0) return false
  const intervalMs = Math.max(compaction.tombstoneCompactionIntervalS, INTERVAL_MIN_S) * SECOND_MS
  if (snapshot.nowMs < table.madeAtMs + intervalMs) return false
  if (table.droppable <= compaction.tombstoneThreshold) return false
  if (compaction.uncheckedTombstoneCompaction) return true
  return table.droppable * shareAlone(table, snapshot) > compaction.tombstoneThreshold
}

/**
 * The share of its token range that overlaps no SSTable whose data its tombstones may cover: there they certainly go. Tokens are spread evenly, so
 * the share of the range is that of the partitions.
 */
function shareAlone(table: SSTableInfo, snapshot: Snapshot): number {
  const covered = table.maxTimestamp
  if (covered === null) return 1
  const start = tokenOf(table.minPosition)
  const end = tokenOf(table.maxPosition)
  const ranges: [number, number][] = []
  for (const other of snapshot.tables) {
    if (other === table || other.minTimestamp === null || other.minTimestamp > covered || !overlaps(other, table))
      continue
    ranges.push([Math.max(start, tokenOf(other.minPosition)), Math.min(end, tokenOf(other.maxPosition))])
  }
  if (ranges.length === 0) return 1
  if (end <= start) return 0
  ranges.sort((a, b) => a[0] - b[0])
  let shared = 0
  let reached = start
  for (const [from, to] of ranges) {
    if (to <= reached) continue
    shared += to - Math.max(from, reached)
    reached = to
  }
  return 1 - shared / (end - start)
}

/** The token, which a position begins with, as an approximate number. */
function tokenOf(position: Buffer): number {
  return position.readUInt32BE(0) * 0x1_0000_0000 + position.readUInt32BE(4)
}

/** Time between two looks at a table to which nothing happens, as Cassandra's. */
const LOOK_AGAIN_MS = 60_000

/** What a strategy does when its own order asks for nothing: drops what expired whole, else rewrites one SSTable, else rests. */
export function tombstoneTask(
  snapshot: Snapshot,
  choose: (worth: readonly SSTableInfo[]) => SSTableInfo,
  output: { readonly level: (table: SSTableInfo) => number; readonly bytesMax: number },
): Task {
  const expired = fullyExpired(snapshot)
  if (expired.length > 0) return { kind: 'drop', inputs: expired, why: 'expired' }
  const worth = snapshot.tables.filter((table) => worthDroppingTombstones(table, snapshot))
  if (worth.length === 0) return { kind: 'rest', againInMs: changesByTime(snapshot) ? LOOK_AGAIN_MS : null }
  const table = choose(worth)
  return {
    kind: 'merge',
    inputs: [table],
    level: output.level(table),
    outputBytesMax: output.bytesMax,
    why: 'tombstones',
  }
}

/** Something in an SSTable will be droppable later, or is already and the SSTable will be old enough. */
function changesByTime({ tables, options }: Snapshot): boolean {
  const { tombstoneThreshold } = options.compaction
  return tables.some((table) => table.isDroppableLater || table.droppable > tombstoneThreshold)
}
