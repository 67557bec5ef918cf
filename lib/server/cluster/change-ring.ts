/** Changes of the ring that have to be made, however long it takes. */
import type { TopologyChange } from '../../../cluster/ring/topology.ts'
import { RequestError } from '../../base/errors.ts'
import type { Clock, Log } from '../../runtime/runtime.ts'
import type { ClusterMetadata, MetadataLog } from '../metadata-log.ts'

export interface ChangeRingOptions {
  readonly metadata: Pick<MetadataLog, 'changeTopology'>
  readonly clock: Clock
  readonly log: Log
}

const SOURCE = 'change-ring.ts'
const RETRY_MS = 100
const RETRY_MAX_MS = 2_000
const TELL_EVERY_MS = 30_000

/** Waits for a majority of the metadata members: they may be starting, as this node is. What is asked for is looked at anew each time. */
export async function changeRing(
  { metadata, clock, log }: ChangeRingOptions,
  change: (state: ClusterMetadata) => TopologyChange | null,
): Promise<void> {
  let toldMs = Number.NEGATIVE_INFINITY
  for (let tries = 0; ; tries++) {
    try {
      await metadata.changeTopology(change)
      return
    } catch (error) {
      if (!(error instanceof RequestError) || (error.code !== 'UNAVAILABLE' && error.code !== 'WRITE_TIMEOUT'))
        throw error
      if (clock.monotonicMs() - toldMs >= TELL_EVERY_MS) {
        log.warn(SOURCE, `${error.message}: this node waits for them`)
        toldMs = clock.monotonicMs()
      }
      await sleep(clock, Math.min(RETRY_MAX_MS, RETRY_MS * 2 ** tries))
    }
  }
}

export function sleep(clock: Pick<Clock, 'after'>, ms: number): Promise<void> {
  return new Promise((resolve) => {
    clock.after(ms, resolve)
  })
}
