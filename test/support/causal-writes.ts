/**
 * Deltas of rows as replicas are sent them, over weeks: leaders that know more or less, with contexts or none, of many actors. For tests of what
 * storage does with them: files, compactions, crashes.
 */
import { ByteWriter } from '../../lib/base/bytes.ts'
import { type CausalWrite, deltaOf } from '../../storage/model/causal/delta.ts'
import type { Dots } from '../../storage/model/causal/dots.ts'
import { CausalRow } from '../../storage/model/causal/state.ts'
import { CausalVersions } from '../../storage/model/merge.ts'
import { MutationWriter } from '../../storage/model/mutation.ts'
import { RowReader } from '../../storage/model/row.ts'
import { RowWriter } from '../../storage/model/row-writer.ts'
import type { Dice } from './random.ts'

const SECOND_MICROS = 1_000_000
const TAGS = 4
const law = new CausalVersions()

export function joinRows(a: Buffer, b: Buffer): Buffer {
  const out = new ByteWriter(a.length + b.length)
  law.merge(out, a, 0, a.length, b, 0, b.length)
  return out.view()
}

export function makeRow(write: (row: RowWriter) => void): Buffer {
  const row = new RowWriter(new ByteWriter(64))
  row.begin()
  write(row)
  row.end()
  return row.out.view()
}

/** As an INSERT makes it; ttl 0: none. */
export function versionRow(text: string, ttl = 0, nowSeconds = 0): Buffer {
  return makeRow((row) => {
    row.liveness(0, 7, ttl, nowSeconds + ttl)
    if (ttl === 0) row.cell(1, 0, 7, Buffer.from(text))
    else row.expiringCell(1, 0, 7, ttl, nowSeconds + ttl, Buffer.from(text))
  })
}

/** What a reader sees of a row: its versions and elements, as text. */
export function shownOf(row: Buffer, nowSeconds: number): string[] {
  const versions = new CausalRow().reset(row, nowSeconds)
  const shown: string[] = []
  const reader = new RowReader()
  const texts = (cells: Buffer): string => {
    reader.reset(cells)
    const found: string[] = []
    while (reader.next())
      if (reader.isLive(nowSeconds)) {
        const { columnId, buffer, pathStart, pathEnd, valueStart, valueEnd } = reader
        found.push(
          `${columnId}${buffer.toString('latin1', pathStart, pathEnd)}=${buffer.toString('latin1', valueStart, valueEnd)}`,
        )
      }
    return found.join(',')
  }
  while (versions.next()) shown.push(texts(versions.version))
  const elements = versions.elements()
  if (elements !== null) shown.push(`elements ${texts(elements)}`)
  return shown
}

interface Actor extends Dots {
  readonly name: number
}

/** The history of one row. */
export class CausalWriter {
  readonly #dice: Dice
  readonly #actors: Actor[] = []
  readonly #deltas: { readonly actor: number; readonly delta: Buffer }[] = []
  #micros: number
  #values = 0

  /** `beginSeconds`: when the first write is. */
  constructor(dice: Dice, beginSeconds: number, actors = 14) {
    this.#dice = dice
    this.#micros = beginSeconds * SECOND_MICROS
    for (let name = 0; name < actors; name++) {
      const actor = Buffer.alloc(8, name + 1)
      actor[7] = 0
      this.#actors.push({
        name,
        actor,
        next: (above) => {
          this.#micros = Math.max(this.#micros, above) + 1
          return this.#micros
        },
      })
    }
  }

  get nowSeconds(): number {
    return Math.floor(this.#micros / SECOND_MICROS)
  }

  /** One more delta, up to `spanSeconds` after the one before. */
  next(spanSeconds: number): Buffer {
    const dice = this.#dice
    this.#micros += dice.int(spanSeconds * SECOND_MICROS)
    const actor = dice.pick(this.#actors)
    const known = dice.pick([1, 1, 1, 0.6, 0.2])
    let state: Buffer | null = null
    for (const { actor: by, delta } of this.#deltas)
      if (by === actor.name || dice.chance(known)) state = state === null ? delta : joinRows(state, delta)
    const delta = deltaOf(state, this.#write(state), actor)
    this.#deltas.push({ actor: actor.name, delta })
    return delta
  }

  #write(state: Buffer | null): CausalWrite {
    const dice = this.#dice
    const now = this.nowSeconds
    const hasRead = state !== null && dice.chance(0.8)
    const context = hasRead ? Buffer.from(new CausalRow().reset(state, now).context) : null
    const choice = dice.int(10)
    const text = `v${this.#values++}`
    if (choice < 5) return { context, version: versionRow(text), sets: null }
    if (choice === 5) return { context, version: versionRow(text, 1 + dice.int(100_000), now), sets: null }
    if (choice === 6) return { context, version: null, sets: null }
    return { context, version: choice === 7 ? versionRow(text) : null, sets: this.#sets(text) }
  }

  #sets(text: string): Buffer {
    const dice = this.#dice
    return makeRow((row) => {
      if (dice.chance(0.2)) row.complexDeletion(TAGS, 0, 1, 1)
      for (const path of ['x', 'y', 'z']) {
        const choice = dice.int(3)
        if (choice === 0) row.pathCell(TAGS, Buffer.from(path), 0, 2, Buffer.from(text))
        else if (choice === 1) row.pathTombstone(TAGS, Buffer.from(path), 0, 2, 1)
      }
    })
  }
}

/** The mutation of one row. */
export function rowMutation(tableId: Uint8Array, key: number, clustering: Uint8Array, row: Buffer): Buffer {
  const writer = new MutationWriter()
  writer.begin(tableId, key, 0, Buffer.of(key))
  writer.beginRow(clustering)
  const reader = new RowReader().reset(row)
  writer.row.copyHead(reader)
  while (reader.next()) writer.row.copyCell(reader)
  writer.endRow()
  return Buffer.from(writer.finish())
}
