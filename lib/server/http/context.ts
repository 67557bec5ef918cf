/** What all requests over HTTP share. */
import type { Clock, Log, Random } from '../../runtime/runtime.ts'
import type { KeyValueTables } from './key-value.ts'
import type { HttpCounters, HttpLimits } from './limits.ts'

export interface HttpContext {
  readonly clock: Clock
  readonly log: Log
  readonly random: Random
  readonly limits: HttpLimits
  readonly counters: HttpCounters
  readonly tables: KeyValueTables
  /** No new requests are wanted: answers say that their connection ends. */
  isClosing: boolean
}
