/**
 * What SELECT and GROUP BY choose: columns, functions, casts, fields, elements, slices, literals and arithmetic.
 * Source: CQL 3.4.7 "Selection clause".
 */
import type { Selector, Term } from '../ast.ts'
import type { Cursor } from './parser-cursor.ts'
import { isFunctionName, isName, isNativeType, isUserTypeName, Keyword, TOKEN_KINDS, Token } from './parser-keywords.ts'
import { parseFunctionName, parseLiteral, parseTermNode, productOperator } from './parser-terms.ts'
import { parseTypeNode } from './parser-types.ts'

/** What may stand behind a column in a selector; anything else is refused right there. */
const FOLLOWS_COLUMN = new Uint8Array(TOKEN_KINDS)
for (const kind of [
  ...[Token.END, Token.COMMA, Token.SEMICOLON, Token.COLON, Token.DOT, Token.LEFT_BRACKET, Token.RIGHT_BRACKET],
  ...[Token.RIGHT_PAREN, Token.RIGHT_BRACE, Token.PLUS, Token.MINUS, Token.STAR, Token.SLASH, Token.PERCENT],
  ...[Keyword.ALLOW, Keyword.AS, Keyword.FROM, Keyword.LIMIT, Keyword.ORDER, Keyword.PER],
])
  FOLLOWS_COLUMN[kind] = 1

export function parseSelector(c: Cursor): Selector {
  c.enter()
  let left = parseProduct(c)
  for (;;) {
    const kind = c.kind
    if (kind !== Token.PLUS && kind !== Token.MINUS) break
    c.at++
    left = { kind: 'arithmetic', operator: kind === Token.PLUS ? '+' : '-', left, right: parseProduct(c) }
  }
  c.leave()
  return left
}

function parseProduct(c: Cursor): Selector {
  let left = parseSigned(c)
  for (;;) {
    const operator = productOperator(c.kind)
    if (operator === null) return left
    c.at++
    left = { kind: 'arithmetic', operator, left, right: parseSigned(c) }
  }
}

function parseSigned(c: Cursor): Selector {
  if (c.kind !== Token.MINUS) return parseModified(c)
  c.enter()
  c.at++
  const of = parseSigned(c)
  c.leave()
  return { kind: 'negation', of }
}

/** Fields, elements and slices of what stands before them. */
function parseModified(c: Cursor): Selector {
  return parseModifiers(c, parseUnmodified(c))
}

function parseModifiers(c: Cursor, base: Selector): Selector {
  let of = base
  let count = 0
  for (;;) {
    if (c.kind !== Token.DOT && c.kind !== Token.LEFT_BRACKET) break
    c.enter()
    count++
    if (c.accept(Token.DOT)) of = { kind: 'field', of, field: c.name() }
    else {
      of = parseSubSelection(c, of)
      c.expect(Token.RIGHT_BRACKET)
    }
  }
  for (; count > 0; count--) c.leave()
  return of
}

function parseSubSelection(c: Cursor, of: Selector): Selector {
  c.at++
  if (c.accept(Token.RANGE)) return { kind: 'slice', of, from: null, to: parseTermNode(c) }
  const from = parseTermNode(c)
  if (!c.accept(Token.RANGE)) return { kind: 'element', of, element: from }
  const to: Term | null = c.kind === Token.RIGHT_BRACKET ? null : parseTermNode(c)
  return { kind: 'slice', of, from, to }
}

/** May a selector begin with such a token? */
export function startsSelector(kind: number): boolean {
  if (isName(kind) || isFunctionName(kind)) return true
  if (kind >= Token.STRING && kind <= Token.NEGATIVE_INFINITY) return true
  switch (kind) {
    case Token.LEFT_PAREN:
    case Token.LEFT_BRACKET:
    case Token.LEFT_BRACE:
    case Token.MINUS:
    case Token.QUESTION:
    case Token.COLON:
    case Keyword.NULL:
    case Keyword.POSITIVE_NAN:
    case Keyword.POSITIVE_INFINITY:
      return true
    default:
      return false
  }
}

