/**
 * The tables behind key-value over HTTP, through the statements of CQL that any client may send: keyspace `kv`, a row a key, a version a sibling.
 * Always: that a table is not there is said when the cluster's schema was asked, not only this node's. A table is made only for a write, with what `kv` is said to be replicated by; one of another shape is refused, never changed. What is answered are
 * copies, or bytes that belong to the answer alone.
 */
import { ByteReader } from '../../base/bytes.ts'
import { RequestError } from '../../base/errors.ts'
import { stampUuid } from '../../base/uuid.ts'
import type { QueryProcessor } from '../../cql/processor.ts'
import type { RowsResult, StatementResult } from '../../cql/result.ts'
import { type BoundValue, type ClientState, type MaybePromise, type QueryOptions, UNSET } from '../../cql/statement.ts'
import type { Random } from '../../runtime/runtime.ts'
import type { Schema } from '../../schema/keyspace.ts'
import { resolutionOf } from '../../schema/resolution.ts'
import type { TableSchema } from '../../schema/table.ts'
import { Consistency } from '../../types/consistency.ts'
import { badRequest } from './failure.ts'
import {
  type Condition,
  createKeyspace,
  createTable,
  deleteText,
  KEYSPACE,
  type Replication,
  selectKey,
  selectKeys,
  selectVersions,
  writeText,
} from './key-value-statements.ts'

/** Where a path names no table. */
export const DEFAULT_TABLE = 'items'

/** As CQL has them, without need of quotes. */
const TABLE_NAME = /^[a-z][a-z0-9_]{0,47}$/

/** Made by a mere PUT; whoever needs more makes them with CQL. */
const TABLES_MAX = 128

/** What a key's siblings are read by at once. */
const SIBLINGS_PER_PAGE = 100

const UUID_BYTES = 16
/** Of chance alone. */
const UUID_VERSION = 4

export interface KeyValueOptions {
  readonly processor: QueryProcessor
  readonly random: Random
  schema(): Schema
  /** Resolves when the schema has all that was acknowledged before the call; rejects with UNAVAILABLE. */
  confirm(): Promise<void>
  /** Of the keyspace, when it is made. */
  replication(): Replication
}

/** Levels of a request. */
export interface Levels {
  readonly consistency: number
  readonly serial: number
}

/** One version of a key. */
export interface Sibling {
  /** Null: it was written by CQL without one. */
  readonly contentType: string | null
  readonly value: Buffer
  /** Names the write that made it; null: it was made by CQL. */
  readonly version: Buffer | null
  /** µs since 1970; null: it has no value. */
  readonly timeMicros: number | null
  /** Seconds until it expires; null: never. */
  readonly ttl: number | null
}

/** What there is of a key: never nothing. */
export interface Found {
  readonly context: Buffer
  readonly siblings: readonly Sibling[]
  /** There are more, of which the answer would have become too large. */
  readonly isCut: boolean
}

export interface PutValue {
  readonly key: Buffer
  readonly contentType: string
  readonly value: Buffer
  readonly ttl: number | null
}

/** What came of a write: whether it was done, and what stands there since. */
export interface Written {
  readonly isApplied: boolean
  /** Null: it is not known. */
  readonly context: Buffer | null
  /** How many versions there were when it was done; null: it is not known. */
  readonly siblings: number | null
}

export interface KeyPage {
  readonly keys: readonly Buffer[]
  /** Null: these were the last. */
  readonly next: Buffer | null
}

const CLIENT: ClientState = { keyspace: null, user: null, remoteAddress: 'http', remotePort: 0, warnedOfUse: true }

/** The tables by their names, found or made. */
export class KeyValueTables {
  readonly #options: KeyValueOptions
  readonly #tables = new Map<string, KeyValueTable>()
  readonly #creating = new Map<string, Promise<KeyValueTable>>()
  #epoch = -1

  constructor(options: KeyValueOptions) {
    this.#options = options
  }

  /**
   * Null: there is none, here or anywhere. Throws 400 for a name that none can have, and for a table of another shape. A node that was away may not have
   * heard of a table, in which others have stored values meanwhile: so the cluster is asked before it is said that there is none.
   */
  find(name: string): MaybePromise<KeyValueTable | null> {
    return this.#known(name) ?? this.#options.confirm().then(() => this.#known(name))
  }

  /** Makes it when it is not there. */
  open(name: string): MaybePromise<KeyValueTable> {
    const known = this.#known(name)
    if (known) return known
    let creating = this.#creating.get(name)
    if (creating === undefined) {
      creating = this.#create(name).finally(() => this.#creating.delete(name))
      this.#creating.set(name, creating)
    }
    return creating
  }

