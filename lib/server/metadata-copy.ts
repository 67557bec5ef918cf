/**
 * This node's copy of the metadata's log: the state that its entries make (metadata-state.ts), how both are kept in storage (metadata-rows.ts), and who is
 * told of changes. It is asked for entries and snapshots by nodes that lack them.
 * Always: the state is the snapshot of 'head' and the entries after it, in their order; an entry is durable here before anybody sees it.
 * A change's new tables are known to storage before its entry is written, dropped ones are dropped after it.
 */
import type { AcceptorRecord } from '../../cluster/metadata/acceptor.ts'
import type { LogReplica, LogView } from '../../cluster/metadata/catch-up.ts'
import type { RingNode } from '../../cluster/ring/topology.ts'
import { assert } from '../base/assert.ts'
import { RequestError } from '../base/errors.ts'
import type { SchemaDoor } from '../cql/statement.ts'
import type { Log } from '../runtime/runtime.ts'
import type { Schema, SchemaChange } from '../schema/keyspace.ts'
import { decodeRecords } from '../schema/records.ts'
import { createSystemSchema } from '../schema/system-tables.ts'
import { METADATA_TABLE, METADATA_TABLE_ID, MetadataWriter, type RowStore, readMetadata } from './metadata-rows.ts'
import {
  applyEntries,
  type ClusterMetadata,
  decodeEntry,
  emptyMetadata,
  type LoggedEntry,
  readSnapshot,
  type SnapshotHead,
  snapshotOf,
} from './metadata-state.ts'
import { dropLeftovers, droppedIndexes, droppedTables, registerTables, type TableStore } from './metadata-tables.ts'
import { schemaDifference } from './schema-difference.ts'
import { StartError } from './start-error.ts'

const SOURCE = 'metadata-copy.ts'

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

export interface MetadataCopyOptions {
  readonly store: MetadataStore
  /** Seconds since 1970: when deletions of old entries were made. */
  readonly nowSeconds: () => number
  readonly snapshotEvery?: number
  /** This node as the ring knows it, or would know it: with the tokens of its identity. */
  readonly self?: RingNode
}

/** All that one entry, or one snapshot, changed: at least one thing. */
export type SchemaListener = (changes: readonly SchemaChange[], schema: Schema) => void
export type MetadataListener = (after: ClusterMetadata, before: ClusterMetadata) => void

/** A pure change of the schema, as SchemaDoor takes it. */
export type ApplyChange = Parameters<SchemaDoor['change']>[0]

/** `log`: of a node of a cluster; null: it is alone. */
export async function openMetadataCopy(options: MetadataCopyOptions, log: Log | null): Promise<MetadataCopy> {
  const { store, self } = options
  await store.registerTable(METADATA_TABLE_ID, METADATA_TABLE)
  const builtIn = createSystemSchema()
  const head = await readHead(store)
  const entries = await readMetadata(store, 'log', head ? head.epoch + 1 : 0)
  const parts = head ? await readParts(store, head) : []
  const state = applyEntries(head ? readSnapshot(builtIn, head, parts) : emptyMetadata(builtIn), entries)
  const [row] = await readMetadata(store, 'acceptor', 0)
  const acceptor = row ? (JSON.parse(row.payload) as AcceptorRecord) : null
  if (log === null && state.topology.nodes.size > 1)
    throw new StartError(
      `This node is one of ${state.topology.nodes.size} of a cluster: it does not start without seeds (--seeds, or seeds in the configuration)`,
    )
  await registerTables(store, null, state.schema)
  const records = [
    ...parts.flatMap(decodeRecords),
    ...entries.flatMap(({ payload }) => decodeEntry(payload).schema ?? []),
  ]
  await dropLeftovers(store, records, head?.dropped ?? [], state.schema)
  const own = log === null && self ? asAlone(state, self) : state
  return new MetadataCopy(options, log, { builtIn, state: own, entries: entries.length, acceptor })
}

/** Who is alone is the whole ring, wherever it is now, and has no need to write that down. */
function asAlone(state: ClusterMetadata, self: RingNode): ClusterMetadata {
  const { tokens } = state.topology.nodes.get(self.hostId) ?? self
  const node: RingNode = { ...self, tokens, status: 'normal' }
  return { ...state, topology: { nodes: new Map([[self.hostId, node]]) }, members: [self.hostId] }
}

interface Opened {
  readonly builtIn: Schema
  readonly state: ClusterMetadata
  readonly entries: number
  readonly acceptor: AcceptorRecord | null
}

export class MetadataCopy implements LogReplica {
  /** What this node had promised and accepted of entries when it was opened. */
  readonly acceptor: AcceptorRecord | null
  readonly counts = { appendedAlone: 0, snapshotsTaken: 0 }
  readonly #store: MetadataStore
  readonly #log: Log | null
  readonly #nowSeconds: () => number
  readonly #snapshotEvery: number
  readonly #builtIn: Schema
  readonly #listeners = new Set<SchemaListener>()
  readonly #watchers = new Set<MetadataListener>()
  readonly #writer = new MetadataWriter()
  /** Tables of which all is there that must be before they are dropped. */
  readonly #prepared = new Set<string>()
  #state: ClusterMetadata
  #view: LogView | null = null
  #entries: number
  #tail: Promise<unknown> = Promise.resolve()
  /** After a write of the log failed nobody knows what is in it. */
  #failed = false

  /** Use openMetadataCopy. */
  constructor(
    { store, nowSeconds, snapshotEvery }: MetadataCopyOptions,
    log: Log | null,
    { builtIn, state, entries, acceptor }: Opened,
  ) {
    this.acceptor = acceptor
    this.#store = store
    this.#log = log
    this.#nowSeconds = nowSeconds
    this.#snapshotEvery = snapshotEvery ?? SNAPSHOT_EVERY
    this.#builtIn = builtIn
    this.#state = state
    this.#entries = entries
  }

