/**
 * What is known of an SSTable without reading its data; collected while it is written.
 * Bounds are exact or wider, never narrower: whoever skips a table by them must be right. A range tombstone or a partition deletion reaches rows
 * outside the clusterings' bounds; the counts tell whether there are any.
 *
 * statistics := (tag varuint | length varuint | bytes)* in ascending order of tags; unknown tags are passed over, so fields can be added.
 */

import { ByteReader, BytesError, ByteWriter } from '../../lib/base/bytes.ts'
import { uuidBytes } from '../../lib/base/uuid.ts'
import { counterHigh, counterLow, greatestCounter, MICROS_PER_SECOND } from '../model/causal/context.ts'
import { EntryKind } from '../model/mutation.ts'
import { compareTimestamps, NEVER, RowReader, readInt32 } from '../model/row.ts'

/** Of which table an SSTable is: what a restore and a dump ask before they take its bytes for rows. */
export interface TableOwner {
  /** The table's id, a UUID with dashes. */
  readonly table: string
  /** What the table's columns were when the file was written, in the words of whoever made the table known; '' when storage was not told yet. */
  readonly shape: string
}

export interface TableStatistics {
  readonly entries: number
  readonly partitions: number
  readonly rows: number
  readonly staticRows: number
  readonly partitionDeletions: number
  readonly rangeTombstones: number
  readonly cells: number
  /** Deletions of all kinds: partition, range, row, complex, cell. */
  readonly tombstones: number
  /** µs, signed, 8 bytes each; null when nothing has a timestamp. */
  readonly minTimestamp: Buffer | null
  readonly maxTimestamp: Buffer | null
  /** Seconds at which something was deleted or expires; NEVER and 0 when nothing does. A table all of which expires has no live cell or liveness without TTL. */
  readonly minLocalDeletionTime: number
  readonly maxLocalDeletionTime: number
  readonly minTtl: number
  readonly maxTtl: number
  /** Cells and livenesses that never expire. */
  readonly unexpiring: number
  /** Seconds (the end of each bin) to the number of tombstones and expiring cells that are droppable from then on, ascending. */
  readonly dropTimes: readonly { readonly seconds: number; readonly count: number }[]
  readonly minPosition: Buffer
  readonly maxPosition: Buffer
  /** Of rows; null when there are none. */
  readonly minClustering: Buffer | null
  readonly maxClustering: Buffer | null
  /** Sum of keys' and values' bytes. */
  readonly rawBytes: number
  /** Of the largest partition; 0 in files that were written before it was kept. */
  readonly maxPartitionBytes: number
  /** How many partitions have at most so many raw bytes and more than half as many: powers of two, ascending. */
  readonly partitionSizes: readonly { readonly bytes: number; readonly count: number }[]
  /** Null in files that were written before it was kept. */
  readonly owner: TableOwner | null
}

const BINS_MAX = 100
/** Longer clusterings are cut to a bound that is still outside. */
const CLUSTERING_BYTES_MAX = 1024

const Tag = {
  COUNTS: 1,
  TIMESTAMPS: 2,
  LOCAL_TIMES: 3,
  DROP_TIMES: 4,
  POSITIONS: 5,
  CLUSTERINGS: 6,
  PARTITION_BYTES: 7,
  OWNER: 8,
} as const
/** Greater partitions count as of this power of two. */
const PARTITION_LOG_MAX = 52

export class StatisticsCollector {
  readonly #row = new RowReader()
  #entries = 0
  #partitions = 0
  #kinds = [0, 0, 0, 0]
  #cells = 0
  #tombstones = 0
  #hasTimestamp = false
  #minTsHigh = 0
  #minTsLow = 0
  #maxTsHigh = 0
  #maxTsLow = 0
  #minLocalTime: number = NEVER
  #maxLocalTime = 0
  #minTtl: number = NEVER
  #maxTtl = 0
  #unexpiring = 0
  #binSeconds = 60
  #bins = new Map<number, number>()
  #minPosition: Buffer | null = null
  #maxPosition: Buffer | null = null
  #minClustering: Buffer | null = null
  #maxClustering: Buffer | null = null
  #rawBytes = 0
  /** #rawBytes when the partition at hand began. */
  #partitionStart = 0
  #maxPartitionBytes = 0
  readonly #partitionLogs = new Array<number>(PARTITION_LOG_MAX + 1).fill(0)

  /** A partition begins. */
  partition(position: Buffer): void {
    this.#endPartition()
    this.#partitions += 1
    this.#minPosition ??= position
    this.#maxPosition = position
  }

