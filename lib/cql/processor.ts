/**
 * Statements as clients send them: by text, prepared, or in batches. Finds or makes the compiled statement, puts the values in order, executes.
 * Source: native_protocol_v5.spec §4.1; ids, checks and messages are those of Cassandra 5.0.
 * Always: a prepared statement is executed only while the tables it was compiled for are as they were; otherwise it is gone, and the client is
 * told to prepare it again.
 */
import { createHash } from 'node:crypto'
import { invalid } from '../base/errors.ts'
import type { Histogram } from '../base/histogram.ts'
import type { Schema } from '../schema/keyspace.ts'
import type { TableSchema } from '../schema/table.ts'
import { compileStatement, isFullyQualified } from './compile.ts'
import { Batch, type BatchPart, type BatchType, executeBatchMessage } from './modify/batch.ts'
import { Modification } from './modify/modify.ts'
import { MutationSink } from './modify/modify-sink.ts'
import { parseStatement } from './parser/parser.ts'
import type { StatementResult } from './result.ts'
import type {
  BoundValue,
  ClientState,
  CompiledStatement,
  Environment,
  MaybePromise,
  QueryOptions,
} from './statement.ts'
import { StatementCache } from './statement-cache.ts'
import { changesStatements } from './statement-staleness.ts'
import { checkKeyspaceExists } from './use.ts'

/** A level between nodes only, that clients may send all the same. */
const NODE_LOCAL = 0x000b

const MARKERS_MAX = 65535

export interface Prepared {
  /** 16 bytes. */
  readonly id: Buffer
  readonly statement: CompiledStatement
  readonly warnings?: readonly string[]
}

/** One statement of a BATCH message. */
export type BatchItem =
  | { readonly text: string; readonly values: readonly BoundValue[] }
  | { readonly prepared: Prepared; readonly values: readonly BoundValue[] }

export interface ProcessorOptions {
  /** Memory for prepared statements, by the length of their texts. Default 10 MiB, as Cassandra's least. */
  readonly preparedBytesMax?: number
  /** Memory for statements that were sent as text, so that the same text is not compiled each time. Default 2 MiB. */
  readonly textBytesMax?: number
}

/** What system_views.cql_metrics and batch_metrics show. */
export interface StatementCounts {
  readonly prepared: number
  readonly preparedEvicted: number
  readonly preparedExecuted: number
  readonly regularExecuted: number
  readonly partitionsPerBatch: Readonly<Record<BatchType, Histogram>>
}

const MIB = 1024 * 1024

/** Texts beyond this are not kept: they are hardly ever sent twice. */
const CACHED_TEXT_LENGTH_MAX = 16 * 1024

/** A statement and what it was compiled against. */
interface Compiled {
  readonly statement: CompiledStatement
  readonly isFullyQualified: boolean
  /** The tables that the statement knows by heart. */
  readonly tables: readonly TableSchema[]
  /** Of the schema against which the tables were last seen to be unchanged. */
  epoch: number
}

interface PreparedEntry extends Prepared, PreparedText {
  readonly compiled: Compiled
}

/** What system.prepared_statements shows. */
export interface PreparedText {
  readonly id: Buffer
  readonly text: string
  /** The keyspace that completed the names in it; null: it is kept under the id of its text alone. */
  readonly keyspace: string | null
}

export class QueryProcessor {
  readonly #environment: Environment
  readonly #sink = new MutationSink()
  /** By id, as 16 characters. */
  readonly #prepared: StatementCache<PreparedEntry>
  /** By keyspace and text. */
  readonly #texts: StatementCache<Compiled>
  #preparedExecuted = 0
  #regularExecuted = 0

  constructor(environment: Environment, options: ProcessorOptions = {}) {
    this.#environment = environment
    this.#prepared = new StatementCache(options.preparedBytesMax ?? 10 * MIB)
    this.#texts = new StatementCache(options.textBytesMax ?? 2 * MIB)
  }

  get counts(): StatementCounts {
    return {
      prepared: this.#prepared.size,
      preparedEvicted: this.#prepared.evicted,
      preparedExecuted: this.#preparedExecuted,
      regularExecuted: this.#regularExecuted,
      partitionsPerBatch: this.#sink.partitionsPerBatch,
    }
  }

