/**
 * DDL and DESCRIBE against what Apache Cassandra 5.0.6 answered: test/golden/schema holds statements in the order in which they were sent,
 * with the answers. Texts of syntax errors are the parser's matter.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { invalid, RequestError } from '../../lib/base/errors.ts'
import { compileDescribeStatement } from '../../lib/cql/ddl/describe.ts'
import { compileSchemaStatement } from '../../lib/cql/ddl/schema-statements.ts'
import { parseStatement } from '../../lib/cql/parser/parser.ts'
import type { RowsResult, StatementResult } from '../../lib/cql/result.ts'
import { typeToCql } from '../../lib/types/names.ts'
import { createSchemaWorld, type SchemaWorld } from '../support/schema-world.ts'

const FOLDER = join(dirname(fileURLToPath(import.meta.url)), '../../../test/golden/schema')
const CODES: Readonly<Record<string, string>> = {
  INVALID: 'Invalid',
  SYNTAX_ERROR: 'SyntaxError',
  CONFIG_ERROR: 'ConfigError',
  ALREADY_EXISTS: 'AlreadyExists',
  UNAUTHORIZED: 'Unauthorized',
  SERVER_ERROR: 'ServerError',
}

interface Golden {
  readonly cql: string
  readonly page?: number
  readonly answer: Record<string, unknown>
}

for (const file of readdirSync(FOLDER).sort())
  t.test(file, async (t) => {
    const world = createSchemaWorld()
    const goldens = JSON.parse(readFileSync(join(FOLDER, file), 'utf8')) as Golden[]
    for (const { cql, answer } of goldens) {
      if (answer.rows === '<any>') continue
      const got = await run(world, cql, answer)
      t.same(got, expected(answer), cql)
    }
  })

function expected(answer: Record<string, unknown>): Record<string, unknown> {
  if (answer.kind !== 'error') return answer
  const { code, message, ...rest } = answer
  const name = String(code).split(' ')[1]!
  return name === 'SyntaxError' && /^(line|no viable|Failed)/.test(String(message))
    ? { kind: 'error', code: name }
    : { kind: 'error', code: name, message, ...rest }
}

async function run(world: SchemaWorld, cql: string, answer: Record<string, unknown>): Promise<unknown> {
  try {
    const { statement } = parseStatement(cql)
    if (statement.kind === 'use') {
      if (!world.environment.schema.current.keyspaces.has(statement.keyspace))
        throw invalid(`Keyspace '${statement.keyspace}' does not exist`)
      world.client.keyspace = statement.keyspace
      return { kind: 'use', keyspace: statement.keyspace }
    }
    if (statement.kind === 'describe') {
      const compiled = compileDescribeStatement(statement)
      const pages = answer.pages as number[] | undefined
      const rows: unknown[] = []
      let from = ''
      let columns: string[] = []
      const sizes: number[] = []
      let pagingState: Buffer | null = null
      do {
        const options = { ...world.options, pageSize: pages ? pages[0]! : null, pagingState }
        const result = (await compiled.execute(world.environment, options, world.client)) as RowsResult
        rows.push(...textRows(result).filter((row) => !isOurs(row)))
        sizes.push(result.rowCount)
        from = `${result.metadata.columns[0]!.keyspace}.${result.metadata.columns[0]!.table}`
        columns = result.metadata.columns.map((column) => `${column.name} ${typeToCql(column.type)}`)
        pagingState = result.pagingState
      } while (pagingState)
      return {
        kind: 'rows',
        rows: mask(rows, answer.rows),
        ...(pages ? { pages: sizes, more: false } : {}),
        from,
        columns,
      }
    }
    const compiled = compileSchemaStatement(statement as never, world.client.keyspace)
    return answerOf(await compiled.execute(world.environment, world.options, world.client))
  } catch (error) {
    if (!(error instanceof RequestError)) throw error
    const code = CODES[error.code]
    if (code === 'SyntaxError' && /^(line|no viable|Failed)/.test(error.message)) return { kind: 'error', code }
    const fields = error.code === 'ALREADY_EXISTS' ? { keyspace: error.fields.keyspace, table: error.fields.name } : {}
    return { kind: 'error', code, message: error.message, ...fields }
  }
}

function answerOf(result: StatementResult): Record<string, unknown> {
  const warnings = 'warnings' in result && result.warnings ? { warnings: [...result.warnings] } : {}
  if (result.kind === 'void') return { kind: 'void', ...warnings }
  if (result.kind !== 'schema_change') return { kind: result.kind }
  const { change, target, keyspace, name } = result.change
  return { kind: 'schema', change, target, keyspace, ...(name === '' ? {} : { name }), ...warnings }
}

function textRows(result: RowsResult): string[][] {
  const rows: string[][] = []
  let at = 0
  for (let i = 0; i < result.rowCount; i++) {
    const row: string[] = []
    for (const column of result.metadata.columns) {
      const length = result.rowBytes.readInt32BE(at)
      const value = result.rowBytes.subarray(at + 4, at + 4 + length)
      row.push(column.type.kind === 'native' ? `'${value.toString().replaceAll("'", "''")}'` : value.toString('hex'))
      at += 4 + length
    }
    rows.push(row)
  }
  return rows
}

/** Names a table of system_views that Cassandra does not have. */
function isOurs(row: readonly string[]): boolean {
  return row.some((value) => value.startsWith("'polyxena_"))
}

/** What the golden leaves open is taken over. */
function mask(rows: unknown[], golden: unknown): unknown[] {
  if (!Array.isArray(golden)) return rows
  return rows.map((row, i) =>
    (row as string[]).map((value, j) => {
      const wanted = (golden as unknown[][])[i]?.[j]
      if (wanted === '<any>') return wanted
      return value
        .replace(/ID = [0-9a-f-]{36}/, 'ID = <masked>')
        .replace(/USING TIMESTAMP [0-9]+/g, 'USING TIMESTAMP <masked>')
    }),
  )
}
