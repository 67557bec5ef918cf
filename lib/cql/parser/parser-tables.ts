/** CREATE TABLE and ALTER TABLE. Source: CQL 3.4.7 "CREATE TABLE", "ALTER TABLE"; masks: CEP-20. */
import type { AlterTableAction, ColumnDefinition, SchemaStatement, Term } from '../ast.ts'
import type { Cursor } from './parser-cursor.ts'
import { isName, Keyword, Token } from './parser-keywords.ts'
import { parseProperties } from './parser-properties.ts'
import { parseFunctionName, parseTermArguments } from './parser-terms.ts'
import { parseTypeNode } from './parser-types.ts'

const LONG_MAX = 2n ** 63n - 1n

type CreateTable = SchemaStatement & { readonly kind: 'create_table' }
type PrimaryKey = CreateTable['primaryKeys'][number]
export type ClusteringOrder = CreateTable['clusteringOrder'][number]

/** CREATE TABLE is known to be here. */
export function parseCreateTable(c: Cursor): SchemaStatement {
  c.at += 2
  const ifNotExists = c.acceptIfNotExists()
  const table = c.qualifiedName()
  const columns: ColumnDefinition[] = []
  const primaryKeys: PrimaryKey[] = []
  c.expect(Token.LEFT_PAREN)
  if (!startsTableElement(c)) throw c.noViable()
  parseTableElement(c, columns, primaryKeys)
  // A comma may be followed by nothing.
  while (c.accept(Token.COMMA)) if (startsTableElement(c)) parseTableElement(c, columns, primaryKeys)
  c.expect(Token.RIGHT_PAREN)
  const clusteringOrder: ClusteringOrder[] = []
  let compactStorage = false
  const other = (c: Cursor): boolean => {
    if (c.kind !== Keyword.COMPACT || c.ahead(1) !== Keyword.STORAGE) return parseClusteringOrder(c, clusteringOrder)
    c.at += 2
    compactStorage = true
    return true
  }
  const properties = c.accept(Keyword.WITH) ? parseProperties(c, other) : []
  return {
    kind: 'create_table',
    table,
    ifNotExists,
    columns,
    primaryKeys,
    clusteringOrder,
    compactStorage,
    properties,
  }
}

function startsTableElement(c: Cursor): boolean {
  return isName(c.kind) || c.kind === Keyword.PRIMARY
}

function parseTableElement(c: Cursor, columns: ColumnDefinition[], primaryKeys: PrimaryKey[]): void {
  if (c.kind === Keyword.PRIMARY) {
    primaryKeys.push(parsePrimaryKey(c))
    return
  }
  const column = parseColumnDefinition(c)
  if (c.accept(Keyword.PRIMARY)) {
    c.expect(Keyword.KEY)
    columns.push({ ...column, isPrimaryKey: true })
  } else columns.push(column)
}

/** `name type [STATIC] [MASKED WITH …]` */
function parseColumnDefinition(c: Cursor): ColumnDefinition {
  const name = c.name()
  const type = parseTypeNode(c)
  const isStatic = c.accept(Keyword.STATIC)
  const mask = c.kind === Keyword.MASKED ? parseMask(c) : null
  return { name, type, isStatic, isPrimaryKey: false, mask }
}

function parseMask(c: Cursor): ColumnDefinition['mask'] {
  c.expect(Keyword.MASKED)
  c.expect(Keyword.WITH)
  const next = c.ahead(1)
  if (c.kind === Keyword.DEFAULT && next !== Token.LEFT_PAREN && next !== Token.DOT) {
    c.at++
    return 'default'
  }
  const name = parseFunctionName(c)
  return { name, arguments: parseTermArguments(c) }
}

/** `PRIMARY KEY (a, b)` or `PRIMARY KEY ((a, b), c)`; PRIMARY is known to be here. */
export function parsePrimaryKey(c: Cursor): PrimaryKey {
  c.at++
  c.expect(Keyword.KEY)
  c.expect(Token.LEFT_PAREN)
  let partitionKey: string[]
  if (c.accept(Token.LEFT_PAREN)) {
    partitionKey = parseNames(c)
    c.expect(Token.RIGHT_PAREN)
  } else partitionKey = [c.name()]
  const clustering = c.accept(Token.COMMA) ? parseNames(c) : []
  c.expect(Token.RIGHT_PAREN)
  return { partitionKey, clustering }
}

