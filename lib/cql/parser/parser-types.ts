/**
 * Types as they are written: `map<text, frozen<list<int>>>`, `ks.address`, `vector<float, 3>`, `'org.apache…'`.
 * Source: CQL 3.4.7 "Data types". Names and classes are not looked up here, and what may be frozen is checked there too.
 */
import { syntaxError } from '../../base/errors.ts'
import type { TypeNode } from '../ast.ts'
import type { Cursor } from './parser-cursor.ts'
import { isName, isNativeType, isUserTypeName, Keyword, Token } from './parser-keywords.ts'

const INT_MAX = 2n ** 31n - 1n

/** Words that no user type may be named, kept for types to come. */
const RESERVED_TYPE_NAMES = new Set(['byte', 'complex', 'enum', 'date', 'interval', 'macaddr', 'bitstring'])

/** What may stand behind a native type somewhere; anything else is refused right there. */
const FOLLOWS_TYPE = new Set<number>([
  ...[Token.END, Token.SEMICOLON, Token.COMMA, Token.RIGHT_PAREN, Token.GREATER],
  ...[Keyword.FINALFUNC, Keyword.INITCOND, Keyword.LANGUAGE, Keyword.MASKED, Keyword.PRIMARY, Keyword.STATIC],
])

export function parseTypeNode(c: Cursor): TypeNode {
  c.enter()
  const type = parseAnyType(c)
  c.leave()
  return type
}

function parseAnyType(c: Cursor): TypeNode {
  const kind = c.kind
  if (kind === Keyword.SET && c.ahead(1) !== Token.LESS) {
    c.at++
    throw c.mismatched(Token.LESS)
  }
  if (c.ahead(1) === Token.LESS) {
    if (kind === Keyword.LIST || kind === Keyword.SET) {
      c.at += 2
      const element = parseTypeNode(c)
      c.expect(Token.GREATER)
      return { kind: kind === Keyword.LIST ? 'list' : 'set', element }
    }
    if (kind === Keyword.MAP) return parseMap(c)
    if (kind === Keyword.TUPLE) return parseTuple(c)
    if (kind === Keyword.VECTOR) return parseVector(c)
    if (kind === Keyword.FROZEN) return parseFrozen(c)
  }
  if (kind === Token.STRING) return { kind: 'custom', className: c.expect(Token.STRING) }
  if (isNativeType(kind) && c.ahead(1) !== Token.DOT) {
    if (!FOLLOWS_TYPE.has(c.ahead(1))) throw c.noViable(1)
    const name = c.name()
    c.lookAhead()
    return { kind: 'named', keyspace: null, name, quoted: false }
  }
  return parseUserTypeName(c)
}

function parseMap(c: Cursor): TypeNode {
  c.at += 2
  const key = parseTypeNode(c)
  c.expect(Token.COMMA)
  const value = parseTypeNode(c)
  c.expect(Token.GREATER)
  return { kind: 'map', key, value }
}

function parseTuple(c: Cursor): TypeNode {
  c.at += 2
  const elements = [parseTypeNode(c)]
  while (c.accept(Token.COMMA)) elements.push(parseTypeNode(c))
  c.expect(Token.GREATER)
  return { kind: 'tuple', elements }
}

function parseVector(c: Cursor): TypeNode {
  c.at += 2
  const element = parseTypeNode(c)
  c.expect(Token.COMMA)
  const dimension = Number(c.expectInteger(INT_MAX))
  c.expect(Token.GREATER)
  return { kind: 'vector', element, dimension }
}

function parseFrozen(c: Cursor): TypeNode {
  c.at += 2
  const inner = parseTypeNode(c)
  c.expect(Token.GREATER)
  return { kind: 'frozen', inner }
}

/** A user type: `[keyspace.]name`. */
export function parseUserTypeName(c: Cursor): TypeNode & { readonly kind: 'named' } {
  let keyspace: string | null = null
  if (c.ahead(1) === Token.DOT && isName(c.kind)) {
    keyspace = c.name()
    c.at++
  } else if (isName(c.kind) && !isUserTypeName(c.kind)) {
    c.at++
    throw c.mismatched(Token.DOT)
  }
  if (!isUserTypeName(c.kind)) throw c.noViable()
  const quoted = c.kind === Token.QUOTED_NAME
  // Only as written here: `BYTE` is let through, as Cassandra does.
  if (c.kind === Token.IDENTIFIER && RESERVED_TYPE_NAMES.has(c.raw))
    throw syntaxError(`Invalid (reserved) user type name ${c.raw}`)
  const name = c.name()
  return { kind: 'named', keyspace, name, quoted }
}
