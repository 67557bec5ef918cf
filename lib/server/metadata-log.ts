/**
 * The door to change the node's metadata: schema, topology and who decides, entry by entry of a log. A node that is alone writes entries by itself; in a
 * cluster each is decided by Paxos among the members (cluster/metadata). What they come to here is in metadata-copy.ts.
 * Always: a change is refused only on a state that is no older than all that was acknowledged before it was asked for.
 */
import type { Endpoint, Messenger } from '../../cluster/internode/messenger.ts'
import { Exchange } from '../../cluster/metadata/exchange.ts'
import { Founding } from '../../cluster/metadata/founding.ts'
import { type LogTimes, NoMajorityError, ReplicatedLog } from '../../cluster/metadata/replicated-log.ts'
import {
  changeTopology,
  EMPTY_TOPOLOGY,
  type RingNode,
  type Topology,
  type TopologyChange,
} from '../../cluster/ring/topology.ts'
import { assert } from '../base/assert.ts'
import { RequestError } from '../base/errors.ts'
import { SharedRuns } from '../base/shared-runs.ts'
import { stampUuid, uuidText } from '../base/uuid.ts'
import type { SchemaDoor } from '../cql/statement.ts'
import type { MetadataFigures } from '../metrics.ts'
import type { Clock, Log, Random } from '../runtime/runtime.ts'
import type { Schema, SchemaChange } from '../schema/keyspace.ts'
import { decodeRecords } from '../schema/records.ts'
import { Consistency } from '../types/consistency.ts'
import {
  type ApplyChange,
  type MetadataCopy,
  type MetadataCopyOptions,
  type MetadataListener,
  openMetadataCopy,
  type SchemaListener,
} from './metadata-copy.ts'
import { chooseMembers } from './metadata-members.ts'
import { type ClusterMetadata, encodeEntry } from './metadata-state.ts'
import { droppedTables } from './metadata-tables.ts'

export type { ClusterMetadata } from './metadata-state.ts'

export interface MetadataLogOptions extends MetadataCopyOptions {
  /** Absent: the node is alone. */
  readonly cluster?: MetadataClusterOptions
}

export interface MetadataClusterOptions {
  readonly self: RingNode
  readonly messenger: Messenger
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly clusterName: string
  /** Endpoints; this node's own among them if it is a seed. */
  readonly seeds: readonly Endpoint[]
  /** How nodes that found a cluster come to their tokens. Absent: they have those that they bring. */
  readonly tokens?: {
    /** That this node asks for (num_tokens). */
    readonly count: number
    /** For one of them, which asks for so many, beside those that are in the topology already. */
    readonly allocate: (topology: Topology, node: RingNode, count: number) => readonly string[]
  }
  /** Whom a change waits for after it was decided. Absent: for all. */
  readonly isAlive?: (hostId: string) => boolean
  /** Where gossip says that a node is; null: it says nothing. Absent: it is asked where the log, or its own messages, say. */
  readonly whereabouts?: (hostId: string) => Endpoint | null
  readonly times?: Partial<LogTimes>
}

/** A node as the ring would know it, and how many tokens it asks for. */
type Candidate = RingNode & { readonly numTokens?: number | undefined }

/**
 * Reads the log, makes all stored tables known to storage, and stands ready for changes. In a cluster its messages are answered from now on;
 * `establish` comes next, once the messenger listens.
 */
export async function openMetadataLog(options: MetadataLogOptions): Promise<MetadataLog> {
  const { cluster = null } = options
  const log = new MetadataLog(await openMetadataCopy(options, cluster?.log ?? null), cluster)
  await log.finishAlone()
  return log
}

