/**
 * The node's metadata and the door to change it: schema, topology and who decides, entry by entry of a log that is replayed when the node starts
 * (metadata-rows.ts, metadata-state.ts). A node that is alone writes entries by itself; in a cluster each is decided by Paxos among the
 * members (cluster/metadata), and this is every node's copy.
 *
 * Always: the state is the snapshot of 'head' and the entries after it, in their order; an entry is durable here before anybody sees it.
 * A change's new tables are known to storage before its entry is written, dropped ones are dropped after it.
 */

import type { Endpoint, Messenger } from '../../cluster/internode/messenger.ts'
import type { AcceptorRecord } from '../../cluster/metadata/acceptor.ts'
import type { LogReplica, LogView } from '../../cluster/metadata/catch-up.ts'
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
import { createSystemSchema } from '../schema/system-tables.ts'
import { Consistency } from '../types/consistency.ts'
import { chooseMembers } from './metadata-members.ts'
import { METADATA_TABLE, METADATA_TABLE_ID, MetadataWriter, type RowStore, readMetadata } from './metadata-rows.ts'
import {
  applyEntries,
  type ClusterMetadata,
  decodeEntry,
  emptyMetadata,
  encodeEntry,
  type LoggedEntry,
  readSnapshot,
  type SnapshotHead,
  snapshotOf,
} from './metadata-state.ts'
import { dropLeftovers, droppedIndexes, droppedTables, registerTables, type TableStore } from './metadata-tables.ts'
import { schemaDifference } from './schema-difference.ts'
import { StartError } from './start-error.ts'

export { METADATA_TABLE_ID } from './metadata-rows.ts'
export type { ClusterMetadata } from './metadata-state.ts'

const SOURCE = 'metadata-log.ts'

/** Entries after which a snapshot is made, or as many as there are tables: making and replaying stay in proportion to the schema. */
const SNAPSHOT_EVERY = 256

/** What it needs of storage. */
export interface MetadataStore extends RowStore, TableStore {
  apply(mutations: readonly Buffer[]): Promise<void> | undefined
  /** What must be there before tables are dropped; rejects when they must not be. */
  prepareDrop(ids: readonly string[]): Promise<void>
  /** What was applied to the table is durable when it resolves. */
  flush(id: string): Promise<void>
}

export interface MetadataLogOptions {
  readonly store: MetadataStore
  /** Seconds since 1970: when deletions of old entries were made. */
  readonly nowSeconds: () => number
  readonly snapshotEvery?: number
  /** This node as the ring knows it, or would know it: with the tokens of its identity. */
  readonly self?: RingNode
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

/** All that one entry, or one snapshot, changed: at least one thing. */
export type SchemaListener = (changes: readonly SchemaChange[], schema: Schema) => void
export type MetadataListener = (after: ClusterMetadata, before: ClusterMetadata) => void

/**
 * Reads the log, makes all stored tables known to storage, and stands ready for changes. In a cluster its messages are answered from now on;
 * `establish` comes next, once the messenger listens.
 */
export async function openMetadataLog(options: MetadataLogOptions): Promise<MetadataLog> {
  const { store, cluster } = options
  await store.registerTable(METADATA_TABLE_ID, METADATA_TABLE)
  const builtIn = createSystemSchema()
  const head = await readHead(store)
  const entries = await readMetadata(store, 'log', head ? head.epoch + 1 : 0)
  const parts = head ? await readParts(store, head) : []
  const state = applyEntries(head ? readSnapshot(builtIn, head, parts) : emptyMetadata(builtIn), entries)
  const [row] = await readMetadata(store, 'acceptor', 0)
  const acceptor = row ? (JSON.parse(row.payload) as AcceptorRecord) : null
  if (!cluster && state.topology.nodes.size > 1)
    throw new StartError(
      `This node is one of ${state.topology.nodes.size} of a cluster: it does not start without seeds (--seeds, or seeds in the configuration)`,
    )
  await registerTables(store, null, state.schema)
  const records = [
    ...parts.flatMap(decodeRecords),
    ...entries.flatMap(({ payload }) => decodeEntry(payload).schema ?? []),
  ]
  await dropLeftovers(store, records, head?.dropped ?? [], state.schema)
  const log = new MetadataLog(options, { builtIn, state, entries: entries.length, acceptor })
  await log.finishAlone()
  return log
}

interface Opened {
  readonly builtIn: Schema
  readonly state: ClusterMetadata
  readonly entries: number
  readonly acceptor: AcceptorRecord | null
}

export class MetadataLog implements SchemaDoor {
  readonly #store: MetadataStore
  readonly #nowSeconds: () => number
  readonly #snapshotEvery: number
  readonly #builtIn: Schema
  readonly #cluster: MetadataClusterOptions | null
  readonly #replicated: ReplicatedLog | null
  readonly #founding: Founding | null
  readonly #listeners = new Set<SchemaListener>()
  readonly #watchers = new Set<MetadataListener>()
  readonly #writer = new MetadataWriter()
  /** Tables of which all is there that must be before they are dropped. */
  readonly #prepared = new Set<string>()
  #state: ClusterMetadata
  #view: LogView | null = null
  #entries: number
  #appendedAlone = 0
  #snapshotsTaken = 0
  #tail: Promise<unknown> = Promise.resolve()
  /** After a write of the log failed nobody knows what is in it. */
  #failed = false
  readonly #acceptor: AcceptorRecord | null
  readonly #confirmations = new SharedRuns(() =>
    this.#append(this.#replicated!, 'It cannot be learned what there is', () => null),
  )