  get partitions(): number {
    return this.#partitions
  }

  #endPartition(): void {
    const bytes = this.#rawBytes - this.#partitionStart
    this.#partitionStart = this.#rawBytes
    if (bytes === 0) return
    if (bytes > this.#maxPartitionBytes) this.#maxPartitionBytes = bytes
    this.#partitionLogs[Math.min(PARTITION_LOG_MAX, Math.ceil(Math.log2(bytes)))]! += 1
  }

  /** One entry; `positionLength` bytes of the key are its position. */
  entry(key: Buffer, positionLength: number, value: Buffer): void {
    this.#entries += 1
    this.#rawBytes += key.length + value.length
    const kind = key[positionLength]!
    this.#kinds[kind]! += 1
    if (kind === EntryKind.ROW) this.#clustering(key, positionLength + 1)
    if (kind === EntryKind.ROW || kind === EntryKind.STATIC_ROW) this.#observeRow(value)
    else {
      this.#timestamp(readInt32(value, 0), readInt32(value, 4) >>> 0)
      this.#tombstone(readInt32(value, 8) >>> 0)
    }
  }

  #observeRow(value: Buffer): void {
    const row = this.#row.reset(value)
    if (row.hasLiveness) {
      this.#timestamp(row.livenessTsHigh, row.livenessTsLow)
      if (row.livenessTtl > 0) this.#expiring(row.livenessExpiresAt, row.livenessTtl)
      else this.#unexpiring += 1
    }
    if (row.hasDeletion) {
      this.#timestamp(row.deletionTsHigh, row.deletionTsLow)
      this.#tombstone(row.deletionLocalTime)
    }
    if (row.hasContext) this.#observeContext(row)
    while (row.next()) {
      this.#cells += 1
      this.#timestamp(row.tsHigh, row.tsLow)
      // The time for which an expired cell lived counts towards gc_grace (compaction/purge.ts).
      if (row.isTombstone || row.isComplexDeletion) this.#tombstone(row.localDeletionTime - row.ttl)
      else if (row.isExpiring) this.#expiring(row.localDeletionTime, row.ttl)
      else this.#unexpiring += 1
    }
  }

  /** A context counts as of its newest dot: without versions it is a tombstone. */
  #observeContext(row: RowReader): void {
    const newest = greatestCounter(row.buffer, row.contextStart, row.contextEnd)
    const seconds = Math.floor(newest / MICROS_PER_SECOND)
    let stays = false
    let lastExpiry = 0
    while (row.next()) {
      if (!row.isDotted) continue
      if (row.isExpiring) lastExpiry = Math.max(lastExpiry, row.localDeletionTime)
      else stays = true
    }
    row.rewind()
    this.#timestamp(counterHigh(newest), counterLow(newest))
    if (!stays && lastExpiry === 0) this.#tombstone(seconds)
    else if (!stays && lastExpiry < seconds) this.#dropTime(seconds)
    // A compaction is to look at the row, for what its context may forget.
    else if (seconds < this.#minLocalTime) this.#minLocalTime = seconds
  }

  #timestamp(high: number, low: number): void {
    if (!this.#hasTimestamp) {
      this.#hasTimestamp = true
      this.#minTsHigh = this.#maxTsHigh = high
      this.#minTsLow = this.#maxTsLow = low
      return
    }
    if (compareTimestamps(high, low, this.#minTsHigh, this.#minTsLow) < 0) {
      this.#minTsHigh = high
      this.#minTsLow = low
    }
    if (compareTimestamps(high, low, this.#maxTsHigh, this.#maxTsLow) > 0) {
      this.#maxTsHigh = high
      this.#maxTsLow = low
    }
  }

  #tombstone(localDeletionTime: number): void {
    this.#tombstones += 1
    this.#dropTime(localDeletionTime)
  }

  #expiring(expiresAt: number, ttl: number): void {
    if (ttl < this.#minTtl) this.#minTtl = ttl
    if (ttl > this.#maxTtl) this.#maxTtl = ttl
    this.#dropTime(expiresAt)
  }

  #dropTime(seconds: number): void {
    if (seconds < this.#minLocalTime) this.#minLocalTime = seconds
    if (seconds > this.#maxLocalTime) this.#maxLocalTime = seconds
    this.#count(seconds, 1)
    while (this.#bins.size > BINS_MAX) this.#widen()
  }

  /** Times are rounded up: what a bin counts may be droppable a little earlier, never later. */
  #count(seconds: number, count: number): void {
    const end = Math.ceil(seconds / this.#binSeconds) * this.#binSeconds
    this.#bins.set(end, (this.#bins.get(end) ?? 0) + count)
  }

  #widen(): void {
    this.#binSeconds *= 2
    const bins = this.#bins
    this.#bins = new Map()
    for (const [seconds, count] of bins) this.#count(seconds, count)
  }

  #clustering(key: Buffer, start: number): void {
    const end = key.length
    if (this.#minClustering === null || this.#minClustering.compare(key, start, end) > 0)
      this.#minClustering = Buffer.from(key.subarray(start, Math.min(end, start + CLUSTERING_BYTES_MAX)))
    if (this.#maxClustering === null || this.#maxClustering.compare(key, start, end) < 0)
      this.#maxClustering = upperBound(key.subarray(start, end))
  }

  finish(owner: TableOwner | null = null): TableStatistics {
    this.#endPartition()
    return {
      entries: this.#entries,
      partitions: this.#partitions,
      rows: this.#kinds[EntryKind.ROW]!,
      staticRows: this.#kinds[EntryKind.STATIC_ROW]!,
      partitionDeletions: this.#kinds[EntryKind.PARTITION_DELETION]!,
      rangeTombstones: this.#kinds[EntryKind.RANGE_TOMBSTONE]!,
      cells: this.#cells,
      tombstones: this.#tombstones,
      minTimestamp: this.#hasTimestamp ? timestampBytes(this.#minTsHigh, this.#minTsLow) : null,
      maxTimestamp: this.#hasTimestamp ? timestampBytes(this.#maxTsHigh, this.#maxTsLow) : null,
      minLocalDeletionTime: this.#minLocalTime,
      maxLocalDeletionTime: this.#maxLocalTime,
      minTtl: this.#minTtl,
      maxTtl: this.#maxTtl,
      unexpiring: this.#unexpiring,
      dropTimes: [...this.#bins].map(([seconds, count]) => ({ seconds, count })).sort((a, b) => a.seconds - b.seconds),
      minPosition: this.#minPosition ?? Buffer.alloc(0),
      maxPosition: this.#maxPosition ?? Buffer.alloc(0),
      minClustering: this.#minClustering,
      maxClustering: this.#maxClustering,
      rawBytes: this.#rawBytes,
      maxPartitionBytes: this.#maxPartitionBytes,
      partitionSizes: this.#partitionLogs.flatMap((count, log) => (count === 0 ? [] : [{ bytes: 2 ** log, count }])),
      owner,
    }
  }
}

/** How many tombstones and expired cells are droppable at `seconds`, at least. */
export function droppableBefore(statistics: TableStatistics, seconds: number): number {
  let count = 0
  for (const bin of statistics.dropTimes) if (bin.seconds <= seconds) count += bin.count
  return count
}

/** A short byte string that is not before the clustering, nor before any that begins like it. */
function upperBound(clustering: Buffer): Buffer {
  if (clustering.length <= CLUSTERING_BYTES_MAX) return Buffer.from(clustering)
  for (let length = CLUSTERING_BYTES_MAX; length > 0; length--) {
    if (clustering[length - 1] === 0xff) continue
    const bound = Buffer.from(clustering.subarray(0, length))
    bound[length - 1]! += 1
    return bound
  }
  return Buffer.from(clustering)
}

function timestampBytes(high: number, low: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeInt32BE(high | 0, 0)
  bytes.writeInt32BE(low | 0, 4)
  return bytes
}

export function encodeStatistics(statistics: TableStatistics): Buffer {
  const out = new ByteWriter(512)
  const field = new ByteWriter(256)
  const put = (tag: number): void => {
    out.varuint(tag)
    out.varuint(field.length)
    out.bytes(field.view())
    field.reset()
  }
  for (const name of COUNTS) field.int64(BigInt(statistics[name]))
  put(Tag.COUNTS)
  if (statistics.minTimestamp && statistics.maxTimestamp) {
    field.bytes(statistics.minTimestamp)
    field.bytes(statistics.maxTimestamp)
    put(Tag.TIMESTAMPS)
  }
  for (const name of LOCAL_TIMES) field.int32(statistics[name])
  put(Tag.LOCAL_TIMES)
  for (const bin of statistics.dropTimes) {
    field.int64(BigInt(bin.seconds))
    field.int64(BigInt(bin.count))
  }
  put(Tag.DROP_TIMES)
  for (const position of [statistics.minPosition, statistics.maxPosition]) putBytes(field, position)
  put(Tag.POSITIONS)
  if (statistics.minClustering && statistics.maxClustering) {
    for (const clustering of [statistics.minClustering, statistics.maxClustering]) putBytes(field, clustering)
    put(Tag.CLUSTERINGS)
  }
  field.int64(BigInt(statistics.maxPartitionBytes))
  for (const size of statistics.partitionSizes) {
    field.int64(BigInt(size.bytes))
    field.int64(BigInt(size.count))
  }
  put(Tag.PARTITION_BYTES)
  if (statistics.owner) {
    field.bytes(uuidBytes(statistics.owner.table))
    field.bytes(Buffer.from(statistics.owner.shape))
    put(Tag.OWNER)
  }
  return out.copy()
}

/** In the order of their bytes. Later versions may add to the end. */
const COUNTS = [
  'entries',
  'partitions',
  'rows',
  'staticRows',
  'partitionDeletions',
  'rangeTombstones',
  'cells',
  'tombstones',
  'unexpiring',
  'rawBytes',
] as const
const LOCAL_TIMES = ['minLocalDeletionTime', 'maxLocalDeletionTime', 'minTtl', 'maxTtl'] as const

function putBytes(out: ByteWriter, bytes: Buffer): void {
  out.varuint(bytes.length)
  out.bytes(bytes)
}

/** Null when the bytes are not statistics. */
export function decodeStatistics(bytes: Buffer): TableStatistics | null {
  try {
    return decode(new ByteReader(bytes))
  } catch (error) {
    if (error instanceof BytesError) return null
    throw error
  }
}

function decode(reader: ByteReader): TableStatistics {
  const counts = Object.fromEntries(COUNTS.map((name) => [name, 0])) as Record<(typeof COUNTS)[number], number>
  const times = { minLocalDeletionTime: NEVER as number, maxLocalDeletionTime: 0, minTtl: NEVER as number, maxTtl: 0 }
  const dropTimes: { seconds: number; count: number }[] = []
  const partitionSizes: { bytes: number; count: number }[] = []
  let maxPartitionBytes = 0
  let timestamps: [Buffer, Buffer] | null = null
  let positions: [Buffer, Buffer] | null = null
  let clusterings: [Buffer, Buffer] | null = null
  let owner: TableOwner | null = null
  const pair = (field: ByteReader): [Buffer, Buffer] => {
    const low = Buffer.from(field.view(field.varuint()))
    return [low, Buffer.from(field.view(field.varuint()))]
  }
  while (reader.remaining() > 0) {
    const tag = reader.varuint()
    const field = new ByteReader(reader.view(reader.varuint()))
    if (tag === Tag.COUNTS) for (const name of COUNTS) counts[name] = Number(field.int64())
    else if (tag === Tag.TIMESTAMPS) timestamps = [Buffer.from(field.view(8)), Buffer.from(field.view(8))]
    else if (tag === Tag.LOCAL_TIMES) for (const name of LOCAL_TIMES) times[name] = field.uint32()
    else if (tag === Tag.DROP_TIMES)
      while (field.remaining() > 0) dropTimes.push({ seconds: Number(field.int64()), count: Number(field.int64()) })
    else if (tag === Tag.POSITIONS) positions = pair(field)
    else if (tag === Tag.CLUSTERINGS) clusterings = pair(field)
    else if (tag === Tag.PARTITION_BYTES) {
      maxPartitionBytes = Number(field.int64())
      while (field.remaining() > 0) partitionSizes.push({ bytes: Number(field.int64()), count: Number(field.int64()) })
    } else if (tag === Tag.OWNER) owner = readOwner(field)
  }
  if (positions === null) throw new BytesError('statistics without positions')
  return {
    ...counts,
    ...times,
    dropTimes,
    maxPartitionBytes,
    partitionSizes,
    minTimestamp: timestamps?.[0] ?? null,
    maxTimestamp: timestamps?.[1] ?? null,
    minPosition: positions[0],
    maxPosition: positions[1],
    minClustering: clusterings?.[0] ?? null,
    maxClustering: clusterings?.[1] ?? null,
    owner,
  }
}

function readOwner(field: ByteReader): TableOwner {
  const id = field.view(16).toString('hex')
  const table = `${id.slice(0, 8)}-${id.slice(8, 12)}-${id.slice(12, 16)}-${id.slice(16, 20)}-${id.slice(20)}`
  return { table, shape: field.utf8(field.remaining()) }
}
