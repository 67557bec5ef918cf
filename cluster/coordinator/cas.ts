/**
 * What is asked of a coordinator for a lightweight transaction: a decision about one partition, made from what is read of it, as one step in
 * the order of all others on the partition. Source: CQL 3.4.7 "Lightweight transactions"; Cassandra's CASRequest.
 */
import type { ReadCommand, ReadResult } from '../../storage/model/command.ts'

export interface CasRequest {
  /** The table's id. */
  readonly table: string
  readonly keyspace: string
  readonly position: Buffer
  /** SERIAL or LOCAL_SERIAL: who agrees. */
  readonly serial: number
  /** The level at which the decision is made known to all other reads. */
  readonly commit: number
  /** What the decision has to know first. */
  readonly read: ReadCommand
  /**
   * Null: the conditions do not hold; else what is to be written, in memory of its own. It may be called several times, each time with what
   * is there then: the last call counts.
   */
  decide(found: ReadResult, scene: CasScene): readonly Buffer[] | null | Promise<readonly Buffer[] | null>
}

export interface CasScene {
  /** What is written carries it (µs, signed halves); null: the server's clock. */
  readonly timestamp: { readonly high: number; readonly low: number } | null
  read(command: ReadCommand): ReadResult | Promise<ReadResult>
}