function parseUnmodified(c: Cursor): Selector {
  const literal = parseLiteral(c)
  if (literal !== null) {
    c.lookAhead()
    return { kind: 'term', term: literal }
  }
  switch (c.kind) {
    case Token.LEFT_PAREN:
      return hasTypeHint(c) ? parseTypeHint(c) : parseTuple(c)
    case Token.LEFT_BRACKET:
      return parseList(c)
    case Token.LEFT_BRACE:
      return parseBraces(c)
    default:
      return parseNamed(c)
  }
}

function parseNamed(c: Cursor): Selector {
  const kind = c.kind
  const next = c.ahead(1)
  if (next === Token.LEFT_PAREN) return parseFunction(c)
  if (next === Token.DOT && isName(kind) && c.ahead(3) === Token.LEFT_PAREN && isFunctionName(c.ahead(2)))
    return parseCall(c)
  if (kind === Keyword.TOKEN) {
    c.at++
    throw c.mismatched(Token.LEFT_PAREN)
  }
  if (!isName(kind)) throw c.noViable()
  if (FOLLOWS_COLUMN[next] === 0) throw c.noViable(1)
  const name = c.name()
  c.lookAhead()
  return { kind: 'column', name }
}

function parseFunction(c: Cursor): Selector {
  switch (c.kind) {
    case Keyword.COUNT:
      if (c.ahead(2) !== Token.STAR) break
      c.at += 3
      c.expect(Token.RIGHT_PAREN)
      return { kind: 'count_all' }
    case Keyword.WRITETIME:
      return { kind: 'writetime', of: parseMetadataColumn(c) }
    case Keyword.MAXWRITETIME:
      return { kind: 'maxwritetime', of: parseMetadataColumn(c) }
    case Keyword.TTL:
      return { kind: 'ttl', of: parseMetadataColumn(c) }
    case Keyword.CAST:
      return parseCast(c)
  }
  if (c.kind === Token.IDENTIFIER && c.text === 'vclock') {
    const selector = parseVclock(c)
    if (selector !== null) return selector
  }
  if (!isFunctionName(c.kind)) throw isName(c.kind) ? c.noViable(1) : c.noViable()
  return parseCall(c)
}

/** `(column)`, `(column.field)`, `(column[element])` behind WRITETIME and TTL. */
function parseMetadataColumn(c: Cursor): Selector {
  c.at += 2
  const of = parseModifiers(c, { kind: 'column', name: c.name() })
  c.expect(Token.RIGHT_PAREN)
  return of
}

/** `vclock(*)`, `vclock(column)`; null: another function of that name. */
function parseVclock(c: Cursor): Selector | null {
  if (c.ahead(3) !== Token.RIGHT_PAREN || !(c.ahead(2) === Token.STAR || c.isColumnName(2))) return null
  c.at += 2
  const of = c.kind === Token.STAR ? null : c.columnName()
  if (of === null) c.at++
  c.expect(Token.RIGHT_PAREN)
  return { kind: 'vclock', of }
}

function parseCast(c: Cursor): Selector {
  c.at += 2
  const of = parseSelector(c)
  c.expect(Keyword.AS)
  if (!isNativeType(c.kind)) throw c.noViable()
  const type = parseTypeNode(c)
  c.expect(Token.RIGHT_PAREN)
  return { kind: 'cast', of, type }
}

function parseCall(c: Cursor): Selector {
  const name = parseFunctionName(c)
  c.expect(Token.LEFT_PAREN)
  const selectors = c.kind === Token.RIGHT_PAREN ? [] : parseSelectorList(c)
  c.expect(Token.RIGHT_PAREN)
  return { kind: 'function', name, arguments: selectors }
}

function parseSelectorList(c: Cursor): Selector[] {
  // What cannot begin an argument is taken for the end of none.
  if (!startsSelector(c.kind)) throw c.mismatched(Token.RIGHT_PAREN)
  const selectors = [parseSelector(c)]
  while (c.accept(Token.COMMA)) selectors.push(parseSelector(c))
  return selectors
}

