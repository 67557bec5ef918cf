/**
 * Restores writes from archived commit-log segments, up to a point in time. They are applied as new ones are, through the commit log, so a restore
 * that was cut short is done again, and one that is done twice changes nothing: the same cells with the same timestamps.
 * Source: Cassandra's CommitLogReplayer with restore_point_in_time, which judges each mutation by its newest timestamp.
 */
import { BytesError } from '../lib/base/bytes.ts'
import type { Runtime } from '../lib/runtime/runtime.ts'
import { replayArchive } from './commitlog/archive-replay.ts'
import { progressLog } from './commitlog/progress.ts'
import { CorruptionError } from './errors.ts'
import { readLogRecord } from './log-record.ts'
import { EntryKind, MutationReader } from './model/mutation.ts'
import { RowReader } from './model/row.ts'

export interface ArchiveRestoreOptions {
  readonly directories: readonly string[]
  /** µs since 1970, as writes have them: mutations with a newer timestamp are left out. Null: none. */
  readonly untilMicros: number | null
}

export interface ArchiveRestoreResult {
  readonly segments: number
  readonly restored: number
  /** Mutations of a later time. */
  readonly tooNew: number
  /** Mutations of tables that there are not, or that are the node's own. */
  readonly unknown: number
}

/** Where restored mutations go. */
export interface RestoreTarget {
  /** Whether a mutation's table takes restored writes; its id is buffer[start, start + 16). */
  takes(buffer: Buffer, start: number): boolean
  apply(mutations: readonly Buffer[]): Promise<void> | undefined
}

/** Records between two waits for the disk. */
const RECORDS_AT_ONCE = 256

/** When it resolves, what was restored is durable. */
export async function restoreArchive(
  runtime: Pick<Runtime, 'disk' | 'clock' | 'log'>,
  target: RestoreTarget,
  options: ArchiveRestoreOptions,
): Promise<ArchiveRestoreResult> {
  const until = options.untilMicros === null ? null : BigInt(options.untilMicros)
  const reader = new MutationReader()
  const counts = { restored: 0, tooNew: 0, unknown: 0 }
  let records = 0
  let last: Promise<void> | undefined
  const segments = await replayArchive(
    runtime.disk,
    options.directories,
    (payload, position) => {
      const wanted: Buffer[] = []
      for (const mutation of mutationsOf(payload, position)) {
        reader.reset(mutation)
        if (!target.takes(mutation, reader.tableStart)) counts.unknown++
        else if (until !== null && newestTimestamp(reader) > until) counts.tooNew++
        else wanted.push(mutation)
      }
      if (wanted.length === 0) return null
      counts.restored += wanted.length
      const done = target.apply(wanted)
      if (done !== undefined) {
        last = done
        done.catch(() => {})
      }
      return ++records % RECORDS_AT_ONCE === 0 && last ? last.then(() => null) : null
    },
    progressLog(runtime, 'archive'),
  )
  await last
  return { segments, ...counts }
}

function mutationsOf(payload: Buffer, position: number): Buffer[] {
  try {
    return readLogRecord(payload)
  } catch (cause) {
    if (!(cause instanceof BytesError)) throw cause
    throw new CorruptionError('the archive', position, 'a record that passed its checksum is no mutation', { cause })
  }
}

/** The greatest timestamp in a mutation. */
export function newestTimestamp(mutation: MutationReader): bigint {
  const row = new RowReader()
  let newest = -(2n ** 63n)
  const see = (high: number, low: number): void => {
    const timestamp = (BigInt(high) << 32n) + BigInt(low)
    if (timestamp > newest) newest = timestamp
  }
  while (mutation.next()) {
    const { buffer, valueStart, valueEnd } = mutation
    if (mutation.kind === EntryKind.PARTITION_DELETION || mutation.kind === EntryKind.RANGE_TOMBSTONE) {
      see(buffer.readInt32BE(valueStart), buffer.readUInt32BE(valueStart + 4))
      continue
    }
    row.reset(buffer, valueStart, valueEnd)
    if (row.hasLiveness) see(row.livenessTsHigh, row.livenessTsLow)
    if (row.hasDeletion) see(row.deletionTsHigh, row.deletionTsLow)
    while (row.next()) see(row.tsHigh, row.tsLow)
  }
  return newest
}
