/** From the recorded meaning of a golden frame to the objects of protocol/. */

import { ByteWriter } from '../../lib/base/bytes.ts'
import { type ErrorCodeName, type ErrorFields, RequestError } from '../../lib/base/errors.ts'
import { Consistency, type ConsistencyName } from '../../lib/types/consistency.ts'
import type { CqlType, NativeTypeName } from '../../lib/types/type.ts'
import { UNSET } from '../../lib/types/unset.ts'
import type { ColumnSpec } from '../../protocol/metadata.ts'
import type { BatchType, EventType } from '../../protocol/opcodes.ts'
import {
  type BatchItem,
  plainParameters,
  type QueryParameters,
  type Request,
  type Value,
} from '../../protocol/requests.ts'
import type { SchemaChange, ServerEvent } from '../../protocol/responses.ts'
import type { GoldenBody } from './frames.ts'

interface GoldenValue {
  name?: string
  hex: string | null
}

export function hexBuffer(text: unknown): Buffer {
  return Buffer.from(String(text), 'hex')
}

function value(golden: GoldenValue): Value {
  if (golden.hex === null) return null
  return golden.hex === 'UNSET' ? UNSET : hexBuffer(golden.hex)
}

export function parameters(body: GoldenBody, version: number): QueryParameters {
  const plain = plainParameters(version, Consistency[body.consistency as ConsistencyName])
  const values = body.values as GoldenValue[] | undefined
  const timestamp = body.timestamp === undefined ? null : BigInt(body.timestamp as number)
  return {
    ...plain,
    values: values?.map(value) ?? plain.values,
    names: values?.[0]?.name === undefined ? null : values.map((one) => one.name!),
    skipMetadata: (body.flags as string[]).includes('SKIP_METADATA'),
    pageSize: (body.pageSize as number) ?? null,
    pagingState: body.pagingState === undefined ? null : hexBuffer(body.pagingState),
    serialConsistency: Consistency[(body.serialConsistency as ConsistencyName) ?? 'SERIAL'],
    timestamp:
      timestamp === null ? null : { high: Number(timestamp >> 32n) | 0, low: Number(timestamp & 0xffffffffn) | 0 },
    keyspace: (body.keyspace as string) ?? null,
    nowSeconds: (body.nowInSeconds as number) ?? null,
  }
}

export function request(opcode: string, body: GoldenBody, version: number): Request {
  switch (opcode) {
    case 'OPTIONS':
      return { kind: 'options' }
    case 'STARTUP':
      return { kind: 'startup', options: new Map(Object.entries(body.options as Record<string, string>)) }
    case 'AUTH_RESPONSE':
      return { kind: 'auth_response', token: body.token === null ? null : hexBuffer(body.token) }
    case 'REGISTER':
      return { kind: 'register', events: body.events as EventType[] }
    case 'QUERY':
      return { kind: 'query', query: body.query as string, parameters: parameters(body, version) }
    case 'PREPARE':
      return { kind: 'prepare', query: body.query as string, keyspace: (body.keyspace as string) ?? null }
    case 'EXECUTE':
      return {
        kind: 'execute',
        id: hexBuffer(body.id).toString('latin1'),
        resultMetadataId: version >= 5 ? hexBuffer(body.resultMetadataId) : null,
        parameters: parameters(body, version),
      }
    case 'BATCH': {
      const statements = body.statements as { query?: string; id?: string; values: GoldenValue[] }[]
      const items = statements.map((statement): BatchItem => {
        const values = statement.values.map(value)
        if (statement.query !== undefined) return { kind: 'query', query: statement.query, values }
        return { kind: 'prepared', id: hexBuffer(statement.id).toString('latin1'), values }
      })
      return {
        kind: 'batch',
        type: (body.type as string).toLowerCase() as BatchType,
        items,
        parameters: parameters(body, version),
      }
    }
    default:
      throw new Error(`no request: ${opcode}`)
  }
}

type GoldenType =
  | string
  | {
      list?: GoldenType
      set?: GoldenType
      map?: [GoldenType, GoldenType]
      tuple?: GoldenType[]
      udt?: string
      keyspace?: string
      fields?: [string, GoldenType][]
      vector?: GoldenType
      dimensions?: number
      custom?: string
      means?: GoldenType
    }

