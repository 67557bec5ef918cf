/** CREATE, ALTER and DROP: which of them is meant, keyspaces, views, indexes and triggers. Source: CQL 3.4.7 "Data definition". */
import { syntaxError } from '../../base/errors.ts'
import type { AuthStatement, SchemaStatement } from '../ast.ts'
import { parseAlterAuth, parseCreateAuth, parseDropAuth } from './parser-auth.ts'
import type { Cursor } from './parser-cursor.ts'
import { parseCreateAggregate, parseCreateFunction, parseDropAggregate, parseDropFunction } from './parser-functions.ts'
import { isName, Keyword, Token } from './parser-keywords.ts'
import { parseProperties } from './parser-properties.ts'
import { parseWhereClause } from './parser-relations.ts'
import { parseSelectClauses } from './parser-select.ts'
import {
  type ClusteringOrder,
  parseAlterTable,
  parseClusteringOrder,
  parseCreateTable,
  parsePrimaryKey,
} from './parser-tables.ts'
import { parseAlterType, parseCreateType, parseDropType } from './parser-user-types.ts'

/** CREATE is known to be here. */
export function parseCreate(c: Cursor): SchemaStatement | AuthStatement {
  switch (c.ahead(1)) {
    case Keyword.COLUMNFAMILY:
      return parseCreateTable(c)
    case Keyword.KEYSPACE:
      return parseCreateKeyspace(c)
    case Keyword.INDEX:
    case Keyword.CUSTOM:
      return parseCreateIndex(c)
    case Keyword.TYPE:
      return parseCreateType(c)
    case Keyword.MATERIALIZED:
      return parseCreateView(c)
    case Keyword.TRIGGER:
      return parseCreateTrigger(c)
    case Keyword.FUNCTION:
      return parseCreateFunction(c, false)
    case Keyword.AGGREGATE:
      return parseCreateAggregate(c, false)
    case Keyword.OR:
      if (c.ahead(2) !== Keyword.REPLACE) throw c.noViable(2)
      if (c.ahead(3) === Keyword.FUNCTION) return parseCreateFunction(c, true)
      if (c.ahead(3) === Keyword.AGGREGATE) return parseCreateAggregate(c, true)
      throw c.noViable(3)
    case Keyword.ROLE:
    case Keyword.USER:
      return parseCreateAuth(c)
    default:
      throw c.noViable(1)
  }
}

/** ALTER is known to be here. */
export function parseAlter(c: Cursor): SchemaStatement | AuthStatement {
  switch (c.ahead(1)) {
    case Keyword.COLUMNFAMILY:
      return parseAlterTable(c)
    case Keyword.KEYSPACE: {
      c.at += 2
      const ifExists = c.acceptIfExists()
      const name = c.keyspaceName()
      c.expect(Keyword.WITH)
      return { kind: 'alter_keyspace', name, ifExists, properties: parseProperties(c) }
    }
    case Keyword.TYPE:
      return parseAlterType(c)
    case Keyword.MATERIALIZED: {
      c.at += 2
      c.expect(Keyword.VIEW)
      const ifExists = c.acceptIfExists()
      const view = c.qualifiedName()
      c.expect(Keyword.WITH)
      return { kind: 'alter_view', view, ifExists, properties: parseProperties(c) }
    }
    case Keyword.ROLE:
    case Keyword.USER:
      return parseAlterAuth(c)
    default:
      throw c.noViable(1)
  }
}

/** DROP is known to be here. */
export function parseDrop(c: Cursor): SchemaStatement | AuthStatement {
  switch (c.ahead(1)) {
    case Keyword.COLUMNFAMILY: {
      c.at += 2
      const ifExists = c.acceptIfExists()
      return { kind: 'drop_table', table: c.qualifiedName(), ifExists }
    }
    case Keyword.KEYSPACE: {
      c.at += 2
      const ifExists = c.acceptIfExists()
      return { kind: 'drop_keyspace', name: c.keyspaceName(), ifExists }
    }
    case Keyword.INDEX: {
      c.at += 2
      const ifExists = c.acceptIfExists()
      return { kind: 'drop_index', index: c.qualifiedName('index'), ifExists }
    }
    case Keyword.MATERIALIZED: {
      c.at += 2
      c.expect(Keyword.VIEW)
      const ifExists = c.acceptIfExists()
      return { kind: 'drop_view', view: c.qualifiedName(), ifExists }
    }
    case Keyword.TRIGGER:
      return parseDropTrigger(c)
    case Keyword.TYPE:
      return parseDropType(c)
    case Keyword.FUNCTION:
      return parseDropFunction(c)
    case Keyword.AGGREGATE:
      return parseDropAggregate(c)
    case Keyword.ROLE:
    case Keyword.USER:
    case Keyword.IDENTITY:
      return parseDropAuth(c)
    default:
      throw c.noViable(1)
  }
}

