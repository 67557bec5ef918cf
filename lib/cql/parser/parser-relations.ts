/**
 * WHERE and IF: relations between columns and terms. Source: CQL 3.4.7 "The WHERE clause", "Conditional updates".
 * What a relation means, and whether its table allows it, is decided later.
 */
import type { Condition, ConditionClause, InValues, Relation, Term } from '../ast.ts'
import type { Cursor } from './parser-cursor.ts'
import { Keyword, Token } from './parser-keywords.ts'
import { parseInValues, parseTermNode, parseTupleTerm } from './parser-terms.ts'

type Comparison = '=' | '<' | '<=' | '>' | '>=' | '!='

function comparison(kind: number): Comparison | null {
  switch (kind) {
    case Token.EQUAL:
      return '='
    case Token.LESS:
      return '<'
    case Token.LESS_EQUAL:
      return '<='
    case Token.GREATER:
      return '>'
    case Token.GREATER_EQUAL:
      return '>='
    case Token.NOT_EQUAL:
      return '!='
    default:
      return null
  }
}

/** Behind WHERE. */
export function parseWhereClause(c: Cursor): Relation[] {
  const relations: Relation[] = []
  do relations.push(c.kind === Token.EXPRESSION ? parseExpression(c) : parseRelation(c))
  while (c.accept(Keyword.AND))
  return relations
}

function parseExpression(c: Cursor): Relation {
  c.at++
  const name = c.indexName()
  c.expect(Token.COMMA)
  const value = parseTermNode(c)
  c.expect(Token.RIGHT_PAREN)
  return { kind: 'expression', index: { keyspace: null, name }, value }
}

function parseRelation(c: Cursor): Relation {
  if (c.kind === Keyword.TOKEN) return parseTokenRelation(c)
  if (c.kind === Token.LEFT_PAREN) {
    if (c.isColumnName(1) && (c.ahead(2) === Token.COMMA || c.ahead(2) === Token.RIGHT_PAREN))
      return parseMultiColumn(c)
    return parseParenthesized(c)
  }
  if (!c.isColumnName()) throw c.noViable()
  return parseColumnRelation(c)
}

function parseParenthesized(c: Cursor): Relation {
  c.enter()
  c.at++
  const relation = parseRelation(c)
  c.expect(Token.RIGHT_PAREN)
  c.leave()
  return relation
}

function parseColumnRelation(c: Cursor): Relation {
  const operator = comparison(c.ahead(1))
  if (operator !== null) {
    const column = c.columnName()
    c.at++
    return { kind: 'single', column, operator, value: parseTermNode(c) }
  }
  switch (c.ahead(1)) {
    case Keyword.IN:
      return parseInRelation(c)
    case Keyword.LIKE: {
      const column = c.columnName()
      c.at++
      return { kind: 'single', column, operator: 'LIKE', value: parseTermNode(c) }
    }
    case Keyword.IS: {
      const column = c.columnName()
      c.at++
      c.expect(Keyword.NOT)
      c.expect(Keyword.NULL)
      return { kind: 'single', column, operator: 'IS NOT', value: { kind: 'null' } }
    }
    case Keyword.CONTAINS: {
      const column = c.columnName()
      return { kind: 'single', column, operator: parseContains(c), value: parseTermNode(c) }
    }
    case Token.LEFT_BRACKET:
      return parseElementRelation(c)
    default:
      throw c.noViable(1)
  }
}

function parseContains(c: Cursor): 'CONTAINS' | 'CONTAINS KEY' {
  c.at++
  // KEY may also be the name of a function's keyspace: `CONTAINS key.f()`.
  if (c.kind !== Keyword.KEY || c.ahead(1) === Token.DOT) return 'CONTAINS'
  c.at++
  return 'CONTAINS KEY'
}

function parseInRelation(c: Cursor): Relation {
  const follower = c.ahead(2)
  if (follower !== Token.LEFT_PAREN && follower !== Token.QUESTION && follower !== Token.COLON) throw c.noViable(2)
  const column = c.columnName()
  c.at++
  return { kind: 'in', column, negated: false, values: parseInValues(c)! }
}

function parseElementRelation(c: Cursor): Relation {
  const column = c.columnName()
  c.at++
  const element = parseTermNode(c)
  c.expect(Token.RIGHT_BRACKET)
  const operator = comparison(c.kind)
  if (operator === null) throw c.noViable()
  c.at++
  return { kind: 'element', column, element, operator, value: parseTermNode(c) }
}

