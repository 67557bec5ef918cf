/**
 * A table that keeps versions as the list of all that was ever written to each row, and what a reader sees of that: what nobody has replaced who had
 * seen it. Contexts and dots are nowhere in it; what a writer had seen is a list of writes.
 */

import type { ReadResult } from '../../../storage/model/command.ts'
import { shownOf } from '../causal-writes.ts'
import type { Question } from './compare.ts'

/** One write. It keeps its identity when it is made again after a crash. */
export interface VersionWrite {
  /** Null: it makes no version. */
  readonly value: string | null
  /** When it expires; 0: never. */
  readonly expiresAt: number
  /** Versions that it replaces, and elements that it takes away. */
  readonly replaces: ReadonlySet<VersionWrite>
  readonly removes: ReadonlySet<VersionWrite>
  /** Unique; null: none. */
  readonly adds: string | null
}

interface Written {
  readonly sequence: number
  readonly write: VersionWrite
}

type Rows = Map<number, Map<string, Written[]>>

export class VersionsJudge {
  #rows: Rows = new Map()
  /** Writes up to this one count. */
  upTo = Number.POSITIVE_INFINITY

  clear(): void {
    this.#rows.clear()
  }

  snapshot(): Rows {
    return new Map(
      [...this.#rows].map(([partition, rows]) => [partition, new Map([...rows].map(([c, w]) => [c, [...w]]))]),
    )
  }

  restore(snapshot: Rows): void {
    this.#rows = snapshot
    this.#rows = this.snapshot()
  }

  write(partition: number, clustering: string, sequence: number, write: VersionWrite): void {
    let rows = this.#rows.get(partition)
    if (rows === undefined) {
      rows = new Map()
      this.#rows.set(partition, rows)
    }
    const writes = rows.get(clustering)
    if (writes === undefined) rows.set(clustering, [{ sequence, write }])
    else writes.push({ sequence, write })
  }

  /** Writes after `sequence` never happened. */
  forgetAfter(sequence: number): void {
    for (const rows of this.#rows.values())
      for (const [clustering, writes] of rows)
        rows.set(
          clustering,
          writes.filter((one) => one.sequence <= sequence),
        )
  }

  /** All that was written to the row. */
  writesOf(partition: number, clustering: string): ReadonlySet<VersionWrite> {
    return new Set((this.#rows.get(partition)?.get(clustering) ?? []).map(({ write }) => write))
  }

  /** What a reader sees of the row, as shownOf has it; empty: nothing. */
  #shown(writes: readonly Written[], nowSeconds: number): string[] {
    const counted = writes.filter(({ sequence }) => sequence <= this.upTo).map(({ write }) => write)
    const shown = counted
      .filter((write) => write.value !== null && (write.expiresAt === 0 || write.expiresAt > nowSeconds))
      .filter((write) => !counted.some(({ replaces }) => replaces.has(write)))
      .map(({ value }) => value!)
    const elements = counted
      .filter((write) => write.adds !== null && !counted.some(({ removes }) => removes.has(write)))
      .map(({ adds }) => adds!)
    return [...shown.sort(), ...(elements.length === 0 ? [] : [`elements ${elements.sort().join()}`])]
  }

  /** The first difference, or null. `key`: of a partition, as it is given. */
  compare(
    { partitions, slices, reversed, limit, after }: Question,
    result: ReadResult,
    nowSeconds: number,
    key: (partition: number) => string,
  ): string | null {
    const expected: string[] = []
    for (const partition of partitions) {
      const rows = [...(this.#rows.get(partition) ?? [])].sort(([a], [b]) => (a < b ? -1 : 1))
      if (reversed) rows.reverse()
      for (const [clustering, writes] of rows) {
        if (slices !== null && !slices.some(({ start, end }) => start <= clustering && clustering < end)) continue
        if (after?.partition === partition && after.clustering !== null)
          if (reversed ? clustering >= after.clustering : clustering <= after.clustering) continue
        const shown = this.#shown(writes, nowSeconds)
        if (shown.length > 0) expected.push(lineOf(key(partition), clustering, shown))
      }
    }
    const wanted = expected.slice(0, limit)
    const given = linesOf(result, nowSeconds)
    for (let i = 0; i < Math.max(wanted.length, given.length); i++)
      if (wanted[i] !== given[i]) return `${given[i] ?? 'nothing'} is given, ${wanted[i] ?? 'nothing'} is to be`
    if (expected.length > limit && !result.more) return `the last of ${limit} rows, and more were there`
    return null
  }
}

function lineOf(key: string, clustering: string, shown: readonly string[]): string {
  return `${JSON.stringify([key, clustering])} ${shown.join(' | ')}`
}

export function linesOf({ partitions }: ReadResult, nowSeconds: number): string[] {
  return partitions.flatMap(({ key, rows }) =>
    rows.map(({ clustering, row }) => {
      const shown = shownOf(row, nowSeconds)
      const versions = shown.filter((one) => !one.startsWith('elements ')).map(textOf)
      const elements = shown.filter((one) => one.startsWith('elements ')).map(elementsOf)
      return lineOf(key.toString('latin1'), clustering.toString('latin1'), [...versions.sort(), ...elements])
    }),
  )
}

/** `1=text`, as an INSERT of one column makes it. */
function textOf(version: string): string {
  return version.slice(version.indexOf('=') + 1)
}

/** `elements 4a=,4b=`. */
function elementsOf(line: string): string {
  const paths = line.slice('elements '.length).split(',')
  return `elements ${paths
    .map((path) => path.slice(1, path.indexOf('=')))
    .sort()
    .join()}`
}
