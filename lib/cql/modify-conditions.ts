/** IF clauses, as far as their names and types go. Source: CQL 3.4.7 "Lightweight transactions". */

import { invalid } from '../base/errors.ts'
import type { TableSchema } from '../schema/table.ts'
import { isCollection, NATIVE } from '../types/names.ts'
import type { ConditionClause, Term } from './ast.ts'
import {
  columnReceiver,
  compileTerm,
  elementReceiver,
  indexReceiver,
  keyReceiver,
  type Receiver,
  type TermScope,
} from './terms.ts'

export interface Condition {
  readonly kind: 'exists' | 'not_exists' | 'conditions'
}

/** Null: the statement has no IF. */
export function compileCondition(clause: ConditionClause, table: TableSchema, scope: TermScope): Condition | null {
  if (clause.kind === 'none') return null
  if (clause.kind !== 'conditions') return { kind: clause.kind }
  for (const condition of clause.conditions) {
    const receiver = conditionReceiver(
      columnReceiver(table, condition.column),
      condition.element,
      condition.field,
      scope,
    )
    const column = table.columns.get(condition.column)!
    if (column.kind === 'partition_key' || column.kind === 'clustering')
      throw invalid(`PRIMARY KEY column '${column.name}' cannot have IF conditions`)
    if ('value' in condition) {
      compileTerm(condition.value, receiver, scope)
      continue
    }
    const { values } = condition
    if (values.kind === 'terms') for (const term of values.terms) compileTerm(term, receiver, scope)
    else {
      const { keyspace, table: tableName, name, type } = receiver
      compileTerm(
        values.marker,
        { keyspace, table: tableName, name: `in(${name})`, type: { kind: 'list', element: type, frozen: false } },
        scope,
      )
    }
  }
  return { kind: 'conditions' }
}

function conditionReceiver(receiver: Receiver, element: Term | null, field: string | null, scope: TermScope): Receiver {
  const { keyspace, table, name, type } = receiver
  if (field !== null) {
    if (type.kind !== 'udt') throw invalid(`Cannot use a field of column ${name}: it is not of a user type`)
    const index = type.fieldNames.indexOf(field)
    if (index < 0) throw invalid(`Unknown field ${field} for column ${name}`)
    return { keyspace, table, name: `${name}.${field}`, type: type.fieldTypes[index]! }
  }
  if (element === null) return receiver
  if (!isCollection(type) || type.kind === 'set')
    throw invalid(`Invalid element access syntax for non-collection column ${name}`)
  if (type.kind === 'map') {
    compileTerm(element, keyReceiver(receiver, type.key), scope)
    return elementReceiver(receiver, type.value)
  }
  compileTerm(element, indexReceiver(receiver, NATIVE.int), scope)
  return elementReceiver(receiver, type.element)
}
