/**
 * Reads as they travel between nodes (docs/formats.md, "Reads between nodes"): commands, answers, digests of answers. Rows are the bytes that storage
 * keeps; nobody decodes them on the way.
 * Always: answers with the same content are the same bytes, but for the count of tombstones, which digests leave out.
 */
import { hash } from 'node:crypto'
import { ByteReader, BytesError, type ByteWriter } from '../../lib/base/bytes.ts'
import { uuidBytes, uuidText } from '../../lib/base/uuid.ts'
import {
  type IndexRead,
  type PartitionData,
  type RangeTombstone,
  type ReadCommand,
  type ReadPoint,
  type ReadResult,
  RowData,
  type Slice,
} from '../../storage/model/command.ts'
import { DELETION_BYTES } from '../../storage/model/deletion.ts'
import { POSITION_HEAD_BYTES, TABLE_ID_BYTES } from '../../storage/model/mutation.ts'
import { validateMutation } from '../../storage/model/validation.ts'
import type { TableIds } from './table-ids.ts'

const VERSION = 1
export const DIGEST_BYTES = 16
const NO_LIMIT = 0xffffffff

const Flag = {
  RANGE: 1,
  SLICES: 2,
  REVERSED: 4,
  STATIC: 8,
  STATIC_COUNTS: 16,
  AFTER: 32,
  COLUMNS: 64,
  TOMBSTONES_MAX: 128,
  INDEX: 256,
  WHOLE: 512,
  KEEPS_PURGEABLE: 1024,
  /** The answer's digest will do. */
  DIGEST: 2048,
  SINGLE: 4096,
} as const

const AfterFlag = { CLUSTERING: 1, PARTITION_DONE: 2 } as const
const IndexFlag = { ONE: 1, OF_PARTITION: 2 } as const
const BoundFlag = { START: 1, END: 2 } as const

/** A command as it came from another node. */
export interface ReadRequest {
  readonly command: ReadCommand
  readonly isDigest: boolean
}

const NO_BYTES = Buffer.alloc(0)

/** Appends a request to the writer. `supposed` does not travel. */
export function encodeReadRequest(out: ByteWriter, command: ReadCommand, isDigest: boolean, ids: TableIds): void {
  const { target, slices, after, columns, tombstonesMax, index } = command
  const isSingle = slices !== null && slices.length === 1 && slices[0]!.single === true
  out.uint8(VERSION)
  out.uint16(
    (target.kind === 'range' ? Flag.RANGE : 0) |
      (slices !== null ? Flag.SLICES : 0) |
      (command.reversed ? Flag.REVERSED : 0) |
      (command.wantStatic ? Flag.STATIC : 0) |
      (command.staticCounts ? Flag.STATIC_COUNTS : 0) |
      (after !== null ? Flag.AFTER : 0) |
      (columns !== undefined ? Flag.COLUMNS : 0) |
      (tombstonesMax !== undefined && Number.isFinite(tombstonesMax) ? Flag.TOMBSTONES_MAX : 0) |
      (index !== undefined ? Flag.INDEX : 0) |
      (command.whole ? Flag.WHOLE : 0) |
      (command.keepsPurgeable ? Flag.KEEPS_PURGEABLE : 0) |
      (isDigest ? Flag.DIGEST : 0) |
      (isSingle ? Flag.SINGLE : 0),
  )
  out.bytes(ids.bytes(command.table))
  out.int32(command.nowSeconds)
  out.int32(count(command.limit))
  out.int32(count(command.perPartitionLimit))
  out.int32(count(command.byteLimit))
  if (target.kind === 'partition') sized(out, target.position)
  else bounds(out, target.start, target.end)
  if (slices !== null) encodeSlices(out, slices)
  if (after !== null) encodePoint(out, after)
  if (columns !== undefined) {
    out.varuint(columns.length)
    for (let i = 0; i < columns.length; i++) out.varuint(columns[i]!)
  }
  if (tombstonesMax !== undefined && Number.isFinite(tombstonesMax)) out.int32(count(tombstonesMax))
  if (index !== undefined) encodeIndex(out, index)
}

function count(limit: number): number {
  return limit < NO_LIMIT ? limit : NO_LIMIT
}

