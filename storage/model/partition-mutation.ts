/**
 * A partition as a whole read gave it, as mutations that write all of it again, deletions too: what streaming and repair send. The bytes of rows are
 * those that were read.
 * Always: applied to a table that holds nothing else, they read as they were read; applied where there is more, they change nothing that is newer.
 */
import { ByteWriter } from '../../lib/base/bytes.ts'
import type { PartitionData, RangeTombstone } from './command.ts'
import { EntryKind, type MutationReader } from './mutation.ts'
import { RowFlag } from './row.ts'
import { rowParts } from './row-parts.ts'

/** Of mutations that are made again: well below half of the smallest segment of a commit log, with a row's part that comes last. */
const REMADE_BYTES_MAX = 32 * 1024

/** A row without versions is given in one piece, so that nobody sees half of a write, unless it is too large for that. */
const PLAIN_ROW_BYTES_MAX = 1024 * 1024
const VERSIONS_BYTES_MAX = 24 * 1024

/** Beyond which a row is given in parts. */
function rowBytesMax(row: Buffer): number {
  return (row[0]! & RowFlag.CAUSAL) === 0 ? PLAIN_ROW_BYTES_MAX : VERSIONS_BYTES_MAX
}

/** Writes one mutation after another; it may be used again. */
export class PartitionMutationWriter {
  readonly #out = new ByteWriter(1024)
  #headBytes = 0
  #rowAt = 0

  begin(tableId: Uint8Array, position: Uint8Array): void {
    const out = this.#out
    out.reset()
    out.bytes(tableId)
    out.bytes(position)
    this.#headBytes = out.length
  }

  /** The partition of another mutation, whose reader it is. */
  beginLike({ buffer, tableStart, positionEnd }: MutationReader): void {
    const out = this.#out
    out.reset()
    out.slice(buffer, tableStart, positionEnd)
    this.#headBytes = out.length
  }

  get isEmpty(): boolean {
    return this.#out.length === this.#headBytes
  }

  get length(): number {
    return this.#out.length
  }

  deletion(deletion: Uint8Array): void {
    this.#out.uint8(EntryKind.PARTITION_DELETION)
    this.#out.bytes(deletion)
  }

  staticRow(row: Uint8Array): void {
    this.#out.uint8(EntryKind.STATIC_ROW)
    this.#sized(row)
  }

  rangeTombstone({ start, end, deletion }: RangeTombstone): void {
    const out = this.#out
    out.uint8(EntryKind.RANGE_TOMBSTONE)
    out.varuint(start.length)
    out.bytes(start)
    out.varuint(end.length)
    out.bytes(end)
    out.bytes(deletion)
  }

  row(clustering: Uint8Array, row: Uint8Array): void {
    const out = this.#out
    out.uint8(EntryKind.ROW)
    out.varuint(clustering.length)
    out.bytes(clustering)
    this.#sized(row)
  }

  /** Opens a row with the clustering of another mutation's entry: its bytes are to be appended to what is given, then comes endRow. */
  beginRowLike({ buffer, boundStart, boundEnd }: MutationReader): ByteWriter {
    const out = this.#out
    out.uint8(EntryKind.ROW)
    out.varuint(boundEnd - boundStart)
    out.slice(buffer, boundStart, boundEnd)
    this.#rowAt = out.reserve(4) + 4
    return out
  }

  /** Returns where the row begins in what finish gives. */
  endRow(): number {
    const out = this.#out
    out.putInt32(this.#rowAt - 4, out.length - this.#rowAt)
    return this.#rowAt
  }

  /** An entry of another mutation, as it is. */
  entry(bytes: Uint8Array): void {
    this.#out.bytes(bytes)
  }

  #sized(row: Uint8Array): void {
    this.#out.int32(row.length)
    this.#out.bytes(row)
  }

  /** In memory of its own. */
  finish(): Buffer {
    return this.#out.copy()
  }

  /** The same as a view, until the next begin. */
  view(): Buffer {
    return this.#out.view()
  }
}

/** What is to be written of a partition. */
export interface PartitionParts extends Pick<PartitionData, 'position' | 'staticRow' | 'deletion' | 'rangeTombstones'> {
  readonly rows: readonly { readonly clustering: Buffer; readonly row: Buffer }[]
}

/** The mutations, none larger than `bytesMax` unless one entry is. */
export function partitionMutations(
  tableId: Uint8Array,
  { position, deletion, staticRow, rangeTombstones = [], rows }: PartitionParts,
  bytesMax: number = REMADE_BYTES_MAX,
): Buffer[] {
  const made: Buffer[] = []
  if (!deletion && !staticRow && rangeTombstones.length === 0 && rows.length === 0) return made
  const writer = new PartitionMutationWriter()
  const begin = (): void => writer.begin(tableId, position)
  const cut = (): void => {
    if (writer.length < bytesMax) return
    made.push(writer.finish())
    begin()
  }
  begin()
  if (deletion) writer.deletion(deletion)
  if (staticRow) writer.staticRow(staticRow)
  for (const range of rangeTombstones) {
    writer.rangeTombstone(range)
    cut()
  }
  for (const { clustering, row } of rows)
    for (const part of rowParts(row, rowBytesMax(row))) {
      writer.row(clustering, part)
      cut()
    }
  if (!writer.isEmpty) made.push(writer.finish())
  return made
}