  /** Use openMetadataLog. */
  constructor(options: MetadataLogOptions, { builtIn, state, entries, acceptor }: Opened) {
    this.#store = options.store
    this.#nowSeconds = options.nowSeconds
    this.#snapshotEvery = options.snapshotEvery ?? SNAPSHOT_EVERY
    this.#builtIn = builtIn
    this.#state = state
    this.#entries = entries
    this.#acceptor = acceptor
    this.#cluster = options.cluster ?? null
    const together = this.#cluster ? this.#openReplicated(this.#cluster) : null
    this.#replicated = together?.replicated ?? null
    this.#founding = together?.founding ?? null
    if (!this.#cluster && options.self) this.#state = asAlone(state, options.self)
  }

  get current(): Schema {
    return this.#state.schema
  }

  get state(): ClusterMetadata {
    return this.#state
  }

  get figures(): MetadataFigures {
    const { epoch, members } = this.#state
    const counts = this.#replicated?.counts ?? { appended: this.#appendedAlone, contended: 0, withoutMajority: 0 }
    return {
      ...counts,
      epoch,
      members: members.length,
      isMember: !this.#cluster || members.includes(this.#cluster.self.hostId),
      snapshotsTaken: this.#snapshotsTaken,
    }
  }

  /** Calls the listener after each change of the schema, when it is durable and visible. */
  listen(listener: SchemaListener): Disposable {
    this.#listeners.add(listener)
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) }
  }

  /** Calls the listener after every entry, and before those who listen to the schema. */
  watch(listener: MetadataListener): Disposable {
    this.#watchers.add(listener)
    return { [Symbol.dispose]: () => this.#watchers.delete(listener) }
  }

  /**
   * Resolves when this node belongs to a cluster, found or founded, and has its log: what was decided while it was away, too, if others are there to
   * tell. Alone: at once. Throws FoundingError.
   */
  async establish(): Promise<void> {
    if (!this.#replicated) return
    if (this.#state.clusterId === '') await this.#founding!.establish()
    else await this.#replicated.comeBack()
    this.#replicated.start()
  }

  change(
    apply: (schema: Schema) => { schema: Schema; change: SchemaChange | null; payload: string },
  ): Promise<SchemaChange | null> {
    if (this.#replicated) return this.#changeTogether(this.#replicated, apply)
    return this.#queue(() => this.#changeAlone(apply))
  }

  /** A function is asked again for every state that others were faster to make; null: there is nothing to do. Throws TopologyError. */
  async changeTopology(change: TopologyChange | ((state: ClusterMetadata) => TopologyChange | null)): Promise<void> {
    assert(this.#replicated !== null, 'a node that is alone has no ring to change')
    await this.#append(this.#replicated, 'The ring cannot be changed', () => {
      const { topology, members } = this.#state
      const wanted = typeof change === 'function' ? change(this.#state) : change
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
      const { topology, members } = this.#state
      const next = chooseMembers(topology, members, isGone)
      // Where there is nobody else a member that is gone keeps its place: it may come back.
      for (const member of members) if (next.length < members.length && !next.includes(member)) next.push(member)
      if (next.every((member) => members.includes(member))) return null
      return encodeEntry({ by: this.#newId(), members: next })
    })
  }

  /** Resolves when this node has the epoch; `from`: who is known to have it. Throws BehindError. */
  async catchUp(epoch: number, from: Endpoint | null = null): Promise<void> {
    if (this.#state.epoch >= epoch) return
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
    await this.#tail
  }

  /** Changes that are on their way fail; others are asked nothing any more. */
  async close(): Promise<void> {
    await this.#replicated?.close()
    await this.#tail
  }

  /** A member that decides alone has decided what it accepted, even if it did not come to write it as an entry. Of a founding it was one of many. */
  async finishAlone(): Promise<void> {
    const { epoch, members, clusterId } = this.#state
    const accepted = this.#acceptor?.epoch === epoch + 1 ? this.#acceptor.accepted : null
    if (this.#cluster || clusterId === '' || !accepted || members.length !== 1) return
    await this.#queue(() => this.#applyNow([{ epoch: epoch + 1, payload: accepted.value }]))
  }

  #openReplicated(cluster: MetadataClusterOptions): { replicated: ReplicatedLog; founding: Founding } {
    const { clock, messenger, log, isAlive, whereabouts, times } = cluster
    const exchange = new Exchange(messenger, clock, cluster.random.stream('metadata'))
    const replica = this.#replica()
    const replicated = new ReplicatedLog({
      exchange,
      replica,
      log,
      acceptor: this.#acceptor,
      saveAcceptor: (record) => this.#write([this.#writer.acceptor(record.sequence, JSON.stringify(record))]),
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

  #replica(): LogReplica {
    return {
      view: () => this.#currentView(),
      apply: (entries) => this.#queue(() => this.#applyNow(entries)),
      entries: (since, bytesMax) => this.#entriesSince(since, bytesMax),
      snapshot: () => this.#storedSnapshot(),
      snapshotPart: async (epoch, part) => {
        const parts = await readMetadata(this.#store, 'snapshot', epoch)
        return parts.find((row) => row.epoch === epoch && row.part === part)?.payload ?? null
      },
      install: (head, parts) => this.#queue(() => this.#install(JSON.parse(head) as SnapshotHead, parts)),
    }
  }

  #currentView(): LogView {
    const { epoch, clusterId, members, topology } = this.#state
    this.#view ??= { epoch, clusterId, members, peers: [...topology.nodes.values()] }
    return this.#view
  }

  /** One after another, in the order of asking. */
  #queue<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#tail.then(work)
    this.#tail = done.then(
      () => this.#snapshotIfDue(),
      () => undefined,
    )
    return done
  }

  async #changeAlone(
    apply: (schema: Schema) => { schema: Schema; change: SchemaChange | null; payload: string },
  ): Promise<SchemaChange | null> {
    this.#checkUsable()
    const before = this.#state
    const { schema, change, payload } = apply(before.schema)
    if (change === null) return null
    const epoch = before.epoch + 1
    await this.#prepareDrop(droppedTables(before.schema, schema))
    const after = schema.epoch === epoch ? { ...before, epoch, schema } : applyEntries(before, [{ epoch, payload }])
    await this.#advance(after, [this.#writer.entry(epoch, payload)])
    this.#appendedAlone += 1
    return change
  }

  async #changeTogether(
    replicated: ReplicatedLog,
    apply: (schema: Schema) => { schema: Schema; change: SchemaChange | null; payload: string },
  ): Promise<SchemaChange | null> {
    let change: SchemaChange | null = null
    await this.#append(replicated, 'The schema cannot be changed', async () => {
      const before = this.#state.schema
      const outcome = apply(before)
      change = outcome.change
      if (change === null) return null
      await this.#prepareDrop(droppedTables(before, outcome.schema))
      return encodeEntry({ by: this.#newId(), change, schema: decodeRecords(outcome.payload) })
    })
    return change
  }

  /** Says in the protocol's words why nothing was decided. */
  async #append(log: ReplicatedLog, what: string, build: () => string | null | Promise<string | null>): Promise<void> {
    this.#checkUsable()
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

  #checkUsable(): void {
    if (this.#failed) throw new RequestError('SERVER_ERROR', 'The schema cannot be changed until the node is restarted')
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

  async #applyNow(entries: readonly LoggedEntry[]): Promise<void> {
    for (const logged of entries) {
      if (logged.epoch <= this.#state.epoch) continue
      assert(logged.epoch === this.#state.epoch + 1, `entry ${logged.epoch} after ${this.#state.epoch}`)
      const after = applyEntries(this.#state, [logged])
      await this.#advance(after, [this.#writer.entry(logged.epoch, logged.payload)])
    }
  }

  async #install(head: SnapshotHead, parts: readonly string[]): Promise<void> {
    const before = this.#state
    if (head.epoch <= before.epoch || (before.clusterId !== '' && head.cluster?.id !== before.clusterId)) return
    assert(parts.length === head.parts, `${head.parts} parts of a snapshot, got ${parts.length}`)
    const after = readSnapshot(this.#builtIn, head, parts)
    const dropped = [...droppedTables(before.schema, after.schema), ...droppedIndexes(before.schema, after.schema)]
    const { epoch } = head
    for (const [index, part] of parts.entries()) await this.#write([this.#writer.part(epoch, index, part)])
    await this.#advance(after, this.#headRows({ ...head, dropped }))
    this.#entries = 0
    this.#snapshotsTaken += 1
  }

  /** From one state to the next, durably, with all that follows from it. */
  async #advance(after: ClusterMetadata, rows: readonly Buffer[]): Promise<void> {
    const before = this.#state
    const dropped = droppedTables(before.schema, after.schema)
    await this.#prepareDrop(dropped).catch((error: unknown) => {
      // It is decided: this node has no say in it any more.
      this.#cluster?.log.error(SOURCE, 'Tables are dropped without the snapshot that comes first', error)
    })
    await registerTables(this.#store, before.schema, after.schema)
    await this.#write(rows)
    this.#state = after
    this.#view = null
    this.#entries += 1
    for (const id of [...dropped, ...droppedIndexes(before.schema, after.schema)]) await this.#store.dropTable(id)
    for (const id of dropped) this.#prepared.delete(id)
    for (const watcher of this.#watchers) watcher(after, before)
    if (this.#listeners.size === 0) return
    const changes = schemaDifference(before.schema, after.schema)
    if (changes.length > 0) for (const listener of this.#listeners) listener(changes, after.schema)
  }

  async #prepareDrop(dropped: readonly string[]): Promise<void> {
    const ids = dropped.filter((id) => !this.#prepared.has(id))
    if (ids.length === 0) return
    try {
      await this.#store.prepareDrop(ids)
      for (const id of ids) this.#prepared.add(id)
    } catch (cause) {
      // Without its snapshot the data would be gone for good.
      const why =
        'Nothing was dropped: the snapshot that comes first failed, see the log (auto_snapshot: false drops without)'
      throw Object.assign(new RequestError('SERVER_ERROR', why), { cause })
    }
  }

  async #entriesSince(since: number, bytesMax: number): Promise<readonly LoggedEntry[] | null> {
    if (since >= this.#state.epoch) return []
    const rows = await readMetadata(this.#store, 'log', since + 1, bytesMax)
    return rows[0]?.epoch === since + 1 ? rows.map(({ epoch, payload }) => ({ epoch, payload })) : null
  }

  async #storedSnapshot(): Promise<{ epoch: number; head: string; parts: number }> {
    const head = await readHead(this.#store)
    assert(head !== null, 'entries are only forgotten when there is a snapshot')
    const { dropped: _, ...told } = head
    return { epoch: head.epoch, head: JSON.stringify(told), parts: head.parts }
  }

  /** The change that made it due is done; a failure shows with the next one. */
  async #snapshotIfDue(): Promise<void> {
    const due = Math.max(this.#snapshotEvery, this.#state.schema.tablesById.size - this.#builtIn.tablesById.size)
    if (this.#entries < due || this.#failed) return
    await this.#snapshot().catch(() => undefined)
  }

  async #write(mutations: readonly Buffer[]): Promise<void> {
    try {
      const durable = this.#store.apply(mutations)
      // The commit log may be told to promise less; a schema that is lost takes its tables with it.
      await (durable ?? this.#store.flush(METADATA_TABLE_ID))
    } catch (cause) {
      this.#failed = true
      throw cause
    }
  }

  /** Parts first, then the head, which makes them count and deletes what they replace, all at once. */
  async #snapshot(): Promise<void> {
    const { head, parts } = snapshotOf(this.#state, this.#builtIn)
    for (const [index, part] of parts.entries()) await this.#write([this.#writer.part(head.epoch, index, part)])
    await this.#write(this.#headRows(head))
    this.#entries = 0
  }

  #headRows(head: SnapshotHead): Buffer[] {
    const { epoch } = head
    const seconds = this.#nowSeconds()
    return [
      this.#writer.head(epoch, JSON.stringify(head)),
      this.#writer.forget('log', epoch + 1, epoch, seconds),
      this.#writer.forget('snapshot', epoch, epoch, seconds),
    ]
  }
}

/** Who is alone is the whole ring, wherever it is now, and has no need to write that down. */
function asAlone(state: ClusterMetadata, self: RingNode): ClusterMetadata {
  const { tokens } = state.topology.nodes.get(self.hostId) ?? self
  const node: RingNode = { ...self, tokens, status: 'normal' }
  return { ...state, topology: { nodes: new Map([[self.hostId, node]]) }, members: [self.hostId] }
}

function isSameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((value, i) => value === b[i])
}

async function readHead(store: RowStore): Promise<SnapshotHead | null> {
  const [row] = await readMetadata(store, 'head', 0)
  return row ? (JSON.parse(row.payload) as SnapshotHead) : null
}

async function readParts(store: RowStore, head: SnapshotHead): Promise<string[]> {
  const parts = (await readMetadata(store, 'snapshot', head.epoch)).filter((part) => part.epoch === head.epoch)
  assert(parts.length === head.parts, `${head.parts} parts of the schema's snapshot, found ${parts.length}`)
  return parts.map(({ payload }) => payload)
}
