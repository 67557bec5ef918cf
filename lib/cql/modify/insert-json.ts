/**
 * INSERT … JSON: one text gives the values of all columns. Source: CQL 3.4.7 "INSERT JSON"; messages are those of Cassandra 5.0.
 * Always: a text that is written in the statement is read when it is compiled, one that is bound once for each execution.
 */
import { invalid, RequestError } from '../../base/errors.ts'
import type { ColumnSchema, TableSchema } from '../../schema/table.ts'
import { JsonError, type JsonObject, parseJsonObject } from '../../types/json-parse.ts'
import { foldNames, fromJson, JsonTypeError } from '../../types/json-read.ts'
import { NATIVE } from '../../types/names.ts'
import type { CqlType } from '../../types/type.ts'
import { whyInvalid } from '../../types/value.ts'
import type { ConditionClause, InsertJsonStatement, Term } from '../ast.ts'
import { toModification } from '../causal/to-modification.ts'
import { allColumns } from '../select/select-compile.ts'
import { type BoundValue, type Environment, type QueryOptions, UNSET } from '../statement.ts'
import { ConstantValue, compileTerm, MarkerValue, type TermScope, type Value } from '../terms/terms.ts'
import type { Modification } from './modify.ts'
import { ColumnWrites, setOperation } from './modify-assignments.ts'
import { compileModificationClauses } from './modify-clauses.ts'
import { RowKey } from './modify-keys.ts'
import { type MutationSink, writeTarget } from './modify-sink.ts'

export function compileInsertJson(
  statement: InsertJsonStatement,
  table: TableSchema,
  scope: TermScope,
  sink: MutationSink,
): Modification {
  const { using, ifNotExists, ifVclock } = statement
  const ifClause: ConditionClause = { kind: ifNotExists ? 'not_exists' : 'none' }
  const { attributes, causal, condition } = compileModificationClauses(using, ifClause, ifVclock, table, scope)
  if (table.isCounter) throw invalid('INSERT statements are not allowed on counter tables, use UPDATE instead')
  const values = columnValues(statement, table, scope)
  const writes = new ColumnWrites()
  for (const column of [...table.statics, ...table.regulars])
    writes.add(column, setOperation(column, values.get(column)!))
  const parts = {
    kind: 'INSERT',
    target: writeTarget(table),
    attributes,
    condition,
    rowKey: new RowKey(
      table,
      table.partitionKey.map((column) => values.get(column)!),
      table.clustering.map((column) => values.get(column)!),
    ),
    restrictions: null,
    restrictsClustering: table.clustering.length > 0,
    regulars: writes.of('regular'),
    statics: writes.of('static'),
  } as const
  return toModification(parts, causal, scope.variables, sink)
}

function columnValues(
  { json, defaultUnset }: InsertJsonStatement,
  table: TableSchema,
  scope: TermScope,
): ReadonlyMap<ColumnSchema, Value> {
  const columns = allColumns(table)
  const { keyspace, name } = table
  const isBound = json.kind === 'marker'
  if (isBound) scope.variables.register(json.index, { keyspace, table: name, name: '[json]', type: NATIVE.text })
  const source = isBound
    ? new MarkerValue(NATIVE.text, json.index, unchecked, null)
    : compileTerm(json, { keyspace, table: name, name: '[json]', type: NATIVE.text }, scope)
  const text = new JsonText(source, columns, defaultUnset ? UNSET : null)
  const constants = isText(json) ? text.constants(Buffer.from(json.text)) : null
  return new Map(
    columns.map((column, i): [ColumnSchema, Value] => {
      if (constants === null) return [column, new JsonColumn(column.type, text, i)]
      const bytes = constants[i]!
      return [column, bytes === UNSET ? new UnsetColumn(column.type) : new ConstantValue(column.type, bytes)]
    }),
  )
}

/** The text is looked at when it is read. */
function unchecked(): void {}

function isText(json: Term): json is Term & { kind: 'constant' } {
  return json.kind === 'constant'
}

/** The text of one statement, and what it says of each column of the table. */
class JsonText {
  readonly #source: Value
  readonly #columns: readonly ColumnSchema[]
  /** Of columns that the text does not name. */
  readonly #missing: null | typeof UNSET
  /** A request's columns ask one after another. */
  readonly #read = new WeakMap<QueryOptions, readonly BoundValue[]>()

  constructor(source: Value, columns: readonly ColumnSchema[], missing: null | typeof UNSET) {
    this.#source = source
    this.#columns = columns
    this.#missing = missing
  }

  /** The values by column; null when they are not the same at each execution. */
  constants(bytes: Buffer): readonly BoundValue[] | null {
    let asksTime = false
    const values = this.#parse(bytes, () => {
      asksTime = true
      return 0
    })
    return asksTime ? null : values
  }

  value(index: number, options: QueryOptions, environment: Environment): BoundValue {
    let values = this.#read.get(options)
    if (values === undefined) {
      const bound = this.#source.bind(options, environment)
      if (bound === null) throw invalid('Got null for INSERT JSON values')
      const bytes = bound === UNSET ? NO_TEXT : bound
      values = this.#parse(bytes, () => Math.floor(environment.wallMicros() / 1000))
      this.#read.set(options, values)
    }
    return values[index]!
  }

  #parse(bytes: Buffer, nowMs: () => number): readonly BoundValue[] {
    if (whyInvalid(NATIVE.text, bytes) !== null)
      throw new RequestError(
        'SERVER_ERROR',
        `org.apache.cassandra.serializers.MarshalException: Invalid UTF-8 bytes ${bytes.toString('hex')}`,
      )
    const members = membersOf(bytes.toString())
    foldNames(members)
    const values = this.#columns.map((column): BoundValue => {
      const member = members.get(column.name)
      if (member === undefined) return this.#missing
      members.delete(column.name)
      return member === null ? null : readColumn(column, member, nowMs)
    })
    for (const name of members.keys()) throw invalid(`JSON values map contains unrecognized column: ${name}`)
    return values
  }
}

const NO_TEXT = Buffer.alloc(0)

function membersOf(text: string): JsonObject {
  try {
    const members = parseJsonObject(text)
    if (members === null) throw invalid('Got null for INSERT JSON values')
    return members
  } catch (error) {
    if (error instanceof JsonError)
      throw invalid(`Could not decode JSON string as a map: ${error.javaName}: ${error.message}. (String was: ${text})`)
    throw error
  }
}

function readColumn(column: ColumnSchema, member: Parameters<typeof fromJson>[1], nowMs: () => number): Buffer {
  try {
    return fromJson(column.type, member, nowMs)
  } catch (error) {
    if (error instanceof JsonTypeError) throw invalid(`Error decoding JSON value for ${column.name}: ${error.message}`)
    throw error
  }
}

/** One column's part of the text. */
class JsonColumn implements Value {
  readonly type: CqlType
  readonly markerIndex = -1
  readonly isConstant = false
  readonly hasMarker = true
  readonly #text: JsonText
  readonly #index: number

  constructor(type: CqlType, text: JsonText, index: number) {
    this.type = type
    this.#text = text
    this.#index = index
  }

  bind(options: QueryOptions, environment: Environment): BoundValue {
    return this.#text.value(this.#index, options, environment)
  }
}

/** A column that the text of a statement does not name, with DEFAULT UNSET. */
class UnsetColumn implements Value {
  readonly type: CqlType
  readonly markerIndex = -1
  readonly isConstant = false
  readonly hasMarker = false

  constructor(type: CqlType) {
    this.type = type
  }

  bind(): typeof UNSET {
    return UNSET
  }
}
