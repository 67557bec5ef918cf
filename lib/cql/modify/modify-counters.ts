/**
 * Counters: a statement says what is to be added, a delta; a replica makes of it what is stored (storage/model/counter.ts).
 * Source: CQL 3.4.7 "Counters"; messages are those of Cassandra 5.0.
 */
import { COUNT_BYTES } from '../../../storage/model/counter.ts'
import { invalid } from '../../base/errors.ts'
import type { ColumnSchema, TableSchema } from '../../schema/table.ts'
import { Consistency } from '../../types/consistency.ts'
import { type Environment, type QueryOptions, UNSET } from '../statement.ts'
import type { Value } from '../terms/terms.ts'
import type { ColumnWrite } from './modify-operations.ts'
import type { MutationSink } from './modify-sink.ts'

const LONG_MIN = -(2n ** 63n)

interface Change {
  readonly value: Value
  readonly subtracts: boolean
}

/** c = c + value, or c = c - value; several of one statement add up. */
export class CounterWrite implements ColumnWrite {
  readonly column: ColumnSchema
  readonly needsRead = false
  readonly #changes: Change[]

  constructor(column: ColumnSchema, value: Value, subtracts: boolean) {
    this.column = column
    this.#changes = [{ value, subtracts }]
  }

  join(other: CounterWrite): void {
    this.#changes.push(...other.#changes)
  }

  write(sink: MutationSink, options: QueryOptions, environment: Environment): void {
    let difference = 0n
    let isChanged = false
    for (const { value, subtracts } of this.#changes) {
      const amount = amountOf(value.bind(options, environment), subtracts)
      if (amount === null) continue
      difference += amount
      isChanged = true
    }
    if (!isChanged) return
    const delta = Buffer.allocUnsafe(COUNT_BYTES)
    delta.writeBigInt64BE(BigInt.asIntN(64, difference), 0)
    sink.counterDelta(this.column.id, delta)
  }
}

/** DELETE c: the counter is gone, and does not come back. */
export class CounterRemoval implements ColumnWrite {
  readonly column: ColumnSchema
  readonly needsRead = false

  constructor(column: ColumnSchema) {
    this.column = column
  }

  write(sink: MutationSink): void {
    sink.counterDeletion(this.column.id)
  }
}

/** What is to be added; null for an unset value, which changes nothing. */
function amountOf(value: ReturnType<Value['bind']>, subtracts: boolean): bigint | null {
  if (value === UNSET) return null
  if (value === null) throw invalid(`Invalid null value for counter ${subtracts ? 'decrement' : 'increment'}`)
  const amount = value.length === 8 ? value.readBigInt64BE(0) : 0n
  if (subtracts && amount === LONG_MIN)
    throw invalid(`The negation of ${amount} overflows supported counter precision (signed 8 bytes integer)`)
  return subtracts ? -amount : amount
}

export function checkCounterConsistency(table: TableSchema, consistency: number): void {
  if (consistency === Consistency.ANY)
    throw invalid(`Consistency level ANY is not yet supported for counter table ${table.name}`)
  if (consistency === Consistency.SERIAL || consistency === Consistency.LOCAL_SERIAL)
    throw invalid('Counter operations are inherently non-serializable')
}
