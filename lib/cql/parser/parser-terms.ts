/**
 * Terms: constants, collections, tuples, user types, function calls, casts and arithmetic. Source: CQL 3.4.7 "Terms".
 * Always: decided by looking ahead a few tokens, never by trying; a bare column is no term.
 */
import type { RequestError } from '../../base/errors.ts'
import type { ConstantKind, InValues, QualifiedName, Term } from '../ast.ts'
import type { Cursor } from './parser-cursor.ts'
import { isFunctionName, isName, isNativeType, Keyword, TOKEN_KINDS, Token } from './parser-keywords.ts'
import { parseTypeNode } from './parser-types.ts'

/** What may stand behind a term somewhere; anything else is refused right there. */
const FOLLOWS_TERM = new Uint8Array(TOKEN_KINDS)
for (const kind of [
  ...[Token.END, Token.COMMA, Token.SEMICOLON, Token.COLON, Token.RANGE, Token.RIGHT_PAREN, Token.RIGHT_BRACKET],
  ...[Token.RIGHT_BRACE, Token.PLUS, Token.MINUS, Token.STAR, Token.SLASH, Token.PERCENT],
  ...[Keyword.ALLOW, Keyword.AND, Keyword.APPLY, Keyword.AS, Keyword.ASC, Keyword.DELETE, Keyword.DESC],
  ...[Keyword.GROUP, Keyword.IF, Keyword.INSERT, Keyword.LIMIT, Keyword.ORDER, Keyword.PER, Keyword.PRIMARY],
  ...[Keyword.UPDATE, Keyword.WHERE],
])
  FOLLOWS_TERM[kind] = 1

/** What a term may begin with, besides names and constants. */
const STARTS_TERM = new Set<number>([
  ...[Token.LEFT_PAREN, Token.LEFT_BRACE, Token.LEFT_BRACKET, Token.QUESTION, Token.COLON],
  ...[Keyword.NULL, Keyword.TOKEN, Keyword.POSITIVE_NAN, Keyword.POSITIVE_INFINITY],
])

/** A whole term: `a + b * c`. */
export function parseTermNode(c: Cursor): Term {
  c.enter()
  let left = parseProduct(c)
  for (;;) {
    const kind = c.kind
    if (kind !== Token.PLUS && kind !== Token.MINUS) break
    // `value + column`, the prepending of UPDATE: left to parseAssignment.
    if (kind === Token.PLUS && c.isColumnName(1) && !startsCall(c, 1)) break
    c.at++
    left = { kind: 'arithmetic', operator: kind === Token.PLUS ? '+' : '-', left, right: parseProduct(c) }
  }
  c.leave()
  if (FOLLOWS_TERM[c.kind] === 0) throw refuseFollower(c)
  c.lookAhead()
  return left
}

/** A marker is told from its like by what follows it: the error stands at the marker. */
function refuseFollower(c: Cursor): RequestError {
  if (c.kinds[c.at - 1] !== Token.QUESTION) return c.noViable()
  c.at--
  return c.noViable(1)
}

function parseProduct(c: Cursor): Term {
  let left = parseSigned(c)
  for (;;) {
    const operator = productOperator(c.kind)
    if (operator === null) return left
    c.at++
    left = { kind: 'arithmetic', operator, left, right: parseSigned(c) }
  }
}

export function productOperator(kind: number): '*' | '/' | '%' | null {
  if (kind === Token.STAR) return '*'
  if (kind === Token.SLASH) return '/'
  return kind === Token.PERCENT ? '%' : null
}

function parseSigned(c: Cursor): Term {
  if (c.kind !== Token.MINUS) return parseSimpleTerm(c)
  c.at++
  return { kind: 'negation', term: parseSimpleTerm(c) }
}

function parseSimpleTerm(c: Cursor): Term {
  const literal = parseLiteral(c)
  if (literal !== null) return literal
  c.enter()
  const term = parseComposite(c)
  c.leave()
  return term
}

function parseComposite(c: Cursor): Term {
  switch (c.kind) {
    case Token.LEFT_BRACKET:
      return parseList(c)
    case Token.LEFT_BRACE:
      return parseBraces(c)
    case Token.LEFT_PAREN:
      return startsTypeHint(c) ? parseTypeHint(c) : parseTupleTerm(c)
  }
  if (c.kind === Keyword.CAST && c.ahead(1) === Token.LEFT_PAREN) return parseCast(c)
  return parseCall(c)
}