function parseCreateKeyspace(c: Cursor): SchemaStatement {
  c.at += 2
  const ifNotExists = c.acceptIfNotExists()
  const name = c.keyspaceName()
  c.expect(Keyword.WITH)
  return { kind: 'create_keyspace', name, ifNotExists, properties: parseProperties(c) }
}

type CreateIndex = SchemaStatement & { readonly kind: 'create_index' }

function parseCreateIndex(c: Cursor): SchemaStatement {
  c.at++
  const custom = c.accept(Keyword.CUSTOM)
  c.expect(Keyword.INDEX)
  const ifNotExists = c.acceptIfNotExists()
  const name = c.kind === Keyword.ON ? null : { keyspace: null, name: c.indexName() }
  c.expect(Keyword.ON)
  const table = c.qualifiedName()
  c.expect(Token.LEFT_PAREN)
  const targets: CreateIndex['targets'][number][] = []
  if (c.kind !== Token.RIGHT_PAREN) {
    if (!startsIndexTarget(c)) throw c.mismatched(Token.RIGHT_PAREN)
    do targets.push(parseIndexTarget(c))
    while (c.accept(Token.COMMA))
  }
  c.expect(Token.RIGHT_PAREN)
  const using = c.accept(Keyword.USING) ? c.expect(Token.STRING) : null
  const properties = c.accept(Keyword.WITH) ? parseProperties(c) : []
  return { kind: 'create_index', custom, name, ifNotExists, table, targets, using, properties }
}

const INDEX_TARGETS: ReadonlyMap<number, CreateIndex['targets'][number]['kind']> = new Map([
  [Keyword.VALUES, 'values'],
  [Keyword.KEYS, 'keys'],
  [Keyword.ENTRIES, 'entries'],
  [Keyword.FULL, 'full'],
])

function startsIndexTarget(c: Cursor): boolean {
  return c.isColumnName() || c.kind === Keyword.ENTRIES || c.kind === Keyword.FULL
}

function parseIndexTarget(c: Cursor): CreateIndex['targets'][number] {
  const kind = INDEX_TARGETS.get(c.kind)
  // VALUES and KEYS may be names of columns.
  if (kind === undefined || (isName(c.kind) && c.ahead(1) !== Token.LEFT_PAREN))
    return { kind: 'simple', column: c.columnName() }
  c.at++
  c.expect(Token.LEFT_PAREN)
  const column = c.columnName()
  c.expect(Token.RIGHT_PAREN)
  return { kind, column }
}

function parseCreateView(c: Cursor): SchemaStatement {
  c.at += 2
  c.expect(Keyword.VIEW)
  const ifNotExists = c.acceptIfNotExists()
  const view = c.qualifiedName()
  c.expect(Keyword.AS)
  c.expect(Keyword.SELECT)
  const clauses = parseSelectClauses(c)
  c.expect(Keyword.FROM)
  const table = c.qualifiedName()
  const where = c.accept(Keyword.WHERE) ? parseWhereClause(c) : []
  if (c.kind !== Keyword.PRIMARY) throw c.mismatched(Keyword.PRIMARY)
  const primaryKeys = [parsePrimaryKey(c)]
  const clusteringOrder: ClusteringOrder[] = []
  const properties = c.accept(Keyword.WITH)
    ? parseProperties(c, (c) => parseNoCompactStorage(c) || parseClusteringOrder(c, clusteringOrder))
    : []
  const select = {
    kind: 'select',
    json: false,
    distinct: false,
    clauses,
    table,
    where,
    groupBy: [],
    orderBy: [],
    perPartitionLimit: null,
    limit: null,
    allowFiltering: false,
  } as const
  return { kind: 'create_view', view, ifNotExists, select, primaryKeys, clusteringOrder, properties }
}

function parseNoCompactStorage(c: Cursor): boolean {
  if (c.kind !== Keyword.COMPACT || c.ahead(1) !== Keyword.STORAGE) return false
  throw syntaxError('COMPACT STORAGE tables are not allowed starting with version 4.0')
}

function parseCreateTrigger(c: Cursor): SchemaStatement {
  c.at += 2
  const ifNotExists = c.acceptIfNotExists()
  const name = c.name()
  c.expect(Keyword.ON)
  const table = c.qualifiedName()
  c.expect(Keyword.USING)
  return { kind: 'create_trigger', name, ifNotExists, table, className: c.expect(Token.STRING) }
}

function parseDropTrigger(c: Cursor): SchemaStatement {
  c.at += 2
  const ifExists = c.acceptIfExists()
  const name = c.name()
  c.expect(Keyword.ON)
  return { kind: 'drop_trigger', name, ifExists, table: c.qualifiedName() }
}
