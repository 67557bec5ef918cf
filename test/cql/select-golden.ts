/** Scripts against what Apache Cassandra 5.0.6 answered: rows, columns, pages, warnings and errors to the letter. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type ErrorCodeName, RequestError } from '../../lib/base/errors.ts'
import type { RowsResult } from '../../lib/cql/result.ts'
import type { QueryOptions } from '../../lib/cql/statement.ts'
import { Consistency, type ConsistencyName } from '../../lib/types/consistency.ts'
import { toCqlLiteral } from '../../lib/types/format.ts'
import { typeToCql } from '../../lib/types/names.ts'
import type { CqlType } from '../../lib/types/type.ts'
import { boundValues, openStorageNode, type StorageNode } from '../support/storage-node.ts'

interface Answer {
  /** Error code in words, and its message unless that is not to be compared. */
  readonly error?: string
  readonly message?: string
  readonly columns?: readonly string[]
  readonly rows?: readonly (readonly string[])[]
  /** Instead of rows whose values differ each time. */
  readonly count?: number
  readonly pages?: readonly number[]
  readonly more?: boolean
  readonly warnings?: readonly string[]
}

interface Golden {
  readonly cql: string
  readonly values?: readonly (string | null)[]
  readonly names?: readonly string[]
  readonly page?: string
  /** How many pages to fetch; all if it is not said. */
  readonly pages?: string
  readonly save?: string
  readonly resume?: string
  readonly consistency?: ConsistencyName
  readonly timestamp?: string
  readonly answer: Answer
}

const FOLDER = join(import.meta.dirname, '../../../test/golden/select')

const CODES: Partial<Record<string, ErrorCodeName>> = {
  Invalid: 'INVALID',
  SyntaxError: 'SYNTAX_ERROR',
  ProtocolError: 'PROTOCOL_ERROR',
  ServerError: 'SERVER_ERROR',
  FunctionFailure: 'FUNCTION_FAILURE',
  ConfigError: 'CONFIG_ERROR',
  Unauthorized: 'UNAUTHORIZED',
  ReadFailure: 'READ_FAILURE',
  WriteFailure: 'WRITE_FAILURE',
}

function optionsOf(golden: Golden, states: ReadonlyMap<string, Buffer>): Partial<QueryOptions> {
  const size = Number(golden.page ?? -1)
  const { resume, timestamp } = golden
  return {
    values: boundValues(golden.values ?? []),
    pageSize: size > 0 ? size : null,
    pagingState:
      resume === undefined ? null : resume.startsWith('0x') ? Buffer.from(resume.slice(2), 'hex') : states.get(resume)!,
    consistency: Consistency[golden.consistency ?? 'ONE'],
    timestamp:
      timestamp === undefined ? null : { high: Math.floor(Number(timestamp) / 2 ** 32), low: Number(timestamp) | 0 },
  }
}

/** As the protocol tells it: without frozen. */
function typeText(type: CqlType): string {
  let text = typeToCql(type)
  for (let at = text.indexOf('frozen<'); at >= 0; at = text.indexOf('frozen<')) {
    let depth = 1
    let end = at + 7
    for (; depth > 0; end++) depth += text[end] === '<' ? 1 : text[end] === '>' ? -1 : 0
    text = text.slice(0, at) + text.slice(at + 7, end - 1) + text.slice(end)
  }
  return text
}

function rowsOf(result: RowsResult): string[][] {
  const rows: string[][] = []
  let at = 0
  for (let i = 0; i < result.rowCount; i++)
    rows.push(
      result.metadata.columns.map(({ type }) => {
        const length = result.rowBytes.readInt32BE(at)
        at += 4
        if (length < 0) return 'null'
        at += length
        return toCqlLiteral(type, result.rowBytes.subarray(at - length, at))
      }),
    )
  if (at !== result.rowBytes.length) throw new Error(`${result.rowBytes.length - at} bytes too many`)
  return rows
}

async function answerOf(node: StorageNode, golden: Golden, states: Map<string, Buffer>): Promise<Answer> {
  const options = optionsOf(golden, states)
  const rows: string[][] = []
  const pages: number[] = []
  const warnings: string[] = []
  let pagingState = options.pagingState ?? null
  try {
    for (;;) {
      const result = await node.run(golden.cql, { ...options, pagingState }, golden.names)
      if (result.kind !== 'rows') return {}
      const page = rowsOf(result)
      rows.push(...page)
      pages.push(page.length)
      warnings.push(...(result.warnings ?? []))
      pagingState = result.pagingState
      if (pagingState !== null && pages.length !== Number(golden.pages ?? -1)) continue
      if (golden.save !== undefined) states.set(golden.save, pagingState!)
      const columns = result.metadata.columns.map(({ name, type }) => `${name} ${typeText(type)}`)
      return { columns, rows, pages, more: pagingState !== null, warnings }
    }
  } catch (error) {
    if (error instanceof RequestError) return { error: error.code, message: error.message }
    throw error
  }
}

function compareAnswers(t: Test, got: Answer, want: Answer, cql: string): void {
  if (want.error !== undefined) {
    t.equal(got.error, CODES[want.error], cql)
    if (want.message !== undefined) t.equal(got.message, want.message, cql)
    return
  }
  t.equal(got.error, undefined, `${cql}: ${got.message}`)
  if (want.columns === undefined) return
  t.same(got.columns, want.columns, cql)
  if (want.rows === undefined) {
    t.equal(got.rows?.length, want.count, cql)
    return
  }
  t.same(got.rows, want.rows, cql)
  if (want.pages !== undefined) t.same([got.pages, got.more], [want.pages, want.more], cql)
  t.same(got.warnings, want.warnings ?? [], cql)
}

for (const file of readdirSync(FOLDER).sort())
  t.test(file, async (t) => {
    await using node = await openStorageNode()
    const states = new Map<string, Buffer>()
    for (const line of readFileSync(join(FOLDER, file), 'utf8').trimEnd().split('\n')) {
      const golden = JSON.parse(line) as Golden
      // The protocol refuses these.
      if (golden.page === '0') continue
      compareAnswers(t, await answerOf(node, golden, states), golden.answer, golden.cql)
    }
  })
