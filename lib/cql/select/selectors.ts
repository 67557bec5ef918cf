/**
 * From selectors as written to expressions: columns and functions looked up, types inferred, names given as result columns have them.
 * Source: CQL 3.4.7 "Selection clause"; names, types and messages are those of Cassandra 5.0.
 */
import { unreachable } from '../../base/assert.ts'
import { invalid } from '../../base/errors.ts'
import { resolutionOf } from '../../schema/resolution.ts'
import type { ColumnSchema, TableSchema } from '../../schema/table.ts'
import { testTypeAssignment } from '../../types/assignment.ts'
import { freeze, isCollection, isMultiCell, NATIVE, typeEquals, typeToCql } from '../../types/names.ts'
import type { CqlType } from '../../types/type.ts'
import type { Selector, Term } from '../ast.ts'
import { resolveType, typeText as writtenTypeText } from '../ddl/type-nodes.ts'
import { COUNT_ROWS } from '../functions/aggregates.ts'
import type { Assignability, CqlFunction, FunctionArgument, FunctionName } from '../functions/function.ts'
import { resolveFunction } from '../functions/resolve.ts'
import { needsVclock } from '../modify/modify-attributes.ts'
import {
  columnReceiver,
  compileTerm,
  elementReceiver,
  keyReceiver,
  type TermScope,
  termText,
  testAssignment,
  typeOfTerm,
} from '../terms/terms.ts'
import { typeNodeText } from '../terms/terms-text.ts'
import type { OutputItem } from './select-encoder.ts'
import {
  AggregateExpression,
  CallExpression,
  type ElementBounds,
  ElementExpression,
  ElementTimesExpression,
  type Expression,
  FieldExpression,
  FieldTimeExpression,
  ItemExpression,
  TermExpression,
} from './selectors-expressions.ts'
import {
  certainType,
  compileLiteral,
  type LiteralSelector,
  likelyType,
  literalAssignment,
  literalText,
  literalType,
  partsOf,
} from './selectors-literals.ts'
import { callName } from './selectors-names.ts'

/** A selector with its names looked up, its type not yet decided where that depends on where it stands. */
export interface Selectable {
  /** As result columns and messages name it. */
  readonly text: string
  /** Its type where that is certain; null otherwise. */
  readonly type: CqlType | null
  /** What functions that take any type take it for. */
  readonly likelyType: CqlType | null
  /** The columns in it. */
  readonly columns: readonly ColumnSchema[]
  readonly isMarker: boolean
  /** Of a list that is written out: how many elements it has. */
  readonly listSize?: number
  testAssignment(type: CqlType): Assignability
  /** Throws INVALID where it cannot be of the expected type (null: any), or where its type cannot be known. */
  compile(expected: CqlType | null): Expression
}

export class SelectorCompiler {
  readonly table: TableSchema
  readonly scope: TermScope
  /** What is read of each row; expressions name them by index. */
  readonly items: OutputItem[] = []
  readonly aggregates: AggregateExpression[] = []

  constructor(table: TableSchema, scope: TermScope) {
    this.table = table
    this.scope = scope
  }

  item(column: ColumnSchema, part: OutputItem['part']): number {
    const known = this.items.findIndex((item) => item.column === column && item.part === part)
    return known >= 0 ? known : this.items.push({ column, part }) - 1
  }

