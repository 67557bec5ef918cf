/** Leads the writes of a table that keeps versions in the model check, as the coordinator's leader does, and says what each means in the judge's words. */
import { ActorDots } from '../../../cluster/coordinator/actor-dots.ts'
import type { Clock, Random } from '../../../lib/runtime/runtime.ts'
import { DeltaWriter } from '../../../storage/model/causal/delta.ts'
import { CausalRow } from '../../../storage/model/causal/state.ts'
import { ALL_ROWS, type ReadCommand } from '../../../storage/model/command.ts'
import { makeRow, versionRow } from '../causal-writes.ts'
import type { PutSpec } from './plan.ts'
import type { VersionWrite } from './versions.ts'

const TAGS = 4
const NONE: ReadonlySet<VersionWrite> = new Set()

/** A context that somebody read, and what it stands for. */
interface Seen {
  readonly context: Buffer
  readonly writes: ReadonlySet<VersionWrite>
}

export class VersionLeader {
  readonly #dots: ActorDots
  readonly #deltas = new DeltaWriter()
  /** The last that was read of each row, by this run of the node. */
  readonly #read = new Map<string, Seen>()
  #made = 0
  readonly #name: string

  constructor(random: Random, clock: Clock, forgettings: () => number) {
    this.#dots = new ActorDots(random, () => Math.floor(clock.wallMicros()), forgettings)
    this.#name = this.#dots.actor.toString('hex', 0, 3)
  }

  /** What a leader reads: also a row of which nothing is live. */
  command(table: string, position: Buffer, clustering: Buffer, nowSeconds: number): ReadCommand {
    const end = Buffer.concat([clustering, Buffer.of(0)])
    return {
      ...ALL_ROWS,
      table,
      target: { kind: 'partition', position },
      slices: [{ start: clustering, end, single: true }],
      nowSeconds,
      dead: true,
      unsynced: true,
    }
  }

  /** `known`: all that was written to the row. */
  lead(
    row: string,
    { what, seen, ttl, size }: PutSpec,
    state: Buffer | null,
    known: ReadonlySet<VersionWrite>,
    nowSeconds: number,
  ): { delta: Buffer; write: VersionWrite } {
    const now: Seen | null =
      state === null ? null : { context: Buffer.from(new CausalRow().reset(state, nowSeconds).context), writes: known }
    const handed = seen === 'nothing' ? null : seen === 'now' ? now : (this.#read.get(row) ?? now)
    if (now !== null) this.#read.set(row, now)
    const name = `${this.#name}${++this.#made}`
    const puts = what === 'put' || what === 'put and add'
    const adds = what === 'add' || what === 'put and add' ? name : null
    const expiresAt = puts && ttl > 0 ? nowSeconds + ttl : 0
    const value = puts ? `v${name}`.padEnd(size, 'x') : null
    const isDelete = what === 'delete'
    const delta = this.#deltas.delta(
      state,
      {
        context: handed?.context ?? null,
        version: puts ? versionRow(value!, ttl, nowSeconds) : null,
        sets: adds !== null ? added(adds) : what === 'remove' ? cleared() : null,
      },
      this.#dots,
    )
    const removes = isDelete ? (handed?.writes ?? NONE) : what === 'remove' ? (handed?.writes ?? known) : NONE
    const replaces = puts || isDelete ? (handed?.writes ?? NONE) : NONE
    return { delta, write: { value, expiresAt, replaces, removes, adds } }
  }
}

function added(element: string): Buffer {
  return makeRow((row) => row.pathCell(TAGS, Buffer.from(element), 0, 2, Buffer.alloc(0)))
}

/** Takes away what was seen of all elements. */
function cleared(): Buffer {
  return makeRow((row) => row.complexDeletion(TAGS, 0, 1, 1))
}
