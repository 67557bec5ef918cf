/** SSTables made of model writes on a simulated disk, merged by the job itself, and read as the store would. */
import { uuidBytes } from '../../lib/base/uuid.ts'
import type { Disk, JobContext } from '../../lib/runtime/runtime.ts'
import { createSimulatedClock } from '../../lib/runtime/simulated/clock.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'
import { BlockCache } from '../../storage/cache.ts'
import { type JobTable, type MergeArgument, type MergeResult, mergeTables } from '../../storage/compaction/job.ts'
import { AFTER_ALL, readTimestamp, type Timestamp } from '../../storage/compaction/purge.ts'
import { Memtable } from '../../storage/memtable.ts'
import type { ReadCommand, ReadResult } from '../../storage/model/command.ts'
import { LastWriteWins, type Resolution } from '../../storage/model/merge.ts'
import { MutationReader } from '../../storage/model/mutation.ts'
import { readRows } from '../../storage/read/read.ts'
import type { Source } from '../../storage/read/source.ts'
import { drive } from '../../storage/read/steps.ts'
import { openTableReader, type TableReader } from '../../storage/sstable/reader.ts'
import { openTableWriter } from '../../storage/sstable/writer.ts'
import {
  encodeWrite,
  everythingIn,
  high,
  low,
  type ModelWrite,
  NOW,
  type SeenPartition,
  storeView,
} from './storage-model.ts'

export const TABLE = '5a1c395e-b41f-11e5-9f22-ba0be0483c18'
export const TABLE_BYTES: Buffer = uuidBytes(TABLE)

export const ALL: ReadCommand = everythingIn(TABLE)

export function makeMemtable(writes: readonly ModelWrite[]): Memtable {
  const memtable = new Memtable(new LastWriteWins())
  for (const write of writes) memtable.apply(new MutationReader().reset(encodeWrite(write, TABLE_BYTES)))
  return memtable
}

/** Null when there would be nothing in it. */
export async function makeTable(disk: Disk, path: string, writes: readonly ModelWrite[]): Promise<TableReader | null> {
  const memtable = makeMemtable(writes)
  if (memtable.isEmpty) return null
  return writeTable(disk, path, memtable)
}

export async function writeTable(disk: Disk, path: string, memtable: Memtable): Promise<TableReader> {
  const uid = Buffer.alloc(8)
  uid.write(path.slice(-8))
  const writer = await openTableWriter(disk, path, { uid, partitionsEstimate: memtable.size, blockBytes: 256 })
  const cursor = memtable.cursor()
  for (cursor.seek(Buffer.alloc(0)); cursor.valid; cursor.next()) await writer.add(cursor.key, cursor.value)
  await writer.finish()
  return open(disk, path)
}

export function open(disk: Disk, path: string): Promise<TableReader> {
  return openTableReader(disk, path, { cache: new BlockCache() })
}

function jobContext(disk: Disk, pause: () => void = () => {}): JobContext {
  const signal = new AbortController().signal
  return {
    disk,
    clock: createSimulatedClock(),
    random: createSeededRandom(1),
    signal,
    input: async () => null,
    progress() {},
    async pause() {
      pause()
    },
  }
}

export function jobTable({ path, footer, fileBytes }: TableReader): JobTable {
  return { path, uid: footer.uid, fileBytes }
}

export interface MergeCase {
  readonly disk: Disk
  readonly inputs: readonly TableReader[]
  readonly shadows?: readonly TableReader[]
  readonly outsiders?: readonly TableReader[]
  readonly floor?: Timestamp
  readonly nowSeconds?: number
  readonly gcGraceSeconds?: number
  readonly resolution?: 'lww' | 'vclock'
  readonly outputBytesMax?: readonly number[]
  readonly rangeBytesMax?: number
  /** What the outputs' names begin with. */
  readonly name: string
  readonly context?: JobContext
}

export async function merge(given: MergeCase): Promise<{ result: MergeResult; outputs: TableReader[] }> {
  const { disk, name } = given
  const names = Array.from({ length: 20 }, (_, i) => ({
    path: `${name}-${i}.sst`,
    uid: Buffer.from(`${name.slice(-5)}${i}`.padStart(8, '0').slice(-8)),
  }))
  const argument: MergeArgument = {
    inputs: given.inputs.map(jobTable),
    shadows: (given.shadows ?? []).map(jobTable),
    outsiders: (given.outsiders ?? []).map((table) => ({
      ...jobTable(table),
      minTimestamp: table.statistics.minTimestamp ? readTimestamp(table.statistics.minTimestamp) : AFTER_ALL,
      minPosition: table.statistics.minPosition,
      maxPosition: table.statistics.maxPosition,
    })),
    purgeFloor: given.floor ?? AFTER_ALL,
    nowSeconds: given.nowSeconds ?? NOW,
    gcGraceSeconds: given.gcGraceSeconds ?? 10,
    resolution: given.resolution ?? 'lww',
    outputs: names,
    outputBytesMax: given.outputBytesMax ?? [Infinity],
    writer: { falsePositiveChance: 0.01, compressed: true, blockBytes: 256 },
    owner: { table: TABLE, shape: '' },
    rangeBytesMax: given.rangeBytesMax ?? 1_000_000,
    throttle: new SharedArrayBuffer(8),
  }
  const result = await mergeTables(argument, given.context ?? jobContext(disk))
  const outputs: TableReader[] = []
  for (const { name: which } of result.outputs) outputs.push(await open(disk, names[which]!.path))
  return { result, outputs }
}

/** As the store reads, without its limits on how long. */
export async function readSources(
  sources: readonly Source[],
  resolution: Resolution,
  gcGraceSeconds: number,
  command: ReadCommand,
): Promise<ReadResult> {
  const context = {
    resolution,
    gcGraceSeconds,
    hasClustering: true,
    sources,
    pause: async () => {},
    didRead() {},
    didScan() {},
  }
  return await drive(readRows(context, command))
}

/** Everything that a read of these sources gives. */
export async function view(sources: readonly Source[], nowSeconds = NOW): Promise<SeenPartition[]> {
  const result = await readSources(sources, new LastWriteWins(), 864_000, { ...ALL, nowSeconds })
  return storeView(result, nowSeconds)
}

/** The least timestamp in writes. */
export function leastTimestamp(writes: readonly ModelWrite[]): Timestamp {
  let least: bigint | null = null
  const take = (ts: bigint): void => {
    if (least === null || ts < least) least = ts
  }
  for (const { changes } of writes)
    for (const change of changes) {
      if (change.kind !== 'row') take(change.ts)
      else {
        if (change.liveness) take(change.liveness.ts)
        if (change.deletion) take(change.deletion.ts)
        for (const cell of change.cells) take(cell.ts)
      }
    }
  return least === null ? AFTER_ALL : { high: high(least), low: low(least) }
}
