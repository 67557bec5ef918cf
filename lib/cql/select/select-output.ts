/** Where the rows of a SELECT go: one result row for each, in the order in which they come or sorted. */
import type { PartitionData, RowData } from '../../../storage/model/command.ts'
import type { ByteWriter } from '../../base/bytes.ts'
import type { Environment, QueryOptions } from '../statement.ts'
import type { RowOutput } from './select-scan.ts'
import type { RowValues } from './select-values.ts'
import type { Expression, ExpressionRow } from './selectors-expressions.ts'

/** Appends a result row's [value]s. */
export interface ResultRowWriter {
  partition(partition: PartitionData, nowSeconds: number): void
  row(row: RowData | null, out: ByteWriter): void
}

/** Each row as it comes. Plain columns: the writer is the row's encoder, and bytes go from storage's row to the result's. */
export class RowByRowOutput implements RowOutput {
  count = 0
  readonly #writer: ResultRowWriter
  readonly #out: ByteWriter

  constructor(writer: ResultRowWriter, out: ByteWriter) {
    this.#writer = writer
    this.#out = out
  }

  get bytes(): number {
    return this.#out.length
  }

  partition(partition: PartitionData, nowSeconds: number): void {
    this.#writer.partition(partition, nowSeconds)
  }

  row(row: RowData | null): boolean {
    this.#writer.row(row, this.#out)
    this.count += 1
    return true
  }

  end(): void {}
}

export function expressionRow(
  values: readonly (Buffer | null)[],
  states: ExpressionRow['states'],
  options: QueryOptions,
  environment: Environment,
): ExpressionRow {
  const context = {
    wallMicros: () => environment.wallMicros(),
    randomBytes: (target: Buffer) => environment.randomBytes(target),
    protocolVersion: options.protocolVersion,
  }
  return { values, states, options, environment, context }
}

export function writeExpressions(expressions: readonly Expression[], row: ExpressionRow, out: ByteWriter): void {
  for (const expression of expressions) {
    const value = expression.evaluate(row)
    out.int32(value === null ? -1 : value.length)
    if (value !== null) out.bytes(value)
  }
}

/** Result rows that have to be computed. */
export class ExpressionWriter implements ResultRowWriter {
  readonly #expressions: readonly Expression[]
  readonly #values: RowValues
  readonly #row: ExpressionRow

  /** `values`: of the statement, for no execution waits while it looks at a row. */
  constructor(values: RowValues, expressions: readonly Expression[], options: QueryOptions, environment: Environment) {
    this.#expressions = expressions
    this.#values = values
    this.#row = expressionRow(this.#values.values, [], options, environment)
  }

  partition(partition: PartitionData, nowSeconds: number): void {
    this.#values.partition(partition, nowSeconds)
  }

  row(row: RowData | null, out: ByteWriter): void {
    this.#values.load(row)
    writeExpressions(this.#expressions, this.#row, out)
  }
}
