/**
 * From assignments and deletions as written to what they do to their columns. Source: CQL 3.4.7 "UPDATE", "DELETE", "Collections";
 * checks and messages are those of Cassandra 5.0.
 */
import { invalid, RequestError } from '../../base/errors.ts'
import type { ColumnSchema, TableSchema } from '../../schema/table.ts'
import { isCollection, isMultiCell, NATIVE } from '../../types/names.ts'
import type { Assignment, DeleteTarget, Term } from '../ast.ts'
import {
  ConstantValue,
  columnReceiver,
  compileTerm,
  elementReceiver,
  indexReceiver,
  keyReceiver,
  type Receiver,
  type TermScope,
  termText,
  type Value,
} from '../terms/terms.ts'
import { CounterRemoval, CounterWrite } from './modify-counters.ts'
import {
  CellWrite,
  type ColumnWrite,
  type PathOperation,
  PathWrite,
  PutElement,
  PutElements,
  PutField,
  PutFields,
  PutList,
  PutListElement,
  RemoveAll,
  RemoveElements,
  RemoveListElements,
} from './modify-operations.ts'

/** What a statement does to its columns, gathered by column. */
export type Operation = CellWrite | CounterWrite | CounterRemoval | PathOperation

export class ColumnWrites {
  readonly #cells = new Map<ColumnSchema, CellWrite | CounterWrite | CounterRemoval>()
  readonly #paths = new Map<ColumnSchema, PathOperation[]>()

  add(column: ColumnSchema, operation: Operation): void {
    if (operation instanceof CellWrite || operation instanceof CounterRemoval) this.#cells.set(column, operation)
    else if (operation instanceof CounterWrite) {
      const before = this.#cells.get(column)
      if (before instanceof CounterWrite) before.join(operation)
      else this.#cells.set(column, operation)
    } else {
      const operations = this.#paths.get(column)
      if (operations) operations.push(operation)
      else this.#paths.set(column, [operation])
    }
  }

