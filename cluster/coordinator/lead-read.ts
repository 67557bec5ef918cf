/** What a leader reads of its own replica before it makes something of a write: single rows of one partition. */
import type { ReadCommand, Slice } from '../../storage/model/command.ts'
import { tableOf } from './write-plans.ts'

const AFTER = Buffer.of(0)

/** Rows by their clusterings, each once. */
export class LeadRows {
  readonly #slices = new Map<string, Slice>()

  get isEmpty(): boolean {
    return this.#slices.size === 0
  }

  add(clustering: Buffer): void {
    const name = clustering.toString('latin1')
    if (this.#slices.has(name)) return
    this.#slices.set(name, { start: clustering, end: Buffer.concat([clustering, AFTER]), single: true })
  }

  /** Null: all rows, as a table without clustering columns has only one. */
  get slices(): readonly Slice[] | null {
    const slices = [...this.#slices.values()]
    if (slices.length > 1) return slices.sort((a, b) => Buffer.compare(a.start, b.start))
    return slices.length === 1 && slices[0]!.start.length === 0 ? null : slices
  }
}

/** Views of the mutation. */
export function leadRead(
  mutation: Buffer,
  { positionStart, positionEnd }: { readonly positionStart: number; readonly positionEnd: number },
  slices: readonly Slice[] | null,
  wantStatic: boolean,
  nowSeconds: number,
): ReadCommand {
  return {
    table: tableOf(mutation),
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
