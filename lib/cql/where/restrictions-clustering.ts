/**
 * Restrictions on clustering columns become intervals of encoded clusterings.
 * Always: intervals are half-open, ascending and disjoint. A component's bytes order as its column does (descending columns are encoded
 * inverted), the bound before a prefix is its bytes, the bound after it these and 0x60.
 */

import { END_OF_PARTITION, type Slice, START_OF_PARTITION } from '../../../storage/model/command.ts'
import { ByteWriter } from '../../base/bytes.ts'
import { invalid } from '../../base/errors.ts'
import type { ColumnSchema } from '../../schema/table.ts'
import { encodeComponent } from '../../types/ordered.ts'
import { type BoundValue, type Environment, type QueryOptions, UNSET } from '../statement.ts'
import type { Bound, EqRestriction, InRestriction, Restriction, SliceRestriction } from './restrictions-relations.ts'

/** Follows a prefix's bytes to bound it from behind: no component begins with it. */
const AFTER_PREFIX = Buffer.from([0x60])

/** The restrictions that bound slices: those that follow each other from the first column, up to the first slice. */
export function sliceable(
  restrictions: readonly Restriction[],
): readonly (EqRestriction | InRestriction | SliceRestriction)[] {
  const used: (EqRestriction | InRestriction | SliceRestriction)[] = []
  let position = 0
  for (const restriction of restrictions) {
    if (isFiltered(restriction, position)) break
    if (restriction.kind === 'contains') break
    used.push(restriction)
    if (restriction.kind === 'slice') break
    position = restriction.columns.at(-1)!.position + 1
  }
  return used
}

/** The restrictions that only a filter over the rows can answer. */
export function filtered(restrictions: readonly Restriction[]): readonly Restriction[] {
  let position = 0
  return restrictions.filter((restriction) => {
    if (isFiltered(restriction, position)) return true
    if (restriction.kind !== 'slice') position = restriction.columns.at(-1)!.position + 1
    return false
  })
}

function isFiltered(restriction: Restriction, position: number): boolean {
  return restriction.kind === 'contains' || restriction.columns[0]!.position !== position
}

/** Prefixes that = and IN name, ascending, each once. */
export function boundPrefixes(
  restrictions: readonly (EqRestriction | InRestriction | SliceRestriction)[],
  options: QueryOptions,
  environment: Environment,
): Buffer[] {
  let prefixes: Buffer[] = [START_OF_PARTITION]
  for (const restriction of restrictions) {
    if (restriction.kind === 'slice') break
    const rows = boundRows(restriction, options, environment)
    checkProduct(prefixes.length * rows.length, 'clustering key', environment)
    const next: Buffer[] = []
    for (const prefix of prefixes) for (const row of rows) next.push(appendComponents(prefix, restriction.columns, row))
    prefixes = next
  }
  return prefixes.length > 1 ? sortUnique(prefixes) : prefixes
}

export function checkProduct(size: number, what: string, environment: Environment): void {
  const { inProductMax } = environment.limits
  if (inProductMax > 0 && size > inProductMax)
    throw invalid(
      `Guardrail in_select_cartesian_product violated: The cartesian product of the IN restrictions on ${what} produces ${size} values, this exceeds fail threshold of ${inProductMax}`,
    )
}

/** The rows of values that = or IN name. Throws INVALID on null and unset. */
export function boundRows(
  restriction: EqRestriction | InRestriction,
  options: QueryOptions,
  environment: Environment,
): readonly (readonly Buffer[])[] {
  const { columns, multi } = restriction
  const rows =
    restriction.kind === 'eq'
      ? [restriction.tuple.bind(options, environment)]
      : restriction.tuples.bind(options, environment)
  for (const row of rows)
    for (let i = 0; i < row.length; i++) {
      const value = row[i]
      if (Buffer.isBuffer(value)) continue
      const { name } = columns[i]!
      if (value === UNSET) throw invalid(`Invalid unset value for column ${name}`)
      if (!multi) throw invalid(`Invalid null value in condition for column ${name}`)
      if (restriction.kind === 'eq') throw invalid(`Invalid null value for column ${name}`)
      const names = columns.map((column) => column.name).join(', ')
      throw invalid(`Invalid null value in condition for columns: [${names}]`)
    }
  return rows as readonly (readonly Buffer[])[]
}

const scratch = (): ByteWriter => new ByteWriter(64)

