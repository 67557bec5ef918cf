/** CREATE, ALTER and DROP MATERIALIZED VIEW as parsed, to changes of the schema. Messages are those of Cassandra 5.0.6. */
import { invalid } from '../../base/errors.ts'
import type { Schema } from '../../schema/keyspace.ts'
import type { TableSchema, ViewCondition } from '../../schema/table.ts'
import { alterView, createView, dropView, type NewView, type ViewWhere } from '../../schema/view-changes.ts'
import { quoteIdentifier } from '../../types/identifier.ts'
import type { Relation, SchemaStatement, SelectClause, Selector } from '../ast.ts'
import { compileSelect } from '../select/select-compile.ts'
import type { BoundValue, CompiledStatement, Environment, QueryOptions } from '../statement.ts'
import { columnReceiver, type TermScope, termText, Variables } from '../terms/terms.ts'
import { toRestriction } from '../where/restrictions-relations.ts'
import type { Tuple } from '../where/restrictions-values.ts'
import { SchemaPlan } from './schema-plan.ts'
import { propertyMap, refuseRepeatedOrder } from './schema-properties.ts'

type Statement<Kind extends SchemaStatement['kind']> = Extract<SchemaStatement, { kind: Kind }>

/** `keyspace` is the view's. */
export function compileView(
  statement: Statement<'create_view' | 'alter_view' | 'drop_view'>,
  keyspace: string,
): CompiledStatement {
  const { name } = statement.view
  switch (statement.kind) {
    case 'create_view':
      return compileCreate(statement, keyspace)
    case 'alter_view': {
      const properties = propertyMap(statement.properties)
      return new SchemaPlan(keyspace, name, (schema) =>
        alterView(schema, keyspace, name, statement.ifExists, properties),
      )
    }
    case 'drop_view':
      return new SchemaPlan(keyspace, name, (schema) => dropView(schema, keyspace, name, statement.ifExists))
  }
}

/** A base table without a keyspace is in the view's, whichever the connection uses. */
function compileCreate(statement: Statement<'create_view'>, keyspace: string): CompiledStatement {
  const { select, view, primaryKeys, ifNotExists } = statement
  if ((select.table.keyspace ?? keyspace) !== keyspace)
    throw invalid('Cannot create a materialized view on a table in a different keyspace')
  if (hasMarker(select.where)) throw invalid('Bind variables are not allowed in CREATE MATERIALIZED VIEW statements')
  const { partitionKey, clustering } = primaryKeys[0]!
  const { clusteringOrder } = statement
  refuseRepeatedOrder(clusteringOrder, 'view', view)
  const properties = propertyMap(statement.properties)
  return new SchemaPlan(keyspace, null, (schema, context, environment) => {
    const definition: NewView = {
      keyspace,
      name: view.name,
      ifNotExists,
      base: select.table.name,
      selected: (base) => select.clauses?.map((clause) => selectedColumn(clause, base)) ?? null,
      partitionKey,
      clustering,
      clusteringOrder,
      where: (base) => whereOf(statement, base, schema, environment),
      properties,
    }
    const isEnabled = environment.limits.viewsEnabled ?? true
    return createView(schema, definition, context.newTableId(), isEnabled, context.warnings)
  })
}

/** Any marker in the tree of a WHERE clause. */
function hasMarker(tree: unknown): boolean {
  if (typeof tree !== 'object' || tree === null) return false
  if ('kind' in tree && tree.kind === 'marker' && 'index' in tree) return true
  return Object.values(tree).some(hasMarker)
}

function selectedColumn({ selector, alias }: SelectClause, base: TableSchema): string {
  if (alias !== null) throw invalid(`Cannot use aliases when defining a materialized view (got ${alias})`)
  if (selector.kind !== 'column')
    throw invalid(`Can only select columns by name when defining a materialized view (got ${selectorText(selector)})`)
  return columnReceiver(base, selector.name).name
}

