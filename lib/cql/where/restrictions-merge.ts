/**
 * Restrictions on the same columns become one, or contradict each other in Cassandra's words.
 * Always: a set is sorted by its restrictions' first columns, and each column has at most one restriction.
 */
import { invalid } from '../../base/errors.ts'
import type { ColumnSchema } from '../../schema/table.ts'
import { isMultiCell } from '../../types/names.ts'
import type { Bound, Restriction, SliceRestriction, TokenRestriction } from './restrictions-relations.ts'

/** As ColumnMetadata sorts: key columns by position, then regular before static, simple before complex, by name. */
function compareColumns(a: ColumnSchema, b: ColumnSchema): number {
  if (a === b) return 0
  if (a.kind !== b.kind) return KIND_ORDER[a.kind] - KIND_ORDER[b.kind]
  if (a.position !== b.position) return a.position - b.position
  const complex = Number(isMultiCell(a.type)) - Number(isMultiCell(b.type))
  return complex !== 0 ? complex : Buffer.compare(Buffer.from(a.name), Buffer.from(b.name))
}

const KIND_ORDER = { partition_key: 0, clustering: 1, regular: 2, static: 3 } as const

/** Adds a restriction to a set; answers a new set. */
export function addRestriction(set: readonly Restriction[], added: Restriction): Restriction[] {
  const byColumn = new Map<ColumnSchema, Restriction>()
  for (const restriction of set) for (const column of restriction.columns) byColumn.set(column, restriction)
  const existing = new Set(set.filter((other) => other.columns.some((column) => added.columns.includes(column))))
  let merged = added
  for (const restriction of existing) {
    merged = mergeRestrictions(restriction, added)
    for (const column of added.columns) byColumn.set(column, merged)
  }
  const kept = set.filter((restriction) => !existing.has(restriction))
  return [...kept, merged].sort((a, b) => compareColumns(a.columns[0]!, b.columns[0]!))
}

function mergeRestrictions(existing: Restriction, added: Restriction): Restriction {
  const multi = existing.multi || added.multi
  switch (existing.kind) {
    case 'eq':
      throw invalid(
        `${shared(existing, added, multi)} cannot be restricted by more than one relation if it includes an Equal`,
      )
    case 'in':
      throw invalid(
        `${shared(existing, added, multi)} cannot be restricted by more than one relation if it includes a IN`,
      )
    case 'slice':
      return mergeSlices(existing, added, multi)
    case 'contains': {
      const name = existing.columns[0]!.name
      if (added.kind !== 'contains')
        throw invalid(
          `Collection column ${name} can only be restricted by CONTAINS, CONTAINS KEY, or map-entry equality`,
        )
      return {
        ...existing,
        values: [...existing.values, ...added.values],
        keys: [...existing.keys, ...added.keys],
        entries: [...existing.entries, ...added.entries],
      }
    }
  }
}

function mergeSlices(existing: SliceRestriction, added: Restriction, multi: boolean): SliceRestriction {
  const names = shared(existing, added, multi)
  if (added.kind !== 'slice')
    throw invalid(`Column "${names}" cannot be restricted by both an equality and an inequality relation`)
  if (multi && existing.columns[0] !== added.columns[0]) {
    const later = existing.columns[0]!.position > added.columns[0]!.position ? existing : added
    throw invalid(
      `Column "${later.columns[0]!.name}" cannot be restricted by two inequalities not starting with the same column`,
    )
  }
  return {
    kind: 'slice',
    multi,
    columns: existing.columns.length >= added.columns.length ? existing.columns : added.columns,
    start: mergeBounds(existing.start, added.start, 'start', names),
    end: mergeBounds(existing.end, added.end, 'end', names),
  }
}

function mergeBounds(existing: Bound | null, added: Bound | null, which: string, names: string): Bound | null {
  if (existing && added) throw invalid(`More than one restriction was found for the ${which} bound on ${names}`)
  return existing ?? added
}

/** The columns that both restrict, as Cassandra lists them. */
function shared(existing: Restriction, added: Restriction, multi: boolean): string {
  if (!multi) return existing.columns[0]!.name
  return existing.columns
    .filter((column) => added.columns.includes(column))
    .map((column) => column.name)
    .join(' ,')
}

export function mergeTokens(existing: TokenRestriction, added: TokenRestriction): TokenRestriction {
  const names = existing.columns.map((column) => column.name).join(', ')
  if (existing.equal) throw invalid(`${names} cannot be restricted by more than one relation if it includes an Equal`)
  if (added.equal)
    throw invalid(`Columns "${names}" cannot be restricted by both an equality and an inequality relation`)
  if (existing.start && added.start)
    throw invalid(`More than one restriction was found for the start bound on ${names}`)
  if (existing.end && added.end) throw invalid(`More than one restriction was found for the end bound on ${names}`)
  return { ...existing, start: existing.start ?? added.start, end: existing.end ?? added.end }
}