function appendComponents(prefix: Buffer, columns: readonly ColumnSchema[], values: readonly Buffer[]): Buffer {
  const writer = scratch()
  writer.bytes(prefix)
  for (let i = 0; i < values.length; i++) encodeComponent(columns[i]!.type, columns[i]!.reversed, values[i]!, writer)
  return writer.copy()
}

function sortUnique(values: Buffer[]): Buffer[] {
  values.sort(Buffer.compare)
  return values.filter((value, i) => i === 0 || Buffer.compare(value, values[i - 1]!) !== 0)
}

function afterPrefix(prefix: Buffer): Buffer {
  return prefix.length === 0 ? END_OF_PARTITION : Buffer.concat([prefix, AFTER_PREFIX])
}

/** The intervals of all rows that the restrictions allow. */
export function boundSlices(
  restrictions: readonly (EqRestriction | InRestriction | SliceRestriction)[],
  options: QueryOptions,
  environment: Environment,
): Slice[] {
  const prefixes = boundPrefixes(restrictions, options, environment)
  const last = restrictions.at(-1)
  if (last?.kind !== 'slice') return prefixes.map((prefix) => ({ start: prefix, end: afterPrefix(prefix) }))
  const start = last.start && boundValues(last, last.start, options, environment)
  const end = last.end && boundValues(last, last.end, options, environment)
  const slices: Slice[] = []
  for (const prefix of prefixes) {
    let intervals: Slice[] = [{ start: prefix, end: afterPrefix(prefix) }]
    if (start) intervals = intersect(intervals, beyond(prefix, last.columns, start, last.start!.inclusive, true))
    if (end) intervals = intersect(intervals, beyond(prefix, last.columns, end, last.end!.inclusive, false))
    slices.push(...intervals)
  }
  return slices
}

function boundValues(
  restriction: SliceRestriction,
  bound: Bound,
  options: QueryOptions,
  environment: Environment,
): readonly (Buffer | null)[] {
  const values: readonly BoundValue[] = bound.tuple.bind(options, environment)
  return values.map((value, i) => {
    const { name } = restriction.columns[i]!
    if (value === UNSET) throw invalid(`Invalid unset value for column ${name}`)
    if (value === null && restriction.multi) throw invalid(`Invalid null value in condition for column ${name}`)
    return value
  })
}

/**
 * The intervals under a prefix of the rows whose columns, compared as a tuple, are greater (or less) than the values. Columns may be in
 * ascending and descending order by turns: rows that differ from the values first in column i make one interval each.
 * A null value stands before all values in the order of its column.
 */
function beyond(
  prefix: Buffer,
  columns: readonly ColumnSchema[],
  values: readonly (Buffer | null)[],
  inclusive: boolean,
  greater: boolean,
): Slice[] {
  const intervals: Slice[] = []
  let under = prefix
  values.forEach((value, i) => {
    const column = columns[i]!
    const at = value === null ? under : appendComponents(under, [column], [value])
    const after = value === null ? under : afterPrefix(at)
    const isLast = i === values.length - 1
    const takesEqual = isLast && inclusive
    const onward = greater !== column.reversed
    intervals.push(
      onward
        ? { start: takesEqual ? at : after, end: afterPrefix(under) }
        : { start: under, end: takesEqual ? after : at },
    )
    under = at
  })
  return mergeIntervals(intervals)
}

function mergeIntervals(intervals: Slice[]): Slice[] {
  const sorted = intervals
    .filter(({ start, end }) => Buffer.compare(start, end) < 0)
    .sort((a, b) => Buffer.compare(a.start, b.start))
  const merged: Slice[] = []
  for (const interval of sorted) {
    const last = merged.at(-1)
    if (last && Buffer.compare(interval.start, last.end) <= 0) {
      const end = Buffer.compare(interval.end, last.end) > 0 ? interval.end : last.end
      merged[merged.length - 1] = { start: last.start, end }
    } else merged.push(interval)
  }
  return merged
}

function intersect(a: readonly Slice[], b: readonly Slice[]): Slice[] {
  const both: Slice[] = []
  for (const x of a)
    for (const y of b) {
      const start = Buffer.compare(x.start, y.start) > 0 ? x.start : y.start
      const end = Buffer.compare(x.end, y.end) < 0 ? x.end : y.end
      if (Buffer.compare(start, end) < 0) both.push({ start, end })
    }
  return both
}
