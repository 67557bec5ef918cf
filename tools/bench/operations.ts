/** What the bench asks: tables, their filling, and one prepared request of each kind, whose key the load program puts in again and again. */
import { HeaderFlag, Opcode, ResultKind } from '../../protocol/opcodes.ts'
import { plainParameters, type Request } from '../../protocol/requests.ts'
import { rowsOf, type ToolClient, VERSION } from '../support/client.ts'

export type OperationName =
  | 'select'
  | 'insert'
  | 'slice'
  | 'collect'
  | 'collected'
  | 'batch'
  | 'count'
  | 'cas'
  | 'vget'
  | 'vput'
  | 'vget20'

export interface Operation {
  /** CREATE TABLE, in keyspace bench. */
  readonly table: string
  /** What is prepared; its first `?` is the key, a bigint. */
  readonly text: string
  /** Values after the key. */
  readonly values: readonly Buffer[]
  /** Statements of a BATCH message; 1: EXECUTE. */
  readonly statements: number
  /** Writes what is there for one key before; null: nothing. */
  readonly fill: { readonly text: string; readonly values: readonly (readonly Buffer[])[] } | null
  /** So many of the keys are used. */
  readonly keyShare: number
  /** Gives the context of a key, which is the last value of its request: each key is written once with what was read before. Null: none is. */
  readonly contexts: string | null
  readonly answer: { readonly kind: 'void' } | { readonly kind: 'rows'; readonly rows: number }
}

const ROWS_OF_SLICE = 100
const STATEMENTS_OF_BATCH = 20
const SIBLINGS = 20
/** Of a row that one run of one node wrote. */
export const CONTEXT_BYTES = 34

function bytes(length: number): Buffer {
  const value = Buffer.alloc(length)
  for (let i = 0; i < length; i++) value[i] = (i * 131) & 0xff
  return value
}

function int(value: number): Buffer {
  const buffer = Buffer.alloc(4)
  buffer.writeInt32BE(value)
  return buffer
}

/** A set or list of texts, as a value. */
function texts(...elements: readonly string[]): Buffer {
  return Buffer.concat([
    int(elements.length),
    ...elements.map((text) => Buffer.concat([int(text.length), Buffer.from(text)])),
  ])
}

const VOID = { kind: 'void' } as const
const ONE_ROW = { kind: 'rows', rows: 1 } as const
const KV = 'CREATE TABLE IF NOT EXISTS bench.kv (k bigint PRIMARY KEY, v blob)'
const PUT = 'INSERT INTO bench.kv (k, v) VALUES (?, ?)'
const WIDE = 'CREATE TABLE IF NOT EXISTS bench.wide (k bigint, c int, v blob, PRIMARY KEY (k, c))'
const PUT_WIDE = 'INSERT INTO bench.wide (k, c, v) VALUES (?, ?, ?)'
const BAGS = 'CREATE TABLE IF NOT EXISTS bench.bags (k bigint PRIMARY KEY, tags set<text>, counts map<text, int>)'

const VKV = "CREATE TABLE IF NOT EXISTS bench.vkv (k bigint PRIMARY KEY, v blob) WITH resolution = 'vclock'"
const PUT_VKV = 'INSERT INTO bench.vkv (k, v) VALUES (?, ?)'

