/**
 * What a partition of a base table means for its views: which of its rows a write touches, and the state of each in a view, with the deletions that lie
 * over it.
 */
import type { PartitionData, ReadResult, Slice } from '../../storage/model/command.ts'
import { EntryKind, type MutationReader } from '../../storage/model/mutation.ts'
import { invalid } from '../base/errors.ts'
import type { TableSchema } from '../schema/table.ts'
import { KEY_BYTES_MAX } from '../types/partition-key.ts'
import { KeyTooLong, type ViewRows, type ViewState } from './view-row.ts'

const AFTER = Buffer.of(0)

/** The rows that mutations touch, as slices that are disjoint and ascend; null: all of the partition. */
export function touchedSlices(
  { clustering }: TableSchema,
  mutations: readonly Buffer[],
  mutationReader: MutationReader,
): Slice[] | null {
  const slices: Slice[] = []
  for (const mutation of mutations) {
    const reader = mutationReader.reset(mutation)
    while (reader.next()) {
      const start = mutation.subarray(reader.boundStart, reader.boundEnd)
      if (reader.kind === EntryKind.PARTITION_DELETION) return null
      if (reader.kind === EntryKind.RANGE_TOMBSTONE)
        slices.push({ start, end: mutation.subarray(reader.rangeEndStart, reader.rangeEndEnd) })
      else if (reader.kind === EntryKind.ROW) {
        if (clustering.length === 0) return null
        slices.push({ start, end: Buffer.concat([start, AFTER]), single: true })
      }
    }
  }
  return disjoint(slices)
}

function disjoint(slices: Slice[]): Slice[] {
  slices.sort((a, b) => a.start.compare(b.start) || a.end.compare(b.end))
  const result: Slice[] = []
  for (const slice of slices) {
    const last = result.at(-1)
    if (last === undefined || last.end.compare(slice.start) <= 0) result.push(slice)
    else if (last.end.compare(slice.end) < 0) result[result.length - 1] = { start: last.start, end: slice.end }
  }
  return result
}

/** By view. `mayBeTooLong`: see stateOrNull. */
export function statesOf(
  views: readonly { readonly rows: ViewRows }[],
  { partitions }: ReadResult,
  nowSeconds: number,
  mayBeTooLong: boolean,
): PartitionStates[] {
  return views.map(({ rows }) => {
    const states = new PartitionStates(partitions[0])
    for (const data of partitions)
      for (const { clustering, row } of data.rows) {
        const name = clustering.toString('latin1')
        const state = stateOrNull(rows, data.key, clustering, row, states.covering(name), nowSeconds, mayBeTooLong)
        if (state !== null) states.rows.set(name, state)
      }
    return states
  })
}

/** What a partition means for a view: its rows, and the deletions that lie over rows. */
export class PartitionStates {
  /** By the clustering of the base row, as one character a byte. */
  readonly rows = new Map<string, ViewState>()
  readonly #deletion: Buffer | null
  readonly #ranges: readonly { readonly start: Buffer; readonly end: Buffer; readonly deletion: Buffer }[]

  /** Copies what it keeps. */
  constructor(data: PartitionData | undefined) {
    this.#deletion = data?.deletion ? Buffer.from(data.deletion) : null
    this.#ranges = (data?.rangeTombstones ?? []).map(({ start, end, deletion }) => ({
      start: Buffer.from(start),
      end: Buffer.from(end),
      deletion: Buffer.from(deletion),
    }))
  }

  /** The latest deletion of the partition or of a range that a row of that clustering lies in. */
  covering(clustering: string): Buffer | null {
    if (this.#ranges.length === 0) return this.#deletion
    const bytes = Buffer.from(clustering, 'latin1')
    let low = 0
    let high = this.#ranges.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#ranges[middle]!.end.compare(bytes) <= 0) low = middle + 1
      else high = middle
    }
    const range = this.#ranges[low]
    return range !== undefined && range.start.compare(bytes) <= 0 ? range.deletion : this.#deletion
  }
}

/** What a row is in a view. One whose key there would be too long: null if it `mayBeTooLong` (it was never written), else it is INVALID to write it. */
export function stateOrNull(
  viewRows: ViewRows,
  key: Buffer,
  clustering: Buffer,
  row: Buffer,
  covering: Buffer | null,
  nowSeconds: number,
  mayBeTooLong: boolean,
): ViewState | null {
  try {
    return viewRows.of(key, clustering, row, covering, nowSeconds)
  } catch (error) {
    if (!(error instanceof KeyTooLong)) throw error
    if (mayBeTooLong) return null
    throw invalid(
      `A key of materialized view ${viewRows.view.name} would be longer than the maximum of ${KEY_BYTES_MAX} bytes`,
    )
  }
}
