/**
 * Which index answers a SELECT, and whether it does without ALLOW FILTERING.
 * Source: Cassandra 5.0's StatementRestrictions and IndexRestrictions: indexes of the old kind stand each for itself, storage-attached ones of a
 * table stand together.
 */
import type { IndexRead } from '../../../storage/model/command.ts'
import { invalid } from '../../base/errors.ts'
import { type Analyzer, type Analyzers, analyzerOf } from '../../schema/index-analysis.ts'
import {
  type IndexOperator,
  type IndexTarget,
  isFloatVector,
  isSai,
  supports,
  targetOf,
} from '../../schema/index-target.ts'
import { IndexTerms } from '../../schema/index-term.ts'
import type { ColumnSchema, IndexSchema, TableSchema } from '../../schema/table.ts'
import { type BoundValue, type Environment, type QueryOptions, UNSET } from '../statement.ts'
import type { Restriction } from './restrictions-relations.ts'

interface KnownIndex {
  readonly schema: IndexSchema
  readonly target: IndexTarget
}

type Group = readonly KnownIndex[]

export class TableIndexPlans {
  readonly #table: TableSchema
  readonly #groups: readonly Group[]

  constructor(table: TableSchema) {
    this.#table = table
    const known: KnownIndex[] = []
    for (const schema of table.indexes.values()) {
      const target = targetOf(table, schema)
      if (target !== null) known.push({ schema, target })
    }
    const attached = known.filter(({ schema }) => isSai(schema))
    const alone = known.filter(({ schema }) => !isSai(schema)).map((index) => [index])
    this.#groups = attached.length > 0 ? [attached, ...alone] : alone
  }

  /** Some index answers one of the restrictions. */
  supportsAny(restrictions: readonly Restriction[]): boolean {
    return this.#groups.some((group) =>
      group.some((index) => restrictions.some((restriction) => isSupported(restriction, index))),
    )
  }

  /** No group of indexes answers all of the restrictions (and, with `vector`, the ordering by it). */
  needsFiltering(restrictions: readonly Restriction[], vector: ColumnSchema | null): boolean {
    return !this.#groups.some(
      (group) =>
        (vector === null || this.#vectorIndexIn(group, vector) !== null) &&
        restrictions.every((restriction) => isAnswered(restriction, group)),
    )
  }

  isIndexed(column: ColumnSchema): boolean {
    return this.#groups.some((group) => group.some(({ target }) => target.column === column))
  }

  #vectorIndexIn(group: Group, column: ColumnSchema): IndexSchema | null {
    return (
      group.find(({ schema, target }) => target.column === column && supports(schema, target, 'ANN'))?.schema ?? null
    )
  }

  /** The index by which rows are ordered. Throws INVALID when there is none. */
  vectorIndex(column: ColumnSchema): IndexSchema {
    if (!isFloatVector(column.type)) throw invalid('ANN ordering is only supported on float vector indexes')
    for (const group of this.#groups) {
      const index = this.#vectorIndexIn(group, column)
      if (index !== null) return index
    }
    throw invalid('ANN ordering by vector requires the column to be indexed')
  }

  /** The index to read by: one that knows its rows by equality before one that gives a range. */
  choose(restrictions: readonly Restriction[]): IndexPlan | null {
    let best: IndexPlan | null = null
    for (const group of this.#groups)
      for (const restriction of restrictions)
        for (const index of group) {
          if (!isSupported(restriction, index)) continue
          if (best === null || (best.isRange && restriction.kind !== 'slice'))
            best = new IndexPlan(index, restriction, group)
        }
    return best
  }

  /** expr(index, value): no index takes one. Throws INVALID. */
  refuseExpression(name: string): never {
    const index = this.#table.indexes.get(name)
    if (index === undefined)
      throw invalid(`Invalid index expression, index ${name} not found for ${this.#table.keyspace}.${this.#table.name}`)
    if (!isSai(index))
      throw invalid(`Only CUSTOM indexes may be used in custom index expressions, ${name} is not valid`)
    throw invalid(`Index ${name} does not support custom expressions`)
  }
}

