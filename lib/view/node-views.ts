/**
 * The materialized views of one node: stands before storage (and the indexes), and adds to each write of a base table what becomes of its views.
 * Source: what Cassandra's views show. The base row is read as it is and as it would be with the write, deletions too; where its copies in a view differ, the new one
 * is written, in the commit-log record of the write. One write at a time looks at a partition of a base table.
 * Always: once a view is built, it has the rows that view-row.ts makes of the rows of its base table, and no others, after a crash too. In a cluster, once the base
 * table's replicas agree, those of the view together have these rows, whoever sent them and in whatever order they came.
 */

import type { ReadCommand, ReadResult } from '../../storage/model/command.ts'
import {
  EntryKind,
  MutationReader,
  POSITION_HEAD_BYTES,
  TABLE_ID_BYTES,
  tableKeyOf,
} from '../../storage/model/mutation.ts'
import { PartitionMutationWriter } from '../../storage/model/partition-mutation.ts'
import { SerialLocks } from '../base/serial-locks.ts'
import { uuidBytes } from '../base/uuid.ts'
import type { Clock, Log } from '../runtime/runtime.ts'
import type { Schema } from '../schema/keyspace.ts'
import type { TableSchema } from '../schema/table.ts'
import { isView } from '../schema/views.ts'
import { encodePosition } from '../types/partition-key.ts'
import { type BuildProgress, buildView, type PartitionRead, wholeRead } from './build.ts'
import { Gate } from './gate.ts'
import { PartitionStates, stateOrNull, statesOf, touchedSlices } from './partition-states.ts'
import { ALONE, type ViewPlaces } from './places.ts'
import { samePlace, sameRow, type ViewPlace, ViewRows } from './view-row.ts'

/** Storage with its indexes, as views use it. */
export interface ViewStore {
  apply(mutations: readonly Buffer[]): Promise<void> | undefined
  read(command: ReadCommand): ReadResult | Promise<ReadResult>
  /** All at once: after a crash either all of them are truncated or none. */
  truncate(table: string, also: readonly string[], atMs?: number): Promise<void>
}

/** Which views are built, for ever. */
export interface ViewMarks {
  readonly built: ReadonlySet<string>
  setBuilt(id: string): Promise<void>
  forget(id: string): Promise<void>
}

export interface NodeViewsOptions {
  readonly store: ViewStore
  readonly marks: ViewMarks
  readonly schema: () => Schema
  readonly clock: Pick<Clock, 'wallMicros' | 'soon' | 'after'>
  readonly log: Log
  /** Who holds what of the views, as soon as that is known. Default: this node holds all. */
  readonly places?: Promise<ViewPlaces>
}

interface BaseTable {
  readonly schema: TableSchema
  readonly idBytes: Buffer
  readonly views: readonly { readonly rows: ViewRows; readonly idBytes: Buffer }[]
  readonly gate: Gate
}

/** What a batch of mutations does to one partition of a table. */
interface PartitionWrite {
  /** The table's id and the position, as one character a byte. */
  readonly name: string
  readonly position: Buffer
  readonly mutations: Buffer[]
}

const SOURCE = 'lib/view/node-views.ts'
/** Longer than a truncation takes (truncate_request_timeout is 60 s): who emptied the views and hears no more of it fills them. */
const FILL_MS = 120_000

export class NodeViews {
  readonly #options: NodeViewsOptions
  readonly #writer = new PartitionMutationWriter()
  readonly #token = new Int32Array(2)
  readonly #places: ViewPlaces | Promise<ViewPlaces>
  readonly #locks = new SerialLocks()
  readonly #mutation = new MutationReader()
  /** By the table's id, as 16 characters. */
  readonly #bases = new Map<string, BaseTable>()
  /** Gates outlive changes of the schema. */
  readonly #gates = new Map<string, Gate>()
  readonly #building = new Map<string, { readonly done: Promise<void>; progress: BuildProgress }>()
  /** By the base table's id: its views were emptied and are to be filled. */
  readonly #toFill = new Map<string, Disposable>()
  #seen: Schema | null = null
  #closed = false