function parseTokenRelation(c: Cursor): Relation {
  c.at++
  const columns = parseColumnTuple(c)
  const operator = comparison(c.kind)
  if (operator === null) throw c.noViable()
  c.at++
  return { kind: 'token', columns, operator, value: parseTermNode(c) }
}

function parseColumnTuple(c: Cursor): string[] {
  c.expect(Token.LEFT_PAREN)
  const columns = [c.columnName()]
  while (c.accept(Token.COMMA)) columns.push(c.columnName())
  c.expect(Token.RIGHT_PAREN)
  return columns
}

function parseMultiColumn(c: Cursor): Relation {
  const columns = parseColumnTuple(c)
  if (c.accept(Keyword.IN)) return { kind: 'multi_in', columns, values: parseTupleList(c) }
  const operator = comparison(c.kind)
  if (operator === null) throw c.noViable()
  const follower = c.ahead(1)
  if (follower !== Token.LEFT_PAREN && follower !== Token.QUESTION && follower !== Token.COLON) throw c.noViable(1)
  c.at++
  return { kind: 'multi', columns, operator, value: c.marker() ?? parseTupleTerm(c) }
}

/** `((1, 2), (3, 4))`, `(?, ?)`, `()` or a marker for all of it: tuples and markers do not mix. */
function parseTupleList(c: Cursor): InValues {
  const marker = c.marker()
  if (marker !== null) return { kind: 'marker', marker }
  if (c.kind !== Token.LEFT_PAREN) throw c.noViable()
  const follower = c.ahead(1)
  const isMarkers = follower === Token.QUESTION || follower === Token.COLON
  if (follower !== Token.LEFT_PAREN && follower !== Token.RIGHT_PAREN && !isMarkers) throw c.noViable(1)
  c.at++
  const terms: Term[] = []
  if (c.accept(Token.RIGHT_PAREN)) return { kind: 'terms', terms }
  do terms.push(isMarkers ? parseMarker(c) : parseTuple(c))
  while (c.accept(Token.COMMA))
  c.expect(Token.RIGHT_PAREN)
  return { kind: 'terms', terms }
}

function parseMarker(c: Cursor): Term {
  const marker = c.marker()
  if (marker === null) throw c.noViable()
  return marker
}

function parseTuple(c: Cursor): Term {
  if (c.kind !== Token.LEFT_PAREN) throw c.mismatched(Token.LEFT_PAREN)
  return parseTupleTerm(c)
}

/** `IF …` behind UPDATE and DELETE; nothing is fine too. */
export function parseConditionClause(c: Cursor): ConditionClause {
  if (!c.accept(Keyword.IF)) return { kind: 'none' }
  // EXISTS may be the name of a column.
  if (c.kind === Keyword.EXISTS && !startsCondition(c.ahead(1))) {
    c.at++
    return { kind: 'exists' }
  }
  const conditions: Condition[] = []
  do conditions.push(parseCondition(c))
  while (c.accept(Keyword.AND))
  return { kind: 'conditions', conditions }
}

function startsCondition(kind: number): boolean {
  return (
    comparison(kind) !== null ||
    kind === Keyword.IN ||
    kind === Keyword.CONTAINS ||
    kind === Token.LEFT_BRACKET ||
    kind === Token.DOT
  )
}

function parseCondition(c: Cursor): Condition {
  if (!c.isColumnName()) throw c.noViable()
  const column = c.columnName()
  let element: Term | null = null
  let field: string | null = null
  if (c.accept(Token.LEFT_BRACKET)) {
    element = parseTermNode(c)
    c.expect(Token.RIGHT_BRACKET)
  } else if (c.accept(Token.DOT)) field = c.name()
  const whole = element === null && field === null
  if (whole && c.kind === Keyword.CONTAINS)
    return { column, element, field, operator: parseContains(c), value: parseTermNode(c) }
  if (c.accept(Keyword.IN)) {
    const values = parseInValues(c)
    if (values === null) throw c.noViable()
    return { column, element, field, operator: 'IN', values }
  }
  const operator = comparison(c.kind)
  if (operator === null) throw c.noViable()
  c.at++
  return { column, element, field, operator, value: parseTermNode(c) }
}