/** How a restriction looks at its columns; CONTAINS in several ways at once. */
function operators(restriction: Restriction): IndexOperator[] {
  switch (restriction.kind) {
    case 'eq':
      return ['=']
    case 'in':
      return ['IN']
    case 'slice':
      return ['RANGE']
    case 'contains': {
      const { values, keys, entries } = restriction
      const looks: IndexOperator[] = []
      if (values.length > 0) looks.push('CONTAINS')
      if (keys.length > 0) looks.push('CONTAINS KEY')
      if (entries.length > 0) looks.push('ENTRY')
      return looks
    }
  }
}

function isSupported(restriction: Restriction, { schema, target }: KnownIndex): boolean {
  const columns = restriction.kind === 'slice' ? restriction.columns.slice(0, 1) : restriction.columns
  if (!columns.includes(target.column)) return false
  return operators(restriction).some((operator) => supports(schema, target, operator))
}

function isAnswered(restriction: Restriction, group: Group): boolean {
  const isMany =
    restriction.kind === 'contains' &&
    restriction.values.length + restriction.keys.length + restriction.entries.length > 1
  return restriction.columns.every((column) =>
    group.some(
      (index) => index.target.column === column && isSupported(restriction, index) && (!isMany || isSai(index.schema)),
    ),
  )
}

const VALUE_BYTES_MAX = 65535

/** One index and the restriction that it answers. */
export class IndexPlan {
  readonly isRange: boolean
  /** What texts of a column are compared as, by the indexes that answer together. */
  readonly analyzers: Analyzers
  readonly #index: KnownIndex
  readonly #restriction: Restriction
  readonly #terms: IndexTerms

  constructor(index: KnownIndex, restriction: Restriction, group: Group) {
    this.#index = index
    this.#restriction = restriction
    this.#terms = new IndexTerms(index.schema, index.target)
    this.isRange = restriction.kind === 'slice'
    const analyzers = { keys: new Map<ColumnSchema, Analyzer>(), values: new Map<ColumnSchema, Analyzer>() }
    for (const { schema, target } of group) {
      const analyzer = analyzerOf(schema, target)
      if (analyzer !== null) analyzers[target.part === 'keys' ? 'keys' : 'values'].set(target.column, analyzer)
    }
    this.analyzers = analyzers
  }

  /** The filter of the same statement was bound before: values that cannot be compared were refused. */
  read(options: QueryOptions, environment: Environment): IndexRead {
    const { schema, target } = this.#index
    const { kind } = target.column
    const isOfPartition = kind === 'static' || kind === 'partition_key'
    const terms = this.#bind(options, environment)
    return isOfPartition ? { id: schema.id, terms, ofPartition: true } : { id: schema.id, terms }
  }

  #bind(options: QueryOptions, environment: Environment): IndexRead['terms'] {
    const restriction = this.#restriction
    const terms = this.#terms
    const { column, part } = this.#index.target
    const one = (position: Buffer) => ({ kind: 'one', position }) as const
    switch (restriction.kind) {
      case 'eq': {
        const values = restriction.tuple.bind(options, environment)
        return one(terms.ofValue(usable(values[restriction.columns.indexOf(column)]!, column)))
      }
      case 'slice': {
        const { start, end } = restriction
        const bound = (values: readonly BoundValue[]) => usable(values[0]!, column)
        return {
          kind: 'range',
          start: start && terms.from(bound(start.tuple.bind(options, environment))),
          end: end && terms.to(bound(end.tuple.bind(options, environment))),
        }
      }
      case 'contains': {
        if (part === 'entries') {
          const { key, value } = restriction.entries[0]!
          const keyBytes = usable(key.bind(options, environment), column)
          return one(terms.ofEntry(keyBytes, usable(value.bind(options, environment), column)))
        }
        const term = part === 'keys' ? restriction.keys[0]! : restriction.values[0]!
        return one(terms.ofValue(usable(term.bind(options, environment), column)))
      }
      case 'in':
        throw invalid(`IN cannot be answered by an index on ${column.name}`)
    }
  }
}

function usable(value: BoundValue, column: ColumnSchema): Buffer {
  if (value === null) throw invalid(`Unsupported null value for column ${column.name}`)
  if (value === UNSET) throw invalid(`Unsupported unset value for column ${column.name}`)
  if (value.length > VALUE_BYTES_MAX) throw invalid('Index expression values may not be larger than 64K')
  return value
}
