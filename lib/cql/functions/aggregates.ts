/**
 * count, min, max, sum and avg as state machines over bytes. Source: CQL 3.4.7 "Native aggregates"; what they give for no rows, for overflow and for NaN
 * as Apache Cassandra 5.0.6.
 */
import { invalid } from '../../base/errors.ts'
import { LEGACY_TIMEUUID_CLASS, NATIVE } from '../../types/names.ts'
import type { Decimal } from '../../types/number.ts'
import type { CqlType } from '../../types/type.ts'
import { compare } from '../../types/value.ts'
import { addDecimals, divideToScale, negateDecimal } from './decimals.ts'
import type { AggregateFunction, AggregateState, FunctionArgument, FunctionFactory } from './function.ts'
import { decodeNumber, encodeNumber, NUMERIC_TYPES, type Numeric, type NumericTypeName } from './numbers.ts'

function aggregate(
  name: string,
  argumentTypes: readonly CqlType[],
  returnType: CqlType,
  create: () => AggregateState,
): AggregateFunction {
  return { kind: 'aggregate', keyspace: 'system', name, argumentTypes, returnType, isPure: true, create }
}

/** What `count(*)` and `count(1)` are. */
export const COUNT_ROWS: AggregateFunction = aggregate('countRows', [], NATIVE.bigint, () => new Count(false))

export function aggregateFunctions(): AggregateFunction[] {
  return [
    COUNT_ROWS,
    aggregate('count_rows', [], NATIVE.bigint, () => new Count(false)),
    aggregate('count', [NATIVE.blob], NATIVE.bigint, () => new Count(true)),
    ...NUMERIC_TYPES.flatMap((name) => [
      aggregate('sum', [NATIVE[name]], NATIVE[name], () => new Total(name, 'sum')),
      aggregate('avg', [NATIVE[name]], NATIVE[name], () => new Total(name, 'avg')),
    ]),
  ]
}

export function aggregateFactories(): [string, FunctionFactory][] {
  return [
    ['min', extremeFactory('min', -1)],
    ['max', extremeFactory('max', 1)],
  ]
}

function extremeFactory(name: string, sign: number): FunctionFactory {
  return (args) => {
    if (args.length !== 1) throw invalid(`Invalid number of arguments for function system.${name}(any)`)
    const type = inferType(args[0]!, `system.${name}(any)`)
    return aggregate(name, [type], type === NATIVE.timeuuid ? LEGACY_TIMEUUID : type, () => new Extreme(type, sign))
  }
}

/** The type of an argument where any will do. Throws INVALID when it has none by itself. */
export function inferType(argument: FunctionArgument, called: string): CqlType {
  if (argument.type === null)
    throw invalid(
      `Cannot infer type of argument ${argument.text} in call to function ${called}: use type casts to disambiguate`,
    )
  return argument.type
}

/** So Cassandra names a timeuuid that a function gives back: min, max and the masks. */
export const LEGACY_TIMEUUID: CqlType = {
  kind: 'custom',
  className: LEGACY_TIMEUUID_CLASS,
}

class Count implements AggregateState {
  readonly #needsValue: boolean
  #rows = 0

  constructor(needsValue: boolean) {
    this.#needsValue = needsValue
  }

  add(args: readonly (Buffer | null)[]): void {
    if (!this.#needsValue || (args[0] !== null && args[0] !== undefined)) this.#rows += 1
  }

  result(): Buffer {
    return encodeNumber('bigint', BigInt(this.#rows))
  }
}

class Extreme implements AggregateState {
  readonly #type: CqlType
  readonly #sign: number
  #best: Buffer | null = null

  constructor(type: CqlType, sign: number) {
    this.#type = type
    this.#sign = sign
  }

  add(args: readonly (Buffer | null)[]): void {
    const value = args[0]
    if (value === null || value === undefined) return
    if (this.#best === null || compare(this.#type, value, this.#best) * this.#sign > 0) this.#best = Buffer.from(value)
  }

  result(): Buffer | null {
    return this.#best
  }
}

/** Sums and averages of one numeric type. */
class Total implements AggregateState {
  readonly #type: NumericTypeName
  readonly #accumulator: Accumulator

  constructor(type: NumericTypeName, what: 'sum' | 'avg') {
    this.#type = type
    if (type === 'float' || type === 'double') this.#accumulator = new FloatingAccumulator(what)
    else this.#accumulator = type === 'decimal' ? new DecimalAccumulator(what) : new WholeAccumulator(what)
  }

  add(args: readonly (Buffer | null)[]): void {
    const value = args[0]
    if (value === null || value === undefined || value.length === 0) return
    this.#accumulator.add(decodeNumber(this.#type, value))
  }

  result(): Buffer {
    return encodeNumber(this.#type, this.#accumulator.result())
  }
}

interface Accumulator {
  add(value: Numeric): void
  result(): Numeric
}

/** Exact; a sum that does not fit its type is cut when it is given, an average is cut to a whole number. */
class WholeAccumulator implements Accumulator {
  readonly #what: 'sum' | 'avg'
  #sum = 0n
  #count = 0n

  constructor(what: 'sum' | 'avg') {
    this.#what = what
  }

  add(value: Numeric): void {
    this.#sum += value as bigint
    this.#count += 1n
  }

  result(): bigint {
    if (this.#what === 'sum' || this.#count === 0n) return this.#sum
    return this.#sum / this.#count
  }
}

/** Kahan's compensated sum. */
class FloatingAccumulator implements Accumulator {
  readonly #what: 'sum' | 'avg'
  #sum = 0
  #compensation = 0
  #simpleSum = 0
  #count = 0

  constructor(what: 'sum' | 'avg') {
    this.#what = what
  }

  add(value: Numeric): void {
    const number = value as number
    this.#count += 1
    this.#simpleSum += number
    const corrected = number - this.#compensation
    const rounded = this.#sum + corrected
    this.#compensation = rounded - this.#sum - corrected
    this.#sum = rounded
  }

  result(): number {
    const exact = this.#sum - this.#compensation
    const sum = Number.isNaN(exact) && !Number.isNaN(this.#simpleSum) ? this.#simpleSum : exact
    return this.#what === 'sum' || this.#count === 0 ? sum : sum / this.#count
  }
}

/** The average moves by each value's share, rounded at the scale it has so far: Cassandra's way, and the last digit shows it. */
class DecimalAccumulator implements Accumulator {
  readonly #what: 'sum' | 'avg'
  #total: Decimal = { unscaled: 0n, scale: 0 }
  #count = 0n

  constructor(what: 'sum' | 'avg') {
    this.#what = what
  }

  add(value: Numeric): void {
    const number = value as Decimal
    this.#count += 1n
    if (this.#what === 'sum') {
      this.#total = addDecimals(this.#total, number)
      return
    }
    const distance = addDecimals(number, negateDecimal(this.#total))
    const share = divideToScale(distance, { unscaled: this.#count, scale: 0 }, distance.scale, 'even')
    this.#total = addDecimals(this.#total, share)
  }

  result(): Decimal {
    return this.#total
  }
}
