/**
 * ORDER BY v ANN OF […]: the rows whose vectors are nearest, best first. Every row that the restrictions allow is looked at, and the best are
 * kept: the answer is exact, where Cassandra's is approximate.
 * Source: CQL 3.4.7 "Vector search"; scores, limits and messages are those of Cassandra 5.0.6.
 * Always: no more rows than LIMIT are kept; of rows that are equally near the first on the ring comes first.
 */
import type { PartitionData, RowData } from '../../../storage/model/command.ts'
import { ByteWriter } from '../../base/bytes.ts'
import { invalid } from '../../base/errors.ts'
import type { ColumnSchema, IndexSchema, TableSchema } from '../../schema/table.ts'
import { Consistency, consistencyName } from '../../types/consistency.ts'
import { cosine, dot, floats, squareDistance } from '../functions/vectors.ts'
import { type Environment, type QueryOptions, UNSET } from '../statement.ts'
import type { Value } from '../terms/terms.ts'
import { replicaFailed } from './select-limits.ts'
import type { ResultRowWriter } from './select-output.ts'
import type { RowOutput } from './select-scan.ts'
import { RowValues } from './select-values.ts'

/** Most rows that a LIMIT may ask for. */
const ROWS_MAX = 1000

/** Greater is nearer. */
type Score = (a: Float32Array, b: Float32Array) => number

/** What is asked for, compiled. */
export class Nearest {
  readonly column: ColumnSchema
  readonly #vector: Value
  readonly #score: Score
  readonly #values: RowValues

  constructor(table: TableSchema, column: ColumnSchema, vector: Value, index: IndexSchema) {
    this.column = column
    this.#vector = vector
    this.#score = scoreOf(index)
    this.#values = new RowValues(table, [{ column, part: 'value' }])
  }

  /** Throws INVALID. */
  bind(options: QueryOptions, environment: Environment): Target {
    const value = this.#vector.bind(options, environment)
    if (value === null) throw invalid(`Unsupported null value for column ${this.column.name}`)
    if (value === UNSET) throw invalid(`Unsupported unset value for column ${this.column.name}`)
    const vector = floats(value)
    // A vector of no length has no direction.
    if (Number.isNaN(this.#score(vector, vector))) throw replicaFailed(environment, options)
    return new Target(vector, this.#score, this.#values)
  }
}

function scoreOf(index: IndexSchema): Score {
  switch ((index.options.get('similarity_function') ?? 'cosine').toLowerCase()) {
    case 'euclidean':
      return (a, b) => 1 / (1 + squareDistance(a, b))
    case 'dot_product':
      return (a, b) => (1 + dot(a, b)) / 2
    default:
      return (a, b) => {
        const lengths = dot(a, a) * dot(b, b)
        return lengths > 0 ? cosine(a, b) : Number.NaN
      }
  }
}

/** The vector of one execution. */
class Target {
  readonly #vector: Float32Array
  readonly #score: Score
  readonly #values: RowValues

  constructor(vector: Float32Array, score: Score, values: RowValues) {
    this.#vector = vector
    this.#score = score
    this.#values = values
  }

  partition(partition: PartitionData, nowSeconds: number): void {
    this.#values.partition(partition, nowSeconds)
  }

  /** NaN: the row has no vector, or one that cannot be compared. */
  score(row: RowData | null): number {
    this.#values.load(row)
    const value = this.#values.values[0]
    return value ? this.#score(this.#vector, floats(value)) : Number.NaN
  }
}

export type NearestTarget = Target

interface KeptRow {
  readonly score: number
  readonly bytes: Buffer
}

/** Keeps the best rows. */
export class NearestOutput implements RowOutput {
  readonly #writer: ResultRowWriter
  readonly #out: ByteWriter
  readonly #target: Target
  readonly #limit: number
  readonly #row = new ByteWriter(256)
  /** Best first. */
  readonly #kept: KeptRow[] = []
  bytes = 0

  constructor(writer: ResultRowWriter, out: ByteWriter, target: Target, limit: number) {
    this.#writer = writer
    this.#out = out
    this.#target = target
    this.#limit = limit
  }

  get count(): number {
    return this.#kept.length
  }

  partition(partition: PartitionData, nowSeconds: number): void {
    this.#writer.partition(partition, nowSeconds)
    this.#target.partition(partition, nowSeconds)
  }

  row(row: RowData | null): boolean {
    const score = this.#target.score(row)
    const kept = this.#kept
    const isFull = kept.length >= this.#limit
    if (Number.isNaN(score) || (isFull && score <= kept[kept.length - 1]!.score)) return true
    this.#row.reset()
    this.#writer.row(row, this.#row)
    if (isFull) this.bytes -= kept.pop()!.bytes.length
    kept.splice(this.#placeOf(score), 0, { score, bytes: this.#row.copy() })
    this.bytes += this.#row.length
    return true
  }

  /** After all that are as good. */
  #placeOf(score: number): number {
    let low = 0
    let high = this.#kept.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#kept[middle]!.score >= score) low = middle + 1
      else high = middle
    }
    return low
  }

  end(): void {
    for (const { bytes } of this.#kept) this.#out.bytes(bytes)
  }
}

/** Throws INVALID when so many rows may not be asked for; answers what the client is to be warned of. */
export function checkNearestLimit(limit: number, { pageSize, consistency }: QueryOptions): string[] {
  if (limit === Number.POSITIVE_INFINITY)
    throw invalid('Top-K queries must have a limit specified and the limit must be less than the query page size')
  if (limit > ROWS_MAX)
    throw invalid(
      `Use of ANN OF in an ORDER BY clause requires a LIMIT that is not greater than ${ROWS_MAX}. LIMIT was ${limit}`,
    )
  const warnings: string[] = []
  const lower = downgraded(consistency)
  if (lower !== consistency)
    warnings.push(
      `Top-K queries can only be run with consistency level ONE / LOCAL_ONE / NODE_LOCAL. Consistency level ${consistencyName(consistency)} was requested. Downgrading the consistency level to ${consistencyName(lower)}.`,
    )
  if (pageSize !== null && pageSize < limit)
    warnings.push(
      `Top-K queries do not support paging and the page size is set to ${pageSize}, which is less than LIMIT ${limit}. The page size has been set to ${limit} to match the LIMIT.`,
    )
  return warnings
}

export function downgraded(consistency: number): number {
  switch (consistency) {
    case Consistency.ONE:
    case Consistency.LOCAL_ONE:
      return consistency
    case Consistency.LOCAL_QUORUM:
    case Consistency.LOCAL_SERIAL:
      return Consistency.LOCAL_ONE
    default:
      return Consistency.ONE
  }
}
