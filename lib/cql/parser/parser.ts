/**
 * From a CQL text to its syntax tree: recursive descent, written by hand. Source: CQL 3.4.7 (Cassandra 5.0).
 * Always: throws nothing but RequestErrors, SYNTAX_ERROR but for too many markers; time and memory are linear in the text.
 * Rules are functions `parseX(cursor)`, one file for each group of statements: select, modify, schema, auth, describe; and below them
 * relations, selectors, terms, types, properties.
 */
import type { ParsedStatement, Statement, Term, TypeNode } from '../ast.ts'
import { parseAddIdentity, parseGrant, parseList } from './parser-auth.ts'
import { Cursor } from './parser-cursor.ts'
import { parseDescribe } from './parser-describe.ts'
import { Keyword, Token } from './parser-keywords.ts'
import { parseBatch, parseModification } from './parser-modify.ts'
import { parseAlter, parseCreate, parseDrop } from './parser-schema.ts'
import { parseSelect } from './parser-select.ts'
import { parseTermNode } from './parser-terms.ts'
import { parseTypeNode } from './parser-types.ts'

/** One statement, with or without semicolons at its end. */
export function parseStatement(text: string): ParsedStatement {
  const c = new Cursor(text)
  const statement = parseAny(c)
  while (c.accept(Token.SEMICOLON));
  c.expect(Token.END)
  c.checkMarkers()
  return { statement, markers: c.markers }
}

/** A type on its own: column types of DDL, argument types. */
export function parseType(text: string): TypeNode {
  const c = new Cursor(text)
  const type = parseTypeNode(c)
  c.expect(Token.END)
  return type
}

/** A term on its own. */
export function parseTerm(text: string): Term {
  const c = new Cursor(text)
  const term = parseTermNode(c)
  c.expect(Token.END)
  return term
}

function parseAny(c: Cursor): Statement {
  switch (c.kind) {
    case Keyword.SELECT:
      return parseSelect(c)
    case Keyword.INSERT:
    case Keyword.UPDATE:
    case Keyword.DELETE:
      return parseModification(c)!
    case Keyword.BEGIN:
      return parseBatch(c)
    case Keyword.USE:
      c.at++
      return { kind: 'use', keyspace: c.keyspaceName() }
    case Keyword.TRUNCATE:
      c.at++
      c.accept(Keyword.COLUMNFAMILY)
      return { kind: 'truncate', table: c.qualifiedName() }
    case Keyword.CREATE:
      return parseCreate(c)
    case Keyword.ALTER:
      return parseAlter(c)
    case Keyword.DROP:
      return parseDrop(c)
    case Keyword.GRANT:
    case Keyword.REVOKE:
      return parseGrant(c)
    case Keyword.LIST:
      return parseList(c)
    case Keyword.ADD:
      return parseAddIdentity(c)
    case Keyword.DESCRIBE:
    case Keyword.DESC:
      return parseDescribe(c)
    default:
      throw c.noViable()
  }
}
