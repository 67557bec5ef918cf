/**
 * Types as they are written: `map<text, frozen<list<int>>>`, `ks.address`, `vector<float, 3>`, `'org.apache…'`.
 * Source: CQL 3.4.7 "Data types". Names of user types are not looked up here.
 */
import { syntaxError } from '../base/errors.ts'
import type { TypeNode } from './ast.ts'
import type { Cursor } from './parser-cursor.ts'
import { isName, isNativeType, isUserTypeName, KEYWORD_KINDS, Keyword, Token } from './parser-keywords.ts'

/** Words that no user type may be named, kept for types to come. */
const RESERVED_TYPE_NAMES = new Set(['byte', 'complex', 'enum', 'date', 'interval', 'macaddr', 'bitstring'])

const MARSHAL = 'org.apache.cassandra.db.marshal.'
const MARSHAL_CLASSES = new Set([
  ...['AsciiType', 'BooleanType', 'ByteType', 'BytesType', 'CompositeType', 'CounterColumnType', 'DateType'],
  ...['DecimalType', 'DoubleType', 'DurationType', 'DynamicCompositeType', 'EmptyType', 'FloatType', 'FrozenType'],
  ...['InetAddressType', 'Int32Type', 'IntegerType', 'LegacyTimeUUIDType', 'LexicalUUIDType', 'ListType', 'LongType'],
  ...['MapType', 'PartitionerDefinedOrder', 'ReversedType', 'SetType', 'ShortType', 'SimpleDateType', 'TimeType'],
  ...['TimeUUIDType', 'TimestampType', 'TupleType', 'UTF8Type', 'UUIDType', 'UserType', 'VectorType'],
])

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
  if (kind === Token.STRING) return parseCustom(c)
  if (isNativeType(kind) && c.ahead(1) !== Token.DOT) {
    if (!FOLLOWS_TYPE.has(c.ahead(1))) throw c.noViable(1)
    return { kind: 'named', keyspace: null, name: c.name(), quoted: false }
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
  const dimension = Number(c.expect(Token.INTEGER))
  c.expect(Token.GREATER)
  return { kind: 'vector', element, dimension }
}

function parseFrozen(c: Cursor): TypeNode {
  c.at += 2
  const inner = parseTypeNode(c)
  const scalar = scalarName(inner)
  if (scalar !== null)
    throw syntaxError(`frozen<> is only allowed on collections, tuples, and user-defined types (got ${scalar})`)
  c.expect(Token.GREATER)
  return { kind: 'frozen', inner }
}

/** What cannot be frozen, by the name that messages give it; null for collections, tuples and user types. */
function scalarName(type: TypeNode): string | null {
  if (type.kind === 'custom') return `'${type.className}'`
  if (type.kind !== 'named' || type.quoted || type.keyspace !== null) return null
  return isNativeType(KEYWORD_KINDS.get(type.name) ?? Token.IDENTIFIER) ? type.name : null
}

/** The class of a custom type must be one that Cassandra has; its parameters are read where the type is used. */
function parseCustom(c: Cursor): TypeNode {
  const text = c.expect(Token.STRING)
  const open = text.indexOf('(')
  const name = (open < 0 ? text : text.slice(0, open)).trim()
  if (open >= 0 && !text.trimEnd().endsWith(')'))
    throw syntaxError(
      `Cannot parse type ${text}: Syntax error parsing '${text}' at char ${text.length}: unexpected end of string`,
    )
  const className = name.includes('.') ? name : MARSHAL + (name === '' ? 'BytesType' : name)
  if (!className.startsWith(MARSHAL) || !MARSHAL_CLASSES.has(className.slice(MARSHAL.length)))
    throw syntaxError(`Error setting type ${text}: Unable to find abstract-type class '${className}'`)
  return { kind: 'custom', className: className + (open < 0 ? '' : text.slice(open)) }
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