  constructor(options: NodeViewsOptions) {
    this.#options = options
    this.#places = options.places ?? ALONE
    this.refresh()
  }

  /** Takes notice of the schema as it is: begins to build what is new, forgets what is gone. */
  refresh(): void {
    const schema = this.#options.schema()
    if (schema === this.#seen) return
    this.#seen = schema
    this.#bases.clear()
    const known = new Set<string>()
    for (const keyspace of schema.keyspaces.values())
      for (const view of keyspace.tables.values()) {
        if (!isView(view)) continue
        const base = schema.tablesById.get(view.view.baseId)
        if (!base) continue
        known.add(view.id)
        this.#addView(base, new ViewRows(base, view))
      }
    for (const id of this.#options.marks.built) if (!known.has(id)) void this.#options.marks.forget(id)
    for (const { views } of this.#bases.values())
      for (const { rows } of views)
        if (!this.isBuilt(rows.view.id) && !this.#building.has(rows.view.id)) this.#build(rows.view.id)
  }

  #addView(base: TableSchema, rows: ViewRows): void {
    const idBytes = uuidBytes(base.id)
    const name = idBytes.toString('latin1')
    const views = [...(this.#bases.get(name)?.views ?? []), { rows, idBytes: uuidBytes(rows.view.id) }]
    this.#bases.set(name, { schema: base, idBytes, views, gate: this.#gateOf(name) })
  }

  /** By the table's id, as 16 characters. */
  #gateOf(name: string): Gate {
    const gate = this.#gates.get(name) ?? new Gate()
    this.#gates.set(name, gate)
    return gate
  }

  isBuilt(id: string): boolean {
    return this.#options.marks.built.has(id)
  }

  read(command: ReadCommand): ReadResult | Promise<ReadResult> {
    return this.#options.store.read(command)
  }

  apply(mutations: readonly Buffer[]): Promise<void> | undefined {
    if (this.#options.schema() !== this.#seen) this.refresh()
    if (this.#bases.size === 0) return this.#options.store.apply(mutations)
    for (let i = 0; i < mutations.length; i++)
      if (this.#bases.has(tableKeyOf(mutations[i]!)))
        // The caller takes its bytes back when this call returns.
        return this.#applyWithViews(mutations.map((mutation) => Buffer.from(mutation)))
    return this.#options.store.apply(mutations)
  }

  async #applyWithViews(mutations: readonly Buffer[]): Promise<void> {
    const writes = this.#writesOf(mutations)
    const tables = new Set(writes.map(({ name }) => name.slice(0, TABLE_ID_BYTES)))
    const gates = Array.from(tables, (table) => this.#gateOf(table))
    let entered = 0
    try {
      for (const gate of gates) {
        await gate.enter()
        entered++
      }
      // What makes it last is waited for when others may look at the partitions again.
      const { durable, sends } = await this.#locked(writes, 0, async () => {
        const all = [...mutations]
        const toSend: (() => void)[] = []
        for (const write of writes) all.push(...(await this.#placedChangesOf(write, toSend)))
        return { durable: this.#options.store.apply(all), sends: toSend }
      })
      for (; entered > 0; entered--) gates[entered - 1]!.leave()
      await durable
      for (const send of sends) send()
    } finally {
      for (; entered > 0; entered--) gates[entered - 1]!.leave()
    }
  }

  /** By partition, in one order for all, so that no two wait for each other. */
  #writesOf(mutations: readonly Buffer[]): PartitionWrite[] {
    const writes = new Map<string, PartitionWrite>()
    for (const mutation of mutations) {
      const { positionEnd, positionStart } = this.#mutation.reset(mutation)
      const name = mutation.toString('latin1', 0, positionEnd)
      const known = writes.get(name)
      if (known) known.mutations.push(mutation)
      else writes.set(name, { name, position: mutation.subarray(positionStart, positionEnd), mutations: [mutation] })
    }
    return [...writes.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  #locked<T>(writes: readonly PartitionWrite[], from: number, work: () => Promise<T>): Promise<T> {
    const write = writes[from]
    if (write === undefined) return work()
    return this.#locks.run(write.name, () => this.#locked(writes, from + 1, work))
  }

  /** What of a partition's changes goes into the record of the write; what is for others is added to `sends`. */
  async #placedChangesOf(write: PartitionWrite, sends: (() => void)[]): Promise<readonly Buffer[]> {
    const changes = await this.#changesOf(write)
    const base = this.#bases.get(write.name.slice(0, TABLE_ID_BYTES))
    if (changes.length === 0 || base === undefined) return changes
    const { here, send } = (await this.#places).place(base.schema.keyspace, write.position, changes)
    if (send !== null) sends.push(send)
    return here
  }

  /** The mutations of the views that a write to a partition brings with it. Nobody else looks at the partition meanwhile. */
  async #changesOf({ name, position, mutations }: PartitionWrite): Promise<Buffer[]> {
    // The schema may have changed while others were waited for.
    if (this.#options.schema() !== this.#seen) this.refresh()
    const base = this.#bases.get(name.slice(0, TABLE_ID_BYTES))
    if (base === undefined) return []
    const slices = touchedSlices(base.schema, mutations, this.#mutation)
    if (slices !== null && slices.length === 0) return []
    const nowSeconds = this.#now()
    const command = wholeRead(base.schema.id, position, slices, nowSeconds)
    const before = statesOf(base.views, await this.#options.store.read(command), nowSeconds, true)
    const supposed = { ...command, supposed: mutations }
    const after = statesOf(base.views, await this.#options.store.read(supposed), nowSeconds, false)
    const changes: Buffer[] = []
    base.views.forEach(({ rows, idBytes }, i) => {
      const put = (place: ViewPlace, row: Buffer | null): void => {
        if (row !== null) changes.push(this.#mutationOf(idBytes, place, row))
      }
      for (const [clustering, old] of before[i]!.rows) {
        if (old.place === null) continue
        const now = after[i]!.rows.get(clustering) ?? rows.gone(after[i]!.covering(clustering))
        if (!samePlace(old.place, now.place)) put(old.place, rows.left(old, now, nowSeconds))
      }
      for (const [clustering, now] of after[i]!.rows) {
        if (now.place === null) continue
        const old = before[i]!.rows.get(clustering)
        if (old === undefined || !samePlace(old.place, now.place) || !sameRow(old.row, now.row)) put(now.place, now.row)
      }
    })
    if (this.#options.places !== undefined) this.#overtaken(base, mutations, before, after, nowSeconds, changes)
    return changes
  }

  /**
   * What a mutation alone would have brought into a view, when something newer is here already: another replica may have had it, and shown it, and left the
   * ring before it heard of what is newer.
   */
  #overtaken(
    base: BaseTable,
    mutations: readonly Buffer[],
    before: readonly PartitionStates[],
    after: readonly PartitionStates[],
    nowSeconds: number,
    changes: Buffer[],
  ): void {
    for (const mutation of mutations) {
      const reader = this.#mutation.reset(mutation)
      const key = mutation.subarray(reader.positionStart + POSITION_HEAD_BYTES, reader.positionEnd)
      while (reader.next()) {
        if (reader.kind !== EntryKind.ROW) continue
        const clustering = mutation.subarray(reader.boundStart, reader.boundEnd)
        const row = mutation.subarray(reader.valueStart, reader.valueEnd)
        const name = clustering.toString('latin1')
        base.views.forEach(({ rows, idBytes }, i) => {
          const alone = stateOrNull(rows, key, clustering, row, null, nowSeconds, true)
          if (alone === null || alone.place === null || alone.extra === null) return
          const now = after[i]!.rows.get(name) ?? rows.gone(after[i]!.covering(name))
          if (samePlace(alone.place, now.place) || samePlace(alone.place, before[i]!.rows.get(name)?.place ?? null))
            return
          const left = rows.left(alone, now, nowSeconds)
          if (left !== null) changes.push(this.#mutationOf(idBytes, alone.place, left))
        })
      }
    }
  }

  #mutationOf(viewId: Buffer, { key, clustering }: ViewPlace, row: Buffer): Buffer {
    this.#writer.begin(viewId, encodePosition(key, this.#token))
    this.#writer.row(clustering, row)
    return this.#writer.finish()
  }

  /** Empties a table and its views at once; in a cluster the table alone. */
  async truncate(tableId: string, atMs?: number): Promise<void> {
    const ids = this.#options.places === undefined ? this.#viewsOf(tableId) : []
    await this.#gateOf(uuidBytes(tableId).toString('latin1')).alone(() =>
      this.#options.store.truncate(tableId, ids, atMs),
    )
  }

  /** Empties a table's views, all at once. What belongs into them is brought by fill, at the latest when FILL_MS have gone by, or with the next start. */
  async truncateViews(tableId: string, atMs: number): Promise<void> {
    const [first, ...others] = this.#viewsOf(tableId)
    if (first === undefined) return
    for (const id of [first, ...others]) await this.#options.marks.forget(id)
    await this.#gateOf(uuidBytes(tableId).toString('latin1')).alone(() =>
      this.#options.store.truncate(first, others, atMs),
    )
    this.#toFill.get(tableId)?.[Symbol.dispose]()
    if (this.#closed) return
    this.#toFill.set(
      tableId,
      this.#options.clock.after(FILL_MS, () => this.fill(tableId)),
    )
  }

  /** Builds the views of a table that were emptied. */
  fill(tableId: string): void {
    const timer = this.#toFill.get(tableId)
    if (timer === undefined) return
    timer[Symbol.dispose]()
    this.#toFill.delete(tableId)
    for (const id of this.#viewsOf(tableId)) this.#build(id)
  }

  /** Keyspaces and names of the views, as far as they are built. */
  builtViews(): { keyspace: string; name: string }[] {
    return [...this.#all()].filter(({ id }) => this.isBuilt(id)).map(({ keyspace, name }) => ({ keyspace, name }))
  }

  builds(): (BuildProgress & { readonly keyspace: string; readonly name: string })[] {
    const builds: (BuildProgress & { readonly keyspace: string; readonly name: string })[] = []
    for (const { id, keyspace, name } of this.#all()) {
      const build = this.#building.get(id)
      if (build) builds.push({ ...build.progress, keyspace, name })
    }
    return builds
  }

  *#all(): Generator<TableSchema> {
    this.refresh()
    for (const { views } of this.#bases.values()) for (const { rows } of views) yield rows.view
  }

  /** A table's views count as not built, for ever, until they are built again: its files are about to change by other means than writes. */
  async invalidate(tableId: string): Promise<void> {
    for (const id of this.#viewsOf(tableId)) await this.#options.marks.forget(id)
  }

  /** Builds what of a table's views is not built; resolves when that has ended. */
  async buildAgain(tableId: string): Promise<void> {
    const ids = this.#viewsOf(tableId).filter((id) => !this.isBuilt(id))
    await Promise.all(ids.map((id) => this.#build(id)))
  }

  #viewsOf(tableId: string): string[] {
    this.refresh()
    const base = this.#bases.get(uuidBytes(tableId).toString('latin1'))
    return base ? base.views.map(({ rows }) => rows.view.id) : []
  }

  /** One that is under way ends first: it may have read what was there before. */
  #build(id: string): Promise<void> {
    const before = this.#building.get(id)?.done ?? Promise.resolve()
    const build = { done: before, progress: { rows: 0, lastToken: null } as BuildProgress }
    build.done = before
      .then(() => this.#buildAndMark(id, build))
      .finally(() => {
        if (this.#building.get(id) === build) this.#building.delete(id)
      })
    this.#building.set(id, build)
    return build.done
  }

  async #buildAndMark(id: string, build: { readonly done: Promise<void>; progress: BuildProgress }): Promise<void> {
    const { log, marks, store, clock } = this.#options
    const found = this.#find(id)
    if (!found) return
    const { name } = found.rows.view
    try {
      // Whoever is writing knew nothing of the view. What is in it may be left from a build that was cut short.
      // In a cluster others may have brought rows here; each base replica writes its own anew.
      if (this.#options.places === undefined) await found.base.gate.alone(() => store.truncate(id, []))
      else await this.#places
      const rows = await buildView(found.base.schema, {
        read: (command) => store.read(command),
        nowSeconds: () => this.#now(),
        pause: () => new Promise((resolve) => clock.soon(resolve)),
        goesOn: () => !this.#closed && this.#find(id) !== null,
        partition: (command) => this.#buildPartition(id, command),
        report: (progress) => {
          build.progress = progress
        },
      })
      if (rows === null || this.#find(id) === null || this.#building.get(id) !== build) return
      await marks.setBuilt(id)
      log.info(SOURCE, `View build of ${name} complete: ${rows} rows`)
    } catch (cause) {
      log.error(SOURCE, `View ${name} is not built; the next start tries again`, cause)
    }
  }

  /** Writes what a view has of some rows of a partition, which are read again while nobody changes them. */
  async #buildPartition(id: string, command: PartitionRead): Promise<void> {
    const found = this.#find(id)
    if (!found) return
    const { store } = this.#options
    const { position } = command.target
    const places = await this.#places
    const { durable, send } = await this.#locks.run(lockName(found.base, position), async () => {
      const nowSeconds = this.#now()
      const { partitions } = await store.read({ ...command, nowSeconds })
      const { rows: viewRows, idBytes } = this.#find(id) ?? found
      const mutations: Buffer[] = []
      for (const data of partitions) {
        const states = new PartitionStates(data)
        for (const { clustering, row } of data.rows) {
          const covering = states.covering(clustering.toString('latin1'))
          const state = stateOrNull(viewRows, data.key, clustering, row, covering, nowSeconds, true)
          if (state !== null && state.place !== null && state.row !== null)
            mutations.push(this.#mutationOf(idBytes, state.place, state.row))
        }
      }
      const placed = places.place(found.base.schema.keyspace, position, mutations)
      return { durable: placed.here.length > 0 ? store.apply(placed.here) : undefined, send: placed.send }
    })
    await durable
    send?.()
  }

  #find(id: string): { base: BaseTable; rows: ViewRows; idBytes: Buffer } | null {
    if (this.#options.schema() !== this.#seen) this.refresh()
    for (const base of this.#bases.values())
      for (const { rows, idBytes } of base.views) if (rows.view.id === id) return { base, rows, idBytes }
    return null
  }

  /** Ends when nothing is being built. */
  async settle(): Promise<void> {
    while (this.#building.size > 0) await Promise.all(Array.from(this.#building.values(), ({ done }) => done))
  }

  /** No build goes on; those that were cut short begin anew with the next start. */
  async close(): Promise<void> {
    this.#closed = true
    for (const timer of this.#toFill.values()) timer[Symbol.dispose]()
    this.#toFill.clear()
    await this.settle()
  }

  #now(): number {
    return Math.floor(this.#options.clock.wallMicros() / 1_000_000)
  }
}

function lockName({ idBytes }: BaseTable, position: Buffer): string {
  return idBytes.toString('latin1') + position.toString('latin1', 0, position.length)
}