/** Constants, null and markers: null if none is here. */
export function parseLiteral(c: Cursor): Term | null {
  switch (c.kind) {
    case Keyword.NULL:
      c.at++
      return { kind: 'null' }
    case Token.QUESTION:
    case Token.COLON:
      return c.marker()
    default:
      return parseConstant(c)
  }
}

/** Null if no constant is here. */
export function parseConstant(c: Cursor): (Term & { readonly kind: 'constant' }) | null {
  switch (c.kind) {
    case Token.STRING:
      return constant(c, 'string')
    case Token.INTEGER:
      return constant(c, 'integer')
    case Token.FLOAT:
      return parseFloatConstant(c)
    case Token.BOOLEAN: {
      const text = c.raw
      c.at++
      return { kind: 'constant', type: 'boolean', text }
    }
    case Token.DURATION:
      return constant(c, 'duration')
    case Token.UUID:
      return constant(c, 'uuid')
    case Token.HEX:
      return constant(c, 'hex')
    case Keyword.POSITIVE_NAN:
    case Token.NEGATIVE_NAN:
      c.at++
      return { kind: 'constant', type: 'float', text: 'NaN' }
    case Keyword.POSITIVE_INFINITY:
      c.at++
      return { kind: 'constant', type: 'float', text: 'Infinity' }
    case Token.NEGATIVE_INFINITY:
      c.at++
      return { kind: 'constant', type: 'float', text: '-Infinity' }
    default:
      return null
  }
}

function constant(c: Cursor, type: ConstantKind): Term & { readonly kind: 'constant' } {
  const text = c.text
  c.at++
  return { kind: 'constant', type, text }
}

/** Cassandra reads every float as a double first, and fails on one that is out of its range. */
function parseFloatConstant(c: Cursor): Term & { readonly kind: 'constant' } {
  if (!Number.isFinite(Number(c.text)))
    throw c.failed(
      'NumberFormatException Character I is neither a decimal digit number, decimal point, nor "e" notation exponential mark.',
    )
  return constant(c, 'float')
}

function parseList(c: Cursor): Term {
  c.at++
  const elements: Term[] = []
  if (c.accept(Token.RIGHT_BRACKET)) return { kind: 'list', elements }
  do elements.push(parseTermNode(c))
  while (c.accept(Token.COMMA))
  c.expect(Token.RIGHT_BRACKET)
  return { kind: 'list', elements }
}

/** A set, a map or a user type: `{1, 2}`, `{1: 2}`, `{a: 1}`, `{}`. */
function parseBraces(c: Cursor): Term {
  c.at++
  if (c.accept(Token.RIGHT_BRACE)) return { kind: 'set', elements: [] }
  if (isName(c.kind) && c.ahead(1) === Token.COLON) return parseUserTypeTerm(c)
  const first = parseTermNode(c)
  if (!c.accept(Token.COLON)) {
    const elements = [first]
    while (c.accept(Token.COMMA)) elements.push(parseTermNode(c))
    c.expect(Token.RIGHT_BRACE)
    return { kind: 'set', elements }
  }
  const entries: [Term, Term][] = [[first, parseTermNode(c)]]
  while (c.accept(Token.COMMA)) entries.push(parseEntry(c))
  c.expect(Token.RIGHT_BRACE)
  return { kind: 'map', entries }
}

function parseEntry(c: Cursor): [Term, Term] {
  const key = parseTermNode(c)
  c.expect(Token.COLON)
  return [key, parseTermNode(c)]
}

function parseUserTypeTerm(c: Cursor): Term {
  // A field that is given twice has its last value.
  const fields = new Map<string, Term>()
  do {
    const name = c.name()
    c.expect(Token.COLON)
    fields.set(name, parseTermNode(c))
  } while (c.accept(Token.COMMA))
  c.expect(Token.RIGHT_BRACE)
  return { kind: 'udt', fields: [...fields] }
}

/** `(1, 2)`; the parenthesis is known to be here. */
export function parseTupleTerm(c: Cursor): Term {
  const follower = c.ahead(1)
  if (follower === Token.RIGHT_PAREN) throw c.noViable(1)
  c.at++
  const elements = [parseTermNode(c)]
  while (c.accept(Token.COMMA)) elements.push(parseTermNode(c))
  c.expect(Token.RIGHT_PAREN)
  return { kind: 'tuple', elements }
}

