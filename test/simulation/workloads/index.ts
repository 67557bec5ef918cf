/** What clients do, and what must be true of what they were told. */

import type { Consistency } from '../../../lib/types/consistency.ts'
import type { Violation } from '../oracles/history.ts'
import type { Answer, Ask, Cell } from '../world/client.ts'
import type { Dice } from '../world/dice.ts'
import type { HttpAnswer, HttpAsk } from '../world/http.ts'
import type { WallSpan } from '../world/node.ts'
import type { Plan } from '../world/plan.ts'
import { cas } from './cas.ts'
import { clocked } from './clocked.ts'
import { counters } from './counters.ts'
import { ddl } from './ddl.ts'
import { indexed, views } from './derived.ts'
import { expiring } from './expiring.ts'
import { glimpses } from './glimpses.ts'
import { hinted } from './hinted.ts'
import { keys } from './keys.ts'
import { batches, rows } from './rows.ts'
import { sets } from './sets.ts'
import { truncated } from './truncated.ts'
import { versions } from './versions.ts'

/** A client, as a workload sees it. */
export interface WorkloadContext {
  /** Who asks; for histories. */
  readonly process: number
  readonly dice: Dice
  /** The only node that it talks to; null: any. */
  readonly only: number | null
  now(): number
  /** What the wall clock of a node shows. */
  wall(node: number): WallSpan
  /** The latest that any of them has shown. */
  latestWallMicros(): number
  /** All wall clocks jump ahead. */
  passTime(ms: number): void
  /** Whether a node died, or stood still, between two times. */
  wasDisturbed(node: number, from: number, to: number): boolean
  /** Files of hints that nodes keep for others. */
  hintFiles(): number
  /** On every node all is flushed and merged. */
  compact(): Promise<void>
  sleep(ms: number): Promise<void>
  /** In µs; each greater than all before, whoever asks. */
  nextTimestamp(): number
  ask(statement: string, values: readonly Cell[], ask: Ask): Promise<Answer>
  batch(items: readonly { readonly query: string; readonly values: readonly Cell[] }[], ask: Ask): Promise<Answer>
  /** Over HTTP, which is served where the plan has a workload that asks by it. */
  http(ask: HttpAsk): Promise<HttpAnswer>
  /** Again and again until it is done. */
  insist(
    statement: string,
    values: readonly Cell[],
    level: keyof typeof Consistency,
  ): Promise<readonly (readonly Cell[])[]>
  close(): void
}

export interface Workload {
  /** CREATE TABLE statements. */
  readonly tables: readonly string[]
  /** Statements that build on them. */
  readonly others?: readonly string[]
  /** One request, or a few. */
  step(client: WorkloadContext): Promise<void>
  /** After all has healed, before anybody reads: one client for each node. */
  settle?(readers: readonly WorkloadContext[]): Promise<void>
  /** Reads everything into the history, through one node. */
  readAll(client: WorkloadContext): Promise<void>
  check(): readonly Violation[]
}

export const WORKLOADS: Record<string, (plan: Plan) => Workload> = {
  rows,
  batches,
  sets,
  counters,
  cas,
  ddl,
  indexed,
  views,
  truncated,
  versions,
  keys,
  glimpses,
  expiring,
  hinted,
  clocked,
}