function sized(out: ByteWriter, bytes: Uint8Array): void {
  out.varuint(bytes.length)
  out.bytes(bytes)
}

function bounds(out: ByteWriter, start: Buffer | null, end: Buffer | null): void {
  out.uint8((start === null ? 0 : BoundFlag.START) | (end === null ? 0 : BoundFlag.END))
  if (start !== null) sized(out, start)
  if (end !== null) sized(out, end)
}

function encodeSlices(out: ByteWriter, slices: readonly Slice[]): void {
  out.varuint(slices.length)
  for (let i = 0; i < slices.length; i++) {
    sized(out, slices[i]!.start)
    sized(out, slices[i]!.end)
  }
}

function encodePoint(out: ByteWriter, { position, clustering, partitionDone, rowsGiven }: ReadPoint): void {
  out.uint8((clustering === null ? 0 : AfterFlag.CLUSTERING) | (partitionDone ? AfterFlag.PARTITION_DONE : 0))
  sized(out, position)
  if (clustering !== null) sized(out, clustering)
  out.varuint(Math.min(rowsGiven, NO_LIMIT))
}

function encodeIndex(out: ByteWriter, { id, terms, ofPartition }: IndexRead): void {
  out.bytes(uuidBytes(id))
  out.uint8((terms.kind === 'one' ? IndexFlag.ONE : 0) | (ofPartition ? IndexFlag.OF_PARTITION : 0))
  if (terms.kind === 'one') sized(out, terms.position)
  else bounds(out, terms.start, terms.end)
}

/** Throws BytesError. The command's bytes are views of the payload. */
export function decodeReadRequest(payload: Buffer, ids: TableIds): ReadRequest {
  const reader = new ByteReader(payload)
  const version = reader.uint8()
  if (version !== VERSION) throw new BytesError(`read of version ${version}`)
  const flags = reader.uint16()
  const has = (flag: number): boolean => (flags & flag) !== 0
  const table = ids.text(reader.view(TABLE_ID_BYTES))
  const nowSeconds = reader.uint32()
  const limit = limitOf(reader.uint32())
  const perPartitionLimit = limitOf(reader.uint32())
  const byteLimit = limitOf(reader.uint32())
  const target: ReadCommand['target'] = has(Flag.RANGE)
    ? { kind: 'range', ...decodeBounds(reader) }
    : { kind: 'partition', position: positionOf(reader) }
  const slices = has(Flag.SLICES) ? decodeSlices(reader, has(Flag.SINGLE)) : null
  const after = has(Flag.AFTER) ? decodePoint(reader) : null
  const columns = has(Flag.COLUMNS) ? decodeColumns(reader) : null
  const tombstonesMax = has(Flag.TOMBSTONES_MAX) ? reader.uint32() : null
  const index = has(Flag.INDEX) ? decodeIndex(reader) : null
  const command: ReadCommand = {
    table,
    target,
    slices,
    reversed: has(Flag.REVERSED),
    wantStatic: has(Flag.STATIC),
    staticCounts: has(Flag.STATIC_COUNTS),
    limit,
    perPartitionLimit,
    byteLimit,
    nowSeconds,
    after,
    ...(columns === null ? {} : { columns }),
    ...(tombstonesMax === null ? {} : { tombstonesMax }),
    ...(index === null ? {} : { index }),
    ...(has(Flag.WHOLE) ? { whole: true as const } : {}),
    ...(has(Flag.KEEPS_PURGEABLE) ? { keepsPurgeable: true as const } : {}),
  }
  if (reader.remaining() > 0) throw new BytesError('a read with bytes after its end')
  return { command, isDigest: has(Flag.DIGEST) }
}

function limitOf(value: number): number {
  return value === NO_LIMIT ? Number.POSITIVE_INFINITY : value
}

function positionOf(reader: ByteReader): Buffer {
  const position = reader.view(reader.varuint())
  const isWhole =
    position.length >= POSITION_HEAD_BYTES && position.length === POSITION_HEAD_BYTES + position.readUInt16BE(8)
  if (!isWhole) throw new BytesError(`position of ${position.length} bytes`)
  return position
}

