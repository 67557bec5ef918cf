/** Rows read before they are written: an element of a list is known by its place only when the list is. */

import type { PartitionData, Slice } from '../../storage/model/command.ts'
import { CellFlag, RowReader } from '../../storage/model/row.ts'
import { ByteWriter } from '../base/bytes.ts'
import type { TableSchema } from '../schema/table.ts'
import { Consistency } from '../types/consistency.ts'
import { AFTER_PREFIX } from '../types/ordered.ts'
import { encodePosition } from '../types/partition-key.ts'
import type { ExistingCells } from './modify-operations.ts'
import type { Environment, QueryOptions } from './statement.ts'

export interface ExistingRow {
  readonly regulars: ExistingCells
  readonly statics: ExistingCells
}

const NOTHING: ExistingRow = { regulars: new Map(), statics: new Map() }

export class ExistingRows {
  readonly #rows = new Map<string, ExistingRow>()

  static #name(key: Uint8Array, clustering: Uint8Array): string {
    return `${Buffer.from(key).toString('hex')}/${Buffer.from(clustering).toString('hex')}`
  }

  set(key: Uint8Array, clustering: Uint8Array, row: ExistingRow): void {
    this.#rows.set(ExistingRows.#name(key, clustering), row)
  }

  of(key: Uint8Array, clustering: Uint8Array): ExistingRow {
    return this.#rows.get(ExistingRows.#name(key, clustering)) ?? NOTHING
  }
}

/** Reads these rows of these partitions, their static rows with them. No clusterings: only the static rows. */
export async function readExistingRows(
  table: TableSchema,
  keys: readonly Buffer[],
  clusterings: readonly Buffer[],
  environment: Environment,
  options: QueryOptions,
): Promise<ExistingRows> {
  const rows = new ExistingRows()
  const token = new Int32Array(2)
  const nowSeconds = options.nowSeconds ?? Math.floor(environment.wallMicros() / 1_000_000)
  const consistency = options.consistency === Consistency.ANY ? Consistency.ONE : options.consistency
  const wanted = clusterings.length === 0 ? [Buffer.alloc(0)] : clusterings
  for (const key of keys)
    for (const clustering of wanted) {
      const command = {
        table: table.id,
        target: { kind: 'partition', position: encodePosition(key, token) },
        slices: table.clustering.length === 0 ? null : clustering.length === 0 ? [] : [sliceOfRow(clustering)],
        reversed: false,
        wantStatic: true,
        staticCounts: true,
        limit: Number.POSITIVE_INFINITY,
        perPartitionLimit: Number.POSITIVE_INFINITY,
        byteLimit: Number.POSITIVE_INFINITY,
        nowSeconds,
        after: null,
      } as const
      const result = await environment.coordinator.read(command, consistency, table.keyspace)
      const partition = result.partitions[0]
      if (partition) rows.set(key, clustering, existingRow(partition, nowSeconds))
    }
  return rows
}

function sliceOfRow(clustering: Buffer): Slice {
  const end = new ByteWriter(clustering.length + 1)
  end.bytes(clustering)
  end.uint8(AFTER_PREFIX)
  return { start: clustering, end: end.view() }
}

function existingRow(partition: PartitionData, nowSeconds: number): ExistingRow {
  const row = partition.rows[0]
  return {
    regulars: row ? pathCells(row.row, nowSeconds) : new Map(),
    statics: partition.staticRow ? pathCells(partition.staticRow, nowSeconds) : new Map(),
  }
}

/** Copies: what the store gave is valid for this turn only. */
function pathCells(row: Buffer, nowSeconds: number): ExistingCells {
  const columns = new Map<number, { path: Buffer; value: Buffer }[]>()
  const reader = new RowReader().reset(Buffer.from(row))
  while (reader.next()) {
    if ((reader.flags & CellFlag.PATH) === 0 || !reader.isLive(nowSeconds)) continue
    const cell = {
      path: reader.buffer.subarray(reader.pathStart, reader.pathEnd),
      value: reader.buffer.subarray(reader.valueStart, reader.valueEnd),
    }
    const cells = columns.get(reader.columnId)
    if (cells) cells.push(cell)
    else columns.set(reader.columnId, [cell])
  }
  return columns
}
