/**
 * The coordinator of a node in a cluster: hands each request to the part that knows how to do it. A node alone has LocalCoordinator instead.
 */
import { Consistency } from '../../lib/types/consistency.ts'
import type { ReadCommand, ReadResult } from '../../storage/model/command.ts'
import type { Messenger } from '../internode/messenger.ts'
import type { CasRequest } from './cas.ts'
import type { ReplicaSide } from './environment.ts'
import type { RequestLatencies } from './latencies.ts'
import type { WriteType } from './replica.ts'

export interface Writes extends ReplicaSide {
  write(
    mutations: readonly Buffer[],
    kind: WriteType,
    consistency: number,
    keyspace: string,
    warnings?: string[],
  ): Promise<void> | undefined
}

export interface Reads extends ReplicaSide {
  read(command: ReadCommand, consistency: number, keyspace: string): ReadResult | Promise<ReadResult>
}

export interface LightweightTransactions extends ReplicaSide {
  cas(request: CasRequest): Promise<boolean>
  /** At SERIAL or LOCAL_SERIAL. */
  readSerially(command: ReadCommand, consistency: number, keyspace: string): Promise<ReadResult>
}

export interface Truncations extends ReplicaSide {
  truncate(table: string): Promise<void>
}

export interface CoordinatorParts {
  readonly latencies: RequestLatencies
  readonly writes: Writes
  readonly reads: Reads
  readonly transactions: LightweightTransactions
  readonly truncations: Truncations
  /** What else answers other nodes. */
  readonly others?: readonly ReplicaSide[]
}

export class ClusterCoordinator {
  readonly latencies: RequestLatencies
  readonly #parts: CoordinatorParts

  constructor(parts: CoordinatorParts) {
    this.latencies = parts.latencies
    this.#parts = parts
  }

  /** From then on other nodes are answered. */
  register(messenger: Messenger): void {
    const { writes, reads, transactions, truncations, others = [] } = this.#parts
    for (const part of [writes, reads, transactions, truncations, ...others]) part.register(messenger)
  }

  write(
    mutations: readonly Buffer[],
    kind: WriteType,
    consistency: number,
    keyspace: string,
    warnings?: string[],
  ): Promise<void> | undefined {
    return this.#parts.writes.write(mutations, kind, consistency, keyspace, warnings)
  }

  read(command: ReadCommand, consistency: number, keyspace: string): ReadResult | Promise<ReadResult> {
    const { reads, transactions } = this.#parts
    const isLocal = consistency === Consistency.LOCAL_SERIAL
    if (!isLocal && consistency !== Consistency.SERIAL) return reads.read(command, consistency, keyspace)
    if (command.target.kind === 'partition') return transactions.readSerially(command, consistency, keyspace)
    // Many partitions are in no order with anything: as in Cassandra a quorum is asked.
    return reads.read(command, isLocal ? Consistency.LOCAL_QUORUM : Consistency.QUORUM, keyspace)
  }

  cas(request: CasRequest): Promise<boolean> {
    return this.#parts.transactions.cas(request)
  }

  truncate(table: string): Promise<void> {
    return this.#parts.truncations.truncate(table)
  }
}