function parseNames(c: Cursor): string[] {
  const names = [c.name()]
  while (c.accept(Token.COMMA)) names.push(c.name())
  return names
}

/** `CLUSTERING ORDER BY (a ASC, b DESC)`, if it is here. Given twice, the orders add up. */
export function parseClusteringOrder(c: Cursor, into: ClusteringOrder[]): boolean {
  if (c.kind !== Keyword.CLUSTERING || c.ahead(1) !== Keyword.ORDER) return false
  c.at += 2
  c.expect(Keyword.BY)
  c.expect(Token.LEFT_PAREN)
  do {
    const column = c.name()
    const descending = c.accept(Keyword.DESC)
    if (!descending && !c.accept(Keyword.ASC)) throw c.noViable()
    into.push({ column, descending })
  } while (c.accept(Token.COMMA))
  c.expect(Token.RIGHT_PAREN)
  return true
}

/** ALTER TABLE is known to be here. */
export function parseAlterTable(c: Cursor): SchemaStatement {
  c.at += 2
  const ifExists = c.acceptIfExists()
  const table = c.qualifiedName()
  return { kind: 'alter_table', table, ifExists, action: parseAlterTableAction(c) }
}

function parseAlterTableAction(c: Cursor): AlterTableAction {
  switch (c.kind) {
    case Keyword.ALTER:
      return parseAlterColumn(c)
    case Keyword.ADD:
      return parseAddColumns(c)
    case Keyword.DROP:
      return parseDropColumns(c)
    case Keyword.RENAME:
      return parseRenameColumns(c)
    case Keyword.WITH:
      c.at++
      return { kind: 'with', properties: parseProperties(c) }
    default:
      throw c.noViable()
  }
}

function parseAlterColumn(c: Cursor): AlterTableAction {
  c.at++
  const ifExists = c.acceptIfExists()
  const column = c.columnName()
  if (!ifExists && c.accept(Keyword.TYPE)) return { kind: 'alter_type', ifExists, column, type: parseTypeNode(c) }
  if (c.accept(Keyword.DROP)) {
    c.expect(Keyword.MASKED)
    return { kind: 'alter_mask', ifExists, column, mask: null }
  }
  if (c.kind !== Keyword.MASKED) throw c.noViable()
  return { kind: 'alter_mask', ifExists, column, mask: parseMask(c) }
}

function parseAddColumns(c: Cursor): AlterTableAction {
  c.at++
  const ifNotExists = c.acceptIfNotExists()
  if (!c.accept(Token.LEFT_PAREN)) return { kind: 'add', ifNotExists, columns: [parseColumnDefinition(c)] }
  const columns = [parseColumnDefinition(c)]
  while (c.accept(Token.COMMA)) columns.push(parseColumnDefinition(c))
  c.expect(Token.RIGHT_PAREN)
  return { kind: 'add', ifNotExists, columns }
}

function parseDropColumns(c: Cursor): AlterTableAction {
  c.at++
  if (c.kind === Keyword.COMPACT && c.ahead(1) === Keyword.STORAGE) {
    c.at += 2
    return { kind: 'drop_compact_storage' }
  }
  const ifExists = c.acceptIfExists()
  let columns: string[]
  if (c.accept(Token.LEFT_PAREN)) {
    columns = parseNames(c)
    c.expect(Token.RIGHT_PAREN)
  } else columns = [c.name()]
  let timestamp: Term | null = null
  if (c.accept(Keyword.USING)) {
    c.expect(Keyword.TIMESTAMP)
    timestamp = { kind: 'constant', type: 'integer', text: String(c.expectInteger(LONG_MAX)) }
  }
  return { kind: 'drop', ifExists, columns, timestamp }
}

function parseRenameColumns(c: Cursor): AlterTableAction {
  c.at++
  const ifExists = c.acceptIfExists()
  return { kind: 'rename', ifExists, renames: parseRenames(c) }
}

/** `a TO b AND c TO d` */
export function parseRenames(c: Cursor): { from: string; to: string }[] {
  const renames: { from: string; to: string }[] = []
  do {
    const from = c.name()
    c.expect(Keyword.TO)
    renames.push({ from, to: c.name() })
  } while (c.accept(Keyword.AND))
  return renames
}
