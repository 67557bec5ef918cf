/** A node's statements over storage, indexes and views on a simulated disk and clock, and a judge who reads the same without indexes. */
import { LocalCoordinator } from '../../cluster/coordinator/local.ts'
import { QueryProcessor } from '../../lib/cql/processor.ts'
import type { StatementResult } from '../../lib/cql/result.ts'
import type { ClientState, Environment, QueryOptions } from '../../lib/cql/statement.ts'
import type { NodeIndexes } from '../../lib/index/node-indexes.ts'
import { createSimulatedClock, type SimulatedClock } from '../../lib/runtime/simulated/clock.ts'
import { openSimulatedDisk, type SimulatedDisk } from '../../lib/runtime/simulated/disk.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'
import type { Schema } from '../../lib/schema/keyspace.ts'
import { openIndexes } from '../../lib/server/indexes.ts'
import { openMetadataLog } from '../../lib/server/metadata-log.ts'
import { openViews } from '../../lib/server/views.ts'
import type { NodeViews, ViewStore } from '../../lib/view/node-views.ts'
import type { ViewPlaces } from '../../lib/view/places.ts'
import { openStore, type Store } from '../../storage/store.ts'
import { LOOSE_LIMITS, QUERY_OPTIONS } from './cql-options.ts'
import { conditionalDots, countedDots } from './dots.ts'
import { ALL, settled } from './power-loss.ts'
import { createDice } from './random.ts'
import { storageRuntime } from './storage-runtime.ts'

export interface IndexWorld {
  readonly store: Store
  readonly indexes: NodeIndexes
  readonly views: NodeViews
  schema(): Schema
  run(cql: string, options?: Partial<QueryOptions>): Promise<StatementResult>
  /** Several at once: a wait for all costs what one for each does. */
  runAll(statements: readonly string[]): Promise<void>
  /** Writes past the indexes. */
  runUnseen(cql: string): Promise<StatementResult>
  /** How many entries an index has. */
  entries(index: string): Promise<number>
  /** All rows of a query, page by page, as text. */
  rows(cql: string, pageSize?: number | null): Promise<string[]>
  /** The same, every row of the table looked at. */
  scan(cql: string): Promise<string[]>
  close(): Promise<void>
}

export async function openIndexWorld(
  disk: SimulatedDisk,
  clock: SimulatedClock,
  options: {
    readonly gatheredMax?: number
    /** Who holds what of the views. Default: this node holds all. */
    readonly places?: ViewPlaces
  } = {},
): Promise<IndexWorld> {
  const runtime = storageRuntime(clock, disk)
  const wait = <T>(promise: Promise<T>): Promise<T> => soonSettled(clock, promise)
  await disk.mkdir('/data')
  await disk.syncDirectory('/')
  const store = await wait(
    openStore({
      runtime,
      directory: '/data',
      settings: { memtableBytesMax: 4_000_000, commitLog: { mode: 'group', segmentBytes: 64 * 1024 } },
    }),
  )
  const nowSeconds = () => Math.floor(clock.wallMicros() / 1e6)
  const metadata = await wait(openMetadataLog({ store, nowSeconds }))
  const indexes = await wait(openIndexes({ store, metadata, clock, log: runtime.log, ...options }))
  const replica: ViewStore = {
    apply: (mutations) => indexes.apply(mutations),
    read: (command) => indexes.read(command),
    truncate: (table, also) => indexes.truncate(table, also),
  }
  const places = options.places && { places: Promise.resolve(options.places) }
  const views = await wait(openViews({ store, replica, metadata, clock, log: runtime.log, ...places }))
  const coordinator = new LocalCoordinator({
    clock,
    replica: {
      apply: (mutations) => views.apply(mutations),
      read: (command) => views.read(command),
      resolution: (table) => store.resolutionOf(table),
      truncate: (table) => views.truncate(table),
    },
    datacenter: 'dc1',
    causal: {
      dots: countedDots(),
      table: () => ({ name: 'a table', maxSiblings: 100 }),
      nowSeconds: () => 1_700_000_000,
    },
    counters: { shard: Buffer.alloc(16, 1), timestampMicros: () => clock.wallMicros(), nowSeconds: () => 0 },
    address: Uint8Array.of(127, 0, 0, 1),
    replication: () => null,
    epoch: () => metadata.current.epoch,
    report: () => {},
  })
  let micros = 0
  const random = runtime.random.stream('cql')
  const environment: Environment = {
    schema: metadata,
    coordinator,
    conditionalWrites: conditionalDots(),
    timestampMicros: () => {
      micros = Math.max(micros + 1, clock.wallMicros())
      return micros
    },
    wallMicros: () => clock.wallMicros(),
    randomBytes: (target) => random.fill(target),
    limits: LOOSE_LIMITS,
  }
  const processor = new QueryProcessor(environment)
  const judge = new QueryProcessor({
    ...environment,
    coordinator: {
      write: (mutations, kind, level, keyspace) => coordinator.write(mutations, kind, level, keyspace),
      cas: (request) => coordinator.cas(request),
      truncate: (table) => coordinator.truncate(table),
      read: ({ index: _, ...command }, consistency, keyspace) => coordinator.read(command, consistency, keyspace),
    },
  })
  const unseen = new QueryProcessor({
    ...environment,
    coordinator: {
      write: (mutations) => store.apply(mutations),
      cas: (request) => coordinator.cas(request),
      truncate: (table) => store.truncate(table),
      read: (command, consistency, keyspace) => coordinator.read(command, consistency, keyspace),
    },
  })
  const entries = async (name: string): Promise<number> => {
    const tables = [...metadata.current.tablesById.values()]
    const { id } = tables.flatMap((table) => [...table.indexes.values()]).find((index) => index.name === name)!
    const all = { ...ALL, table: id, nowSeconds: nowSeconds() }
    const { partitions } = await wait(Promise.resolve(store.read(all)))
    return partitions.reduce((count, { rows }) => count + rows.length, 0)
  }
  const client: ClientState = { keyspace: null, user: null, remoteAddress: '127.0.0.1', remotePort: 1 }
  const query = (by: QueryProcessor, cql: string, options: Partial<QueryOptions>) =>
    wait(Promise.resolve(by.query(cql, { ...QUERY_OPTIONS, ...options }, null, client, null)))
  const all = async (by: QueryProcessor, cql: string, pageSize: number | null): Promise<string[]> => {
    const rows: string[] = []
    let pagingState: Buffer | null = null
    do {
      const result: StatementResult = await query(by, cql, { pageSize, pagingState })
      if (result.kind !== 'rows') throw new Error(`${cql} answers no rows`)
      rows.push(...cut(result.rowBytes, result.metadata.columns.length, result.rowCount))
      pagingState = result.pagingState
    } while (pagingState !== null)
    return rows
  }
  return {
    store,
    indexes,
    views,
    schema: () => metadata.current,
    run: (cql, options = {}) => query(processor, cql, options),
    async runAll(statements) {
      const results = statements.map((cql) => Promise.resolve(processor.query(cql, QUERY_OPTIONS, null, client, null)))
      await wait(Promise.all(results))
    },
    runUnseen: (cql) => query(unseen, cql, {}),
    entries,
    rows: (cql, pageSize = null) => all(processor, cql, pageSize),
    scan: (cql) => all(judge, cql, null),
    async close() {
      await wait(views.close())
      await wait(indexes.close())
      await wait(metadata.settle())
      await wait(store.close())
    },
  }
}

