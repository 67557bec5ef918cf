/** `WITH name = value AND …`: values are literals or maps of literals. Source: CQL 3.4.7 "Data definition". */
import { syntaxError } from '../../base/errors.ts'
import type { Property, PropertyValue, Term } from '../ast.ts'
import { termText } from '../terms/terms-text.ts'
import type { Cursor } from './parser-cursor.ts'
import { isName, Keyword, Token } from './parser-keywords.ts'
import { parseConstant, parseTermNode } from './parser-terms.ts'

/** Properties joined by AND; what else a statement allows between them is read by `other`, which says whether it found it. */
export function parseProperties(c: Cursor, other: (c: Cursor) => boolean = nothingElse): Property[] {
  const properties: Property[] = []
  const names = new Set<string>()
  do {
    if (other(c)) continue
    const property = parseProperty(c)
    if (names.has(property.name)) throw syntaxError(`Multiple definitions for property '${property.name}'`)
    names.add(property.name)
    properties.push(property)
  } while (c.accept(Keyword.AND))
  return properties
}

function nothingElse(): boolean {
  return false
}

function parseProperty(c: Cursor): Property {
  if (!isName(c.kind)) throw c.noViable()
  if (c.ahead(1) !== Token.EQUAL) throw c.noViable(1)
  const decision = c.at
  const name = c.name()
  c.at++
  if (c.kind === Token.LEFT_BRACE) return { name, value: parsePropertyMap(c) }
  const constant = parseConstant(c)
  if (constant !== null) return { name, value: { kind: 'literal', text: constant.text, type: constant.type } }
  if (isName(c.kind) && c.kind !== Token.IDENTIFIER && c.kind !== Token.QUOTED_NAME)
    return { name, value: { kind: 'literal', text: c.name(), type: 'identifier' } }
  c.at = decision
  throw c.noViable(2)
}

/** `{'class': 'SimpleStrategy', …}`; the brace is known to be here. */
export function parsePropertyMap(c: Cursor): PropertyValue {
  c.at++
  const entries = new Map<string, string>()
  if (c.accept(Token.RIGHT_BRACE)) return { kind: 'map', entries: [] }
  do {
    if (isName(c.kind) && c.ahead(1) === Token.COLON) throw c.noViable(1)
    const key = parseTermNode(c)
    c.expect(Token.COLON)
    addEntry(entries, key, parseTermNode(c))
  } while (c.accept(Token.COMMA))
  c.expect(Token.RIGHT_BRACE)
  return { kind: 'map', entries: [...entries] }
}

function addEntry(entries: Map<string, string>, key: Term, value: Term): void {
  if (key.kind !== 'constant') throw syntaxError(`Invalid property name: ${termText(key)}${markerHint(key)}`)
  if (value.kind !== 'constant')
    throw syntaxError(`Invalid property value: ${termText(value)} for property: ${termText(key)}${markerHint(value)}`)
  if (entries.has(key.text)) throw syntaxError(`Multiple definition for property ${key.text}`)
  entries.set(key.text, value.text)
}

function markerHint(term: Term): string {
  return term.kind === 'marker' ? ' (bind variables are not supported in DDL queries)' : ''
}
