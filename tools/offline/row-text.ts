/**
 * Rows, deletions and keys as JSON text in the shape of Cassandra's sstabledump (its fields and times). Without a shape, as hexadecimal.
 * Text, not objects: numbers of 64 bits and decimals stand as they are.
 */

import { ByteReader } from '../../lib/base/bytes.ts'
import type { TableShape } from '../../lib/schema/shape.ts'
import { parseTypeClassName } from '../../lib/types/class-name.ts'
import { toCqlText } from '../../lib/types/format.ts'
import { toJson } from '../../lib/types/json.ts'
import { NATIVE } from '../../lib/types/names.ts'
import { decodeComponent, decodePath } from '../../lib/types/ordered.ts'
import { splitPartitionKey } from '../../lib/types/partition-key.ts'
import type { CqlType } from '../../lib/types/type.ts'
import { ANNOTATION_COLUMN_ID, PRESENCE_COLUMN_ID, type RowReader } from '../../storage/model/row.ts'

export interface TextOptions {
  /** Times as µs and seconds. */
  readonly raw: boolean
  readonly nowSeconds: number
}

interface Column {
  readonly name: string
  readonly type: CqlType
}

const LIST_PATH = NATIVE.timeuuid
const AFTER = 0x60

export class RowText {
  readonly #options: TextOptions
  readonly #columns = new Map<number, Column>()
  readonly #keyTypes: readonly CqlType[]
  readonly #clustering: readonly { readonly type: CqlType; readonly reversed: boolean }[] | null

