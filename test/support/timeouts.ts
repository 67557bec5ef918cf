/** How long coordinators wait for other nodes where a test says nothing else: as a node does by default. */
import type { RequestTimeouts } from '../../cluster/coordinator/environment.ts'

export const REQUEST_TIMEOUTS: RequestTimeouts = {
  readMs: 5_000,
  rangeMs: 10_000,
  writeMs: 2_000,
  counterMs: 5_000,
  casContentionMs: 1_800,
  truncateMs: 60_000,
}
