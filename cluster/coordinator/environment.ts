/**
 * What coordinators and replicas of a cluster need of their node. The node (lib/server) makes it once and hands it to each part; tests make
 * one of fakes.
 */
import type { Clock, Random } from '../../lib/runtime/runtime.ts'
import type { CausalTable } from '../../storage/model/causal/siblings.ts'
import type { Liveness } from '../gossip/liveness.ts'
import type { Messenger } from '../internode/messenger.ts'
import type { Placement } from '../ring/placement.ts'
import type { RingNode } from '../ring/topology.ts'
import type { Replication } from './levels.ts'
import type { Replica } from './replica.ts'

export interface CoordinatorEnvironment {
  readonly clock: Clock
  readonly random: Random
  readonly messenger: Messenger
  readonly liveness: Liveness
  /** This node, as the topology has it now. */
  self(): RingNode
  /** All nodes of the topology, by host id; for what everybody must do. */
  nodes(): ReadonlyMap<string, RingNode>
  /** This node's data, with its indexes and views. */
  readonly replica: Replica
  /** Null: a keyspace whose data is the node's own (system, virtual). The same objects while nothing changed. */
  placement(keyspace: string): { readonly placement: Placement; readonly replication: Replication } | null
  /** Keyspace of the table that a mutation names (its first 16 bytes as latin1); null: unknown here. */
  keyspaceOf(tableIdLatin1: string): string | null
  /** Ids (as latin1) of tables whose writes others may take when replicas are away (sloppy_quorum). Default: none. */
  sloppyTables?(): ReadonlySet<string>
  /** Of a table, by its 16 bytes as latin1: what was written longer ago may be data whose deletion was purged. Null or absent: unknown. */
  gcGraceSeconds?(tableIdLatin1: string): number | null
  /** What a leader has to know of the table of a mutation, if it keeps concurrent versions. Absent: there are none. */
  causalTable?(mutation: Buffer): CausalTable
  /** Ids of the materialized views of a table: they are emptied with it. Absent: there are none. */
  viewsOf?(table: string): readonly string[]
  /** Changes whenever a placement or a table may have. */
  epoch(): number
  /** The epoch of the last change of who holds what, as far as this node knows: a plan of before is not gone by any more. */
  ringEpoch(): number
  /** Applies the metadata up to that epoch; resolves when it has them, or when it could not get them in reasonable time. */
  catchUp(epoch: number): Promise<void>
  /** µs of the node's hybrid clock: greater than all that it gave, and than what messages from others carried. */
  timestampMicros(): number
  /** The hybrid clock is beyond it from then on, however far ahead it is. */
  observe(micros: number): void
  readonly hints: Hints
  readonly timeouts: RequestTimeouts
  /** Told of what went wrong here and is no client's business. */
  report(cause: Error): void
}

/** Writes for nodes that were not there. */
export interface Hints {
  /**
   * The mutation is copied before the call returns; it is kept for the node when what is returned has resolved. `writtenAt`: µs of the
   * coordinator's clock when the write began; it goes along, so that a table that was truncated since does not take it.
   */
  store(hostId: string, mutation: Uint8Array, writtenAt: number): void | Promise<void>
  /** False: that node is away for so long, or has so many, that no more are kept. */
  mayStore(hostId: string): boolean
}

/** Milliseconds. */
export interface RequestTimeouts {
  readonly readMs: number
  readonly rangeMs: number
  readonly writeMs: number
  readonly counterMs: number
  readonly casContentionMs: number
  readonly truncateMs: number
}

/** What has something to do on behalf of other nodes' coordinators. */
export interface ReplicaSide {
  /** Installs its handlers. */
  register(messenger: Messenger): void
}
