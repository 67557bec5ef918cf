/**
 * What a SELECT reads: partitions by key or a range of the ring, and in them all rows, intervals, or rows by name.
 * Always: one partition by `=` alone, and one row by `=` alone, take no more than the bytes of their keys.
 */
import type { Slice } from '../../../storage/model/command.ts'
import { ByteWriter } from '../../base/bytes.ts'
import { invalid } from '../../base/errors.ts'
import { murmur3Token } from '../../base/hash/murmur3.ts'
import type { TableSchema } from '../../schema/table.ts'
import { AFTER_PREFIX, encodeComponent } from '../../types/ordered.ts'
import { KEY_BYTES_MAX, putPositionHead } from '../../types/partition-key.ts'
import { type Environment, type QueryOptions, UNSET } from '../statement.ts'
import type { Value } from '../terms/terms.ts'
import type { Restrictions } from '../where/restrictions.ts'
import type { ReadTarget } from './select-scan.ts'

/** Before the key in a position: the token, and the key's length as u16. */
export const POSITION_HEAD_BYTES = 10

const NOTHING: readonly ReadTarget[] = []

export class SelectKeys {
  readonly #table: TableSchema
  readonly #restrictions: Restrictions
  readonly #keyTerms: readonly Value[] | null
  /** Terms of all clustering columns; null where other rows than one by name are asked for. */
  readonly #rowTerms: readonly Value[] | null
  readonly #token = new Int32Array(2)
  readonly #parts: Buffer[] = []
  readonly #clustering = new ByteWriter(64)

  constructor(table: TableSchema, restrictions: Restrictions) {
    this.#table = table
    this.#restrictions = restrictions
    this.#keyTerms = restrictions.partitionKeyTerms
    this.#rowTerms = restrictions.restrictsClustering ? restrictions.clusteringTerms : null
  }

  /** In the order in which their rows are given. */
  targets(options: QueryOptions, environment: Environment): readonly ReadTarget[] {
    const restrictions = this.#restrictions
    if (this.#keyTerms !== null)
      return [{ kind: 'partition', position: this.#boundPosition(this.#keyTerms, options, environment) }]
    if (restrictions.isKeyRange) {
      const range = restrictions.positionRange(options, environment)
      return range === null ? NOTHING : [{ kind: 'range', start: range.start, end: range.end }]
    }
    const positions = restrictions.partitionKeys(options, environment).map((key) => this.#positionOf(key))
    const range = restrictions.hasTokenBesideKeys ? restrictions.positionRange(options, environment) : null
    if (range === null && restrictions.hasTokenBesideKeys) return NOTHING
    return positions
      .filter((position) => {
        if (range?.start && position.compare(range.start) < 0) return false
        return !(range?.end && position.compare(range.end) >= 0)
      })
      .map((position) => ({ kind: 'partition', position }))
  }

  #boundPosition(terms: readonly Value[], options: QueryOptions, environment: Environment): Buffer {
    const columns = this.#table.partitionKey
    if (terms.length === 1) return this.#positionOf(boundPart(terms[0]!, columns[0]!.name, options, environment))
    const parts = this.#parts
    let length = 0
    for (let i = 0; i < terms.length; i++) {
      const part = boundPart(terms[i]!, columns[i]!.name, options, environment)
      parts[i] = part
      length += part.length + 3
    }
    checkLength(length)
    const position = Buffer.allocUnsafe(POSITION_HEAD_BYTES + length)
    let at = POSITION_HEAD_BYTES
    for (let i = 0; i < terms.length; i++) {
      const part = parts[i]!
      position[at] = part.length >>> 8
      position[at + 1] = part.length
      position.set(part, at + 2)
      at += part.length + 3
      position[at - 1] = 0
    }
    return this.#withHead(position)
  }

  #positionOf(key: Buffer): Buffer {
    checkLength(key.length)
    const position = Buffer.allocUnsafe(POSITION_HEAD_BYTES + key.length)
    position.set(key, POSITION_HEAD_BYTES)
    return this.#withHead(position)
  }

  /** Writes token and length before the key that is there already. */
  #withHead(position: Buffer): Buffer {
    murmur3Token(position, POSITION_HEAD_BYTES, position.length, this.#token)
    putPositionHead(position, this.#token, position.length - POSITION_HEAD_BYTES)
    return position
  }

  /** Null: all rows. */
  slices(options: QueryOptions, environment: Environment): readonly Slice[] | null {
    const restrictions = this.#restrictions
    if (this.#rowTerms !== null) return [this.#boundRow(this.#rowTerms, options, environment)]
    if (!restrictions.restrictsClustering) return null
    if (restrictions.isColumnRange) return restrictions.slices(options, environment)
    return restrictions.clusterings(options, environment).map(sliceOfRow)
  }

  #boundRow(terms: readonly Value[], options: QueryOptions, environment: Environment): Slice {
    const columns = this.#table.clustering
    const out = this.#clustering
    out.reset()
    for (let i = 0; i < terms.length; i++) {
      const column = columns[i]!
      encodeComponent(column.type, column.reversed, boundPart(terms[i]!, column.name, options, environment), out)
    }
    return sliceOfRow(out.view())
  }
}

/** The interval of one row; the clustering is copied. */
export function sliceOfRow(clustering: Buffer): Slice {
  const end = Buffer.allocUnsafe(clustering.length + 1)
  end.set(clustering)
  end[clustering.length] = AFTER_PREFIX
  return { start: end.subarray(0, clustering.length), end, single: true }
}

function boundPart(term: Value, name: string, options: QueryOptions, environment: Environment): Buffer {
  const value = term.bind(options, environment)
  if (value === null) throw invalid(`Invalid null value in condition for column ${name}`)
  if (value === UNSET) throw invalid(`Invalid unset value for column ${name}`)
  return value
}

function checkLength(length: number): void {
  if (length === 0) throw invalid('Key may not be empty')
  if (length > KEY_BYTES_MAX) throw invalid(`Key length of ${length} is longer than maximum of ${KEY_BYTES_MAX}`)
}