  /** `names`: the values go by name. `keyspace`: the request's own (v5), else null. */
  query(
    text: string,
    options: QueryOptions,
    names: readonly string[] | null,
    client: ClientState,
    keyspace: string | null,
  ): MaybePromise<StatementResult> {
    const { statement } = this.#compiledText(text, this.#effectiveKeyspace(client, keyspace))
    const ordered = names === null ? options : inOrder(statement, options, names)
    if (ordered.values.length !== statement.variables.length) throw invalid('Invalid amount of bind variables')
    this.#regularExecuted++
    return this.#run(statement, ordered, client)
  }

  prepare(text: string, keyspace: string | null, client: ClientState): Prepared {
    const current = this.#effectiveKeyspace(client, keyspace)
    const bare = digest(text)
    const own = current === null ? bare : digest(current + text)
    const known = this.#known(bare, own, current)
    if (known) return known
    const compiled = this.#compile(text, current)
    const { statement } = compiled
    const count = statement.variables.length
    if (count > MARKERS_MAX)
      throw invalid(`Too many markers(?). ${count} markers exceed the allowed maximum of ${MARKERS_MAX}`)
    const ofBare = this.#store({ id: bare, text, keyspace: null }, compiled)
    const ofOwn = current === null ? ofBare : this.#store({ id: own, text, keyspace: current }, compiled)
    if (compiled.isFullyQualified) return ofBare
    return { ...ofOwn, warnings: warnOfUse(client, keyspace, current, own) }
  }

  /** What was prepared before; only if it is there under both names, as else a driver could be given two ids for one text. */
  #known(bare: Buffer, own: Buffer, current: string | null): Prepared | undefined {
    const ofBare = this.prepared(bare.toString('latin1'))
    const ofOwn = this.prepared(own.toString('latin1'))
    if (ofBare && ofOwn) {
      if (ofBare.compiled.isFullyQualified) return ofBare
      if (current !== null && !ofOwn.compiled.isFullyQualified) return ofOwn
      return undefined
    }
    this.#prepared.delete(bare.toString('latin1'))
    this.#prepared.delete(own.toString('latin1'))
    return undefined
  }

  #store(named: PreparedText, compiled: Compiled): PreparedEntry {
    const entry = { ...named, statement: compiled.statement, compiled }
    this.#prepared.set(named.id.toString('latin1'), entry, named.text.length)
    return entry
  }

  /** Those that would be executed without being prepared again. */
  preparedTexts(): PreparedText[] {
    const schema = this.#environment.schema.current
    return this.#prepared
      .entries()
      .filter(([, { compiled }]) => compiled.epoch === schema.epoch || isCurrent(compiled, schema))
      .map(([, entry]) => entry)
  }

  /** By its 16 bytes as a string of one character each. Undefined: it has to be prepared (again). */
  prepared(id: string): PreparedEntry | undefined {
    const entry = this.#prepared.get(id)
    if (entry === undefined) return undefined
    const schema = this.#environment.schema.current
    if (entry.compiled.epoch === schema.epoch || isCurrent(entry.compiled, schema)) return entry
    this.#prepared.delete(id)
    return undefined
  }

  execute(
    prepared: Prepared,
    options: QueryOptions,
    names: readonly string[] | null,
    client: ClientState,
  ): MaybePromise<StatementResult> {
    const { statement } = prepared
    const ordered = names === null ? options : inOrder(statement, options, names)
    const expected = statement.variables.length
    if (ordered.values.length !== expected)
      throw invalid(`there were ${expected} markers(?) in CQL but ${ordered.values.length} bound variables`)
    this.#preparedExecuted++
    return this.#run(statement, ordered, client)
  }

  batch(
    type: BatchType,
    items: readonly BatchItem[],
    options: QueryOptions,
    client: ClientState,
    keyspace: string | null,
  ): MaybePromise<StatementResult> {
    const current = this.#effectiveKeyspace(client, keyspace)
    const statements = items.map((item) => {
      const statement = 'text' in item ? this.#compiledText(item.text, current).statement : item.prepared.statement
      const expected = statement.variables.length
      if (item.values.length !== expected)
        throw invalid(`There were ${expected} markers(?) in CQL but ${item.values.length} bound variables`)
      return statement
    })
    const parts = statements.map((statement, i): BatchPart => {
      if (!(statement instanceof Modification))
        throw invalid('Invalid statement in batch: only UPDATE, INSERT and DELETE statements are allowed.')
      return { modification: statement, options: withValues(options, items[i]!.values) }
    })
    return executeBatchMessage(type, parts, this.#sink, this.#environment, options)
  }

  #run(statement: CompiledStatement, options: QueryOptions, client: ClientState): MaybePromise<StatementResult> {
    if (options.consistency === NODE_LOCAL)
      throw invalid('NODE_LOCAL consistency level is highly dangerous and should be used only for debugging purposes')
    return statement.execute(this.#environment, options, client)
  }

  #effectiveKeyspace(client: ClientState, keyspace: string | null): string | null {
    if (keyspace === null) return client.keyspace
    checkKeyspaceExists(this.#environment.schema.current, keyspace)
    return keyspace
  }

  #compiledText(text: string, keyspace: string | null): Compiled {
    const name = keyspace === null ? text : `${keyspace}\0${text}`
    const known = this.#texts.get(name)
    if (known !== undefined) {
      const schema = this.#environment.schema.current
      if (known.epoch === schema.epoch || isCurrent(known, schema)) return known
      this.#texts.delete(name)
    }
    const compiled = this.#compile(text, keyspace)
    // Writes with their values in the text come once.
    const { statement } = compiled
    const isOnce = (statement instanceof Modification || statement instanceof Batch) && statement.variables.length === 0
    if (!isOnce && compiled.tables.length > 0 && text.length <= CACHED_TEXT_LENGTH_MAX)
      this.#texts.set(name, compiled, name.length)
    return compiled
  }

  #compile(text: string, keyspace: string | null): Compiled {
    const parsed = parseStatement(text)
    const schema = this.#environment.schema.current
    const statement = compileStatement(parsed, schema, keyspace, this.#sink)
    return {
      statement,
      isFullyQualified: isFullyQualified(parsed),
      tables: parsed.statement.kind === 'truncate' ? [] : tablesOf(statement, schema),
      epoch: schema.epoch,
    }
  }
}

