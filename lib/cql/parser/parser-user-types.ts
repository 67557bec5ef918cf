/** CREATE, ALTER and DROP TYPE. Source: CQL 3.4.7 "User-Defined Types". */
import type { QualifiedName, SchemaStatement, TypeNode } from '../ast.ts'
import type { Cursor } from './parser-cursor.ts'
import { isName, Keyword, Token } from './parser-keywords.ts'
import { parseRenames } from './parser-tables.ts'
import { parseTypeNode, parseUserTypeName } from './parser-types.ts'

function parseTypeName(c: Cursor): QualifiedName {
  const { keyspace, name } = parseUserTypeName(c)
  return { keyspace, name }
}

/** CREATE TYPE is known to be here. */
export function parseCreateType(c: Cursor): SchemaStatement {
  c.at += 2
  const ifNotExists = c.acceptIfNotExists()
  const type = parseTypeName(c)
  c.expect(Token.LEFT_PAREN)
  const fields: { name: string; type: TypeNode }[] = [parseField(c)]
  // A comma may be followed by nothing.
  while (c.accept(Token.COMMA)) if (isName(c.kind)) fields.push(parseField(c))
  c.expect(Token.RIGHT_PAREN)
  return { kind: 'create_type', type, ifNotExists, fields }
}

function parseField(c: Cursor): { name: string; type: TypeNode } {
  const name = c.name()
  return { name, type: parseTypeNode(c) }
}

/** ALTER TYPE is known to be here. */
export function parseAlterType(c: Cursor): SchemaStatement {
  c.at += 2
  const ifExists = c.acceptIfExists()
  const type = parseTypeName(c)
  switch (c.kind) {
    case Keyword.ALTER: {
      c.at++
      const field = c.name()
      c.expect(Keyword.TYPE)
      return { kind: 'alter_type', type, ifExists, action: { kind: 'alter', field, type: parseTypeNode(c) } }
    }
    case Keyword.ADD: {
      c.at++
      const ifNotExists = c.acceptIfNotExists()
      const field = c.name()
      return { kind: 'alter_type', type, ifExists, action: { kind: 'add', ifNotExists, field, type: parseTypeNode(c) } }
    }
    case Keyword.RENAME: {
      c.at++
      const ifFieldExists = c.acceptIfExists()
      const renames = parseRenames(c)
      return { kind: 'alter_type', type, ifExists, action: { kind: 'rename', ifExists: ifFieldExists, renames } }
    }
    default:
      throw c.noViable()
  }
}

/** DROP TYPE is known to be here. */
export function parseDropType(c: Cursor): SchemaStatement {
  c.at += 2
  const ifExists = c.acceptIfExists()
  return { kind: 'drop_type', type: parseTypeName(c), ifExists }
}