  /** Null: this node has not heard of it. */
  #known(name: string): KeyValueTable | null {
    const schema = this.#options.schema()
    if (schema.epoch !== this.#epoch) {
      this.#tables.clear()
      this.#epoch = schema.epoch
    }
    const known = this.#tables.get(name)
    if (known) return known
    if (!TABLE_NAME.test(name)) throw badRequest('A table has a name of up to 48 small letters, digits and underscores')
    const found = schema.keyspaces.get(KEYSPACE)?.tables.get(name)
    if (!found) return null
    checkShape(found)
    const table = new KeyValueTable(name, this.#options)
    this.#tables.set(name, table)
    return table
  }

  async #create(name: string): Promise<KeyValueTable> {
    const { schema, replication } = this.#options
    const keyspace = schema().keyspaces.get(KEYSPACE)
    if (!keyspace) await this.#run(createKeyspace(replication()))
    else if (keyspace.tables.size >= TABLES_MAX)
      throw badRequest(`Keyspace ${KEYSPACE} has ${TABLES_MAX} tables already: make further ones with CQL`)
    await this.#run(createTable(name))
    const made = this.#known(name)
    if (!made) throw new RequestError('OVERLOADED', `Table ${KEYSPACE}.${name} was dropped while it was being made`)
    return made
  }

  async #run(text: string): Promise<void> {
    await this.#options.processor.query(text, optionsOf([], NO_LEVELS, null), null, CLIENT, null)
  }
}

/** Of statements for which levels mean nothing: changes of the schema. */
const NO_LEVELS: Levels = { consistency: Consistency.ONE, serial: Consistency.SERIAL }

function checkShape(table: TableSchema): void {
  const wrong = (what: string): Error => badRequest(`Table ${KEYSPACE}.${table.name} holds no keys and values: ${what}`)
  const { partitionKey, clustering } = table
  if (partitionKey.length !== 1 || clustering.length > 0 || partitionKey[0]!.name !== 'key')
    throw wrong('its primary key is not (key)')
  for (const [name, type] of COLUMNS) {
    const column = table.columns.get(name)
    if (column?.type.kind !== 'native' || column.type.name !== type) throw wrong(`${name} ${type} is missing`)
  }
  if (resolutionOf(table.options) !== 'vclock') throw wrong("its resolution is not 'vclock'")
}

const COLUMNS = [
  ['key', 'text'],
  ['content_type', 'text'],
  ['value', 'blob'],
  ['version', 'uuid'],
] as const

function optionsOf(
  values: readonly BoundValue[],
  levels: Levels,
  page: number | null,
  state: Buffer | null = null,
): QueryOptions {
  return {
    protocolVersion: 4,
    consistency: levels.consistency,
    serialConsistency: levels.serial,
    values,
    pageSize: page,
    pagingState: state,
    timestamp: null,
    nowSeconds: null,
  }
}

/** One table: reads and writes of its keys. */
export class KeyValueTable {
  readonly name: string
  readonly #processor: QueryProcessor
  readonly #random: Random
  /** By text: what EXECUTE names. */
  readonly #ids = new Map<string, string>()
  readonly #select: string
  readonly #versions: string
  readonly #keys: string

  constructor(name: string, { processor, random }: KeyValueOptions) {
    this.name = name
    this.#processor = processor
    this.#random = random
    this.#select = selectKey(name)
    this.#versions = selectVersions(name)
    this.#keys = selectKeys(name)
  }

  /** Null: nothing is there. Siblings beyond `bytesMax` together are left out, but never the first. */
  get(key: Buffer, levels: Levels, bytesMax: number): MaybePromise<Found | null> {
    const read = this.#execute(this.#select, optionsOf([key], levels, SIBLINGS_PER_PAGE))
    if (!(read instanceof Promise) && (read as RowsResult).pagingState === null) return foundOf(read as RowsResult)
    return this.#getPages(key, levels, bytesMax, read)
  }

