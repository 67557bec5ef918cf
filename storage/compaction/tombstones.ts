/**
 * Which SSTables are worth a compaction for what can be dropped of them alone. Source: Cassandra's AbstractCompactionStrategy (tombstone_threshold and its
 * neighbours) and the rule by which it drops fully expired SSTables.
 * Always: an SSTable is dropped whole only if all that it holds is past gc_grace, and nothing outside that it overlaps, in files or memory, may hold
 * data as old as what it may cover. The engine looks once more when it drops.
 */
import { OverlapIndex } from './overlap-index.ts'
import type { Snapshot, SSTableInfo, Task } from './strategy.ts'

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
  const others = new OverlapIndex([...snapshot.tables.filter((table) => !isExpired(table)), ...snapshot.outside])
  return candidates.filter((candidate) => {
    const covered = candidate.maxTimestamp
    if (covered === null) return true
    if (snapshot.memtableMinTimestamp !== null && snapshot.memtableMinTimestamp <= covered) return false
    return !others.some(candidate, ({ minTimestamp }) => minTimestamp !== null && minTimestamp <= covered)
  })
}

/** The first in order of `prefer` of which enough would go if it were rewritten alone; null: none is worth it. */
export function worthRewriting(
  snapshot: Snapshot,
  prefer: (a: SSTableInfo, b: SSTableInfo) => number,
): SSTableInfo | null {
  const { compaction } = snapshot.options
  const rich = snapshot.tables.filter((table) => isRich(table, snapshot)).sort(prefer)
  if (rich.length === 0 || compaction.uncheckedTombstoneCompaction) return rich[0] ?? null
  const all = new OverlapIndex([...snapshot.tables, ...snapshot.outside])
  return rich.find((table) => table.droppable * shareAlone(table, all) > compaction.tombstoneThreshold) ?? null
}

function isRich(table: SSTableInfo, { options: { compaction }, nowMs }: Snapshot): boolean {
  if (!compaction.tombstoneCompaction || table.isCompacting) return false
  if (compaction.onlyPurgeRepairedTombstones && table.repairedAtMs === 0) return false
  const intervalMs = Math.max(compaction.tombstoneCompactionIntervalS, INTERVAL_MIN_S) * SECOND_MS
  return nowMs >= table.madeAtMs + intervalMs && table.droppable > compaction.tombstoneThreshold
}

/**
 * The share of its token range that overlaps no SSTable whose data its tombstones may cover: there they certainly go. Tokens are spread evenly, so
 * the share of the range is that of the partitions.
 */
function shareAlone(table: SSTableInfo, all: OverlapIndex): number {
  const covered = table.maxTimestamp
  if (covered === null) return 1
  const start = tokenOf(table.minPosition)
  const end = tokenOf(table.maxPosition)
  const ranges: [number, number][] = []
  const isAllShared = all.some(table, (other) => {
    if (other === table || other.minTimestamp === null || other.minTimestamp > covered) return false
    const range: [number, number] = [
      Math.max(start, tokenOf(other.minPosition)),
      Math.min(end, tokenOf(other.maxPosition)),
    ]
    ranges.push(range)
    return range[0] === start && range[1] === end
  })
  if (isAllShared) return 0
  ranges.sort((a, b) => a[0] - b[0])
  let shared = 0
  let reached = start
  for (const [from, to] of ranges) {
    if (to <= reached) continue
    shared += to - Math.max(from, reached)
    reached = to
  }
  return ranges.length === 0 ? 1 : 1 - shared / (end - start)
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
  prefer: (a: SSTableInfo, b: SSTableInfo) => number,
  output: { readonly level: (table: SSTableInfo) => number; readonly bytesMax: number },
): Task {
  const expired = fullyExpired(snapshot)
  if (expired.length > 0) return { kind: 'drop', inputs: expired, why: 'expired' }
  const table = worthRewriting(snapshot, prefer)
  if (table === null) return { kind: 'rest', againInMs: changesByTime(snapshot) ? LOOK_AGAIN_MS : null }
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
