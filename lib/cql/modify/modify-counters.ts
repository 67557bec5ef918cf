/**
 * Counters: the sum is read, the difference added, the new sum written; one after another for each partition.
 * Source: CQL 3.4.7 "Counters"; messages are those of Cassandra 5.0. The order holds among the requests of this process.
 */
import { invalid } from '../../base/errors.ts'
import type { SerialLocks } from '../../base/serial-locks.ts'
import type { ColumnSchema, TableSchema } from '../../schema/table.ts'
import { Consistency } from '../../types/consistency.ts'
import { type Environment, type QueryOptions, UNSET } from '../statement.ts'
import type { Value } from '../terms/terms.ts'
import type { ColumnWrite } from './modify-operations.ts'
import type { ExistingRow } from './modify-read.ts'
import type { MutationSink } from './modify-sink.ts'

const LONG_MIN = -(2n ** 63n)

interface Change {
  readonly value: Value
  readonly subtracts: boolean
}

/** c = c + value, or c = c - value; several of one statement add up. */
export class CounterWrite implements ColumnWrite {
  readonly column: ColumnSchema
  readonly needsRead = true
  readonly #changes: Change[]

  constructor(column: ColumnSchema, value: Value, subtracts: boolean) {
    this.column = column
    this.#changes = [{ value, subtracts }]
  }

  join(other: CounterWrite): void {
    this.#changes.push(...other.#changes)
  }

  write(sink: MutationSink, options: QueryOptions, environment: Environment, row: ExistingRow | null): void {
    let difference = 0n
    let isChanged = false
    for (const { value, subtracts } of this.#changes) {
      const amount = amountOf(value.bind(options, environment), subtracts)
      if (amount === null) continue
      difference += amount
      isChanged = true
    }
    if (!isChanged) return
    const before = row === null ? null : row.value(this.column)
    const sum = (before === null ? 0n : before.readBigInt64BE(0)) + difference
    const bytes = Buffer.allocUnsafe(8)
    bytes.writeBigInt64BE(BigInt.asIntN(64, sum), 0)
    sink.cell(this.column.id, bytes)
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

/** Runs `work` while nobody else changes counters of these partitions. */
export async function withPartitions<T>(
  locks: SerialLocks,
  table: TableSchema,
  keys: readonly Buffer[],
  work: () => Promise<T>,
): Promise<T> {
  // All take them in one order, so nobody waits for one who waits for him.
  const names = [...new Set(keys.map((key) => `${table.id}/${key.toString('latin1')}`))].sort()
  const next = (i: number): Promise<T> => (i === names.length ? work() : locks.run(names[i]!, () => next(i + 1)))
  return await next(0)
}
