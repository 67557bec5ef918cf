/**
 * Building: what a base table held before its view was made. Writes go on meanwhile, and keep the view themselves; so rows are read again before they
 * are written, while nobody else changes their partition.
 */
import type { PartitionData, ReadCommand, ReadPoint, ReadResult } from '../../storage/model/command.ts'
import type { TableSchema } from '../schema/table.ts'
import { tokenOfPosition } from '../types/partition-key.ts'

export interface BuildProgress {
  /** Looked at. */
  readonly rows: number
  /** Of the partition looked at last; null: none yet. */
  readonly lastToken: bigint | null
}

export type PartitionRead = ReadCommand & { readonly target: { readonly kind: 'partition'; readonly position: Buffer } }

export interface BuildServices {
  read(command: ReadCommand): ReadResult | Promise<ReadResult>
  nowSeconds(): number
  /** Lets others have the event loop. */
  pause(): Promise<void>
  goesOn(): boolean
  /** Writes what the view has of the rows that the command reads. */
  partition(command: PartitionRead): Promise<void>
  report(progress: BuildProgress): void
}

/** One read and its writes: a few milliseconds. */
const CHUNK_ROWS = 128
const CHUNK_BYTES = 256 * 1024
const AFTER = Buffer.of(0)

/** Answers how many rows were looked at; null: it was cut short. */
export async function buildView(base: TableSchema, services: BuildServices): Promise<number | null> {
  const hasClustering = base.clustering.length > 0
  let after: ReadPoint | null = null
  let rows = 0
  do {
    await services.pause()
    if (!services.goesOn()) return null
    const result: ReadResult = await services.read(chunk(base.id, after, services.nowSeconds()))
    after = nextPoint(result, hasClustering)
    const commands = result.partitions.map((partition) =>
      partitionCommand(base.id, partition, hasClustering, services.nowSeconds()),
    )
    for (const partition of result.partitions) rows += partition.rows.length
    for (const command of commands) {
      if (!services.goesOn()) return null
      await services.partition(command)
      services.report({ rows, lastToken: tokenOfPosition(command.target.position) })
    }
  } while (after !== null)
  return rows
}

function chunk(table: string, after: ReadPoint | null, nowSeconds: number): ReadCommand {
  const everything = { kind: 'range', start: null, end: null } as const
  const limits = { limit: CHUNK_ROWS, perPartitionLimit: Number.POSITIVE_INFINITY, byteLimit: CHUNK_BYTES }
  return { table, target: everything, slices: null, ...PLAIN, ...limits, nowSeconds, after }
}

/** The rows from the first to the last that the chunk has of the partition. */
function partitionCommand(
  table: string,
  { position, rows }: PartitionData,
  hasClustering: boolean,
  nowSeconds: number,
): PartitionRead {
  const first = Buffer.from(rows[0]!.clustering)
  const end = Buffer.concat([rows.at(-1)!.clustering, AFTER])
  return wholeRead(table, Buffer.from(position), hasClustering ? [{ start: first, end }] : null, nowSeconds)
}

const PLAIN = { reversed: false, wantStatic: false, staticCounts: false } as const

/** All that a partition holds in the slices (null: all), deletions too; what becomes of it goes into the same log. */
export function wholeRead(
  table: string,
  position: Buffer,
  slices: ReadCommand['slices'],
  nowSeconds: number,
): PartitionRead {
  const limits = {
    limit: Number.POSITIVE_INFINITY,
    perPartitionLimit: Number.POSITIVE_INFINITY,
    byteLimit: Number.POSITIVE_INFINITY,
  }
  return {
    table,
    target: { kind: 'partition', position },
    slices,
    ...PLAIN,
    ...limits,
    nowSeconds,
    after: null,
    unsynced: true,
    whole: true,
  }
}

function nextPoint({ partitions, more }: ReadResult, hasClustering: boolean): ReadPoint | null {
  const partition = partitions.at(-1)
  const row = partition?.rows.at(-1)
  if (!more || partition === undefined || row === undefined) return null
  return {
    position: Buffer.from(partition.position),
    clustering: Buffer.from(row.clustering),
    partitionDone: !hasClustering,
    rowsGiven: partition.rows.length,
  }
}
