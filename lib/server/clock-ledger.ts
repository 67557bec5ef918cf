/** How far the node's timestamps have come, kept for ever in a table like that of the indexes (indexes.ts). */
import type { TimeLedger } from '../index/clock.ts'
import type { Clock } from '../runtime/runtime.ts'
import { systemTableId } from '../schema/system-tables.ts'
import { type MarksStore, StoredMarks } from './indexes.ts'

const CLOCK_LEDGER_ID = systemTableId('system', 'polyxena_clock')

export function openClockLedger(store: MarksStore, clock: Clock): Promise<TimeLedger> {
  return StoredMarks.open(store, { table: CLOCK_LEDGER_ID, name: 'polyxena_clock' }, () => clock.wallMicros())
}