export class MetadataLog implements SchemaDoor {
  readonly #copy: MetadataCopy
  readonly #cluster: MetadataClusterOptions | null
  readonly #replicated: ReplicatedLog | null
  readonly #founding: Founding | null
  readonly #confirmations = new SharedRuns(() =>
    this.#append(this.#replicated!, 'It cannot be learned what there is', () => null),
  )

  /** Use openMetadataLog. */
  constructor(copy: MetadataCopy, cluster: MetadataClusterOptions | null) {
    this.#copy = copy
    this.#cluster = cluster
    const together = cluster ? this.#openReplicated(cluster) : null
    this.#replicated = together?.replicated ?? null
    this.#founding = together?.founding ?? null
  }

  get current(): Schema {
    return this.#copy.state.schema
  }

  get state(): ClusterMetadata {
    return this.#copy.state
  }

  get figures(): MetadataFigures {
    const { epoch, members } = this.#copy.state
    const { appendedAlone: appended, snapshotsTaken } = this.#copy.counts
    const counts = this.#replicated?.counts ?? { appended, contended: 0, withoutMajority: 0 }
    return {
      ...counts,
      epoch,
      members: members.length,
      isMember: !this.#cluster || members.includes(this.#cluster.self.hostId),
      snapshotsTaken,
    }
  }

  /** Calls the listener after each change of the schema, when it is durable and visible. */
  listen(listener: SchemaListener): Disposable {
    return this.#copy.listen(listener)
  }

  /** Calls the listener after every entry, and before those who listen to the schema. */
  watch(listener: MetadataListener): Disposable {
    return this.#copy.watch(listener)
  }

  /**
   * Resolves when this node belongs to a cluster, found or founded, and has its log: what was decided while it was away, too, if others are there to
   * tell. Alone: at once. Throws FoundingError.
   */
  async establish(): Promise<void> {
    if (!this.#replicated) return
    if (this.#copy.state.clusterId === '') await this.#founding!.establish()
    else await this.#replicated.comeBack()
    this.#replicated.start()
  }

  change(apply: ApplyChange): Promise<SchemaChange | null> {
    if (this.#replicated) return this.#changeTogether(this.#replicated, apply)
    return this.#copy.changeAlone(apply)
  }

  /** A function is asked again for every state that others were faster to make; null: there is nothing to do. Throws TopologyError. */
  async changeTopology(change: TopologyChange | ((state: ClusterMetadata) => TopologyChange | null)): Promise<void> {
    assert(this.#replicated !== null, 'a node that is alone has no ring to change')
    await this.#append(this.#replicated, 'The ring cannot be changed', () => {
      const { topology, members } = this.#copy.state
      const wanted = typeof change === 'function' ? change(this.#copy.state) : change
      if (wanted === null) return null
      const next = chooseMembers(changeTopology(topology, wanted), members)
      return encodeEntry({
        by: this.#newId(),
        topology: [wanted],
        ...(isSameList(next, members) ? {} : { members: next }),
      })
    })
  }

  /** Gives the places of members that are gone for long to others, if there are any. */
  async replaceMembers(isGone: (hostId: string) => boolean): Promise<void> {
    assert(this.#replicated !== null, 'a node that is alone has no members')
    await this.#append(this.#replicated, 'The members cannot be changed', () => {
      const { topology, members } = this.#copy.state
      const next = chooseMembers(topology, members, isGone)
      // Where there is nobody else a member that is gone keeps its place: it may come back.
      for (const member of members) if (next.length < members.length && !next.includes(member)) next.push(member)
      if (next.every((member) => members.includes(member))) return null
      return encodeEntry({ by: this.#newId(), members: next })
    })
  }

  /** Resolves when this node has the epoch; `from`: who is known to have it. Throws BehindError. */
  async catchUp(epoch: number, from: Endpoint | null = null): Promise<void> {
    if (this.#copy.state.epoch >= epoch) return
    assert(this.#replicated !== null, 'a node that is alone has the whole log')
    await this.#replicated.catchUp.reach(epoch, from)
  }

  /**
   * Resolves when this node has all that was acknowledged before the call: who says that something is not there has to know. Throws UNAVAILABLE when that
   * cannot be learned. However many ask at once, the members are asked by one at a time.
   */
  async confirm(): Promise<void> {
    if (this.#replicated !== null) await this.#confirmations.run()
  }

  /** The epoch that another node has at least, as far as it is known here. */
  reached(hostId: string): number {
    return this.#replicated?.reached(hostId) ?? 0
  }

  /** Resolves when no change is on its way. */
  async settle(): Promise<void> {
    await this.#replicated?.settle()
    await this.#copy.settle()
  }

  /** Changes that are on their way fail; others are asked nothing any more. */
  async close(): Promise<void> {
    await this.#replicated?.close()
    await this.#copy.settle()
  }

  /** A member that decides alone has decided what it accepted, even if it did not come to write it as an entry. Of a founding it was one of many. */
  async finishAlone(): Promise<void> {
    const { epoch, members, clusterId } = this.#copy.state
    const { acceptor } = this.#copy
    const accepted = acceptor?.epoch === epoch + 1 ? acceptor.accepted : null
    if (this.#cluster || clusterId === '' || !accepted || members.length !== 1) return
    await this.#copy.apply([{ epoch: epoch + 1, payload: accepted.value }])
  }

  #openReplicated(cluster: MetadataClusterOptions): { replicated: ReplicatedLog; founding: Founding } {
    const { clock, messenger, log, isAlive, whereabouts, times } = cluster
    const exchange = new Exchange(messenger, clock, cluster.random.stream('metadata'))
    const replica = this.#copy
    const replicated = new ReplicatedLog({
      exchange,
      replica,
      log,
      acceptor: replica.acceptor,
      saveAcceptor: (record) => replica.saveAcceptor(record),
      ...(isAlive ? { isAlive } : {}),
      ...(whereabouts ? { whereabouts } : {}),
      ...(times ? { times } : {}),
    })
    const founding = new Founding({
      exchange,
      replica,
      log: replicated,
      reports: log,
      clusterName: cluster.clusterName,
      seeds: cluster.seeds,
      candidate: () => JSON.stringify({ ...cluster.self, numTokens: cluster.tokens?.count } satisfies Candidate),
      entry: (candidates) => this.#foundingEntry(cluster, candidates),
    })
    return { replicated, founding }
  }

  async #changeTogether(replicated: ReplicatedLog, apply: ApplyChange): Promise<SchemaChange | null> {
    let change: SchemaChange | null = null
    await this.#append(replicated, 'The schema cannot be changed', async () => {
      const before = this.#copy.state.schema
      const outcome = apply(before)
      change = outcome.change
      if (change === null) return null
      await this.#copy.prepareDrop(droppedTables(before, outcome.schema))
      return encodeEntry({ by: this.#newId(), change, schema: decodeRecords(outcome.payload) })
    })
    return change
  }

  /** Says in the protocol's words why nothing was decided. */
  async #append(log: ReplicatedLog, what: string, build: () => string | null | Promise<string | null>): Promise<void> {
    this.#copy.checkUsable()
    try {
      await log.append(build)
    } catch (error) {
      if (!(error instanceof NoMajorityError)) throw error
      const { required, answered, members, isUncertain } = error
      const consistency = Consistency.SERIAL
      const how = `${answered} of the ${members} metadata members answered, ${required} must`
      if (isUncertain)
        throw new RequestError('WRITE_TIMEOUT', `${what}: ${how}; it may still happen`, {
          consistency,
          received: Math.min(answered, required - 1),
          blockFor: required,
          writeType: 'CAS',
        })
      throw new RequestError('UNAVAILABLE', `${what}: ${how}`, { consistency, required, alive: answered })
    }
  }

  #newId(): string {
    const bytes = this.#cluster!.random.fill(Buffer.alloc(16))
    return uuidText(stampUuid(bytes, 4))
  }

  #foundingEntry({ tokens: own }: MetadataClusterOptions, candidates: readonly string[]): string {
    const changes: TopologyChange[] = []
    let topology = EMPTY_TOPOLOGY
    for (const candidate of candidates) {
      const { numTokens, ...brought } = JSON.parse(candidate) as Candidate
      const tokens = own?.allocate(topology, brought, numTokens ?? own.count) ?? brought.tokens
      const change: TopologyChange = { kind: 'join-start', node: { ...brought, tokens, status: 'normal' } }
      topology = changeTopology(topology, change)
      changes.push(change)
    }
    const id = this.#newId()
    return encodeEntry({ by: id, cluster: { id }, topology: changes, members: chooseMembers(topology, []) })
  }
}

function isSameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((value, i) => value === b[i])
}
