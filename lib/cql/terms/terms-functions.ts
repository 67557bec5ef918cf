/** Calls of functions as values. Source: CQL 3.4.7 "Functions". */
import { invalid } from '../../base/errors.ts'
import type { CqlType } from '../../types/type.ts'
import type { FunctionContext, ScalarFunction } from '../functions/function.ts'
import type { BoundValue, Environment, QueryOptions } from '../statement.ts'
import { UNSET } from '../statement.ts'
import type { ConstantValue, Value } from './terms-values.ts'

/** What a pure function sees of the world: nothing. */
const NO_WORLD: FunctionContext = {
  wallMicros: () => 0,
  randomBytes: (target) => target,
  protocolVersion: 5,
}

export class FunctionValue implements Value {
  readonly type: CqlType
  readonly markerIndex = -1
  readonly isConstant = false
  readonly hasMarker: boolean
  readonly #function: ScalarFunction
  readonly #arguments: readonly Value[]

  constructor(type: CqlType, called: ScalarFunction, values: readonly Value[]) {
    this.type = type
    this.hasMarker = values.some((value) => value.hasMarker)
    this.#function = called
    this.#arguments = values
  }

  /** Its result is the same each time, so it can be computed now. */
  get isFoldable(): boolean {
    return this.#function.isPure && this.#arguments.every((value) => value.isConstant)
  }

  fold(): Buffer | null {
    return this.#function.execute(
      this.#arguments.map((value) => (value as ConstantValue).bytes),
      NO_WORLD,
    )
  }

  bind(options: QueryOptions, environment: Environment): BoundValue {
    const bound = this.#arguments.map((value) => {
      const bytes = value.bind(options, environment)
      if (bytes === UNSET) throw invalid(`Invalid unset value for argument in call to function ${this.#function.name}`)
      return bytes
    })
    return this.#function.execute(bound, {
      wallMicros: () => environment.wallMicros(),
      randomBytes: (target) => environment.randomBytes(target),
      protocolVersion: options.protocolVersion,
    })
  }
}
