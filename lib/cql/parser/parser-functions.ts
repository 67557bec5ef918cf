/** CREATE and DROP of FUNCTION and AGGREGATE. Source: CQL 3.4.7 "User-Defined Functions". */
import type { SchemaStatement, TypeNode } from '../ast.ts'
import type { Cursor } from './parser-cursor.ts'
import { Keyword, Token } from './parser-keywords.ts'
import { parseBareFunctionName, parseFunctionName, parseTermNode } from './parser-terms.ts'
import { parseTypeNode } from './parser-types.ts'

/** `CREATE [OR REPLACE] FUNCTION` is known to be here. */
export function parseCreateFunction(c: Cursor, orReplace: boolean): SchemaStatement {
  c.at += orReplace ? 4 : 2
  const ifNotExists = c.acceptIfNotExists()
  const name = parseFunctionName(c)
  const argumentList = parseArguments(c)
  const calledOnNull = c.accept(Keyword.CALLED)
  if (!calledOnNull) {
    if (!c.accept(Keyword.RETURNS)) throw c.noViable()
    c.expect(Keyword.NULL)
  }
  c.expect(Keyword.ON)
  c.expect(Keyword.NULL)
  c.expect(Keyword.INPUT)
  c.expect(Keyword.RETURNS)
  const returns = parseTypeNode(c)
  c.expect(Keyword.LANGUAGE)
  const language = c.expect(Token.IDENTIFIER)
  c.expect(Keyword.AS)
  const body = c.expect(Token.STRING)
  return {
    kind: 'create_function',
    name,
    orReplace,
    ifNotExists,
    arguments: argumentList,
    calledOnNull,
    returns,
    language,
    body,
  }
}

function parseArguments(c: Cursor): { name: string; type: TypeNode }[] {
  const list: { name: string; type: TypeNode }[] = []
  c.expect(Token.LEFT_PAREN)
  if (c.accept(Token.RIGHT_PAREN)) return list
  do {
    const name = c.name()
    list.push({ name, type: parseTypeNode(c) })
  } while (c.accept(Token.COMMA))
  c.expect(Token.RIGHT_PAREN)
  return list
}

/** `(type, type)`, `()`. */
export function parseTypeList(c: Cursor): TypeNode[] {
  const types: TypeNode[] = []
  c.expect(Token.LEFT_PAREN)
  if (c.accept(Token.RIGHT_PAREN)) return types
  do types.push(parseTypeNode(c))
  while (c.accept(Token.COMMA))
  c.expect(Token.RIGHT_PAREN)
  return types
}

/** `CREATE [OR REPLACE] AGGREGATE` is known to be here. */
export function parseCreateAggregate(c: Cursor, orReplace: boolean): SchemaStatement {
  c.at += orReplace ? 4 : 2
  const ifNotExists = c.acceptIfNotExists()
  const name = parseFunctionName(c)
  const argumentTypes = parseTypeList(c)
  c.expect(Keyword.SFUNC)
  const stateFunction = parseBareFunctionName(c)
  c.expect(Keyword.STYPE)
  const stateType = parseTypeNode(c)
  const finalFunction = c.accept(Keyword.FINALFUNC) ? parseBareFunctionName(c) : null
  const initialCondition = c.accept(Keyword.INITCOND) ? parseTermNode(c) : null
  return {
    kind: 'create_aggregate',
    name,
    orReplace,
    ifNotExists,
    argumentTypes,
    stateFunction,
    stateType,
    finalFunction,
    initialCondition,
  }
}

/** DROP FUNCTION is known to be here. */
export function parseDropFunction(c: Cursor): SchemaStatement {
  return { kind: 'drop_function', ...parseDropped(c) }
}

/** DROP AGGREGATE is known to be here. */
export function parseDropAggregate(c: Cursor): SchemaStatement {
  return { kind: 'drop_aggregate', ...parseDropped(c) }
}

function parseDropped(c: Cursor) {
  c.at += 2
  const ifExists = c.acceptIfExists()
  const name = parseFunctionName(c)
  return { name, ifExists, argumentTypes: c.kind === Token.LEFT_PAREN ? parseTypeList(c) : null }
}