  /** Looks up names. Throws INVALID. */
  prepare(selector: Selector): Selectable {
    switch (selector.kind) {
      case 'column':
        return this.column(selector.name)
      case 'count_all':
        return this.#call(COUNT_ROWS, [])
      case 'writetime':
      case 'maxwritetime':
      case 'ttl':
        return this.#times(selector.kind, selector.of)
      case 'vclock':
        return this.#vclock(selector.of)
      case 'cast':
        return this.#cast(selector)
      case 'function':
        return this.#function(selector.name, selector.arguments)
      case 'arithmetic':
        return this.#function({ keyspace: null, name: OPERATION_NAMES[selector.operator] }, [
          selector.left,
          selector.right,
        ])
      case 'negation':
        return this.#function({ keyspace: null, name: '_negate' }, [selector.of])
      case 'field':
        return this.#field(this.prepare(selector.of), selector.field)
      case 'element':
      case 'slice':
        return this.#element(this.prepare(selector.of), selector)
      case 'term':
        return this.#term(selector.term)
      case 'typehint':
        return this.#typeHint(selector)
      case 'list':
      case 'set':
      case 'tuple':
      case 'map':
      case 'udt':
        return this.#literal(selector)
      default:
        return unreachable(selector)
    }
  }

  column(name: string): Selectable {
    columnReceiver(this.table, name)
    const column = this.table.columns.get(name)!
    return {
      text: name,
      type: column.type,
      likelyType: column.type,
      columns: [column],
      isMarker: false,
      testAssignment: (type) => testTypeAssignment(type, column.type),
      compile: () => new ItemExpression(column.type, this.item(column, 'value')),
    }
  }

  /** What a reader of the row has seen: the same for all columns, and for all siblings. */
  #vclock(of: string | null): Selectable {
    if (resolutionOf(this.table.options) !== 'vclock') throw needsVclock('vclock()')
    if (of !== null) columnReceiver(this.table, of)
    const type = NATIVE.blob
    return {
      text: `vclock(${of ?? '*'})`,
      type,
      likelyType: type,
      columns: [],
      isMarker: false,
      testAssignment: (wanted) => testTypeAssignment(wanted, type),
      compile: () => new ItemExpression(type, this.item(this.table.partitionKey[0]!, 'vclock')),
    }
  }

  #term(term: Term): Selectable {
    const text = termText(term)
    const type = term.kind === 'typehint' ? resolveType(term.type, this.scope.keyspace, this.scope.schema) : null
    return {
      text,
      type,
      likelyType: typeOfTerm(term, this.scope),
      columns: [],
      isMarker: term.kind === 'marker',
      testAssignment: (wanted) => testAssignment(term, wanted, this.scope),
      compile: (expected) => {
        const own = type ?? expected
        if (own === null) throw cannotInfer(text)
        const { keyspace, name } = this.table
        return new TermExpression(
          compileTerm(term, { keyspace, table: name, name: '[selection]', type: own }, this.scope),
          own,
        )
      },
    }
  }

  #typeHint(selector: Selector & { kind: 'typehint' }): Selectable {
    const of = this.prepare(selector.of)
    const type = freeze(resolveType(selector.type, this.scope.keyspace, this.scope.schema))
    const text = `(${writtenTypeText(selector.type, false, this.scope.keyspace)})${of.text}`
    return {
      text,
      type,
      likelyType: type,
      columns: of.columns,
      isMarker: false,
      testAssignment: (wanted) => testTypeAssignment(wanted, type),
      compile: () => {
        if (of.testAssignment(type) === 'not')
          throw invalid(`Cannot assign value ${text} to ${text} of type ${typeToCql(type)}`)
        return of.compile(type)
      },
    }
  }

  #cast(selector: Selector & { kind: 'cast' }): Selectable {
    const of = this.prepare(selector.of)
    const type = resolveType(selector.type, this.scope.keyspace, this.scope.schema)
    if (of.type !== null && typeEquals(of.type, type)) return of
    // As written: there is no function for varchar.
    const written = typeNodeText(selector.type)
    return {
      text: `cast(${of.text} as ${written})`,
      type,
      likelyType: type,
      columns: of.columns,
      isMarker: false,
      testAssignment: (wanted) => testTypeAssignment(wanted, type),
      // Found late, as in Cassandra: what is wrong with WHERE is said first.
      compile: () => {
        const found = this.#resolve({ keyspace: 'system', name: `cast_as_${written}` }, [of])
        if (found === null) throw invalid(`${of.text} cannot be cast to ${written}`)
        return this.#call(found, [of]).compile(null)
      },
    }
  }

  #resolve(name: FunctionName, args: readonly Selectable[]): CqlFunction | null {
    const { keyspace, partitionKey = null } = this.scope
    return resolveFunction(name, args.map(argumentOf), null, { keyspace, partitionKey })
  }

  #function(name: FunctionName, args: readonly Selector[]): Selectable {
    const isCount = name.name === 'count' && (name.keyspace === null || name.keyspace === 'system')
    if (isCount && args.length === 1 && isConstant(args[0]!)) return this.#call(COUNT_ROWS, [])
    const prepared = args.map((arg) => this.prepare(arg))
    const found = this.#resolve(name, prepared)
    if (found === null)
      throw invalid(`Unknown function '${name.keyspace === null ? name.name : `${name.keyspace}.${name.name}`}'`)
    return this.#call(found, prepared)
  }

  #call(called: CqlFunction, args: readonly Selectable[]): Selectable {
    return {
      text: callName(
        called,
        args.map((arg) => arg.text),
      ),
      type: called.returnType,
      likelyType: called.returnType,
      columns: args.flatMap((arg) => arg.columns),
      isMarker: false,
      testAssignment: (type) => testTypeAssignment(type, called.returnType),
      compile: () => {
        const compiled = args.map((arg, i) => arg.compile(called.argumentTypes[i] ?? null))
        if (called.kind === 'scalar') return new CallExpression(called, compiled)
        if (compiled.some((arg) => arg.isAggregate))
          throw invalid('aggregate functions cannot be used as arguments of aggregate functions')
        const aggregate = new AggregateExpression(called, this.aggregates.length, compiled)
        this.aggregates.push(aggregate)
        return aggregate
      },
    }
  }

  #field(of: Selectable, field: string): Selectable {
    const { type } = of
    if (type?.kind !== 'udt')
      throw invalid(`Invalid field selection: ${of.text} of type ${typeText(type)} is not a user type`)
    const index = type.fieldNames.indexOf(field)
    if (index < 0) throw invalid(`${of.text} of type ${typeToCql(type)} has no field ${field}`)
    const own = type.fieldTypes[index]!
    return {
      text: `${of.text}.${field}`,
      type: own,
      likelyType: own,
      columns: of.columns,
      isMarker: false,
      testAssignment: (wanted) => testTypeAssignment(wanted, own),
      compile: () => new FieldExpression(own, of.compile(null), index),
    }
  }

  #element(of: Selectable, selector: Selector & { kind: 'element' | 'slice' }): Selectable {
    const { type } = of
    const isSlice = selector.kind === 'slice'
    if (type === null || !isCollection(type))
      throw isSlice
        ? invalid(`Invalid slice selection: ${of.text} of type ${typeText(type)} is not a collection`)
        : invalid(`Invalid element selection: ${of.text} is of type ${typeText(type)} is not a collection`)
    if (type.kind === 'list')
      throw invalid(
        `${isSlice ? 'Slice' : 'Element'} selection is only allowed on sets and maps, but ${of.text} is a list`,
      )
    const element = type.kind === 'map' ? type.value : type.element
    const own = isSlice ? type : element
    return {
      text: `${of.text}[${elementText(selector)}]`,
      type: own,
      likelyType: own,
      columns: of.columns,
      isMarker: false,
      testAssignment: (wanted) => testTypeAssignment(wanted, own),
      compile: () => new ElementExpression(own, of.compile(null), this.#bounds(of.text, type, selector)),
    }
  }

  #bounds(name: string, type: CqlType, selector: Selector & { kind: 'element' | 'slice' }): ElementBounds {
    const isMap = type.kind === 'map'
    const keyType = type.kind === 'map' ? type.key : type.kind === 'set' ? type.element : type
    const receiver = { keyspace: this.table.keyspace, table: this.table.name, name, type }
    const target = isMap ? keyReceiver(receiver, keyType) : elementReceiver(receiver, keyType)
    if (selector.kind === 'element') {
      const value = compileTerm(selector.element, target, this.scope)
      return { name, keyType, isMap, isSlice: false, from: value, to: value }
    }
    const from = selector.from && compileTerm(selector.from, target, this.scope)
    const to = selector.to && compileTerm(selector.to, target, this.scope)
    return { name, keyType, isMap, isSlice: true, from, to }
  }

  /** writetime, maxwritetime and ttl: of a column, or of elements or a field of one. */
  #times(part: 'writetime' | 'maxwritetime' | 'ttl', of: Selector): Selectable {
    const base = of.kind === 'field' || of.kind === 'element' || of.kind === 'slice' ? of.of : of
    const prepared = this.prepare(of)
    if (base.kind !== 'column') throw invalid(`Cannot use selection function ${part} on ${prepared.text}`)
    const column = this.table.columns.get(base.name)!
    if (column.kind === 'partition_key' || column.kind === 'clustering')
      throw invalid(`Cannot use selection function ${part} on PRIMARY KEY part ${column.name}`)
    const time = part === 'ttl' ? NATIVE.int : NATIVE.bigint
    const isMany = isMultiCell(column.type) && part !== 'maxwritetime' && (of.kind === 'column' || of.kind === 'slice')
    const own: CqlType = isMany ? { kind: 'list', element: time, frozen: false } : time
    return {
      text: `${part}(${prepared.text})`,
      type: own,
      likelyType: own,
      columns: [column],
      isMarker: false,
      testAssignment: (wanted) => testTypeAssignment(wanted, own),
      compile: () => {
        if (of.kind === 'column' || !isMultiCell(column.type)) return new ItemExpression(own, this.item(column, part))
        const times = new ItemExpression(own, this.item(column, part === 'ttl' ? 'ttl' : 'writetime'))
        if (of.kind === 'field' && column.type.kind === 'udt')
          return new FieldTimeExpression(own, times, column.type.fieldNames.indexOf(of.field))
        const bounds = this.#bounds(column.name, column.type, of as Selector & { kind: 'element' | 'slice' })
        const value = new ItemExpression(column.type, this.item(column, 'value'))
        return new ElementTimesExpression(own, value, times, bounds, part === 'maxwritetime')
      },
    }
  }

  #literal(selector: LiteralSelector): Selectable {
    const parts = partsOf(selector).map((part) => this.prepare(part))
    const text = literalText(
      selector,
      parts.map((part) => part.text),
    )
    const type = literalType(selector, parts, certainType)
    // Names of fields may also be columns, for the keys of a map.
    const asMap = (): Selectable | null =>
      selector.kind !== 'udt'
        ? null
        : this.#literal({
            kind: 'map',
            entries: selector.fields.map(([name, value]) => [{ kind: 'column', name }, value]),
          })
    return {
      text,
      type,
      likelyType: literalType(selector, parts, likelyType),
      columns: parts.flatMap((part) => part.columns),
      isMarker: false,
      ...(selector.kind === 'list' ? { listSize: parts.length } : {}),
      testAssignment: (wanted) =>
        (wanted.kind === 'map' ? asMap()?.testAssignment(wanted) : null) ?? literalAssignment(selector, parts, wanted),
      compile: (expected) => {
        const own = expected ?? type
        if (own === null) throw cannotInfer(text)
        const map = own.kind === 'map' ? asMap() : null
        if (map !== null) return map.compile(own)
        return compileLiteral(selector, parts, own, text)
      },
    }
  }
}

const OPERATION_NAMES = { '+': '_add', '-': '_substract', '*': '_multiply', '/': '_divide', '%': '_modulo' } as const

function cannotInfer(text: string): Error {
  return invalid(`Cannot infer type for term ${text} in selection clause (try using a cast to force a type)`)
}

function isConstant(selector: Selector): boolean {
  return selector.kind === 'term' && selector.term.kind === 'constant'
}

function argumentOf(selectable: Selectable): FunctionArgument {
  return {
    assignableTo: (type) => selectable.testAssignment(type),
    type: selectable.likelyType,
    text: selectable.text,
    isMarker: selectable.isMarker,
    ...(selectable.listSize === undefined ? {} : { listSize: selectable.listSize }),
  }
}

function typeText(type: CqlType | null): string {
  return type === null ? 'unknown' : typeToCql(type)
}

function elementText(selector: Selector & { kind: 'element' | 'slice' }): string {
  if (selector.kind === 'element') return termText(selector.element)
  const { from, to } = selector
  return `${from === null ? '' : termText(from)}..${to === null ? '' : termText(to)}`
}