function parseList(c: Cursor): Selector {
  c.at++
  const elements: Selector[] = []
  if (c.accept(Token.RIGHT_BRACKET)) return { kind: 'list', elements }
  do elements.push(parseSelector(c))
  while (c.accept(Token.COMMA))
  c.expect(Token.RIGHT_BRACKET)
  return { kind: 'list', elements }
}

/** A set, a map or a user type; the last two look alike, and are told apart by their keys: names of fields look like columns. */
function parseBraces(c: Cursor): Selector {
  c.at++
  if (c.accept(Token.RIGHT_BRACE)) return { kind: 'set', elements: [] }
  const first = parseSelector(c)
  if (!c.accept(Token.COLON)) {
    const elements = [first]
    while (c.accept(Token.COMMA)) elements.push(parseSelector(c))
    c.expect(Token.RIGHT_BRACE)
    return { kind: 'set', elements }
  }
  const entries: [Selector, Selector][] = [[first, parseSelector(c)]]
  while (c.accept(Token.COMMA)) entries.push(parseEntry(c))
  c.expect(Token.RIGHT_BRACE)
  const fields: [string, Selector][] = []
  for (const [key, value] of entries) {
    if (key.kind !== 'column') return { kind: 'map', entries }
    fields.push([key.name, value])
  }
  return { kind: 'udt', fields }
}

function parseEntry(c: Cursor): [Selector, Selector] {
  const key = parseSelector(c)
  c.expect(Token.COLON)
  return [key, parseSelector(c)]
}

/** `(a)` is `a`, `(a, b)` a tuple. */
function parseTuple(c: Cursor): Selector {
  c.at++
  const first = parseSelector(c)
  if (c.accept(Token.RIGHT_PAREN)) return { kind: 'tuple', elements: [first] }
  const elements = [first]
  while (c.accept(Token.COMMA)) elements.push(parseSelector(c))
  c.expect(Token.RIGHT_PAREN)
  return { kind: 'tuple', elements }
}

function parseTypeHint(c: Cursor): Selector {
  c.at++
  const type = parseTypeNode(c)
  c.expect(Token.RIGHT_PAREN)
  c.enter()
  const of = parseUnmodified(c)
  c.leave()
  return { kind: 'typehint', type, of }
}

/** Is this `(type) selector`? Then the parentheses hold a type and nothing else, and something to select follows. */
function hasTypeHint(c: Cursor): boolean {
  const end = typeEnd(c, 1)
  if (end < 0 || c.ahead(end) !== Token.RIGHT_PAREN) return false
  const next = c.ahead(end + 1)
  if (next === Token.LEFT_BRACKET) return !isSlice(c, end + 1)
  if (next === Keyword.AS) return !isName(c.ahead(end + 2))
  return next !== Token.MINUS && startsSelector(next)
}

/** Places behind the type that begins there, -1 if there is none. Only its outline is checked. */
function typeEnd(c: Cursor, start: number): number {
  const kind = c.ahead(start)
  if (kind === Token.STRING) return start + 1
  if (!isName(kind) && kind !== Keyword.SET) return -1
  if (c.ahead(start + 1) === Token.DOT) return isUserTypeName(c.ahead(start + 2)) ? start + 3 : -1
  if (c.ahead(start + 1) !== Token.LESS) return start + 1
  let depth = 0
  for (let i = start + 1; ; i++) {
    switch (c.ahead(i)) {
      case Token.LESS:
        depth++
        break
      case Token.GREATER:
        if (--depth === 0) return i + 1
        break
      case Token.END:
      case Token.ERROR:
      case Token.LEFT_PAREN:
      case Token.RIGHT_PAREN:
        return -1
    }
  }
}

/** Does the bracket there hold a slice `[from..to]` rather than a list? */
function isSlice(c: Cursor, start: number): boolean {
  let depth = 0
  for (let i = start; ; i++) {
    switch (c.ahead(i)) {
      case Token.LEFT_BRACKET:
        depth++
        break
      case Token.RIGHT_BRACKET:
        if (--depth === 0) return false
        break
      case Token.RANGE:
        if (depth === 1) return true
        break
      case Token.END:
      case Token.ERROR:
        return false
    }
  }
}
