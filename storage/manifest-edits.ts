/**
 * What a manifest record says: edits to the set of live SSTables, and their bytes.
 *
 * edits := edit*
 * edit  := tag u8 | length u32 | fields           unknown tags are refused: an edit that is not understood must not be lost
 * fields of a later version may follow the known ones of an edit.
 */
import { unreachable } from '../lib/base/assert.ts'
import { ByteReader, BytesError, type ByteWriter } from '../lib/base/bytes.ts'

/** One live SSTable. */
export interface TableFile {
  /** Unique among all files of the store; names the file. */
  readonly number: number
  readonly level: number
  readonly fileBytes: number
  readonly uid: Buffer
  readonly minPosition: Buffer
  readonly maxPosition: Buffer
  /** ms since 1970; 0: not repaired. Tombstones may need it before they are purged. */
  readonly repairedAtMs: number
}

export type Edit =
  /** The table's folder, below the store's. Comes before all other edits of the table. */
  | { readonly kind: 'table'; readonly table: string; readonly directory: string }
  /** A new file, or a new description (level, repair) of one that is there. */
  | { readonly kind: 'add'; readonly table: string; readonly file: TableFile }
  | { readonly kind: 'remove'; readonly table: string; readonly number: number }
  /** All records of the table before that commit-log position are in its files. Never goes back. */
  | { readonly kind: 'flushed'; readonly table: string; readonly position: number }
  /** All records before that position, and the files that are removed in the same group, are gone for good. Never goes back. */
  | {
      readonly kind: 'truncated'
      readonly table: string
      readonly position: number /** ms since 1970. */
      readonly atMs: number
    }
  /** A file that is damaged: it lies in the quarantine, or is about to be moved there. Of one that is not there nothing changes. */
  | { readonly kind: 'quarantined'; readonly table: string; readonly number: number }
  /** The table and its files are gone for good. */
  | { readonly kind: 'dropped'; readonly table: string }
  /** No file gets a number below it, no log position before `position` is used again. Part of snapshots. */
  | { readonly kind: 'reserved'; readonly nextFileNumber: number; readonly position: number }

const TAGS = { table: 1, add: 2, remove: 3, flushed: 4, truncated: 5, dropped: 6, reserved: 7, quarantined: 8 } as const
const KINDS = new Map<number, Edit['kind']>(Object.entries(TAGS).map(([kind, tag]) => [tag, kind as Edit['kind']]))

export function writeEdits(out: ByteWriter, edits: Iterable<Edit>): void {
  for (const edit of edits) {
    out.uint8(TAGS[edit.kind])
    const lengthAt = out.reserve(4)
    writeFields(out, edit)
    out.putInt32(lengthAt, out.length - lengthAt - 4)
  }
}

function writeFields(out: ByteWriter, edit: Edit): void {
  if (edit.kind !== 'reserved') writeText(out, edit.table)
  switch (edit.kind) {
    case 'table':
      writeText(out, edit.directory)
      break
    case 'add':
      writeFile(out, edit.file)
      break
    case 'remove':
    case 'quarantined':
      out.int64(BigInt(edit.number))
      break
    case 'flushed':
      out.int64(BigInt(edit.position))
      break
    case 'truncated':
      out.int64(BigInt(edit.position))
      out.int64(BigInt(edit.atMs))
      break
    case 'dropped':
      break
    case 'reserved':
      out.int64(BigInt(edit.nextFileNumber))
      out.int64(BigInt(edit.position))
      break
    default:
      unreachable(edit)
  }
}

function writeText(out: ByteWriter, text: string): void {
  writeBytes(out, Buffer.from(text))
}

function writeBytes(out: ByteWriter, bytes: Buffer): void {
  out.varuint(bytes.length)
  out.bytes(bytes)
}

function writeFile(out: ByteWriter, file: TableFile): void {
  out.int64(BigInt(file.number))
  out.uint8(file.level)
  out.int64(BigInt(file.fileBytes))
  out.int64(BigInt(file.repairedAtMs))
  writeBytes(out, file.uid)
  writeBytes(out, file.minPosition)
  writeBytes(out, file.maxPosition)
}

/** Throws BytesError on bytes that are not edits. */
export function readEdits(bytes: Buffer): Edit[] {
  const reader = new ByteReader(bytes)
  const edits: Edit[] = []
  while (reader.remaining() > 0) {
    const tag = reader.uint8()
    const kind = KINDS.get(tag)
    if (kind === undefined) throw new BytesError(`an edit of kind ${tag} is not known`)
    edits.push(readFields(kind, new ByteReader(reader.view(reader.uint32()))))
  }
  return edits
}

function readFields(kind: Edit['kind'], fields: ByteReader): Edit {
  const number = (): number => Number(fields.int64())
  if (kind === 'reserved') return { kind, nextFileNumber: number(), position: number() }
  const table = fields.utf8(fields.varuint())
  switch (kind) {
    case 'table':
      return { kind, table, directory: fields.utf8(fields.varuint()) }
    case 'add':
      return { kind, table, file: readFile(fields) }
    case 'remove':
    case 'quarantined':
      return { kind, table, number: number() }
    case 'flushed':
      return { kind, table, position: number() }
    case 'truncated':
      return { kind, table, position: number(), atMs: number() }
    case 'dropped':
      return { kind, table }
    default:
      return unreachable(kind)
  }
}

function readFile(fields: ByteReader): TableFile {
  const number = Number(fields.int64())
  const level = fields.uint8()
  const fileBytes = Number(fields.int64())
  const repairedAtMs = Number(fields.int64())
  const bytes = (): Buffer => Buffer.from(fields.view(fields.varuint()))
  return { number, level, fileBytes, repairedAtMs, uid: bytes(), minPosition: bytes(), maxPosition: bytes() }
}
