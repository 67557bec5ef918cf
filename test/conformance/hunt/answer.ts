/** What a server says to a statement, as text in which every difference shows: types, bytes, pages, warnings, codes and words of errors. */
import { ByteReader } from '../../../lib/base/bytes.ts'
import { Consistency } from '../../../lib/types/consistency.ts'
import { toCqlLiteral } from '../../../lib/types/format.ts'
import { typeToCql } from '../../../lib/types/names.ts'
import type { ColumnSpec } from '../../../protocol/metadata.ts'
import { plainParameters, type Request } from '../../../protocol/requests.ts'
import type { DecodedResponse, Response } from '../../../protocol/responses.ts'
import { type ToolClient, VERSION } from '../../../tools/support/client.ts'

export interface Question {
  readonly text: string
  readonly prepared: boolean
  /** Null: all in one page. */
  readonly pageSize: number | null
}

/** More pages than this are not asked for. */
const PAGES_MAX = 200
const TIMEUUID = 'timeuuid'
const LEGACY_TIMEUUID = "'org.apache.cassandra.db.marshal.LegacyTimeUUIDType'"
const NEXT_PAGE = '-- next page'

export async function askServer(client: ToolClient, question: Question): Promise<string> {
  const { text, prepared, pageSize } = question
  const parameters = { ...plainParameters(VERSION, Consistency.ONE), pageSize }
  const lines: string[] = []
  let request: Request = { kind: 'query', query: text, parameters }
  if (prepared) {
    const answer = await client.ask({ kind: 'prepare', query: text, keyspace: null })
    if (answer.response.kind !== 'prepared') return `PREPARE: ${describe(answer).join('\n')}`
    request = { kind: 'execute', id: answer.response.id.toString('latin1'), resultMetadataId: null, parameters }
  }
  let pagingState: Buffer | null = null
  for (let page = 0; page < PAGES_MAX; page++) {
    const answer: DecodedResponse = await client.ask({
      ...request,
      parameters: { ...parameters, pagingState },
    } as Request)
    lines.push(...describe(answer))
    if (answer.response.kind !== 'rows') break
    pagingState = answer.response.metadata.pagingState ?? null
    if (pagingState === null) break
    lines.push(NEXT_PAGE)
  }
  // Whether an empty page comes at the end is not compared.
  const last = lines.lastIndexOf(NEXT_PAGE)
  const isEmptyPage = last >= 0 && lines.slice(last + 1).filter((line) => !line.startsWith('warning: ')).length === 1
  return (isEmptyPage ? lines.slice(0, last) : lines).join('\n')
}

function describe({ response, warnings }: DecodedResponse): string[] {
  return [...warnings.map((warning) => `warning: ${warning}`), ...describeResponse(response)]
}

function describeResponse(response: Response): string[] {
  switch (response.kind) {
    case 'error': {
      const { code, message } = response.error
      // Words of syntax errors come from the parser's inside; users go by the code.
      return [code === 'SYNTAX_ERROR' ? 'error SYNTAX_ERROR' : `error ${code}: ${masked(message)}`]
    }
    case 'rows': {
      const columns = response.metadata.columns ?? []
      const reader = new ByteReader(response.rowBytes)
      const lines = [columns.map((column) => `${column.name} ${typeText(column)}`).join(' | ')]
      for (let left = response.rowCount; left > 0; left--)
        lines.push(columns.map((column) => cellText(column, reader)).join(' | '))
      return lines
    }
    default:
      return [response.kind]
  }
}

/** Signatures come in an order that changes with each start of Cassandra. */
function masked(message: string): string {
  return message.replace(/\((known type )?signatures?: .*$|, candidates are: .*$|: \[.* -> .*\]$/s, '(signatures)')
}

function typeText({ type }: ColumnSpec): string {
  return typeToCql(type).replace(LEGACY_TIMEUUID, TIMEUUID)
}

function cellText(column: ColumnSpec, reader: ByteReader): string {
  const length = reader.int32()
  if (length < 0) return 'null'
  const bytes = reader.view(length)
  // The least and the greatest timeuuid are of a type of their own, unless the column descends; the sign of a NaN is the processor's.
  if (typeText(column) === TIMEUUID) return `0x${bytes.toString('hex')}`
  let text = ''
  try {
    text = toCqlLiteral(column.type, bytes)
  } catch {
    text = '?'
  }
  return text === 'NaN' ? text : `${text} 0x${bytes.toString('hex')}`
}