/** Is `(` followed by a type? A name there is one unless it is called; a string is one if a term follows the parenthesis. */
function startsTypeHint(c: Cursor): boolean {
  const kind = c.ahead(1)
  if (kind === Token.STRING) return c.ahead(2) === Token.RIGHT_PAREN && startsTerm(c, 3)
  if (kind === Keyword.SET) return true
  if (!isName(kind) && kind !== Keyword.TOKEN) return false
  return !startsCall(c, 1)
}

function startsTerm(c: Cursor, places: number): boolean {
  const kind = c.ahead(places)
  if (STARTS_TERM.has(kind) || (kind >= Token.STRING && kind <= Token.NEGATIVE_INFINITY)) return true
  return isName(kind) && startsCall(c, places)
}

function parseTypeHint(c: Cursor): Term {
  c.at++
  const type = parseTypeNode(c)
  c.expect(Token.RIGHT_PAREN)
  return { kind: 'typehint', type, term: parseSimpleTerm(c) }
}

/** CAST is a function for each type, as in Cassandra's own trees: `CAST(x AS text)` is `system.cast_as_text(x)`. */
function parseCast(c: Cursor): Term {
  c.at += 2
  const term = parseSimpleTerm(c)
  c.expect(Keyword.AS)
  if (!isNativeType(c.kind)) throw c.noViable()
  const type = c.name()
  c.expect(Token.RIGHT_PAREN)
  return { kind: 'function', name: { keyspace: 'system', name: `cast_as_${type}` }, arguments: [term] }
}

/** Is a function called there: `f(`, `keyspace.f(`, or CAST? */
export function startsCall(c: Cursor, places: number): boolean {
  const next = c.ahead(places + 1)
  if (next === Token.LEFT_PAREN) return isFunctionName(c.ahead(places)) || c.ahead(places) === Keyword.CAST
  return next === Token.DOT && isName(c.ahead(places)) && c.ahead(places + 3) === Token.LEFT_PAREN
}

/** `[keyspace.]function(arguments)`: what a term that begins with a name must be. */
function parseCall(c: Cursor): Term {
  const kind = c.kind
  if (!isName(kind) && kind !== Keyword.TOKEN) throw c.noViable()
  if (!startsCall(c, 0)) throw c.noViable(c.ahead(1) === Token.DOT && isFunctionName(c.ahead(2)) ? 3 : 1)
  const name = parseFunctionName(c)
  return { kind: 'function', name, arguments: parseTermArguments(c) }
}

/** `(a, b)`, `()`. */
export function parseTermArguments(c: Cursor): Term[] {
  c.expect(Token.LEFT_PAREN)
  const terms: Term[] = []
  if (c.accept(Token.RIGHT_PAREN)) return terms
  do terms.push(parseTermNode(c))
  while (c.accept(Token.COMMA))
  c.expect(Token.RIGHT_PAREN)
  return terms
}

export function parseFunctionName(c: Cursor): QualifiedName {
  const hasKeyspace = c.ahead(1) === Token.DOT
  const keyspace = hasKeyspace ? c.keyspaceName() : null
  if (hasKeyspace) c.at++
  return { keyspace, name: parseBareFunctionName(c) }
}

/** A function's name where no keyspace may be given: SFUNC, FINALFUNC. */
export function parseBareFunctionName(c: Cursor): string {
  if (!isFunctionName(c.kind)) throw c.noViable()
  const name = c.text
  c.at++
  return name
}

/** An integer or a marker: LIMIT, TTL, TIMESTAMP. */
export function parseIntegerTerm(c: Cursor): Term {
  if (c.kind === Token.INTEGER) return constant(c, 'integer')
  const marker = c.marker()
  if (marker === null) throw c.noViable()
  return marker
}

/** Bytes in hex, NULL or a marker. */
export function parseBlobTerm(c: Cursor): Term {
  if (c.kind === Token.HEX) return constant(c, 'hex')
  if (c.accept(Keyword.NULL)) return { kind: 'null' }
  const marker = c.marker()
  if (marker === null) throw c.noViable()
  return marker
}

/** What follows `column IN`: a list in parentheses, or one marker for all of it. Null if neither is here. */
export function parseInValues(c: Cursor): InValues | null {
  const marker = c.marker()
  if (marker !== null) return { kind: 'marker', marker }
  if (c.kind !== Token.LEFT_PAREN) return null
  return { kind: 'terms', terms: parseTermArguments(c) }
}