/** What needs no more than a few turns is not given more. */
async function soonSettled<T>(clock: SimulatedClock, promise: Promise<T>): Promise<T> {
  let done = false
  const finish = (): void => {
    done = true
  }
  promise.then(finish, finish)
  for (let turn = 0; turn < 80 && !done; turn++) await Promise.resolve()
  return done ? promise : settled(clock, promise)
}

function cut(bytes: Buffer, columns: number, count: number): string[] {
  const rows: string[] = []
  let at = 0
  for (let i = 0; i < count; i++) {
    const start = at
    for (let column = 0; column < columns; column++) at += 4 + Math.max(bytes.readInt32BE(at), 0)
    rows.push(bytes.toString('hex', start, at))
  }
  return rows
}

export interface PowerLossScript {
  readonly seed: number
  /** Share of the disk's operations after which the power is lost. */
  readonly share: number
  prepare(world: IndexWorld): Promise<void>
  /** Power is lost in here. */
  run(world: IndexWorld, clock: SimulatedClock): Promise<void>
  /** A world that was opened on what such a disk held: what is wrong with it? */
  look(world: IndexWorld, clock: SimulatedClock): Promise<readonly string[]>
}

/** How many disks were looked at, and what was wrong with any. */
export async function losePower(script: PowerLossScript): Promise<{ disks: number; wrong: readonly string[] }> {
  const dice = createDice(script.seed)
  const random = createSeededRandom(script.seed)
  const clock = createSimulatedClock()
  const disk = openSimulatedDisk()
  const left: { readonly disk: SimulatedDisk; readonly at: string }[] = []
  let isWatched = false
  disk.onOperation = (operation, path, index) => {
    if (!isWatched || !dice.chance(script.share)) return
    for (const survival of [0, 0.5])
      left.push({ disk: disk.crash(survival, random), at: `${operation} ${path} (${index}) survival ${survival}` })
  }
  const world = await openIndexWorld(disk, clock)
  await script.prepare(world)
  isWatched = true
  await script.run(world, clock)
  isWatched = false
  await world.close()
  const wrong: string[] = []
  for (const one of left) {
    // Later than before: ids are made of the time.
    const after = createSimulatedClock(1_700_001_000_000_000)
    const again = await openIndexWorld(one.disk, after)
    const found = await script.look(again, after)
    wrong.push(...found.map((text) => `TEST_SEED=${script.seed} ${one.at}: ${text}`))
    await again.close()
  }
  return { disks: left.length, wrong }
}
