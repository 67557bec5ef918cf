/**
 * Checks the bytes of mutations and rows that came from another node or a file, before the cursors of mutation.ts and row.ts, which trust them, see them.
 * Always: what is let through some writer can have written. So no bytes of others make a cursor read beyond its buffer, or break an order that merging relies on.
 */
import { ByteReader, BytesError } from '../../lib/base/bytes.ts'
import { ACTOR_BYTES, coversDot, coversLegacy, DOT_BYTES, validateContext } from './causal/context.ts'
import { CausalPart, EntryKind, TABLE_ID_BYTES } from './mutation.ts'
import { CellFlag, compareRanges, RowFlag, VERSION_COLUMN_ID } from './row.ts'

/** Throws BytesError on whatever no MutationWriter writes, and on causal writes but where leaders are asked. */
export function validateMutation(mutation: Buffer, options: { readonly isToLeader?: boolean } = {}): void {
  const reader = new ByteReader(mutation)
  reader.skip(TABLE_ID_BYTES + 8)
  reader.skip(reader.uint16())
  while (reader.remaining() > 0) {
    const kind = reader.uint8()
    switch (kind) {
      case EntryKind.PARTITION_DELETION:
        reader.skip(12)
        break
      case EntryKind.RANGE_TOMBSTONE: {
        const start = reader.view(reader.varuint())
        const end = reader.view(reader.varuint())
        if (start.compare(end) >= 0) throw new BytesError('range tombstone whose start is not before its end')
        reader.skip(12)
        break
      }
      case EntryKind.STATIC_ROW:
      case EntryKind.ROW: {
        if (kind === EntryKind.ROW) reader.skip(reader.varuint())
        const length = reader.uint32()
        const start = reader.position
        reader.skip(length)
        validateRow(mutation, start, start + length)
        break
      }
      case EntryKind.CAUSAL_WRITE:
        if (options.isToLeader !== true) throw new BytesError('causal write where rows are expected')
        validateCausalWrite(reader)
        break
      default:
        throw new BytesError(`mutation entry of kind ${kind}`)
    }
  }
}

function validateCausalWrite(reader: ByteReader): void {
  reader.skip(reader.varuint())
  const parts = reader.uint8()
  if (parts > (CausalPart.CONTEXT | CausalPart.VERSION | CausalPart.SETS))
    throw new BytesError(`parts ${parts} of a causal write`)
  if ((parts & CausalPart.CONTEXT) !== 0) {
    const length = reader.varuint()
    const start = reader.position
    reader.skip(length)
    validateContext(reader.buffer, start, start + length)
  }
  for (const part of [CausalPart.VERSION, CausalPart.SETS]) {
    if ((parts & part) === 0) continue
    const length = reader.uint32()
    const start = reader.position
    reader.skip(length)
    validateRow(reader.buffer, start, start + length, true)
  }
}

const ROW_FLAGS = RowFlag.LIVENESS | RowFlag.LIVENESS_TTL | RowFlag.DELETION
const CELL_FLAGS_MAX = 127

