/** The ways to run a store that must give the same answers: each seed of the model check takes one. */
import type { StoreSettings } from '../../../storage/store.ts'

export interface OptionSet {
  readonly name: string
  readonly settings: StoreSettings
}

type LogOptions = NonNullable<StoreSettings['commitLog']>

function set(name: string, memtableBytesMax: number, blockCacheBytes: number, commitLog: LogOptions): OptionSet {
  return { name, settings: { memtableBytesMax, blockCacheBytes, commitLog } }
}

const KIB = 1024
const MIB = 1024 * KIB
/** A log of this many bytes asks for flushes by itself. */
const SHORT_LOG = 128 * KIB

export const OPTION_SETS: readonly OptionSet[] = [
  set('all in memory until asked', 64 * MIB, MIB, { mode: 'group', segmentBytes: 64 * KIB }),
  set('flushes all the time', 16 * KIB, MIB, { mode: 'group', segmentBytes: 64 * KIB }),
  set('flushes all the time, no cache', 16 * KIB, 0, { mode: 'group', segmentBytes: 16 * KIB }),
  set('flushes often', 64 * KIB, 64 * KIB, { mode: 'group', segmentBytes: 16 * KIB }),
  set('batch', MIB, MIB, { mode: 'batch', segmentBytes: 32 * KIB }),
  set('batch, no cache', 64 * KIB, 0, { mode: 'batch', segmentBytes: 16 * KIB }),
  set('periodic', MIB, MIB, { mode: 'periodic', segmentBytes: 32 * KIB, syncPeriodMs: 1_000 }),
  set('periodic, flushes often', 32 * KIB, 16 * KIB, { mode: 'periodic', segmentBytes: 16 * KIB, syncPeriodMs: 100 }),
  set('short log', 64 * MIB, MIB, { mode: 'group', segmentBytes: 16 * KIB, totalBytes: SHORT_LOG }),
  set('short log, no cache', MIB, 0, { mode: 'batch', segmentBytes: 16 * KIB, totalBytes: SHORT_LOG }),
]