/** The type that was meant, or (`asSent`) the one that the version could say. */
function cqlType(golden: GoldenType, asSent: boolean): CqlType {
  const inner = (type: GoldenType) => cqlType(type, asSent)
  if (typeof golden === 'string') return { kind: 'native', name: golden as NativeTypeName }
  if (golden.custom !== undefined && (asSent || golden.means === undefined))
    return { kind: 'custom', className: golden.custom }
  if (golden.means !== undefined) return inner(golden.means)
  if (golden.list !== undefined) return { kind: 'list', element: inner(golden.list), frozen: false }
  if (golden.set !== undefined) return { kind: 'set', element: inner(golden.set), frozen: false }
  if (golden.map !== undefined)
    return { kind: 'map', key: inner(golden.map[0]), value: inner(golden.map[1]), frozen: false }
  if (golden.tuple !== undefined) return { kind: 'tuple', elements: golden.tuple.map(inner) }
  if (golden.vector !== undefined)
    return { kind: 'vector', element: inner(golden.vector), dimension: golden.dimensions! }
  return {
    kind: 'udt',
    keyspace: golden.keyspace!,
    name: golden.udt!,
    fieldNames: golden.fields!.map(([name]) => name),
    fieldTypes: golden.fields!.map(([, type]) => inner(type)),
    frozen: false,
  }
}

export interface GoldenMetadata {
  flags: string[]
  columnCount: number
  columns?: { keyspace: string; table: string; name: string; type: GoldenType }[]
  pkIndices?: number[]
  pagingState?: string
  newMetadataId?: string
}

/** Columns; where they were left out, as many of one table. */
export function columns(metadata: GoldenMetadata, asSent = false): ColumnSpec[] {
  if (metadata.columns === undefined)
    return Array.from({ length: metadata.columnCount }, (_, index) => ({
      keyspace: 'k',
      table: 't',
      name: `c${index}`,
      type: { kind: 'native', name: 'int' },
    }))
  return metadata.columns.map((column) => ({ ...column, type: cqlType(column.type, asSent) }))
}

/** Null when the recording shortened them. */
export function rowBytes(cells: (string | null)[][]): Buffer | null {
  const writer = new ByteWriter()
  for (const cell of cells.flat()) {
    if (cell !== null && !/^([0-9a-f]{2})*$/.test(cell)) return null
    writer.int32(cell === null ? -1 : cell.length / 2)
    if (cell !== null) writer.bytes(hexBuffer(cell))
  }
  return writer.copy()
}

export function addressBytes(text: string): Buffer {
  if (!text.includes(':')) return Buffer.from(text.split('.').map(Number))
  throw new Error('no IPv6 was recorded')
}

export function schemaChange(body: GoldenBody): SchemaChange {
  // What v3 could not say: the empty name at the end gives it away.
  if (body.trailingBytes === '0000')
    return {
      change: 'CREATED',
      target: 'FUNCTION',
      keyspace: body.keyspace as string,
      name: 'f',
      argumentTypes: ['int'],
    }
  const plain = {
    change: body.change as SchemaChange['change'],
    target: body.target as SchemaChange['target'],
    keyspace: body.keyspace as string,
    name: (body.name as string) ?? '',
  }
  return body.arguments === undefined ? plain : { ...plain, argumentTypes: body.arguments as string[] }
}

export function serverEvent(body: GoldenBody): ServerEvent {
  if (body.event === 'SCHEMA_CHANGE') return { kind: 'SCHEMA_CHANGE', change: schemaChange(body) }
  return {
    kind: body.event,
    change: body.change,
    address: addressBytes(body.address as string),
    port: body.port,
  } as ServerEvent
}

export function requestError(body: GoldenBody): RequestError {
  const fields: ErrorFields = {}
  if (body.consistency !== undefined) fields.consistency = Consistency[body.consistency as ConsistencyName]
  for (const key of ['required', 'alive', 'received', 'blockFor', 'contentions'] as const)
    if (body[key] !== undefined) fields[key] = body[key] as number
  if (body.dataPresent !== undefined) fields.dataPresent = body.dataPresent as boolean
  if (body.writeType !== undefined) fields.writeType = body.writeType as string
  if (body.reasons !== undefined)
    fields.failures = (body.reasons as [string, number][]).map(([address, reason]) => ({
      address: addressBytes(address),
      reason,
    }))
  if (typeof body.failures === 'number')
    fields.failures = Array.from({ length: body.failures }, () => ({ address: Buffer.alloc(4), reason: 0 }))
  if (body.keyspace !== undefined) fields.keyspace = body.keyspace as string
  if (body.table !== undefined) fields.name = body.table as string
  if (body.function !== undefined) fields.name = body.function as string
  if (body.arguments !== undefined) fields.argumentTypes = body.arguments as string[]
  if (body.id !== undefined) fields.id = hexBuffer(body.id)
  return new RequestError(body.error as ErrorCodeName, body.message as string, fields)
}