/** Checks one row's bytes; throws BytesError. `isPlain`: it may have no context and no dots, as those within versions. */
export function validateRow(row: Buffer, start: number, end: number, isPlain = false): void {
  const reader = new ByteReader(row, start, end)
  const flags = reader.uint8()
  if ((flags & ~(isPlain ? ROW_FLAGS : ROW_FLAGS | RowFlag.CAUSAL)) !== 0) throw new BytesError(`row flags ${flags}`)
  if ((flags & RowFlag.LIVENESS) !== 0) reader.skip(8)
  if ((flags & RowFlag.LIVENESS_TTL) !== 0) {
    if ((flags & RowFlag.LIVENESS) === 0) throw new BytesError('row TTL without liveness')
    if (reader.uint32() === 0) throw new BytesError('row TTL of 0')
    reader.skip(4)
  }
  if ((flags & RowFlag.DELETION) !== 0) reader.skip(12)
  let contextStart = 0
  let contextEnd = 0
  if ((flags & RowFlag.CAUSAL) !== 0) {
    const length = reader.varuint()
    contextStart = reader.position
    contextEnd = contextStart + length
    reader.skip(length)
    validateContext(row, contextStart, contextEnd)
    if (length === 0 || coversLegacy(row, contextStart, contextEnd)) throw new BytesError('context of a row')
  }
  let column = -1
  let wasDeletion = false
  let wasDotted = false
  let pathStart = -1
  let pathEnd = -1
  while (reader.remaining() > 0) {
    const id = reader.varuint()
    const cell = reader.uint8()
    checkCellFlags(cell, flags)
    const hasPath = (cell & CellFlag.PATH) !== 0
    const isDotted = (cell & CellFlag.DOTTED) !== 0
    if (id < column || (id === column && ((!hasPath && !wasDeletion) || (wasDotted && !isDotted))))
      throw new BytesError('cells out of order')
    if (id === VERSION_COLUMN_ID && !isDotted) throw new BytesError('version without a dot')
    if (id !== column || isDotted !== wasDotted) pathStart = -1
    column = id
    wasDotted = isDotted
    wasDeletion = (cell & CellFlag.COMPLEX_DELETION) !== 0
    let timestampAt = start + 1
    if ((cell & CellFlag.ROW_TIMESTAMP) === 0) {
      timestampAt = reader.position
      reader.skip(8)
    }
    if ((cell & CellFlag.ROW_TTL) === 0) {
      if ((cell & (CellFlag.TOMBSTONE | CellFlag.EXPIRING | CellFlag.COMPLEX_DELETION)) !== 0) reader.skip(4)
      if ((cell & CellFlag.EXPIRING) !== 0 && reader.uint32() === 0) throw new BytesError('cell TTL of 0')
    }
    if (hasPath) {
      const length = reader.varuint()
      const at = reader.position
      reader.skip(length)
      if (pathStart >= 0 && compareRanges(row, pathStart, pathEnd, row, at, at + length) >= 0)
        throw new BytesError('paths out of order')
      pathStart = at
      pathEnd = at + length
      if (isDotted) {
        checkDot(row, id, at, at + length, timestampAt)
        if (!coversDot(row, row, at, contextStart, contextEnd))
          throw new BytesError('dot that the context does not cover')
      }
    }
    if ((cell & (CellFlag.TOMBSTONE | CellFlag.COMPLEX_DELETION)) !== 0) continue
    const length = reader.varuint()
    const at = reader.position
    reader.skip(length)
    if (id === VERSION_COLUMN_ID) validateRow(row, at, at + length, true)
  }
}

/** The dot with which the path in row[start, end) begins. */
function checkDot(row: Buffer, columnId: number, start: number, end: number, timestampAt: number): void {
  const isVersion = columnId === VERSION_COLUMN_ID
  const length = end - start
  if (length < DOT_BYTES || (isVersion && length !== DOT_BYTES)) throw new BytesError('dot cut off')
  if (((row[start + ACTOR_BYTES - 1]! & 1) === 0) !== isVersion)
    throw new BytesError("version with an element's dot, or the reverse")
  if (compareRanges(row, start + ACTOR_BYTES, start + DOT_BYTES, row, timestampAt, timestampAt + 8) !== 0)
    throw new BytesError('timestamp that is not that of the dot')
}

function checkCellFlags(cell: number, row: number): void {
  const kinds = cell & (CellFlag.TOMBSTONE | CellFlag.EXPIRING | CellFlag.COMPLEX_DELETION)
  const wrong =
    cell > CELL_FLAGS_MAX ||
    ((kinds & (kinds - 1)) !== 0 && kinds !== (CellFlag.TOMBSTONE | CellFlag.EXPIRING)) ||
    ((cell & CellFlag.COMPLEX_DELETION) !== 0 && (cell & CellFlag.PATH) !== 0) ||
    ((cell & CellFlag.DOTTED) !== 0 &&
      ((cell & CellFlag.PATH) === 0 || (cell & CellFlag.TOMBSTONE) !== 0 || (row & RowFlag.CAUSAL) === 0)) ||
    ((cell & CellFlag.ROW_TIMESTAMP) !== 0 && (row & RowFlag.LIVENESS) === 0) ||
    ((cell & CellFlag.ROW_TTL) !== 0 && ((row & RowFlag.LIVENESS_TTL) === 0 || (cell & CellFlag.EXPIRING) === 0))
  if (wrong) throw new BytesError(`cell flags ${cell} in a row of flags ${row}`)
}
