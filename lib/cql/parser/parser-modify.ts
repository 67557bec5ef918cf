/** INSERT, UPDATE, DELETE and BATCH. Source: CQL 3.4.7 "Data manipulation". */
import { syntaxError } from '../../base/errors.ts'
import type {
  Assignment,
  BatchStatement,
  DeleteStatement,
  DeleteTarget,
  InsertJsonStatement,
  InsertStatement,
  ModificationStatement,
  QualifiedName,
  Term,
  UpdateStatement,
  UsingClause,
} from '../ast.ts'
import type { Cursor } from './parser-cursor.ts'
import { Keyword, Token } from './parser-keywords.ts'
import { parseConditionClause, parseWhereClause } from './parser-relations.ts'
import { parseBlobTerm, parseIntegerTerm, parseTermNode, startsCall } from './parser-terms.ts'

/** INSERT, UPDATE or DELETE; null if none is here. */
export function parseModification(c: Cursor): ModificationStatement | null {
  switch (c.kind) {
    case Keyword.INSERT:
      return parseInsert(c)
    case Keyword.UPDATE:
      return parseUpdate(c)
    case Keyword.DELETE:
      return parseDelete(c)
    default:
      return null
  }
}

function parseInsert(c: Cursor): InsertStatement | InsertJsonStatement {
  c.at++
  c.expect(Keyword.INTO)
  const table = c.qualifiedName()
  if (c.accept(Keyword.JSON)) return parseInsertJson(c, table)
  if (!c.accept(Token.LEFT_PAREN)) throw c.noViable()
  const columns = [c.columnName()]
  while (c.accept(Token.COMMA)) columns.push(c.columnName())
  c.expect(Token.RIGHT_PAREN)
  c.expect(Keyword.VALUES)
  c.expect(Token.LEFT_PAREN)
  const values = [parseTermNode(c)]
  while (c.accept(Token.COMMA)) values.push(parseTermNode(c))
  c.expect(Token.RIGHT_PAREN)
  return { kind: 'insert', table, columns, values, ...parseInsertCondition(c), using: parseUsing(c) }
}

function parseInsertJson(c: Cursor, table: QualifiedName): InsertJsonStatement {
  const json = parseJsonValue(c)
  let defaultUnset = false
  if (c.accept(Keyword.DEFAULT)) {
    defaultUnset = c.accept(Keyword.UNSET)
    if (!defaultUnset && !c.accept(Keyword.NULL)) throw c.noViable()
  }
  return { kind: 'insert_json', table, json, defaultUnset, ...parseInsertCondition(c), using: parseUsing(c) }
}

/** `IF NOT EXISTS` or `IF VCLOCK = term`. */
function parseInsertCondition(c: Cursor): Pick<InsertStatement, 'ifNotExists' | 'ifVclock'> {
  if (c.kind !== Keyword.IF || !isVclock(c, 1)) return { ifNotExists: c.acceptIfNotExists(), ifVclock: null }
  c.at += 2
  c.expect(Token.EQUAL)
  return { ifNotExists: false, ifVclock: parseBlobTerm(c) }
}

function parseJsonValue(c: Cursor): Term {
  if (c.kind === Token.STRING) return { kind: 'constant', type: 'string', text: c.expect(Token.STRING) }
  const marker = c.marker()
  if (marker === null) throw c.noViable()
  return marker
}

/** `USING TIMESTAMP 1 AND TTL 2 AND VCLOCK ?`, in any order; of one given twice the last counts. */
function parseUsing(c: Cursor): UsingClause {
  let timestamp: Term | null = null
  let timeToLive: Term | null = null
  let vclock: Term | null = null
  if (c.accept(Keyword.USING))
    do {
      if (c.accept(Keyword.TIMESTAMP)) timestamp = parseIntegerTerm(c)
      else if (c.accept(Keyword.TTL)) timeToLive = parseIntegerTerm(c)
      else if (isVclock(c, 0)) vclock = parseVclock(c)
      else throw c.noViable()
    } while (c.accept(Keyword.AND))
  return { timestamp, timeToLive, vclock }
}

/** No keyword: it may name anything elsewhere. */
function isVclock(c: Cursor, places: number): boolean {
  return c.ahead(places) === Token.IDENTIFIER && c.tokens.texts[c.at + places] === 'vclock'
}

function parseVclock(c: Cursor): Term {
  c.at++
  return parseBlobTerm(c)
}

function parseUpdate(c: Cursor): UpdateStatement {
  c.at++
  const table = c.qualifiedName()
  const using = parseUsing(c)
  c.expect(Keyword.SET)
  const assignments: Assignment[] = []
  const byColumn = new Map<string, AssignedColumn>()
  do {
    const assignment = parseAssignment(c)
    checkCompatible(byColumn, assignment)
    assignments.push(assignment)
  } while (c.accept(Token.COMMA))
  c.expect(Keyword.WHERE)
  const where = parseWhereClause(c)
  return { kind: 'update', table, using, assignments, where, condition: parseConditionClause(c) }
}

interface AssignedColumn {
  readonly isSet: boolean
  readonly fields: Set<string>
}

