/**
 * Indexed reads at quorums: each replica's index knows a part of what was written. What CQL answers by them must be what a look at every row of one store
 * with all of it gives: no stale match, and none missing.
 */
import t from 'tap'
import { QueryProcessor } from '../../lib/cql/processor.ts'
import type { StatementResult } from '../../lib/cql/result.ts'
import type { ClientState, Coordinator, Environment, QueryOptions } from '../../lib/cql/statement.ts'
import type { NodeIndexes } from '../../lib/index/node-indexes.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'
import { openIndexes } from '../../lib/server/indexes.ts'
import { type MetadataLog, openMetadataLog } from '../../lib/server/metadata-log.ts'
import { Consistency } from '../../lib/types/consistency.ts'
import { openStore, type Store } from '../../storage/store.ts'
import { LOOSE_LIMITS, QUERY_OPTIONS } from '../support/cql-options.ts'
import { conditionalDots } from '../support/dots.ts'
import { INDEXES, queries, randomStatement, SCHEMA, TABLE } from '../support/index-script.ts'
import { createDice, type Dice, testSeed } from '../support/random.ts'
import { Replicas } from '../support/replicas.ts'
import { simple } from '../support/rings.ts'
import { memoryRuntime } from '../support/storage-runtime.ts'

const CLIENT: ClientState = { keyspace: null, user: null, remoteAddress: '127.0.0.1', remotePort: 1 }
interface World {
  readonly replicas: Replicas
  /** Applied where the dice say, and to the judge if any living node has it. */
  write(cql: string): Promise<void>
  /** Through a node, at a level; null: the judge, who looks at every row. */
  rows(cql: string, at: number | null, level: number, pageSize: number | null): Promise<string[]>
  close(): Promise<void>
}

async function openWorld(dice: Dice, dead: number): Promise<World> {
  const stores: Store[] = []
  const indexes: NodeIndexes[] = []
  // One schema for all: what makes a table known to the first store does so to the others.
  const late: { metadata: MetadataLog | null } = { metadata: null }
  const replication = simple(3)
  const nodes = 3
  const shared = createSeededRandom(3)
  const replicas = new Replicas({
    nodes,
    replication,
    before: {
      keyspaceOf: (id) => late.metadata?.current.tablesById.get(id)?.keyspace ?? null,
      async open(store, clock) {
        stores.push(store)
        late.metadata ??= await openMetadataLog({
          store: fanned(stores),
          nowSeconds: () => Math.floor(clock.wallMicros() / 1e6),
        } as Parameters<typeof openMetadataLog>[0])
        const own = await openIndexes({ store, metadata: late.metadata, clock, log: memoryRuntime(clock).log })
        indexes.push(own)
        return { apply: (mutations) => own.apply(mutations), read: (command) => own.read(command) }
      },
    },
  })
  await replicas.until(replicas.open())
  const judge = await openStore({ runtime: memoryRuntime(replicas.clock), directory: null })
  stores.push(judge)
  let micros = 0
  const environment = (coordinator: Pick<Coordinator, 'read' | 'write'>): Environment => ({
    schema: late.metadata!,
    coordinator: { ...coordinator, truncate: async () => {}, cas: async () => false } as Coordinator,
    conditionalWrites: conditionalDots(),
    timestampMicros: () => ++micros,
    wallMicros: () => replicas.clock.wallMicros(),
    randomBytes: (target) => shared.fill(target),
    limits: LOOSE_LIMITS,
  })
  const writer = new QueryProcessor(
    environment({
      read: (command) => judge.read(command),
      write: (mutations) => {
        const holders = indexes.filter(() => dice.chance(0.5))
        const chosen = holders.length > 0 ? holders : [dice.pick(indexes)]
        const applied = chosen.map((index) => index.apply(mutations))
        if (chosen.some((index) => indexes.indexOf(index) < nodes - dead)) applied.push(judge.apply(mutations))
        return Promise.all(applied).then(() => {})
      },
    }),
  )
  const processors = replicas.nodes.map(
    ({ reads }) =>
      new QueryProcessor(
        environment({
          read: (command, level, keyspace) => reads.read(command, level, keyspace),
          write: () => undefined,
        }),
      ),
  )
  const judging = new QueryProcessor(
    environment({ read: ({ index: _, ...command }) => judge.read(command), write: () => undefined }),
  )
  const query = (by: QueryProcessor, cql: string, options: Partial<QueryOptions>): Promise<StatementResult> =>
    replicas.until(Promise.resolve(by.query(cql, { ...QUERY_OPTIONS, ...options }, null, CLIENT, null)))
  for (const cql of [...SCHEMA, ...INDEXES]) await query(writer, cql, {})
  await replicas.until(Promise.all(indexes.map((index) => index.settle())))
  for (let i = 0; i < dead; i++) replicas.setAlive(nodes - 1 - i, false)
  return {
    replicas,
    async write(cql) {
      await query(writer, cql, {})
    },
    async rows(cql, at, consistency, pageSize) {
      const rows: string[] = []
      let pagingState: Buffer | null = null
      do {
        const by = at === null ? judging : processors[at]!
        const result = await query(by, cql, { consistency, pageSize, pagingState })
        if (result.kind !== 'rows') throw new Error(`${cql} answers no rows`)
        rows.push(...cut(result.rowBytes, result.metadata.columns.length, result.rowCount))
        pagingState = result.pagingState
      } while (pagingState !== null)
      return rows
    },
    async close() {
      for (const index of indexes) await replicas.until(index.close())
      await replicas.until(replicas[Symbol.asyncDispose]())
      await judge.close()
    },
  }
}

/** A store whose tables are made known to all. */
function fanned(stores: readonly Store[]): Store {
  const [first] = stores
  return new Proxy(first!, {
    get(target, name) {
      if (name === 'registerTable')
        return (...parts: Parameters<Store['registerTable']>) =>
          Promise.all(stores.map((store) => store.registerTable(...parts))).then(() => {})
      const value = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
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

t.test('an index at a quorum finds what a scan of everything finds', async (t) => {
  const seed = testSeed()
  for (let round = 0; round < 2; round++) {
    const dice = createDice(seed + round)
    const dead = dice.int(2)
    const world = await openWorld(dice, dead)
    for (let n = 0; n < 60; n++) await world.write(randomStatement(dice))
    for (const query of queries(dice)) {
      if (dice.chance(0.5)) continue
      const pageSize = dice.chance(0.5) ? null : 1 + dice.int(4)
      const level = dead === 0 ? Consistency.ALL : Consistency.QUORUM
      const expected = await world.rows(query, null, Consistency.ONE, null)
      const found = await world.rows(query, dice.int(3 - dead), level, pageSize)
      if (JSON.stringify(found) !== JSON.stringify(expected))
        t.same(found, expected, `TEST_SEED=${seed + round} ${query} (pages of ${pageSize})`)
    }
    const repairs = world.replicas.nodes.reduce((sum, { reads }) => sum + reads.counts.repairs, 0)
    t.ok(repairs > 0, `${repairs} repairs, table ${TABLE}`)
    t.same(world.replicas.errors, [])
    await world.close()
  }
})