  async #getPages(
    key: Buffer,
    levels: Levels,
    bytesMax: number,
    first: MaybePromise<StatementResult>,
  ): Promise<Found | null> {
    let page = (await first) as RowsResult
    const found = foundOf(page)
    if (found === null) return null
    const siblings = [...found.siblings]
    let bytes = page.rowBytes.length
    // The context is that of the first page: what was written since is not covered by it, and so not replaced by who hands it back.
    while (page.pagingState !== null && bytes < bytesMax) {
      page = (await this.#execute(
        this.#select,
        optionsOf([key], levels, SIBLINGS_PER_PAGE, page.pagingState),
      )) as RowsResult
      siblings.push(...(foundOf(page)?.siblings ?? []))
      bytes += page.rowBytes.length
    }
    return { context: found.context, siblings, isCut: page.pagingState !== null }
  }

  /** Who hands it back has seen all that is there; null: nothing is there. */
  async context(key: Buffer, levels: Levels): Promise<Buffer | null> {
    const { rowCount, rowBytes } = (await this.#execute(this.#versions, optionsOf([key], levels, 1))) as RowsResult
    if (rowCount === 0) return null
    const reader = new ByteReader(rowBytes)
    readValue(reader)
    return readValue(reader)
  }

  /** `readBack`: say what stands there since. */
  async put(put: PutValue, condition: Condition, levels: Levels, readBack: number | null): Promise<Written> {
    const version = this.#uuid()
    const values: BoundValue[] = [put.key, Buffer.from(put.contentType, 'utf8'), put.value, version]
    if (condition.kind !== 'only if') {
      values.push(put.ttl === null ? UNSET : int(put.ttl))
      if (condition.kind === 'replaces') values.push(condition.context)
    } else {
      values.push(condition.context)
      values.push(put.ttl === null ? UNSET : int(put.ttl))
    }
    const result = await this.#execute(writeText(this.name, condition), optionsOf(values, levels, null))
    if (!isApplied(result)) return { isApplied: false, context: null, siblings: null }
    return this.#readBack(put.key, version, readBack)
  }

  async delete(key: Buffer, condition: Condition, levels: Levels, readBack: number | null): Promise<Written> {
    const values: BoundValue[] = condition.kind === 'replaces' ? [condition.context, key] : [key]
    if (condition.kind === 'only if') values.push(condition.context)
    const result = await this.#execute(deleteText(this.name, condition), optionsOf(values, levels, null))
    if (!isApplied(result)) return { isApplied: false, context: null, siblings: null }
    return this.#readBack(key, null, readBack)
  }

  /**
   * The context is told only if the version that was written stands alone there: it would cover siblings that the writer has not seen. The write is done
   * whether it can be read or not.
   */
  async #readBack(key: Buffer, version: Buffer | null, consistency: number | null): Promise<Written> {
    const unknown: Written = { isApplied: true, context: null, siblings: null }
    if (consistency === null) return unknown
    try {
      const { rowCount, rowBytes } = (await this.#execute(
        this.#versions,
        optionsOf([key], { consistency, serial: NO_LEVELS.serial }, null),
      )) as RowsResult
      if (rowCount !== 1) return { isApplied: true, context: null, siblings: rowCount }
      const reader = new ByteReader(rowBytes)
      const stands = readValue(reader)
      const context = readValue(reader)
      const isAlone = version !== null && stands?.equals(version)
      return { isApplied: true, context: isAlone ? context : null, siblings: 1 }
    } catch (error) {
      if (error instanceof RequestError) return unknown
      throw error
    }
  }

  /** Keys in the order of the ring. Rejects with INVALID for a state that is none. */
  async keys(levels: Levels, limit: number, after: Buffer | null): Promise<KeyPage> {
    const { rowCount, rowBytes, pagingState } = (await this.#execute(
      this.#keys,
      optionsOf([], levels, limit, after),
    )) as RowsResult
    const reader = new ByteReader(rowBytes)
    const keys: Buffer[] = []
    for (let i = 0; i < rowCount; i++) keys.push(readValue(reader)!)
    return { keys, next: pagingState }
  }

  /** A statement is prepared again when its table has changed, or others have taken its place in memory. */
  #execute(text: string, options: QueryOptions): MaybePromise<StatementResult> {
    const id = this.#ids.get(text)
    const prepared = id === undefined ? undefined : this.#processor.prepared(id)
    if (prepared === undefined) {
      const made = this.#processor.prepare(text, null, CLIENT)
      this.#ids.set(text, made.id.toString('latin1'))
      return this.#processor.execute(made, options, null, CLIENT)
    }
    return this.#processor.execute(prepared, options, null, CLIENT)
  }

  #uuid(): Buffer {
    return stampUuid(this.#random.fill(Buffer.allocUnsafe(UUID_BYTES)), UUID_VERSION)
  }
}

/** Null: there are no rows. */
function foundOf({ rowCount, rowBytes }: RowsResult): Found | null {
  if (rowCount === 0) return null
  const reader = new ByteReader(rowBytes)
  const siblings: Sibling[] = []
  let context: Buffer = NO_BYTES
  for (let i = 0; i < rowCount; i++) {
    const contentType = readValue(reader)
    const value = readValue(reader)
    const version = readValue(reader)
    const time = readValue(reader)
    const ttl = readValue(reader)
    context = readValue(reader) ?? NO_BYTES
    siblings.push({
      contentType: contentType === null ? null : contentType.toString('utf8'),
      value: value ?? NO_BYTES,
      version,
      timeMicros: time === null ? null : Number(time.readBigInt64BE(0)),
      ttl: ttl === null ? null : ttl.readInt32BE(0),
    })
  }
  return { context, siblings, isCut: false }
}

const NO_BYTES: Buffer = Buffer.alloc(0)

/** `[value]` of a row. */
function readValue(reader: ByteReader): Buffer | null {
  const length = reader.int32()
  return length < 0 ? null : reader.view(length)
}

/** Of a conditional statement's answer the first column; other writes answer no rows. */
function isApplied(result: StatementResult): boolean {
  if (result.kind !== 'rows') return true
  const applied = readValue(new ByteReader(result.rowBytes))
  return applied !== null && applied[0] === 1
}

function int(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeInt32BE(value)
  return bytes
}
