/**
 * The engines of `npm run bench -- --storage` behind one face: ours in process, LevelDB through classic-level, RocksDB through the package rocksdb
 * where it can be loaded (NODE_PATH is looked at too). All get the same keys, values and budgets of memory.
 */

import { createRequire } from 'node:module'
import { ClassicLevel } from 'classic-level'
import { uuidBytes } from '../../lib/base/uuid.ts'
import { openNodeRuntime } from '../../lib/runtime/node/runtime.ts'
import type { Log } from '../../lib/runtime/runtime.ts'
import { ALL_ROWS, type ReadCommand } from '../../storage/model/command.ts'
import { MutationWriter } from '../../storage/model/mutation.ts'
import { RowReader } from '../../storage/model/row.ts'
import { openStore, type Store } from '../../storage/store.ts'
import { DEFAULT_TABLE_OPTIONS } from '../../storage/table-options.ts'

export interface Budget {
  readonly memtableBytes: number
  readonly cacheBytes: number
  /** A write is acknowledged when it is synced. */
  readonly sync: boolean
}

export interface Engine {
  /** One batch, all or nothing. `keys` are of KEY_BYTES and ascend as our positions do. */
  write(keys: readonly Buffer[], values: readonly Buffer[]): Promise<unknown> | undefined
  get(key: Buffer): Buffer | null | undefined | Promise<Buffer | null | undefined>
  /** Reads up to `limit` values from a key on; gives how many there were. */
  scan(from: Buffer | null, limit: number): Promise<number>
  close(): Promise<void>
}

/** Token 8, key 8. */
export const KEY_BYTES = 16
export const ENGINES = ['polyxena', 'leveldb', 'leveldb-sync-get', 'rocksdb'] as const
export type EngineName = (typeof ENGINES)[number]

export function openEngine(name: EngineName, directory: string, budget: Budget): Promise<Engine> {
  if (name === 'polyxena') return openOurs(directory, budget)
  if (name === 'rocksdb') return openRocks(directory, budget)
  return openLevel(directory, budget, name === 'leveldb-sync-get')
}

const TABLE = '5a1c395e-b41f-11e5-9f22-ba0be0483c18'
const PAGE_ROWS = 5_000
const silent: Log = {
  trace() {},
  debug() {},
  info() {},
  warn() {},
  error: (_, message) => process.stderr.write(`${message}\n`),
}

async function openOurs(directory: string, budget: Budget): Promise<Engine> {
  const runtime = openNodeRuntime(silent)
  const store = await openStore({
    runtime,
    directory,
    settings: {
      memtableBytesMax: budget.memtableBytes,
      blockCacheBytes: budget.cacheBytes,
      commitLog: { mode: budget.sync ? 'group' : 'periodic' },
    },
  })
  await store.registerTable(TABLE, {
    keyspace: 'bench',
    name: 'kv',
    durableWrites: true,
    hasClustering: false,
    options: DEFAULT_TABLE_OPTIONS,
  })
  return new Ours(store, () => runtime[Symbol.asyncDispose]())
}

class Ours implements Engine {
  readonly #store: Store
  readonly #dispose: () => PromiseLike<void>
  readonly #tableId = uuidBytes(TABLE)
  readonly #writers: MutationWriter[] = []
  readonly #reader = new RowReader()
  readonly #mutations: Buffer[] = []
  #micros = Date.now() * 1000

  constructor(store: Store, dispose: () => PromiseLike<void>) {
    this.#store = store
    this.#dispose = dispose
  }

  write(keys: readonly Buffer[], values: readonly Buffer[]): Promise<void> | undefined {
    const ts = ++this.#micros
    const high = Math.floor(ts / 0x1_0000_0000)
    const low = ts >>> 0
    const mutations = this.#mutations
    mutations.length = keys.length
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i]!
      this.#writers[i] ??= new MutationWriter()
      const writer = this.#writers[i]!
      writer.begin(this.#tableId, key.readInt32BE(0) ^ 0x80000000, key.readInt32BE(4), key.subarray(8))
      writer.beginRow(EMPTY)
      writer.row.liveness(high, low, 0, 0)
      writer.row.cell(0, high, low, values[i]!)
      writer.endRow()
      mutations[i] = writer.finish()
    }
    return this.#store.apply(mutations)
  }

  get(key: Buffer): Buffer | null | Promise<Buffer | null> {
    const command: ReadCommand = { ...ONE, target: { kind: 'partition', position: positionOf(key) } }
    const result = this.#store.read(command)
    if (result instanceof Promise) return result.then(({ partitions }) => this.#value(partitions[0]?.rows[0]?.row))
    return this.#value(result.partitions[0]?.rows[0]?.row)
  }

  #value(row: Buffer | undefined): Buffer | null {
    if (row === undefined) return null
    const reader = this.#reader.reset(row)
    if (!reader.next()) return null
    return Buffer.from(row.subarray(reader.valueStart, reader.valueEnd))
  }

  async scan(from: Buffer | null, limit: number): Promise<number> {
    let count = 0
    let start = from === null ? null : positionOf(from)
    let after: ReadCommand['after'] = null
    for (;;) {
      const pageRows = Math.min(PAGE_ROWS, limit - count)
      const { partitions, more } = await this.#store.read({
        ...ONE,
        target: { kind: 'range', start, end: null },
        limit: pageRows,
        after,
      })
      for (const { rows } of partitions) if (this.#value(rows[0]!.row) !== null) count++
      if (!more || count >= limit) return count
      start = null
      const position = Buffer.from(partitions.at(-1)!.position)
      after = { position, clustering: null, partitionDone: true, rowsGiven: 1 }
    }
  }

  async close(): Promise<void> {
    await this.#store.close()
    await this.#dispose()
  }
}