export function operationsOf(valueBytes: number): Readonly<Record<OperationName, Operation>> {
  const value = bytes(valueBytes)
  const small = bytes(40)
  const single = { statements: 1, keyShare: 1, contexts: null }
  return {
    select: {
      ...single,
      table: KV,
      text: 'SELECT v FROM bench.kv WHERE k = ?',
      values: [],
      fill: { text: PUT, values: [[value]] },
      answer: ONE_ROW,
    },
    insert: { ...single, table: KV, text: PUT, values: [value], fill: { text: PUT, values: [[value]] }, answer: VOID },
    slice: {
      ...single,
      table: WIDE,
      text: 'SELECT c, v FROM bench.wide WHERE k = ? LIMIT 100',
      values: [],
      fill: { text: PUT_WIDE, values: Array.from({ length: ROWS_OF_SLICE }, (_, i) => [int(i), small]) },
      keyShare: 1 / ROWS_OF_SLICE,
      answer: { kind: 'rows', rows: ROWS_OF_SLICE },
    },
    collect: {
      ...single,
      table: BAGS,
      text: "INSERT INTO bench.bags (k, tags, counts) VALUES (?, ?, {'likes': 1, 'views': 2})",
      values: [texts('one', 'two', 'three', 'four', 'five')],
      fill: null,
      answer: VOID,
    },
    collected: {
      ...single,
      table: BAGS,
      text: 'SELECT tags, counts FROM bench.bags WHERE k = ?',
      values: [],
      fill: {
        text: "INSERT INTO bench.bags (k, tags, counts) VALUES (?, ?, {'likes': 1, 'views': 2})",
        values: [[texts('one', 'two', 'three', 'four', 'five')]],
      },
      answer: ONE_ROW,
    },
    batch: {
      ...single,
      table: WIDE,
      text: PUT_WIDE,
      values: [int(0), small],
      statements: STATEMENTS_OF_BATCH,
      fill: null,
      answer: VOID,
    },
    count: {
      ...single,
      table: 'CREATE TABLE IF NOT EXISTS bench.counts (k bigint PRIMARY KEY, n counter)',
      text: 'UPDATE bench.counts SET n = n + 1 WHERE k = ?',
      values: [],
      fill: null,
      answer: VOID,
    },
    cas: {
      ...single,
      table: 'CREATE TABLE IF NOT EXISTS bench.cas (k bigint PRIMARY KEY, v int)',
      text: 'INSERT INTO bench.cas (k, v) VALUES (?, ?) IF NOT EXISTS',
      values: [int(1)],
      fill: null,
      answer: ONE_ROW,
    },
    vget: {
      ...single,
      table: VKV,
      text: 'SELECT v FROM bench.vkv WHERE k = ?',
      values: [],
      fill: { text: PUT_VKV, values: [[value]] },
      answer: ONE_ROW,
    },
    vput: {
      ...single,
      table: VKV.replace('vkv', 'vput'),
      text: 'INSERT INTO bench.vput (k, v) VALUES (?, ?) USING VCLOCK ?',
      values: [value, Buffer.alloc(CONTEXT_BYTES, 0xa5)],
      fill: { text: PUT_VKV.replace('vkv', 'vput'), values: [[value]] },
      contexts: 'SELECT vclock(*) FROM bench.vput WHERE k = ?',
      answer: VOID,
    },
    vget20: {
      ...single,
      table: VKV.replace('vkv', 'vmany'),
      text: 'SELECT v FROM bench.vmany WHERE k = ?',
      values: [],
      fill: { text: PUT_VKV.replace('vkv', 'vmany'), values: Array.from({ length: SIBLINGS }, () => [value]) },
      keyShare: 1 / SIBLINGS,
      answer: { kind: 'rows', rows: SIBLINGS },
    },
  }
}

/** The request with `key` wherever its key belongs. */
export function requestOf(operation: Operation, id: string, key: Buffer, consistency: number): Request {
  const parameters = plainParameters(VERSION, consistency)
  if (operation.statements === 1)
    return {
      kind: 'execute',
      id,
      resultMetadataId: null,
      parameters: { ...parameters, values: [key, ...operation.values], skipMetadata: true },
    }
  const items = Array.from({ length: operation.statements }, (_, i) => ({
    kind: 'prepared' as const,
    id,
    values: [key, int(i), ...operation.values.slice(1)],
  }))
  return { kind: 'batch', type: 'unlogged', items, parameters }
}

/** Whether the frame at `at` is a right answer; `body` is where its body begins. */
export function isRight(operation: Operation, chunk: Buffer, at: number, body: number): boolean {
  if (chunk[at + 4] !== Opcode.RESULT) return false
  // Rows with siblings come with a warning.
  const start = (chunk[at + 1]! & HeaderFlag.WARNING) === 0 ? body : afterWarnings(chunk, body)
  const kind = chunk.readInt32BE(start)
  if (operation.answer.kind === 'void') return kind === ResultKind.VOID
  if (kind !== ResultKind.ROWS) return false
  // Without metadata the number of rows follows flags and the number of columns; with it, it lies further on.
  const isSkipped = (chunk.readInt32BE(start + 4) & NO_METADATA) !== 0
  return !isSkipped || chunk.readInt32BE(start + 12) === operation.answer.rows
}