  constructor(shape: TableShape | null, options: TextOptions) {
    this.#options = options
    this.#keyTypes = shape?.partitionKey.map(({ type }) => parseTypeClassName(type)) ?? []
    this.#clustering =
      shape?.clustering.map(({ type, reversed }) => ({ type: parseTypeClassName(type), reversed })) ?? null
    for (const { id, name, type } of shape?.columns ?? [])
      this.#columns.set(id, { name, type: parseTypeClassName(type) })
    for (const { id, name } of shape?.dropped ?? [])
      if (!this.#columns.has(id)) this.#columns.set(id, { name: `${name} (dropped)`, type: NATIVE.blob })
  }

  /** Of a position's key: the texts of its columns. */
  key(position: Buffer): string {
    const key = position.subarray(10)
    if (this.#keyTypes.length === 0) return `[ ${quoted(hex(key))} ]`
    const values = splitPartitionKey(key, this.#keyTypes.length)
    return `[ ${values.map((value, i) => quoted(toCqlText(this.#keyTypes[i]!, value))).join(', ')} ]`
  }

  deletion(bytes: Buffer): string {
    const marked = this.#micros(bytes.readInt32BE(0), bytes.readUInt32BE(4))
    return `"deletion_info" : { "marked_deleted" : ${marked}, "local_delete_time" : ${this.#seconds(bytes.readUInt32BE(8))} }`
  }

  /** Both bounds of a range tombstone, an element each. */
  range(start: Buffer, end: Buffer, deletion: Buffer): string[] {
    const bound = (name: 'start' | 'end', bytes: Buffer): string => {
      const { clustering, isAfter } = this.#bound(bytes)
      const type = isAfter === (name === 'end') ? 'inclusive' : 'exclusive'
      return `{ "type" : "range_tombstone_bound", "${name}" : { "type" : "${type}", "clustering" : ${clustering}, ${this.deletion(deletion)} } }`
    }
    return [bound('start', start), bound('end', end)]
  }

  row(row: RowReader, clustering: Buffer | null): string {
    const parts = [clustering === null ? '"type" : "static_block"' : '"type" : "row"']
    if (clustering !== null && (this.#clustering === null || this.#clustering.length > 0))
      parts.push(`"clustering" : ${this.#bound(clustering).clustering}`)
    if (row.hasLiveness) {
      const ttl = row.livenessTtl > 0 ? this.#expiry(row.livenessTtl, row.livenessExpiresAt) : ''
      parts.push(`"liveness_info" : { "tstamp" : ${this.#micros(row.livenessTsHigh, row.livenessTsLow)}${ttl} }`)
    }
    if (row.hasDeletion) {
      const marked = this.#micros(row.deletionTsHigh, row.deletionTsLow)
      parts.push(
        `"deletion_info" : { "marked_deleted" : ${marked}, "local_delete_time" : ${this.#seconds(row.deletionLocalTime)} }`,
      )
    }
    const cells: string[] = []
    while (row.next()) cells.push(this.#cell(row))
    parts.push(cells.length === 0 ? '"cells" : [ ]' : `"cells" : [ ${cells.join(', ')} ]`)
    return `{ ${parts.join(', ')} }`
  }

  #cell(row: RowReader): string {
    const column = this.#columns.get(row.columnId)
    const name =
      row.columnId === ANNOTATION_COLUMN_ID
        ? '(clustering as it was written)'
        : row.columnId === PRESENCE_COLUMN_ID
          ? '(presence)'
          : (column?.name ?? `column ${row.columnId}`)
    const type = column?.type ?? NATIVE.blob
    const parts = [`"name" : ${quoted(name)}`]
    const time = this.#micros(row.tsHigh, row.tsLow)
    if (row.isComplexDeletion) {
      parts.push(
        `"deletion_info" : { "marked_deleted" : ${time}, "local_delete_time" : ${this.#seconds(row.localDeletionTime)} }`,
      )
      return `{ ${parts.join(', ')} }`
    }
    if (row.hasPath)
      parts.push(`"path" : [ ${quoted(pathText(type, row.buffer.subarray(row.pathStart, row.pathEnd)))} ]`)
    if (row.isTombstone)
      parts.push(`"deletion_info" : { "local_delete_time" : ${this.#seconds(row.localDeletionTime)} }`)
    else parts.push(`"value" : ${valueText(type, row)}`)
    const isRows = row.hasLiveness && row.tsHigh === row.livenessTsHigh && row.tsLow === row.livenessTsLow
    if (!isRows || row.isTombstone) parts.push(`"tstamp" : ${time}`)
    if (row.isExpiring && !(row.ttl === row.livenessTtl && row.localDeletionTime === row.livenessExpiresAt))
      parts.push(this.#expiry(row.ttl, row.localDeletionTime).slice(2))
    return `{ ${parts.join(', ')} }`
  }

  #expiry(ttl: number, expiresAt: number): string {
    return `, "ttl" : ${ttl}, "expires_at" : ${this.#seconds(expiresAt)}, "expired" : ${expiresAt <= this.#options.nowSeconds}`
  }

  /** A clustering or a bound; what is after a prefix ends with 0x60, after all rows it is 0xff. */
  #bound(bytes: Buffer): { clustering: string; isAfter: boolean } {
    if (this.#clustering === null) return { clustering: `[ ${quoted(hex(bytes))} ]`, isAfter: false }
    const reader = new ByteReader(bytes)
    const values: string[] = []
    for (const { type, reversed } of this.#clustering) {
      if (reader.remaining() === 0 || bytes[reader.position]! >= AFTER) break
      const value = decodeComponent(type, reversed, reader)
      values.push(value === null ? 'null' : toJson(type, Buffer.from(value)))
    }
    return { clustering: values.length === 0 ? '[ ]' : `[ ${values.join(', ')} ]`, isAfter: reader.remaining() > 0 }
  }

  #micros(high: number, low: number): string {
    const micros = (BigInt(high) << 32n) | BigInt(low >>> 0)
    return this.#options.raw ? `"${micros}"` : quoted(timeText(micros))
  }

  #seconds(seconds: number): string {
    return this.#options.raw ? `"${seconds}"` : quoted(timeText(BigInt(seconds) * 1_000_000n))
  }
}

function pathText(type: CqlType, path: Buffer): string {
  switch (type.kind) {
    case 'set':
      return toCqlText(type.element, Buffer.from(decodePath(type.element, path)))
    case 'map':
      return toCqlText(type.key, Buffer.from(decodePath(type.key, path)))
    case 'list':
      return toCqlText(LIST_PATH, Buffer.from(decodePath(LIST_PATH, path)))
    case 'udt':
      return (path.length === 2 ? type.fieldNames[path.readUInt16BE()] : undefined) ?? hex(path)
    default:
      return hex(path)
  }
}

function valueText(type: CqlType, row: RowReader): string {
  const bytes = row.buffer.subarray(row.valueStart, row.valueEnd)
  if (!row.hasPath) return toJson(type, bytes)
  switch (type.kind) {
    case 'map':
      return toJson(type.value, bytes)
    case 'list':
      return toJson(type.element, bytes)
    case 'udt': {
      const field =
        row.pathEnd - row.pathStart === 2 ? type.fieldTypes[row.buffer.readUInt16BE(row.pathStart)] : undefined
      return toJson(field ?? NATIVE.blob, bytes)
    }
    default:
      return type.kind === 'set' ? '""' : quoted(hex(bytes))
  }
}

/** `2026-11-21T12:02:33.777987Z`, as many digits as are needed, in threes. Times beyond what a Date holds stay numbers. */
export function timeText(micros: bigint): string {
  const ms = micros >= 0n ? micros / 1000n : (micros - 999n) / 1000n
  if (ms > 8_640_000_000_000_000n || ms < -8_640_000_000_000_000n) return String(micros)
  const rest = Number(micros - ms * 1000n)
  const iso = new Date(Number(ms)).toISOString()
  if (rest !== 0) return `${iso.slice(0, -1)}${String(rest).padStart(3, '0')}Z`
  return iso.endsWith('.000Z') ? `${iso.slice(0, -5)}Z` : iso
}

export function quoted(text: string): string {
  return JSON.stringify(text)
}

function hex(bytes: Buffer): string {
  return `0x${bytes.toString('hex')}`
}