/** A column may be set as a whole once, or in parts that differ. */
function checkCompatible(byColumn: Map<string, AssignedColumn>, assignment: Assignment): void {
  const { column, kind } = assignment
  const before = byColumn.get(column)
  const field = kind === 'set_field' ? assignment.field : null
  if (before === undefined) {
    byColumn.set(column, { isSet: kind === 'set', fields: new Set(field === null ? [] : [field]) })
    return
  }
  if (kind === 'set' || before.isSet || (field !== null && before.fields.has(field)))
    throw syntaxError(`Multiple incompatible setting of column ${column}`)
  if (field !== null) before.fields.add(field)
}

function parseAssignment(c: Cursor): Assignment {
  if (!c.isColumnName()) throw c.noViable()
  const column = c.columnName()
  switch (c.kind) {
    case Token.EQUAL:
      c.at++
      return parseAssignedValue(c, column)
    case Token.PLUS_EQUAL:
      c.at++
      return { kind: 'add', column, value: parseTermNode(c) }
    case Token.MINUS_EQUAL:
      c.at++
      return { kind: 'subtract', column, value: parseTermNode(c) }
    case Token.LEFT_BRACKET: {
      c.at++
      const element = parseTermNode(c)
      c.expect(Token.RIGHT_BRACKET)
      c.expect(Token.EQUAL)
      return { kind: 'set_element', column, element, value: parseTermNode(c) }
    }
    case Token.DOT: {
      c.at++
      const field = c.name()
      c.expect(Token.EQUAL)
      return { kind: 'set_field', column, field, value: parseTermNode(c) }
    }
    default:
      throw c.noViable()
  }
}

/** `term`, `term + column`, `column + term`, `column - term`, and `column -1`, which is cut as a column and an integer. */
function parseAssignedValue(c: Cursor, column: string): Assignment {
  if (c.isColumnName() && !startsCall(c, 0)) {
    const next = c.ahead(1)
    if (next === Token.PLUS || next === Token.MINUS) {
      const sign = next === Token.PLUS ? '+' : '-'
      if (c.columnName() !== column)
        throw syntaxError(`Only expressions of the form X = X ${sign}<value> are supported.`)
      c.at++
      return { kind: sign === '+' ? 'add' : 'subtract', column, value: parseTermNode(c) }
    }
    if (next === Token.INTEGER) {
      const name = c.columnName()
      const text = c.expect(Token.INTEGER)
      if (name !== column)
        throw syntaxError(
          `Only expressions of the form X = X ${text.startsWith('-') ? '-' : '+'} <value> are supported.`,
        )
      return { kind: 'add', column, value: { kind: 'constant', type: 'integer', text } }
    }
  }
  const value = parseTermNode(c)
  if (c.kind !== Token.PLUS || !c.isColumnName(1)) return { kind: 'set', column, value }
  c.at++
  if (c.columnName() !== column) throw syntaxError('Only expressions of the form X = <value> + X are supported.')
  if (c.kind === Token.PLUS || c.kind === Token.MINUS) throw c.noViable()
  return { kind: 'prepend', column, value }
}

function parseDelete(c: Cursor): DeleteStatement {
  c.at++
  const targets: DeleteTarget[] = []
  if (c.isColumnName())
    do targets.push(parseDeleteTarget(c))
    while (c.accept(Token.COMMA))
  c.expect(Keyword.FROM)
  const table = c.qualifiedName()
  let timestamp: Term | null = null
  let vclock: Term | null = null
  if (c.accept(Keyword.USING))
    do {
      if (isVclock(c, 0)) vclock = parseVclock(c)
      else {
        c.expect(Keyword.TIMESTAMP)
        timestamp = parseIntegerTerm(c)
      }
    } while ((vclock !== null || isVclock(c, 1)) && c.accept(Keyword.AND))
  c.expect(Keyword.WHERE)
  const where = parseWhereClause(c)
  const using = { timestamp, timeToLive: null, vclock }
  return { kind: 'delete', table, targets, using, where, condition: parseConditionClause(c) }
}

function parseDeleteTarget(c: Cursor): DeleteTarget {
  const column = c.columnName()
  if (c.accept(Token.LEFT_BRACKET)) {
    const element = parseTermNode(c)
    c.expect(Token.RIGHT_BRACKET)
    return { kind: 'element', column, element }
  }
  if (c.accept(Token.DOT)) return { kind: 'field', column, field: c.name() }
  return { kind: 'column', column }
}

/** BEGIN is known to be here. */
export function parseBatch(c: Cursor): BatchStatement {
  c.at++
  const type = c.accept(Keyword.UNLOGGED) ? 'unlogged' : c.accept(Keyword.COUNTER) ? 'counter' : 'logged'
  c.expect(Keyword.BATCH)
  const using = parseUsing(c)
  const statements: ModificationStatement[] = []
  for (;;) {
    const statement = parseModification(c)
    if (statement === null) break
    statements.push(statement)
    c.accept(Token.SEMICOLON)
  }
  c.expect(Keyword.APPLY)
  c.expect(Keyword.BATCH)
  return { kind: 'batch', type, using, statements }
}