  get state(): ClusterMetadata {
    return this.#state
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

  checkUsable(): void {
    if (this.#failed) throw new RequestError('SERVER_ERROR', 'The schema cannot be changed until the node is restarted')
  }

  /** Of a node that is alone, which writes entries by itself. */
  changeAlone(apply: ApplyChange): Promise<SchemaChange | null> {
    return this.#queue(() => this.#changeNow(apply))
  }

  saveAcceptor(record: AcceptorRecord): Promise<void> {
    return this.#write([this.#writer.acceptor(record.sequence, JSON.stringify(record))])
  }

  /** Resolves when nothing is being applied. */
  async settle(): Promise<void> {
    await this.#tail
  }

  view(): LogView {
    const { epoch, clusterId, members, topology } = this.#state
    this.#view ??= { epoch, clusterId, members, peers: [...topology.nodes.values()] }
    return this.#view
  }

  apply(entries: readonly LoggedEntry[]): Promise<void> {
    return this.#queue(() => this.#applyNow(entries))
  }

  async entries(since: number, bytesMax: number): Promise<readonly LoggedEntry[] | null> {
    if (since >= this.#state.epoch) return []
    const rows = await readMetadata(this.#store, 'log', since + 1, bytesMax)
    return rows[0]?.epoch === since + 1 ? rows.map(({ epoch, payload }) => ({ epoch, payload })) : null
  }

  async snapshot(): Promise<{ epoch: number; head: string; parts: number }> {
    const head = await readHead(this.#store)
    assert(head !== null, 'entries are only forgotten when there is a snapshot')
    const { dropped: _, ...told } = head
    return { epoch: head.epoch, head: JSON.stringify(told), parts: head.parts }
  }

  async snapshotPart(epoch: number, part: number): Promise<string | null> {
    const parts = await readMetadata(this.#store, 'snapshot', epoch)
    return parts.find((row) => row.epoch === epoch && row.part === part)?.payload ?? null
  }

  install(head: string, parts: readonly string[]): Promise<void> {
    return this.#queue(() => this.#installNow(JSON.parse(head) as SnapshotHead, parts))
  }

  async prepareDrop(dropped: readonly string[]): Promise<void> {
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

  /** One after another, in the order of asking. */
  #queue<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#tail.then(work)
    this.#tail = done.then(
      () => this.#snapshotIfDue(),
      () => undefined,
    )
    return done
  }

  async #changeNow(apply: ApplyChange): Promise<SchemaChange | null> {
    this.checkUsable()
    const before = this.#state
    const { schema, change, payload } = apply(before.schema)
    if (change === null) return null
    const epoch = before.epoch + 1
    await this.prepareDrop(droppedTables(before.schema, schema))
    const after = schema.epoch === epoch ? { ...before, epoch, schema } : applyEntries(before, [{ epoch, payload }])
    await this.#advance(after, [this.#writer.entry(epoch, payload)])
    this.counts.appendedAlone += 1
    return change
  }

  async #applyNow(entries: readonly LoggedEntry[]): Promise<void> {
    for (const logged of entries) {
      if (logged.epoch <= this.#state.epoch) continue
      assert(logged.epoch === this.#state.epoch + 1, `entry ${logged.epoch} after ${this.#state.epoch}`)
      const after = applyEntries(this.#state, [logged])
      await this.#advance(after, [this.#writer.entry(logged.epoch, logged.payload)])
    }
  }

  async #installNow(head: SnapshotHead, parts: readonly string[]): Promise<void> {
    const before = this.#state
    if (head.epoch <= before.epoch || (before.clusterId !== '' && head.cluster?.id !== before.clusterId)) return
    assert(parts.length === head.parts, `${head.parts} parts of a snapshot, got ${parts.length}`)
    const after = readSnapshot(this.#builtIn, head, parts)
    const dropped = [...droppedTables(before.schema, after.schema), ...droppedIndexes(before.schema, after.schema)]
    const { epoch } = head
    for (const [index, part] of parts.entries()) await this.#write([this.#writer.part(epoch, index, part)])
    await this.#advance(after, this.#headRows({ ...head, dropped }))
    this.#entries = 0
    this.counts.snapshotsTaken += 1
  }

  /** From one state to the next, durably, with all that follows from it. */
  async #advance(after: ClusterMetadata, rows: readonly Buffer[]): Promise<void> {
    const before = this.#state
    const dropped = droppedTables(before.schema, after.schema)
    await this.prepareDrop(dropped).catch((error: unknown) => {
      // It is decided: this node has no say in it any more.
      this.#log?.error(SOURCE, 'Tables are dropped without the snapshot that comes first', error)
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

  /** The change that made it due is done; a failure shows with the next one. */
  async #snapshotIfDue(): Promise<void> {
    const due = Math.max(this.#snapshotEvery, this.#state.schema.tablesById.size - this.#builtIn.tablesById.size)
    if (this.#entries < due || this.#failed) return
    await this.#makeSnapshot().catch(() => undefined)
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
  async #makeSnapshot(): Promise<void> {
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

async function readHead(store: RowStore): Promise<SnapshotHead | null> {
  const [row] = await readMetadata(store, 'head', 0)
  return row ? (JSON.parse(row.payload) as SnapshotHead) : null
}

async function readParts(store: RowStore, head: SnapshotHead): Promise<string[]> {
  const parts = (await readMetadata(store, 'snapshot', head.epoch)).filter((part) => part.epoch === head.epoch)
  assert(parts.length === head.parts, `${head.parts} parts of the schema's snapshot, found ${parts.length}`)
  return parts.map(({ payload }) => payload)
}
