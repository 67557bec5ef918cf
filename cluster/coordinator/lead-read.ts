/** What a leader reads of its own replica before it makes something of a write: single rows of one partition. */
import type { ReadCommand, Slice } from '../../storage/model/command.ts'

const AFTER = Buffer.of(0)

/** Rows by their clusterings. */
export class LeadRows {
  #slices: Slice[] = []

  get isEmpty(): boolean {
    return this.#slices.length === 0
  }

  clear(): void {
    this.#slices = []
  }

  /** The row of the clustering that lies there. */
  add(buffer: Buffer, clusteringStart: number, clusteringEnd: number): void {
    const start = buffer.subarray(clusteringStart, clusteringEnd)
    this.#slices.push({ start, end: start.length === 0 ? AFTER : Buffer.concat([start, AFTER]), single: true })
  }

  /** Each once. Null: all rows, as a table without clustering columns has only one. */
  get slices(): readonly Slice[] | null {
    const slices = this.#slices
    if (slices.length > 1)
      return slices
        .sort((a, b) => Buffer.compare(a.start, b.start))
        .filter(({ start }, i) => i === 0 || !start.equals(slices[i - 1]!.start))
    return slices.length === 1 && slices[0]!.start.length === 0 ? null : slices
  }
}

/** Who asks may say more of it. */
export type LeadRead = ReadCommand & { dead?: true; whole?: true; unsynced?: true }

/** Views of the mutation. */
export function leadRead(
  table: string,
  mutation: Buffer,
  { positionStart, positionEnd }: { readonly positionStart: number; readonly positionEnd: number },
  slices: readonly Slice[] | null,
  wantStatic: boolean,
  nowSeconds: number,
): LeadRead {
  return {
    table,
    target: { kind: 'partition', position: mutation.subarray(positionStart, positionEnd) },
    slices,
    reversed: false,
    wantStatic,
    staticCounts: wantStatic,
    limit: Number.POSITIVE_INFINITY,
    perPartitionLimit: Number.POSITIVE_INFINITY,
    byteLimit: Number.POSITIVE_INFINITY,
    nowSeconds,
    after: null,
  }
}
