/**
 * Up to when tables were truncated: what was written before that and comes late (delayed, or kept as a hint) is not taken any more.
 * A truncation is under way on every node from before the first replica is empty until after the last one is: reads that overlap with it may see the one and
 * the other, and repair nothing.
 * Always: who was told that a table is empty finds nothing in it that was acknowledged before.
 */
import { uuidBytes } from '../../lib/base/uuid.ts'
import { TableMap } from '../../storage/model/table-map.ts'

interface Mark {
  /** Until when writes are gone; 0: none are. */
  micros: number
  /** Truncations under way, and until when they are taken for such if nothing more is heard of them. */
  underWay: number
  until: number
  /** When the last one was known to have ended. */
  ended: number
}

export class TruncationMarks {
  readonly #marks = new TableMap<Mark>()

  /** What was written to the table until then is gone. µs of the cluster's hybrid clock. */
  set(table: string, micros: number): void {
    const mark = this.#of(table)
    if (mark.micros < micros) mark.micros = micros
  }

  /** A truncation begins; µs of this node's clock. */
  begin(table: string, until: number): void {
    const mark = this.#of(table)
    mark.underWay++
    mark.until = Math.max(mark.until, until)
  }

  end(table: string, now: number): void {
    const mark = this.#of(table)
    mark.ended = now
    if (mark.underWay > 0) mark.underWay--
  }

  /** Whether another truncation of the table goes on, as far as this node knows. */
  isUnderWay(table: string, now: number): boolean {
    const mark = this.#of(table)
    return mark.underWay > 0 && now < mark.until
  }

  #of(table: string): Mark {
    const known = this.#marks.find(uuidBytes(table), 0)
    if (known !== null) return known
    const mark = { micros: 0, underWay: 0, until: 0, ended: 0 }
    this.#marks.set(table, mark)
    return mark
  }

  /** Whether a mutation of a write that began then still counts. */
  takes(mutation: Buffer, writtenAt: number): boolean {
    const mark = this.#marks.find(mutation, 0)
    return mark === null || writtenAt > mark.micros
  }

  /** Whether what this node's read found, which began then, may be written to replicas that lack it. */
  mayRepair(mutation: Buffer, began: number, now: number): boolean {
    const mark = this.#marks.find(mutation, 0)
    if (mark === null) return true
    if (mark.underWay > 0 && now >= mark.until) {
      mark.underWay = 0
      mark.ended = now
    }
    return mark.underWay === 0 && began > mark.ended
  }

  /** Forgets tables that were dropped. */
  keep(isKnown: (table: string) => boolean): void {
    this.#marks.keep(isKnown)
  }
}