function digest(text: string): Buffer {
  return createHash('md5').update(text, 'utf8').digest()
}

function withValues(options: QueryOptions, values: readonly BoundValue[]): QueryOptions {
  const { protocolVersion, consistency, serialConsistency, pageSize, pagingState, timestamp, nowSeconds } = options
  return {
    protocolVersion,
    consistency,
    serialConsistency,
    values,
    pageSize,
    pagingState,
    timestamp,
    nowSeconds,
  }
}

/** Named values by position; a variable without a value is left out, so that their number tells. */
function inOrder(statement: CompiledStatement, options: QueryOptions, names: readonly string[]): QueryOptions {
  const positions = new Map<string, number>()
  names.forEach((name, i) => {
    if (!positions.has(name)) positions.set(name, i)
  })
  const values: BoundValue[] = []
  for (const variable of statement.variables) {
    const at = positions.get(variable.name)
    if (at !== undefined) values.push(options.values[at]!)
  }
  return withValues(options, values)
}

function tablesOf(statement: CompiledStatement, schema: Schema): TableSchema[] {
  if (statement instanceof Batch) return statement.modifications.map((part) => part.target.table)
  if (statement.keyspace === null || statement.table === null) return []
  const table = schema.keyspaces.get(statement.keyspace)?.tables.get(statement.table)
  return table ? [table] : []
}

/** Whether all that the statement knows is still so; then it need not be asked again until the next change of the schema. */
function isCurrent(compiled: Compiled, schema: Schema): boolean {
  for (const table of compiled.tables) {
    const now = schema.keyspaces.get(table.keyspace)?.tables.get(table.name)
    if (now === undefined || (now !== table && changesStatements(table, now))) return false
  }
  compiled.epoch = schema.epoch
  return true
}

/** A connection is warned once, a request with a keyspace of its own each time. */
function warnOfUse(client: ClientState, own: string | null, current: string | null, id: Buffer): readonly string[] {
  if (own === null) {
    if (client.warnedOfUse) return []
    client.warnedOfUse = true
  }
  return [
    '`USE <keyspace>` with prepared statements is considered to be an anti-pattern due to ambiguity in non-qualified table names. ' +
      'Please consider removing instances of `Session#setKeyspace(<keyspace>)`, `Session#execute("USE <keyspace>")` and ' +
      '`cluster.newSession(<keyspace>)` from your code, and always use fully qualified table names (e.g. <keyspace>.<table>). ' +
      `Keyspace used: ${current}, statement keyspace: ${current}, statement id: ${id.toString('hex')}`,
  ]
}