function decodeBounds(reader: ByteReader): { start: Buffer | null; end: Buffer | null } {
  const flags = reader.uint8()
  const start = (flags & BoundFlag.START) === 0 ? null : reader.view(reader.varuint())
  const end = (flags & BoundFlag.END) === 0 ? null : reader.view(reader.varuint())
  return { start, end }
}

function decodeSlices(reader: ByteReader, single: boolean): Slice[] {
  const slices: Slice[] = []
  for (let left = reader.varuint(); left > 0; left--) {
    const start = reader.view(reader.varuint())
    const end = reader.view(reader.varuint())
    slices.push(single ? { start, end, single } : { start, end })
  }
  return slices
}

function decodeColumns(reader: ByteReader): number[] {
  const columns: number[] = []
  for (let left = reader.varuint(); left > 0; left--) columns.push(reader.varuint())
  return columns
}

function decodePoint(reader: ByteReader): ReadPoint {
  const flags = reader.uint8()
  const position = positionOf(reader)
  const clustering = (flags & AfterFlag.CLUSTERING) === 0 ? null : reader.view(reader.varuint())
  const partitionDone = (flags & AfterFlag.PARTITION_DONE) !== 0
  return { position, clustering, partitionDone, rowsGiven: reader.varuint() }
}

function decodeIndex(reader: ByteReader): IndexRead {
  const id = uuidText(reader.view(TABLE_ID_BYTES))
  const flags = reader.uint8()
  const terms: IndexRead['terms'] =
    (flags & IndexFlag.ONE) !== 0
      ? { kind: 'one', position: reader.view(reader.varuint()) }
      : { kind: 'range', ...decodeBounds(reader) }
  return (flags & IndexFlag.OF_PARTITION) !== 0 ? { id, terms, ofPartition: true } : { id, terms }
}

const AnswerFlag = { MORE: 1, DIGEST: 2, WHOLE: 4 } as const
const PartitionFlag = { STATIC: 1, DELETION: 2, CUT: 4 } as const
/** Version and count of tombstones: what stands before the part of which digests are made. */
const HEAD_BYTES = 5

/** Appends an answer to the writer. */
export function encodeAnswer(out: ByteWriter, result: ReadResult, isWhole: boolean): void {
  const { partitions, more, tombstones } = result
  out.uint8(VERSION)
  out.int32(count(tombstones))
  out.uint8((more ? AnswerFlag.MORE : 0) | (isWhole ? AnswerFlag.WHOLE : 0))
  out.varuint(partitions.length)
  for (let i = 0; i < partitions.length; i++) encodePartition(out, partitions[i]!, isWhole)
}

function encodePartition(out: ByteWriter, partition: PartitionData, isWhole: boolean): void {
  const { position, staticRow, rows, deletion, rangeTombstones, cut } = partition
  sized(out, position)
  const flags = staticRow === null ? 0 : PartitionFlag.STATIC
  if (isWhole) {
    out.uint8(flags | (deletion ? PartitionFlag.DELETION : 0) | (cut ? PartitionFlag.CUT : 0))
    if (deletion) out.bytes(deletion)
    if (cut) sized(out, cut)
    const ranges = rangeTombstones ?? NO_RANGES
    out.varuint(ranges.length)
    for (let i = 0; i < ranges.length; i++) {
      const range = ranges[i]!
      sized(out, range.start)
      sized(out, range.end)
      out.bytes(range.deletion)
    }
  } else out.uint8(flags)
  if (staticRow !== null) sized(out, staticRow)
  out.varuint(rows.length)
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i]!
    out.varuint(row.clusteringEnd - row.clusteringStart)
    out.slice(row.clusteringBuffer, row.clusteringStart, row.clusteringEnd)
    out.varuint((row.rowEnd - row.rowStart) * 2 + (row.isDead ? 1 : 0))
    out.slice(row.rowBuffer, row.rowStart, row.rowEnd)
  }
}

const NO_RANGES: readonly RangeTombstone[] = []

/** The digest of an answer that encodeAnswer made. */
export function digestOf(answer: Buffer): Buffer {
  return hash('sha1', answer.subarray(HEAD_BYTES), 'buffer').subarray(0, DIGEST_BYTES)
}

