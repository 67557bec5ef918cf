/** DESCRIBE and DESC. Source: CQL 3.4.7 "DESCRIBE" (server side, since Cassandra 4.0). */
import type { DescribeStatement, QualifiedName } from '../ast.ts'
import type { Cursor } from './parser-cursor.ts'
import { isName, Keyword, Token } from './parser-keywords.ts'
import { parseFunctionName } from './parser-terms.ts'
import { parseUserTypeName } from './parser-types.ts'

type Target = DescribeStatement['target']

/** DESCRIBE or DESC is known to be here. */
export function parseDescribe(c: Cursor): DescribeStatement {
  c.at++
  const target = parseTarget(c)
  const internals = c.accept(Keyword.WITH)
  if (internals) c.expect(Keyword.INTERNALS)
  return { kind: 'describe', internals, target }
}

const LISTS: ReadonlyMap<number, 'keyspaces' | 'tables' | 'types' | 'functions' | 'aggregates'> = new Map([
  [Keyword.KEYSPACES, 'keyspaces'],
  [Keyword.TABLES, 'tables'],
  [Keyword.TYPES, 'types'],
  [Keyword.FUNCTIONS, 'functions'],
  [Keyword.AGGREGATES, 'aggregates'],
])

function parseTarget(c: Cursor): Target {
  const list = LISTS.get(c.kind)
  if (list !== undefined) {
    c.at++
    c.lookAhead()
    return { kind: list }
  }
  switch (c.kind) {
    case Keyword.CLUSTER:
      c.at++
      c.lookAhead()
      return { kind: 'cluster' }
    case Keyword.SCHEMA:
      c.at++
      return { kind: 'schema', full: false }
    case Keyword.FULL:
      c.at++
      c.expect(Keyword.SCHEMA)
      return { kind: 'schema', full: true }
    case Keyword.KEYSPACE:
      return parseKeyspace(c, false)
    case Keyword.ONLY:
      if (c.ahead(1) !== Keyword.KEYSPACE) break
      c.at++
      return parseKeyspace(c, true)
    case Keyword.COLUMNFAMILY:
      c.at++
      return { kind: 'table', name: c.qualifiedName() }
    case Keyword.INDEX:
      c.at++
      return { kind: 'index', name: c.qualifiedName() }
    case Keyword.MATERIALIZED:
      c.at++
      c.expect(Keyword.VIEW)
      return { kind: 'view', name: c.qualifiedName() }
  }
  return parseNamedTarget(c)
}

function parseKeyspace(c: Cursor, only: boolean): Target {
  c.at++
  const name = isName(c.kind) || c.kind === Token.QUESTION ? c.keyspaceName() : null
  return { kind: 'keyspace', only, name }
}

/** TYPE, FUNCTION and AGGREGATE may also be names themselves: then no name follows. */
function parseNamedTarget(c: Cursor): Target {
  if (isName(c.ahead(1)) || c.ahead(1) === Keyword.TOKEN)
    switch (c.kind) {
      case Keyword.TYPE: {
        c.at++
        const { keyspace, name } = parseUserTypeName(c)
        return { kind: 'type', name: { keyspace, name } }
      }
      case Keyword.FUNCTION:
        c.at++
        return { kind: 'function', name: parseFunctionName(c) }
      case Keyword.AGGREGATE:
        c.at++
        return { kind: 'aggregate', name: parseFunctionName(c) }
    }
  return { kind: 'generic', name: parseGenericName(c) }
}

function parseGenericName(c: Cursor): QualifiedName {
  const first = c.name()
  if (!c.accept(Token.DOT)) return { keyspace: null, name: first }
  return { keyspace: first, name: c.name() }
}
