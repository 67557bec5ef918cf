/** What an SSTable tells of itself, in the words of Cassandra's sstablemetadata. */
import type { Disk } from '../../lib/runtime/runtime.ts'
import type { TableShape } from '../../lib/schema/shape.ts'
import { parseTypeClassName } from '../../lib/types/class-name.ts'
import { toCqlText } from '../../lib/types/format.ts'
import { splitPartitionKey, tokenOfPosition } from '../../lib/types/partition-key.ts'
import { BlockCache } from '../../storage/cache.ts'
import { fileName, MANIFEST_NAME, type TableFile } from '../../storage/manifest.ts'
import { decodeManifest } from '../../storage/manifest-format.ts'
import { NEVER } from '../../storage/model/row.ts'
import { readWhole } from '../../storage/snapshot-manifest.ts'
import { openTableReader } from '../../storage/sstable/reader.ts'
import { droppableBefore, type TableStatistics } from '../../storage/sstable/statistics.ts'
import { timeText } from './row-text.ts'
import { shapeOfFile } from './shapes.ts'

export interface MetadataOptions {
  readonly nowSeconds: number
  readonly gcGraceSeconds: number
}

/** Plain data, the fields of which are the lines of the text. */
export async function describeTable(
  disk: Disk,
  path: string,
  options: MetadataOptions,
): Promise<Record<string, unknown>> {
  const reader = await openTableReader(disk, path, { cache: new BlockCache(0) })
  await reader.close()
  const { statistics, footer } = reader
  const shape = await shapeOfFile(disk, path)
  const described = await manifestEntry(disk, path)
  const micros = (bytes: Buffer | null): bigint | null => (bytes === null ? null : bytes.readBigInt64BE())
  const least = micros(statistics.minTimestamp)
  const greatest = micros(statistics.maxTimestamp)
  const cells = statistics.cells + statistics.tombstones
  const droppable = droppableBefore(statistics, options.nowSeconds - options.gcGraceSeconds)
  return {
    SSTable: path,
    Partitioner: 'org.apache.cassandra.dht.Murmur3Partitioner',
    'Table id': statistics.owner?.table ?? null,
    Table: shape ? `${shape.keyspace}.${shape.name}` : null,
    'Minimum timestamp': least === null ? null : `${timeText(least)} (${least})`,
    'Maximum timestamp': greatest === null ? null : `${timeText(greatest)} (${greatest})`,
    'SSTable min local deletion time': secondsText(statistics.minLocalDeletionTime, NEVER),
    'SSTable max local deletion time': secondsText(statistics.maxLocalDeletionTime, 0),
    'Compression ratio': statistics.rawBytes === 0 ? null : reader.fileBytes / statistics.rawBytes,
    'TTL min': statistics.minTtl === NEVER ? 0 : statistics.minTtl,
    'TTL max': statistics.maxTtl,
    'First token': edgeText(statistics.minPosition, shape),
    'Last token': edgeText(statistics.maxPosition, shape),
    'Covered clusterings': statistics.minClustering
      ? [statistics.minClustering, statistics.maxClustering!].map((bytes) => `0x${bytes.toString('hex')}`)
      : null,
    'Estimated droppable tombstones': cells === 0 ? 0 : Math.min(1, droppable / cells),
    'SSTable Level': described?.level ?? null,
    'Repaired at': described?.repairedAtMs ?? null,
    totalColumnsSet: statistics.cells,
    totalRows: statistics.rows + statistics.staticRows,
    Partitions: statistics.partitions,
    'Partition deletions': statistics.partitionDeletions,
    'Range tombstones': statistics.rangeTombstones,
    Tombstones: statistics.tombstones,
    'Maximum partition size': statistics.maxPartitionBytes,
    'File bytes': reader.fileBytes,
    'Raw bytes': statistics.rawBytes,
    'Filter bytes': reader.filterBytes,
    'Index bytes': reader.indexBytes,
    'Index levels': footer.indexLevels,
    Identity: footer.uid.toString('hex'),
    'Estimated tombstone drop times': histogram(statistics.dropTimes.map(({ seconds, count }) => [seconds, count])),
    'Partition Size': histogram(statistics.partitionSizes.map(({ bytes, count }) => [bytes, count])),
    KeyType: shape?.partitionKey.map(({ type }) => type) ?? null,
    ClusteringTypes: shape?.clustering.map(({ type, reversed }) => (reversed ? `ReversedType(${type})` : type)) ?? null,
    StaticColumns: columns(shape, 'static'),
    RegularColumns: columns(shape, 'regular'),
  }
}

export function metadataText(described: Readonly<Record<string, unknown>>): string {
  let text = ''
  for (const [name, value] of Object.entries(described)) {
    if (Array.isArray(value) && value.some(Array.isArray)) {
      const rows = value as (readonly [number, number])[]
      text += `${name}:\n${rows.map(([at, count]) => `   ${at} | ${count}\n`).join('')}`
    } else text += `${name}: ${Array.isArray(value) ? value.join(', ') : (value ?? '--')}\n`
  }
  return text
}

function histogram(rows: readonly (readonly [number, number])[]): unknown {
  return rows.length === 0 ? null : rows
}

function columns(shape: TableShape | null, kind: 'static' | 'regular'): string[] | null {
  return shape?.columns.filter((column) => column.kind === kind).map(({ name, type }) => `${name}:${type}`) ?? null
}

function secondsText(seconds: number, none: number): string {
  return seconds === none || seconds === NEVER
    ? 'no tombstones'
    : `${timeText(BigInt(seconds) * 1_000_000n)} (${seconds})`
}

function edgeText(position: TableStatistics['minPosition'], shape: TableShape | null): string {
  const key = position.subarray(10)
  const text = shape
    ? splitPartitionKey(key, shape.partitionKey.length)
        .map((value, i) => toCqlText(parseTypeClassName(shape.partitionKey[i]!.type), value))
        .join(':')
    : `0x${key.toString('hex')}`
  return `${tokenOfPosition(position)} (${text})`
}

/** Level and repair stand in the manifest of the data directory, if the file is in one. */
async function manifestEntry(disk: Disk, path: string): Promise<TableFile | null> {
  const parts = path.split('/')
  const manifest = [...parts.slice(0, -3), MANIFEST_NAME].join('/')
  if (parts.length < 4 || !(await disk.stat(manifest))) return null
  let found: TableFile | null = null
  for (const group of decodeManifest(await readWhole(disk, manifest, 1024 ** 3), manifest))
    for (const edit of group) if (edit.kind === 'add' && fileName(edit.file.number) === parts.at(-1)) found = edit.file
  return found
}