/** Appends the answer to a request for a digest. */
export function encodeDigest(out: ByteWriter, tombstones: number, digest: Uint8Array): void {
  out.uint8(VERSION)
  out.int32(count(tombstones))
  out.uint8(AnswerFlag.DIGEST)
  out.bytes(digest)
}

/** Null: the answer holds data. */
export function digestIn(answer: Buffer): Buffer | null {
  if (answer.length !== HEAD_BYTES + 1 + DIGEST_BYTES || answer[HEAD_BYTES] !== AnswerFlag.DIGEST) return null
  return answer.subarray(HEAD_BYTES + 1)
}

export function tombstonesIn(answer: Buffer): number {
  return answer.length < HEAD_BYTES ? 0 : answer.readUInt32BE(1)
}

/** What an answer with data holds: views of its bytes. Throws BytesError. */
export function decodeAnswer(answer: Buffer): ReadResult {
  const reader = new ByteReader(answer)
  const version = reader.uint8()
  if (version !== VERSION) throw new BytesError(`answer of version ${version}`)
  const tombstones = reader.uint32()
  const flags = reader.uint8()
  if ((flags & AnswerFlag.DIGEST) !== 0) throw new BytesError('a digest where data was asked for')
  const isWhole = (flags & AnswerFlag.WHOLE) !== 0
  const partitions: PartitionData[] = []
  for (let left = reader.varuint(); left > 0; left--) partitions.push(decodePartition(reader, isWhole))
  if (reader.remaining() > 0) throw new BytesError('an answer with bytes after its end')
  return { partitions, more: (flags & AnswerFlag.MORE) !== 0, tombstones }
}

function decodePartition(reader: ByteReader, isWhole: boolean): PartitionData {
  const position = positionOf(reader)
  const flags = reader.uint8()
  const deletion = (flags & PartitionFlag.DELETION) === 0 ? null : reader.view(DELETION_BYTES)
  const cut = (flags & PartitionFlag.CUT) === 0 ? null : reader.view(reader.varuint())
  const rangeTombstones: RangeTombstone[] = []
  if (isWhole)
    for (let left = reader.varuint(); left > 0; left--)
      rangeTombstones.push({
        start: reader.view(reader.varuint()),
        end: reader.view(reader.varuint()),
        deletion: reader.view(DELETION_BYTES),
      })
  const staticRow = (flags & PartitionFlag.STATIC) === 0 ? null : rowOf(reader, reader.varuint())
  const rows: RowData[] = []
  for (let left = reader.varuint(); left > 0; left--) {
    const length = reader.varuint()
    const clustering = length === 0 ? NO_BYTES : reader.view(length)
    const size = reader.varuint()
    const row = rowOf(reader, size >>> 1)
    rows.push(RowData.of(clustering, row, isWhole && (size & 1) !== 0))
  }
  const key = position.subarray(POSITION_HEAD_BYTES)
  if (!isWhole) return { position, key, staticRow, rows }
  return { position, key, staticRow, rows, deletion, rangeTombstones, cut }
}

function rowOf(reader: ByteReader, length: number): Buffer {
  if (length === 0) throw new BytesError('a row of no bytes')
  return reader.view(length)
}

const TWO_32 = 4294967296
const REPAIR_HEAD_BYTES = 8

/** READ_REPAIR := written at 8 (µs of the coordinator's hybrid clock when the read began) | mutation */
export function encodeRepair(mutation: Uint8Array, writtenAt: number): readonly Uint8Array[] {
  const head = Buffer.allocUnsafe(REPAIR_HEAD_BYTES)
  head.writeUInt32BE(Math.floor(writtenAt / TWO_32), 0)
  head.writeUInt32BE(writtenAt % TWO_32, 4)
  return [head, mutation]
}

/** Throws BytesError. The mutation is a view of the payload that cursors can trust. */
export function decodeRepair(payload: Buffer): { readonly writtenAt: number; readonly mutation: Buffer } {
  const reader = new ByteReader(payload)
  const writtenAt = reader.uint32() * TWO_32 + reader.uint32()
  const mutation = payload.subarray(REPAIR_HEAD_BYTES)
  validateMutation(mutation)
  return { writtenAt, mutation }
}
