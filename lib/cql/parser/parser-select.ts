/** SELECT. Source: CQL 3.4.7 "SELECT"; selectors are in parser-selectors.ts. */
import type { SelectClause, SelectStatement } from '../ast.ts'
import type { Cursor } from './parser-cursor.ts'
import { isName, Keyword, Token } from './parser-keywords.ts'
import { parseWhereClause } from './parser-relations.ts'
import { parseSelector, startsSelector } from './parser-selectors.ts'
import { parseIntegerTerm, parseTermNode } from './parser-terms.ts'

/** SELECT is known to be here. */
export function parseSelect(c: Cursor): SelectStatement {
  c.at++
  const json = parseModifier(c, Keyword.JSON)
  const distinct = parseModifier(c, Keyword.DISTINCT)
  const clauses = parseSelectClauses(c)
  c.expect(Keyword.FROM)
  const table = c.qualifiedName()
  const where = c.accept(Keyword.WHERE) ? parseWhereClause(c) : []
  const groupBy = parseGroupBy(c)
  const orderBy = parseOrderBy(c)
  let perPartitionLimit: SelectStatement['perPartitionLimit'] = null
  if (c.accept(Keyword.PER)) {
    c.expect(Keyword.PARTITION)
    c.expect(Keyword.LIMIT)
    perPartitionLimit = parseIntegerTerm(c)
  }
  const limit = c.accept(Keyword.LIMIT) ? parseIntegerTerm(c) : null
  const allowFiltering = c.accept(Keyword.ALLOW)
  if (allowFiltering) c.expect(Keyword.FILTERING)
  return {
    kind: 'select',
    json,
    distinct,
    clauses,
    table,
    where,
    groupBy,
    orderBy,
    perPartitionLimit,
    limit,
    allowFiltering,
  }
}

/** JSON and DISTINCT may also name columns: they are modifiers if something to select follows. */
function parseModifier(c: Cursor, modifier: number): boolean {
  if (c.kind !== modifier) return false
  const next = c.ahead(1)
  if (next !== Token.STAR && !startsSelector(next)) return false
  // `json AS x` is a column with an alias; `json AS FROM` and `json AS AS x` select the column "as".
  if (next === Keyword.AS && isName(c.ahead(2)) && !(c.ahead(2) === Keyword.AS && isName(c.ahead(3)))) return false
  c.at++
  return true
}

/** Selectors with aliases; null for `*`. */
export function parseSelectClauses(c: Cursor): SelectClause[] | null {
  if (c.accept(Token.STAR)) return null
  const clauses: SelectClause[] = []
  do {
    const selector = parseSelector(c)
    clauses.push({ selector, alias: c.accept(Keyword.AS) ? c.name() : null })
  } while (c.accept(Token.COMMA))
  return clauses
}

function parseGroupBy(c: Cursor): SelectStatement['groupBy'] {
  if (!c.accept(Keyword.GROUP)) return []
  c.expect(Keyword.BY)
  const selectors = [parseSelector(c)]
  while (c.accept(Token.COMMA)) selectors.push(parseSelector(c))
  return selectors
}

function parseOrderBy(c: Cursor): SelectStatement['orderBy'] {
  if (!c.accept(Keyword.ORDER)) return []
  c.expect(Keyword.BY)
  const orderings = [parseOrdering(c)]
  while (c.accept(Token.COMMA)) orderings.push(parseOrdering(c))
  return orderings
}

function parseOrdering(c: Cursor): SelectStatement['orderBy'][number] {
  const column = c.columnName()
  let vector = null
  if (c.accept(Keyword.ANN)) {
    c.expect(Keyword.OF)
    vector = parseTermNode(c)
  }
  const descending = c.accept(Keyword.DESC)
  if (!descending) c.accept(Keyword.ASC)
  return vector === null ? { kind: 'column', column, descending } : { kind: 'ann', column, vector, descending }
}