const EMPTY = Buffer.alloc(0)

const ONE: ReadCommand = {
  ...ALL_ROWS,
  table: TABLE,
  target: { kind: 'range', start: null, end: null },
  nowSeconds: Math.floor(Date.now() / 1000),
  columns: [0],
}

/** Token, key length, key. */
function positionOf(key: Buffer): Buffer {
  const position = Buffer.allocUnsafe(KEY_BYTES + 2)
  position.set(key.subarray(0, 8), 0)
  position.writeUInt16BE(8, 8)
  position.set(key.subarray(8), 10)
  return position
}

async function openLevel(directory: string, budget: Budget, syncGet: boolean): Promise<Engine> {
  const options = { keyEncoding: 'buffer', valueEncoding: 'buffer' } as const
  const db = new ClassicLevel<Buffer, Buffer>(directory, {
    ...options,
    writeBufferSize: budget.memtableBytes,
    cacheSize: budget.cacheBytes,
  })
  await db.open()
  const { sync } = budget
  return {
    write(keys, values) {
      if (keys.length === 1) return db.put(keys[0]!, values[0]!, { sync })
      return db.batch(
        keys.map((key, i) => ({ type: 'put', key, value: values[i]! })),
        { sync },
      )
    },
    get: (key) => (syncGet ? db.getSync(key) : db.get(key)),
    async scan(from, limit) {
      const bounds = Number.isFinite(limit) ? { limit } : {}
      const iterator = db.iterator(from === null ? bounds : { gte: from, ...bounds })
      let count = 0
      try {
        for (;;) {
          const entries = await iterator.nextv(Math.min(PAGE_ROWS, limit - count))
          count += entries.length
          if (entries.length === 0 || count >= limit) return count
        }
      } finally {
        await iterator.close()
      }
    },
    close: () => db.close(),
  }
}

type Done = (error: Error | null, value?: unknown) => void
interface RocksIterator {
  next(done: (error: Error | null, key?: Buffer, value?: Buffer) => void): void
  end(done: Done): void
}
interface Rocks {
  open(options: object, done: Done): void
  put(key: Buffer, value: Buffer, options: object, done: Done): void
  batch(operations: readonly object[], options: object, done: Done): void
  get(key: Buffer, options: object, done: Done): void
  iterator(options: object): RocksIterator
  close(done: Done): void
}

function call(run: (done: Done) => void): Promise<unknown> {
  return new Promise((resolve, reject) => {
    run((error, value) => (error ? reject(error) : resolve(value)))
  })
}

export function hasRocks(): boolean {
  try {
    createRequire(import.meta.url)('rocksdb')
    return true
  } catch {
    return false
  }
}

async function openRocks(directory: string, budget: Budget): Promise<Engine> {
  const rocksdb = createRequire(import.meta.url)('rocksdb') as (directory: string) => Rocks
  const db = rocksdb(directory)
  const { sync } = budget
  const options = { createIfMissing: true, writeBufferSize: budget.memtableBytes, cacheSize: budget.cacheBytes }
  await call((done) => db.open(options, done))
  return {
    write(keys, values) {
      if (keys.length === 1) return call((done) => db.put(keys[0]!, values[0]!, { sync }, done))
      const operations = keys.map((key, i) => ({ type: 'put', key, value: values[i]! }))
      return call((done) => db.batch(operations, { sync }, done))
    },
    get: (key) =>
      call((done) => db.get(key, { asBuffer: true }, done)).catch((error: Error) => {
        if (/NotFound/i.test(error.message)) return null
        throw error
      }) as Promise<Buffer | null>,
    async scan(from, limit) {
      const iterator = db.iterator({ ...(from === null ? {} : { gte: from }), keyAsBuffer: true, valueAsBuffer: true })
      let count = 0
      while (count < limit) {
        const more = await new Promise<boolean>((resolve, reject) => {
          iterator.next((error, key) => (error ? reject(error) : resolve(key !== undefined)))
        })
        if (!more) break
        count++
      }
      await call((done) => iterator.end(done))
      return count
    },
    close: async () => {
      await call((done) => db.close(done))
    },
  }
}
