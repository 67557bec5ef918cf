/**
 * ALLOW FILTERING: which of the rows read are wanted. Source: CQL 3.4.7 "Allowing filtering"; Cassandra's RowFilter.
 * Always: null satisfies nothing; conditions on key and static columns decide for a whole partition.
 */
import { invalid } from '../../base/errors.ts'
import { type Analyzer, type Analyzers, NO_ANALYZERS } from '../../schema/index-analysis.ts'
import type { ColumnSchema } from '../../schema/table.ts'
import { compare, holds } from '../../types/compare.ts'
import { type BoundValue, type Environment, type QueryOptions, UNSET } from '../statement.ts'
import type { Value } from '../terms/terms.ts'
import type { Bound, Restriction } from '../where/restrictions-relations.ts'
import { splitList } from '../where/restrictions-values.ts'

type Test =
  | { readonly operator: '=' | '<' | '<=' | '>' | '>='; readonly value: Buffer }
  | { readonly operator: 'IN'; readonly values: readonly Buffer[] }
  | { readonly operator: 'CONTAINS' | 'CONTAINS KEY'; readonly value: Buffer }
  | { readonly operator: 'ENTRY'; readonly key: Buffer; readonly value: Buffer }

type Expression = Test & {
  readonly column: ColumnSchema
  /** What values are compared as. */
  readonly analyzer?: Analyzer | undefined
}

/** Gives a column's value in the current row: collections serialised whole. */
export interface RowValues {
  value(column: ColumnSchema): Buffer | null
}

export class RowFilter {
  readonly #partition: readonly Expression[]
  readonly #row: readonly Expression[]

  constructor(expressions: readonly Expression[]) {
    const ofPartition = ({ column }: Expression): boolean => column.kind === 'partition_key' || column.kind === 'static'
    this.#partition = expressions.filter(ofPartition)
    this.#row = expressions.filter((expression) => !ofPartition(expression))
  }

  /** There are conditions on clustering or regular columns: a partition without rows cannot satisfy them. */
  get looksAtRows(): boolean {
    return this.#row.length > 0
  }

  matchesPartition(values: RowValues): boolean {
    return this.#partition.every((expression) => matches(expression, values))
  }

  matchesRow(values: RowValues): boolean {
    return this.#row.every((expression) => matches(expression, values))
  }
}

function matches(expression: Expression, values: RowValues): boolean {
  const { column } = expression
  const found = values.value(column)
  if (found === null) return false
  const { type } = column
  const { analyzer } = expression
  const isWhole = expression.operator !== 'CONTAINS' && expression.operator !== 'CONTAINS KEY'
  const seen = isWhole && analyzer !== undefined ? analyzer(found) : found
  switch (expression.operator) {
    case '=':
    case '<':
    case '<=':
    case '>':
    case '>=':
      return holds(expression.operator, compare(type, seen, expression.value))
    case 'IN':
      return expression.values.some((value) => compare(type, found, value) === 0)
    case 'CONTAINS':
      if (type.kind === 'map')
        return mapEntries(found).some(([, v]) => compare(type.value, analyzer?.(v) ?? v, expression.value) === 0)
      if (type.kind !== 'list' && type.kind !== 'set') return false
      return splitList(found).some((v) => {
        if (v === null) return false
        return compare(type.element, analyzer?.(v) ?? v, expression.value) === 0
      })
    case 'CONTAINS KEY':
      return (
        type.kind === 'map' &&
        mapEntries(found).some(([k]) => compare(type.key, analyzer?.(k) ?? k, expression.value) === 0)
      )
    case 'ENTRY':
      return (
        type.kind === 'map' &&
        mapEntries(found).some(
          ([k, v]) => compare(type.key, k, expression.key) === 0 && compare(type.value, v, expression.value) === 0,
        )
      )
  }
}

function mapEntries(bytes: Buffer): (readonly [Buffer, Buffer])[] {
  const count = bytes.readInt32BE(0)
  const entries: (readonly [Buffer, Buffer])[] = []
  let at = 4
  for (let i = 0; i < count; i++) {
    const keyEnd = at + 4 + bytes.readInt32BE(at)
    const valueEnd = keyEnd + 4 + bytes.readInt32BE(keyEnd)
    entries.push([bytes.subarray(at + 4, keyEnd), bytes.subarray(keyEnd + 4, valueEnd)])
    at = valueEnd
  }
  return entries
}

/** Binds the values of restrictions into a filter. Throws INVALID on what cannot be compared. */
export function bindFilter(
  restrictions: readonly Restriction[],
  options: QueryOptions,
  environment: Environment,
  analyzers: Analyzers = NO_ANALYZERS,
): RowFilter {
  const expressions: Expression[] = []
  for (const restriction of restrictions) {
    const column = restriction.columns[0]!
    switch (restriction.kind) {
      case 'eq':
        restriction.tuple.bind(options, environment).forEach((value, i) => {
          const target = restriction.columns[i]!
          const analyzer = analyzers.values.get(target)
          const bytes = usable(value, target)
          expressions.push({ column: target, operator: '=', value: analyzer?.(bytes) ?? bytes, analyzer })
        })
        break
      case 'in': {
        if (restriction.columns.length > 1) throw invalid('Multicolumn IN filters are not supported')
        const values = restriction.tuples.bind(options, environment).map((row) => row[0])
        expressions.push({ column, operator: 'IN', values: values.filter((value) => Buffer.isBuffer(value)) })
        break
      }
      case 'slice': {
        if (restriction.columns.length > 1)
          throw invalid('Multi-column slice restrictions cannot be used for filtering.')
        const analyzer = analyzers.values.get(column)
        const bind = (bound: Bound): Buffer => {
          const value = usable(bound.tuple.bind(options, environment)[0]!, column)
          return analyzer?.(value) ?? value
        }
        const { start, end } = restriction
        if (start) expressions.push({ column, operator: start.inclusive ? '>=' : '>', value: bind(start), analyzer })
        if (end) expressions.push({ column, operator: end.inclusive ? '<=' : '<', value: bind(end), analyzer })
        break
      }
      case 'contains': {
        const bind = (term: Value): Buffer => usable(term.bind(options, environment), column)
        const analyzer = analyzers.values.get(column)
        const keyAnalyzer = analyzers.keys.get(column)
        for (const term of restriction.values) {
          const value = bind(term)
          expressions.push({ column, operator: 'CONTAINS', value: analyzer?.(value) ?? value, analyzer })
        }
        for (const term of restriction.keys) {
          const key = bind(term)
          const value = keyAnalyzer?.(key) ?? key
          expressions.push({ column, operator: 'CONTAINS KEY', value, analyzer: keyAnalyzer })
        }
        for (const entry of restriction.entries) {
          const key = usable(entry.key.bind(options, environment), column, 'map key ')
          const value = usable(entry.value.bind(options, environment), column, 'map value ')
          expressions.push({ column, operator: 'ENTRY', key, value })
        }
      }
    }
  }
  return new RowFilter(expressions)
}

function usable(value: BoundValue, column: ColumnSchema, part: '' | 'map key ' | 'map value ' = ''): Buffer {
  const what = part === '' ? 'value ' : part
  if (value === null) throw invalid(`Unsupported null ${what}for column ${column.name}`)
  if (value === UNSET) throw invalid(`Unsupported unset ${what}for column ${column.name}`)
  return value
}
