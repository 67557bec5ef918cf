/**
 * The moment between a node's joining and everybody's knowledge of it. A coordinator that does not know of it yet reads from the former replicas; so what
 * the new one acknowledges, it brings to those first whose place it has taken. Source: the middle step of Cassandra's TCM (MID_JOIN), in which reads are
 * of the new replicas and writes still go to both.
 * Always: while it is on, a write is acknowledged here only if it is there too; or that node is down, and so few of the range's former replicas may not know of the
 * change that they are no quorum: who knows of it refuses coordinators that do not (lib/server/cluster/in-ring.ts). One that is taken for down may only be cut off
 * from here, together with others.
 */
import { FailureReason, ReplicaFailure } from '../../lib/base/errors.ts'
import { TABLE_ID_BYTES, tableKeyOf } from '../../storage/model/mutation.ts'
import { quorumOf } from '../coordinator/levels.ts'
import type { Messenger } from '../internode/messenger.ts'
import { Verb } from '../internode/verbs.ts'
import type { RingNode } from '../ring/topology.ts'
import { encodeMutations } from './messages.ts'
import type { Fetch, Range } from './plan.ts'
import { isWithin } from './source.ts'

export interface MirrorOptions {
  readonly messenger: Messenger
  readonly fetched: readonly Fetch[]
  /** Of the table that a mutation names (its first 16 bytes as latin1). */
  keyspaceOf(tableIdLatin1: string): string | null
  isAlive(hostId: string): boolean
  /** The former replicas of a position. */
  former(keyspace: string, position: Buffer): readonly RingNode[]
  /** Whether a node is known to know of the change. While it is not decided, nobody reads from this node: then all are said to. */
  knows(hostId: string): boolean
}

/** Whether those among a range's former replicas who may not know of the change are enough for a quorum of them, or of those of one data centre. */
export function mayBeQuorum(former: readonly RingNode[], knows: (hostId: string) => boolean): boolean {
  const isQuorum = (nodes: readonly RingNode[]): boolean =>
    nodes.filter(({ hostId }) => !knows(hostId)).length >= quorumOf(nodes.length)
  return former.length > 0 && (isQuorum(former) || [...byDatacenter(former)].some(isQuorum))
}

function byDatacenter(nodes: readonly RingNode[]): Iterable<readonly RingNode[]> {
  const groups = new Map<string, RingNode[]>()
  for (const node of nodes) groups.set(node.datacenter, [...(groups.get(node.datacenter) ?? []), node])
  return groups.values()
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
      if (covered.length === 0) continue
      if (this.#options.isAlive(former.hostId)) sent.push(this.#sendTo(former, covered))
      else if (!this.#mayDoWithout(covered)) sent.push(Promise.reject(notTaken(former.endpoint, 'it is down')))
    }
    return sent
  }

  /** Nobody can have a quorum that does not know of the change. */
  #mayDoWithout(mutations: readonly Buffer[]): boolean {
    const { keyspaceOf, former, knows } = this.#options
    return mutations.every((mutation) => {
      const keyspace = keyspaceOf(tableKeyOf(mutation))
      if (keyspace === null) return true
      return !mayBeQuorum(former(keyspace, mutation.subarray(TABLE_ID_BYTES)), knows)
    })
  }

  #covers({ ranges }: Former, mutation: Buffer): boolean {
    const keyspace = this.#options.keyspaceOf(tableKeyOf(mutation))
    const own = keyspace === null ? undefined : ranges.get(keyspace)
    return own !== undefined && isWithin(own, mutation.subarray(TABLE_ID_BYTES, TABLE_ID_BYTES + 8))
  }

  #sendTo({ hostId, endpoint }: Former, mutations: readonly Buffer[]): Promise<void> {
    const { messenger, isAlive } = this.#options
    const own = mutations.map((mutation) => Buffer.from(mutation))
    return new Promise((resolve, reject) => {
      messenger.request(endpoint, Verb.STREAM_MIRROR, encodeMutations(mutations), MIRROR_MS, {
        replied: () => resolve(),
        failed: (_from, reason) => {
          // One that is down answers no reads either.
          if (!isAlive(hostId) && this.#mayDoWithout(own)) resolve()
          else reject(notTaken(endpoint, `reason ${reason}`))
        },
      })
    })
  }
}

function notTaken(endpoint: string, why: string): ReplicaFailure {
  return new ReplicaFailure('TIMEOUT', FailureReason.TIMEOUT, `${endpoint} does not take a write (${why})`)
}
