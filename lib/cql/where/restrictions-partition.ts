/**
 * Restrictions on the partition key become serialised keys, or a range of positions (tokens).
 * Source: Murmur3Partitioner's signed order of tokens; CQL 3.4.7 "The token function".
 */
import { invalid } from '../../base/errors.ts'
import type { TableSchema } from '../../schema/table.ts'
import { compare } from '../../types/compare.ts'
import { type Environment, type QueryOptions, UNSET } from '../statement.ts'
import { boundRows, checkProduct } from './restrictions-clustering.ts'
import type { EqRestriction, InRestriction, TokenBound, TokenRestriction } from './restrictions-relations.ts'

/** Positions in [start, end); null: no bound. */
export interface PositionRange {
  readonly start: Buffer | null
  readonly end: Buffer | null
}

const KEY_LENGTH_MAX = 65535

/** The partition key as CQL serialises it: one column raw, several as a composite. Throws INVALID when no row can have it. */
export function partitionKeyBytes(components: readonly Buffer[]): Buffer {
  const key = components.length === 1 ? components[0]! : compositeKey(components)
  if (key.length === 0) throw invalid('Key may not be empty')
  if (key.length > KEY_LENGTH_MAX)
    throw invalid(`Key length of ${key.length} is longer than maximum of ${KEY_LENGTH_MAX}`)
  return key
}

function compositeKey(components: readonly Buffer[]): Buffer {
  let length = 0
  for (const component of components) length += component.length + 3
  if (length > KEY_LENGTH_MAX) throw invalid(`Key length of ${length} is longer than maximum of ${KEY_LENGTH_MAX}`)
  const key = Buffer.alloc(length)
  let at = 0
  for (const component of components) {
    at = key.writeUInt16BE(component.length, at)
    at += component.copy(key, at) + 1
  }
  return key
}

/** Every key that = and IN name, in the order of their values, each once. */
export function boundKeys(
  table: TableSchema,
  restrictions: readonly (EqRestriction | InRestriction)[],
  options: QueryOptions,
  environment: Environment,
): Buffer[] {
  let rows: Buffer[][] = [[]]
  for (const restriction of restrictions) {
    const values = boundRows(restriction, options, environment)
    checkProduct(rows.length * values.length, 'partition key', environment)
    rows = rows.flatMap((row) => values.map((value) => [...row, ...value]))
  }
  if (rows.length > 1) {
    const types = table.partitionKey.map((column) => column.type)
    const compareRows = (a: readonly Buffer[], b: readonly Buffer[]): number => {
      for (let i = 0; i < types.length; i++) {
        const order = compare(types[i]!, a[i]!, b[i]!)
        if (order !== 0) return order
      }
      return 0
    }
    rows.sort(compareRows)
    rows = rows.filter((row, i) => i === 0 || compareRows(row, rows[i - 1]!) !== 0)
  }
  return rows.map(partitionKeyBytes)
}

/** The range that token() names; null when nothing can be in it. The least token stands for the end of the ring. */
export function boundTokenRange(
  restriction: TokenRestriction,
  options: QueryOptions,
  environment: Environment,
): PositionRange | null {
  const start = restriction.start && boundToken(restriction.start, options, environment)
  const end = restriction.end && boundToken(restriction.end, options, environment)
  const from = isLeast(start) ? null : start
  const to = isLeast(end) ? null : end
  if (from && to) {
    const order = Buffer.compare(from, to)
    const bothInclusive = restriction.start!.inclusive && restriction.end!.inclusive
    if (order > 0 || (order === 0 && !bothInclusive)) return null
  }
  const first = from && !restriction.start!.inclusive ? nextToken(from) : from
  if (from && !first) return null
  return { start: first, end: to && restriction.end!.inclusive ? nextToken(to) : to }
}

/** A token as a position begins with it: its sign bit flipped. */
function boundToken(bound: TokenBound, options: QueryOptions, environment: Environment): Buffer {
  const value = bound.value.bind(options, environment)
  if (value === UNSET) throw invalid('Invalid unset value for column partition key token')
  if (value === null || value.length !== 8) throw invalid('Invalid null token value')
  const token = Buffer.from(value)
  token[0]! ^= 0x80
  return token
}

function isLeast(token: Buffer | null): boolean {
  return token?.every((byte) => byte === 0) ?? true
}

/** Null after the greatest. */
function nextToken(token: Buffer): Buffer | null {
  const next = Buffer.from(token)
  for (let i = 7; i >= 0; i--) {
    next[i]!++
    if (next[i] !== 0) return next
  }
  return null
}