  /** The writes of the static or of the regular columns, in the order in which a row holds them. */
  of(kind: 'static' | 'regular'): ColumnWrite[] {
    const writes: ColumnWrite[] = [...this.#cells.values()]
    for (const [column, operations] of this.#paths) writes.push(new PathWrite(column, operations))
    return writes.filter((write) => write.column.kind === kind).sort((a, b) => a.column.id - b.column.id)
  }
}

function isCounterColumn(column: ColumnSchema): boolean {
  return column.type.kind === 'native' && column.type.name === 'counter'
}

/** c = term, in INSERT and UPDATE. */
export function compileSet(column: ColumnSchema, receiver: Receiver, term: Term, scope: TermScope): Operation {
  const value = compileTerm(term, receiver, scope)
  if (isCounterColumn(column))
    throw invalid(
      `Cannot set the value of counter column ${column.name} (counters can only be incremented/decremented, not set)`,
    )
  return setOperation(column, value)
}

/** c = value, compiled already. */
export function setOperation(column: ColumnSchema, value: Value): Operation {
  const { type } = column
  if (!isMultiCell(type)) return new CellWrite(column, value)
  switch (type.kind) {
    case 'list':
      return new PutList(value, 'replace')
    case 'set':
      return new PutElements(type.element, false, value, false)
    case 'map':
      return new PutElements(type.key, true, value, false)
    case 'udt':
      return new PutFields(type, value)
  }
}

/** One assignment of UPDATE … SET. `isConditional`: the statement has an IF clause, and so reads the row anyway. */
export function compileAssignment(
  assignment: Assignment,
  table: TableSchema,
  isConditional: boolean,
  scope: TermScope,
): { column: ColumnSchema; operation: Operation } {
  const receiver = columnReceiver(table, assignment.column)
  const column = table.columns.get(assignment.column)!
  if (column.kind === 'partition_key' || column.kind === 'clustering')
    throw invalid(`PRIMARY KEY part ${column.name} found in SET part`)
  switch (assignment.kind) {
    case 'set':
      return { column, operation: compileSet(column, receiver, assignment.value, scope) }
    case 'add':
      return { column, operation: compileAddition(column, receiver, assignment.value, isConditional, scope) }
    case 'subtract':
      return { column, operation: compileSubtraction(column, receiver, assignment.value, scope) }
    case 'prepend':
      return { column, operation: compilePrepending(column, receiver, assignment.value, scope) }
    case 'set_element':
      return { column, operation: compileElement(column, receiver, assignment.element, assignment.value, scope) }
    case 'set_field':
      return { column, operation: compileField(column, assignment.field, assignment.value, scope, receiver) }
  }
}

function compileAddition(
  column: ColumnSchema,
  receiver: Receiver,
  term: Term,
  isConditional: boolean,
  scope: TermScope,
): Operation {
  const { name, type } = column
  const text = `${name} = ${name} + ${termText(term)}`
  if (!isCollection(type)) {
    if (type.kind === 'tuple' || type.kind === 'udt')
      throw invalid(`Invalid operation (${text}) for tuple column ${name}`)
    if (isConditional && !isCounterColumn(column)) throw invalid('Additions to columns are not supported yet')
    if (!isCounterColumn(column)) throw invalid(`Invalid operation (${text}) for non counter column ${name}`)
    return new CounterWrite(column, compileTerm(term, receiver, scope), false)
  }
  if (type.frozen) throw invalid(`Invalid operation (${text}) for frozen collection column ${name}`)
  if (type.kind === 'list') return new PutList(compileTerm(term, receiver, scope), 'append')
  if (type.kind === 'set') return new PutElements(type.element, false, compileTerm(term, receiver, scope), true)
  const value = compileOr(
    () => compileTerm(term, receiver, scope),
    () => `Value for a map addition has to be a map, but was: '${termText(term)}'`,
  )
  return new PutElements(type.key, true, value, true)
}

/** Compiles; where that is refused, it is refused in these words. */
function compileOr(compile: () => Value, message: () => string): Value {
  try {
    return compile()
  } catch (error) {
    if (error instanceof RequestError) throw invalid(message())
    throw error
  }
}

function compileSubtraction(column: ColumnSchema, receiver: Receiver, term: Term, scope: TermScope): Operation {
  const { name, type } = column
  const text = `${name} = ${name} - ${termText(term)}`
  if (!isCollection(type)) {
    if (!isCounterColumn(column)) throw invalid(`Invalid operation (${text}) for non counter column ${name}`)
    return new CounterWrite(column, compileTerm(term, receiver, scope), true)
  }
  if (type.frozen) throw invalid(`Invalid operation (${text}) for frozen collection column ${name}`)
  if (type.kind === 'list') return new RemoveListElements(compileTerm(term, receiver, scope))
  if (type.kind === 'set') return new RemoveElements(type.element, compileTerm(term, receiver, scope))
  const keys: Receiver = {
    keyspace: receiver.keyspace,
    table: receiver.table,
    name,
    type: { kind: 'set', element: type.key, frozen: false },
  }
  const value = compileOr(
    () => compileTerm(term, keys, scope),
    () => `Value for a map substraction has to be a set, but was: '${termText(term)}'`,
  )
  return new RemoveElements(type.key, value)
}

function compilePrepending(column: ColumnSchema, receiver: Receiver, term: Term, scope: TermScope): PathOperation {
  const { name, type } = column
  // The minus is Cassandra's.
  const text = `${name} = ${termText(term)} - ${name}`
  if (type.kind !== 'list') throw invalid(`Invalid operation (${text}) for non list column ${name}`)
  if (type.frozen) throw invalid(`Invalid operation (${text}) for frozen list column ${name}`)
  return new PutList(compileTerm(term, receiver, scope), 'prepend')
}

function compileElement(
  column: ColumnSchema,
  receiver: Receiver,
  element: Term,
  term: Term,
  scope: TermScope,
): PathOperation {
  const { name, type } = column
  const text = `${name}[${termText(element)}] = ${termText(term)}`
  if (!isCollection(type)) throw invalid(`Invalid operation (${text}) for non collection column ${name}`)
  if (type.frozen) throw invalid(`Invalid operation (${text}) for frozen collection column ${name}`)
  if (type.kind === 'set') throw invalid(`Invalid operation (${text}) for set column ${name}`)
  if (type.kind === 'list') {
    const index = compileTerm(element, indexReceiver(receiver, NATIVE.int), scope)
    return new PutListElement(index, compileTerm(term, elementReceiver(receiver, type.element), scope))
  }
  const key = compileTerm(element, keyReceiver(receiver, type.key), scope)
  return new PutElement(type.key, 'map key', key, compileTerm(term, elementReceiver(receiver, type.value), scope))
}

function compileField(
  column: ColumnSchema,
  field: string,
  term: Term,
  scope: TermScope,
  receiver: Receiver,
): PathOperation {
  const { name, type } = column
  const text = `${name}.${field} = ${termText(term)}`
  if (type.kind !== 'udt') throw invalid(`Invalid operation (${text}) for non-UDT column ${name}`)
  if (type.frozen) throw invalid(`Invalid operation (${text}) for frozen UDT column ${name}`)
  const index = type.fieldNames.indexOf(field)
  if (index < 0) throw invalid(`UDT column ${name} does not have a field named ${field}`)
  const fieldReceiver: Receiver = {
    keyspace: receiver.keyspace,
    table: receiver.table,
    name: `${name}.${field}`,
    type: type.fieldTypes[index]!,
  }
  return new PutField(index, compileTerm(term, fieldReceiver, scope))
}

/** One target of DELETE … FROM. */
export function compileDeletion(
  target: DeleteTarget,
  table: TableSchema,
  scope: TermScope,
): { column: ColumnSchema; operation: Operation } {
  const receiver = columnReceiver(table, target.column)
  const column = table.columns.get(target.column)!
  const { name, type } = column
  if (column.kind === 'partition_key' || column.kind === 'clustering')
    throw invalid(`Invalid identifier ${name} for deletion (should not be a PRIMARY KEY part)`)
  if (target.kind === 'column') {
    if (isCounterColumn(column)) return { column, operation: new CounterRemoval(column) }
    const operation = isMultiCell(type) ? new RemoveAll() : new CellWrite(column, new ConstantValue(type, null))
    return { column, operation }
  }
  if (target.kind === 'field') {
    if (type.kind !== 'udt') throw invalid(`Invalid field deletion operation for non-UDT column ${name}`)
    if (type.frozen) throw invalid(`Frozen UDT column ${name} does not support field deletions`)
    const index = type.fieldNames.indexOf(target.field)
    if (index < 0) throw invalid(`UDT column ${name} does not have a field named ${target.field}`)
    return { column, operation: new PutField(index, null) }
  }
  if (!isCollection(type)) throw invalid(`Invalid deletion operation for non collection column ${name}`)
  if (type.frozen) throw invalid(`Invalid deletion operation for frozen collection column ${name}`)
  return { column, operation: elementDeletion(type, receiver, target.element, scope) }
}

function elementDeletion(
  type: ColumnSchema['type'] & { kind: 'list' | 'set' | 'map' },
  receiver: Receiver,
  element: Term,
  scope: TermScope,
): PathOperation {
  if (type.kind === 'list')
    return new PutListElement(compileTerm(element, indexReceiver(receiver, NATIVE.int), scope), null)
  if (type.kind === 'set') {
    const value = compileTerm(element, elementReceiver(receiver, type.element), scope)
    return new PutElement(type.element, 'set element', value, null)
  }
  return new PutElement(type.key, 'map key', compileTerm(element, keyReceiver(receiver, type.key), scope), null)
}