/** Where a body goes on behind its list of warnings. */
function afterWarnings(chunk: Buffer, body: number): number {
  let at = body + 2
  for (let left = chunk.readUInt16BE(body); left > 0; left--) at += 2 + chunk.readUInt16BE(at)
  return at
}

const NO_METADATA = 4

/** Makes the operation's table and, for those that read, a row or more for each key. */
export async function fill(
  client: ToolClient,
  operation: Operation,
  { keys, replicas, consistency }: { readonly keys: number; readonly replicas: number; readonly consistency: number },
): Promise<void> {
  await client.query(
    `CREATE KEYSPACE IF NOT EXISTS bench WITH replication = {'class': 'SimpleStrategy', 'replication_factor': ${replicas}}`,
  )
  await client.query(operation.table)
  await schemaAgreement(client)
  if (operation.fill === null) return
  const { text, values } = operation.fill
  const id = await client.prepare(text)
  const parameters = plainParameters(VERSION, consistency)
  const write = (k: number, rest: readonly Buffer[]): Promise<unknown> => {
    const key = Buffer.alloc(8)
    key.writeBigInt64BE(BigInt(k))
    const all = { ...parameters, values: [key, ...rest] }
    return client.request({ kind: 'execute', id, resultMetadataId: null, parameters: all })
  }
  const writes = Math.floor(keys * operation.keyShare) * values.length
  for (let from = 0; from < writes; from += IN_FLIGHT) {
    const count = Math.min(IN_FLIGHT, writes - from)
    await Promise.all(
      Array.from({ length: count }, (_, i) =>
        write(Math.floor((from + i) / values.length), values[(from + i) % values.length]!),
      ),
    )
  }
}

/** The contexts of all keys, one after another. */
export async function contextsOf(client: ToolClient, text: string, keys: number, consistency: number): Promise<Buffer> {
  const id = await client.prepare(text)
  const parameters = plainParameters(VERSION, consistency)
  const contexts = Buffer.alloc(keys * CONTEXT_BYTES)
  for (let from = 0; from < keys; from += IN_FLIGHT)
    await Promise.all(
      Array.from({ length: Math.min(IN_FLIGHT, keys - from) }, async (_, i) => {
        const key = Buffer.alloc(8)
        key.writeBigInt64BE(BigInt(from + i))
        const all = { ...parameters, values: [key] }
        const response = await client.request({ kind: 'execute', id, resultMetadataId: null, parameters: all })
        const context = response.kind === 'rows' ? rowsOf(response)[0]?.get('vclock(*)')?.bytes : undefined
        if (context?.length !== CONTEXT_BYTES)
          throw new Error(`key ${from + i} has a context of ${context?.length} bytes`)
        context.copy(contexts, (from + i) * CONTEXT_BYTES)
      }),
    )
  return contexts
}

/** Until all nodes of the server have one schema, as drivers wait; some servers refuse writes before. */
async function schemaAgreement(client: ToolClient): Promise<void> {
  for (let tries = 0; tries < AGREEMENT_TRIES; tries++) {
    const versions = new Set<string>()
    for (const table of ["system.local WHERE key = 'local'", 'system.peers']) {
      const response = await client.query(`SELECT schema_version FROM ${table}`)
      if (response.kind !== 'rows') continue
      for (const row of rowsOf(response)) versions.add(String(row.get('schema_version')?.bytes?.toString('hex')))
    }
    if (versions.size === 1) return
    await new Promise((resolve) => setTimeout(resolve, AGREEMENT_POLL_MS))
  }
  throw new Error('the nodes of the server do not agree about the schema')
}

const AGREEMENT_TRIES = 100
const AGREEMENT_POLL_MS = 100
const IN_FLIGHT = 256
