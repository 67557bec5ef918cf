/**
 * The moment between a node's joining and everybody's knowledge of it. A coordinator that does not know of it yet reads from the former replicas; so what
 * the new one acknowledges, it brings to those first whose place it has taken. Source: the middle step of Cassandra's TCM (MID_JOIN), in which reads are
 * of the new replicas and writes still go to both.
 * Always: while it is on, a write is acknowledged here only if it is there too, or that node is down.
 */
import { FailureReason, ReplicaFailure } from '../../lib/base/errors.ts'
import { TABLE_ID_BYTES, tableKeyOf } from '../../storage/model/mutation.ts'
import type { Messenger } from '../internode/messenger.ts'
import { Verb } from '../internode/verbs.ts'
import { encodeMutations } from './messages.ts'
import type { Fetch, Range } from './plan.ts'
import { isWithin } from './source.ts'

export interface MirrorOptions {
  readonly messenger: Messenger
  readonly fetched: readonly Fetch[]
  /** Of the table that a mutation names (its first 16 bytes as latin1). */
  keyspaceOf(tableIdLatin1: string): string | null
  isAlive(hostId: string): boolean
}

const MIRROR_MS = 2_000

interface Former {
  readonly hostId: string
  readonly endpoint: string
  readonly ranges: ReadonlyMap<string, readonly Range[]>
}

export class Mirror {
  readonly #options: MirrorOptions
  readonly #formers: readonly Former[]

  constructor(options: MirrorOptions) {
    this.#options = options
    this.#formers = options.fetched.map(({ from, parts }) => {
      const ranges = new Map<string, readonly Range[]>()
      for (const part of parts) for (const keyspace of part.keyspaces) ranges.set(keyspace, part.ranges)
      return { hostId: from.hostId, endpoint: from.endpoint, ranges }
    })
  }

  /** One for each of those who get some of them; copied before this returns. */
  send(mutations: readonly Buffer[]): Promise<void>[] {
    const sent: Promise<void>[] = []
    for (const former of this.#formers) {
      const covered = mutations.filter((mutation) => this.#covers(former, mutation))
      if (covered.length > 0 && this.#options.isAlive(former.hostId)) sent.push(this.#sendTo(former, covered))
    }
    return sent
  }

  #covers({ ranges }: Former, mutation: Buffer): boolean {
    const keyspace = this.#options.keyspaceOf(tableKeyOf(mutation))
    const own = keyspace === null ? undefined : ranges.get(keyspace)
    return own !== undefined && isWithin(own, mutation.subarray(TABLE_ID_BYTES, TABLE_ID_BYTES + 8))
  }

  #sendTo({ hostId, endpoint }: Former, mutations: readonly Buffer[]): Promise<void> {
    const { messenger, isAlive } = this.#options
    return new Promise((resolve, reject) => {
      messenger.request(endpoint, Verb.STREAM_MIRROR, encodeMutations(mutations), MIRROR_MS, {
        replied: () => resolve(),
        failed: (_from, reason) => {
          // One that is down answers no reads either.
          if (!isAlive(hostId)) resolve()
          else
            reject(
              new ReplicaFailure(
                'TIMEOUT',
                FailureReason.TIMEOUT,
                `${endpoint} does not take a write (reason ${reason})`,
              ),
            )
        },
      })
    })
  }
}
