/** INSERT. Source: CQL 3.4.7 "INSERT"; order of checks and messages are those of Cassandra 5.0. */
import { invalid } from '../../base/errors.ts'
import { isStaticCompact, takesShortKeys } from '../../schema/compact.ts'
import type { TableSchema } from '../../schema/table.ts'
import type { ConditionClause, InsertStatement, Term } from '../ast.ts'
import { toModification } from '../causal/to-modification.ts'
import { columnReceiver, compileTerm, type Receiver, type TermScope, type Value } from '../terms/terms.ts'
import { skipsColumn } from '../where/restrictions.ts'
import type { Modification } from './modify.ts'
import { ColumnWrites, compileSet } from './modify-assignments.ts'
import { compileModificationClauses } from './modify-clauses.ts'
import { RowKey } from './modify-keys.ts'
import { type MutationSink, writeTarget } from './modify-sink.ts'

const CLUSTERING = 'clustering keys'

export function compileInsert(
  statement: InsertStatement,
  table: TableSchema,
  scope: TermScope,
  sink: MutationSink,
): Modification {
  const { using, ifNotExists, ifVclock } = statement
  const ifClause: ConditionClause = { kind: ifNotExists ? 'not_exists' : 'none' }
  const { attributes, causal, condition } = compileModificationClauses(using, ifClause, ifVclock, table, scope)
  if (table.isCounter) throw invalid('INSERT statements are not allowed on counter tables, use UPDATE instead')
  const { columns, values } = statement
  if (columns.length !== values.length) throw invalid('Unmatched column names/values')
  if (new Set(columns).size !== columns.length) throw invalid('The column names contains duplicates')

  const writes = new ColumnWrites()
  const keyTerms = new Map<string, { term: Term; receiver: Receiver }>()
  let givesClustering = false
  columns.forEach((name, i) => {
    const receiver = columnReceiver(table, name)
    const column = table.columns.get(name)!
    if (column.kind === 'clustering') givesClustering = true
    if (column.position >= 0) keyTerms.set(name, { term: values[i]!, receiver })
    else writes.add(column, compileSet(column, receiver, values[i]!, scope))
  })
  const terms = new Map<string, Value>()
  for (const [name, { term, receiver }] of keyTerms) terms.set(name, compileTerm(term, receiver, scope))

  const regulars = writes.of('regular')
  const statics = writes.of('static')
  const onlyStatics = !givesClustering && regulars.length === 0 && statics.length > 0
  const partition = keyPart(table.partitionKey, terms, 'partition key parts')
  const clustering = onlyStatics ? [] : clusteringPart(table, terms)
  if (regulars.length === 0 && isStaticCompact(table)) throw missingKeys(CLUSTERING, [table.compact!.clustering!])
  const parts = {
    kind: 'INSERT',
    target: writeTarget(table),
    attributes,
    condition,
    rowKey: new RowKey(table, partition, clustering),
    restrictions: null,
    restrictsClustering: clustering.length > 0,
    regulars,
    statics,
  } as const
  return toModification(parts, causal, scope.variables, sink)
}

/** The terms of the clustering columns: of all, or of the first ones where rows may do without the others. */
function clusteringPart(table: TableSchema, terms: ReadonlyMap<string, Value>): Value[] {
  const columns = table.clustering
  if (!takesShortKeys(table)) return keyPart(columns, terms, CLUSTERING)
  const given = columns.filter(({ name }) => terms.has(name))
  if (given.length === 0) return keyPart(columns, terms, CLUSTERING)
  given.forEach((column, i) => {
    if (column !== columns[i]) throw skipsColumn(column, columns[i]!)
  })
  return given.map(({ name }) => terms.get(name)!)
}

function missingKeys(what: string, names: readonly string[]): Error {
  return invalid(`Some ${what} are missing: ${names.join(', ')}`)
}

/** The terms of the key's columns in their order. */
function keyPart(columns: TableSchema['partitionKey'], terms: ReadonlyMap<string, Value>, what: string): Value[] {
  const missing = columns.filter((column) => !terms.has(column.name))
  if (missing.length > 0)
    throw missingKeys(
      what,
      missing.map(({ name }) => name),
    )
  return columns.map((column) => terms.get(column.name)!)
}