/** As Cassandra shows it, where it does: elements and slices of columns. */
function selectorText(selector: Selector): string {
  if ((selector.kind !== 'element' && selector.kind !== 'slice') || selector.of.kind !== 'column') return selector.kind
  const name = quoteIdentifier(selector.of.name)
  if (selector.kind === 'element') return `${name}[${termText(selector.element)}]`
  const [from, to] = [selector.from, selector.to].map((term) => (term === null ? '' : termText(term)))
  return `${name}[${from}..${to}]`
}

function whereOf(
  { select }: Statement<'create_view'>,
  base: TableSchema,
  schema: Schema,
  environment: Environment,
): ViewWhere {
  for (const relation of select.where) {
    if (relation.kind === 'token') throw invalid('Cannot use token relation when defining a materialized view')
    if (relation.kind === 'expression')
      throw invalid('WHERE clause for materialized view cannot contain custom index expressions')
    if (relation.kind === 'single' && relation.operator === 'IS NOT') columnReceiver(base, relation.column)
  }
  const comparisons = select.where.filter((relation) => !isNotNull(relation))
  const scope: TermScope = {
    schema,
    keyspace: base.keyspace,
    variables: new Variables([]),
    partitionKey: base.partitionKey.map(({ type }) => type),
  }
  const table = { keyspace: base.keyspace, name: base.name }
  // What a query may not restrict so, a view may not either.
  compileSelect(
    { ...select, table, where: comparisons, clauses: null, allowFiltering: true },
    scope.variables,
    schema,
    null,
  )
  const conditions = select.where.map((relation) => conditionOf(relation, base, scope, environment))
  const compared = conditions.filter(({ operator }) => operator !== 'IS NOT').flatMap(({ columns }) => columns)
  return { conditions, compared }
}

function isNotNull(relation: Relation): boolean {
  return relation.kind === 'single' && relation.operator === 'IS NOT'
}

const NO_VALUES: QueryOptions = {
  protocolVersion: 5,
  consistency: 0,
  serialConsistency: 0,
  values: [],
  pageSize: null,
  pagingState: null,
  timestamp: null,
  nowSeconds: null,
}

function conditionOf(relation: Relation, base: TableSchema, scope: TermScope, environment: Environment): ViewCondition {
  if (relation.kind === 'single' && relation.operator === 'IS NOT')
    return { columns: [relation.column], operator: 'IS NOT', text: 'NULL', values: [] }
  const restriction = toRestriction(relation, base, scope)
  const columns = 'columns' in relation ? relation.columns : 'column' in relation ? [relation.column] : []
  const bound = (tuple: Tuple) => tuple.bind(NO_VALUES, environment).map(bytesOf)
  switch (restriction.kind) {
    case 'eq':
      return { columns, ...rightSide(relation), values: [bound(restriction.tuple)] }
    case 'in':
      return {
        columns,
        ...rightSide(relation),
        values: restriction.tuples.bind(NO_VALUES, environment).map((tuple) => tuple.map(bytesOf)),
      }
    case 'slice':
      return { columns, ...rightSide(relation), values: [bound((restriction.start ?? restriction.end)!.tuple)] }
    default:
      // Only columns that are not part of the key can be restricted so, and they may not.
      return { columns, operator: '=', text: '', values: [] }
  }
}

function bytesOf(value: BoundValue): Buffer | null {
  return Buffer.isBuffer(value) ? Buffer.from(value) : null
}

function rightSide(relation: Relation): Pick<ViewCondition, 'operator' | 'text'> {
  switch (relation.kind) {
    case 'single':
    case 'multi':
      return { operator: relation.operator as ViewCondition['operator'], text: termText(relation.value) }
    case 'in':
    case 'multi_in': {
      const terms = relation.values.kind === 'terms' ? relation.values.terms : []
      return { operator: 'IN', text: `(${terms.map(termText).join(', ')})` }
    }
    default:
      return { operator: '=', text: '' }
  }
}
