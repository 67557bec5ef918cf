/**
 * A compiled statement, and what it is executed with. Names are looked up and types checked once, when it is compiled; executing it again
 * after the schema changed is the caller's to prevent (processor.ts compares Schema.epoch).
 */
import type { ConditionalWrites } from '../../storage/model/causal/dots.ts'
import type { ReadCommand, ReadResult } from '../../storage/model/command.ts'
import type { Schema, SchemaChange } from '../schema/keyspace.ts'
import { UNSET } from '../types/unset.ts'
import type { ColumnSpec, ResultMetadata, StatementResult } from './result.ts'

export { UNSET }
export type BoundValue = Buffer | null | typeof UNSET

export type MaybePromise<T> = T | Promise<T>

/** The parameters of QUERY, EXECUTE and BATCH (native_protocol_v5.spec §4.1.4). Values are views of the request's frame. */
export interface QueryOptions {
  /** 3, 4 or 5. */
  readonly protocolVersion: number
  readonly consistency: number
  /** SERIAL (default) or LOCAL_SERIAL. */
  readonly serialConsistency: number
  /** By position, in the order of the statement's variables (named values were put in order before). */
  readonly values: readonly BoundValue[]
  /** Null: unpaged. */
  readonly pageSize: number | null
  readonly pagingState: Buffer | null
  /** The request's default timestamp (µs) as two halves; null: the server's clock. */
  readonly timestamp: { readonly high: number; readonly low: number } | null
  /** Seconds since 1970; v5 can set it. Null: the server's clock. */
  readonly nowSeconds: number | null
}

/** What the connection remembers between its requests. */
export interface ClientState {
  /** Set by USE. */
  keyspace: string | null
  readonly user: string | null
  /** It was told once that USE and prepared statements go ill together. */
  warnedOfUse?: boolean
  readonly remoteAddress: string
  readonly remotePort: number
}

/** Who sends reads and writes to replicas. `undefined` from a write: done already. Errors are RequestErrors. */
export interface Coordinator {
  /**
   * All of them in one commit-log record, visible at once. Bytes of storage/model/mutation.ts; copied before the call returns. `warnings`: gets
   * what the client is to be told beside the answer, before it is done.
   */
  write(
    mutations: readonly Buffer[],
    kind: WriteKind,
    consistency: number,
    keyspace: string,
    warnings?: string[],
  ): Promise<void> | undefined
  /** Throws UNAVAILABLE when the level cannot be met, INVALID when it cannot be used for this. */
  read(command: ReadCommand, consistency: number, keyspace: string): MaybePromise<ReadResult>
  /** Decides and writes as one step in the order of all others on the partition. Whether it was applied. */
  cas(request: CasRequest): Promise<boolean>
  truncate(tableId: string): Promise<void>
}

/** A lightweight transaction on one partition of one table. */
export interface CasRequest {
  /** The table's id. */
  readonly table: string
  readonly keyspace: string
  /** The partition's (storage/model/command.ts). */
  readonly position: Buffer
  /** SERIAL or LOCAL_SERIAL. */
  readonly serial: number
  /** The level at which the decision is made known to all other reads. */
  readonly commit: number
  /** What the decision has to know first. */
  readonly read: ReadCommand
  /**
   * Looks at what was read and says what is to be written: null if the conditions do not hold, [] if there is nothing to write. Called again,
   * with what is there then, when others were in the way: the last call counts. What is found is a view of this turn; what is given stays as it is.
   */
  decide(found: ReadResult, scene: CasScene): MaybePromise<readonly Buffer[] | null>
}

/** What a decision may use while it is made. */
export interface CasScene {
  /** What is written carries it (µs, signed halves); null: the server's clock. */
  readonly timestamp: { readonly high: number; readonly low: number } | null
  /** Reads more of the partition, as it is for this decision. */
  read(command: ReadCommand): MaybePromise<ReadResult>
}

/** CAUSAL: mutations with entries that a leader turns into versions; each by itself. Clients are told SIMPLE. */
export type WriteKind = 'SIMPLE' | 'BATCH' | 'UNLOGGED_BATCH' | 'COUNTER' | 'CAS' | 'CAUSAL'

/** Schema changes go through one door, which makes them durable and tells the world. */
export interface SchemaDoor {
  readonly current: Schema
  /** Applies a pure change; resolves when it is durable and visible. Null change: nothing had to be done. */
  change(
    apply: (schema: Schema) => { schema: Schema; change: SchemaChange | null; payload: string },
  ): Promise<SchemaChange | null>
}

/** What every statement may use of its node. */
export interface Environment {
  readonly schema: SchemaDoor
  readonly coordinator: Coordinator
  /** µs since 1970, from the hybrid clock: strictly greater than any it gave before. */
  timestampMicros(): number
  /** Told of each row of a table of versions that a reader was given, and of how many are live. */
  siblingsRead?(tableId: string, versions: number): void
  /** Of versions that conditional writes decide on; those of others are the coordinator's. */
  readonly conditionalWrites: ConditionalWrites
  /** µs since 1970. */
  wallMicros(): number
  /** Fills with random bytes (uuid(), timeuuid node and clock sequence). */
  randomBytes(target: Buffer): Buffer
  readonly limits: CqlLimits
  /** The node's own, 4 or 16 bytes: named in failures. */
  readonly address?: Uint8Array
  /** Absent: a cluster of this node alone. */
  readonly cluster?: ClusterView
}

/** What DDL and DESCRIBE want to know of the cluster. */
export interface ClusterView {
  readonly clusterName: string
  /** The data centres and how many nodes each has. */
  datacenters(): ReadonlyMap<string, number>
  /** For each range of the ring, by the token it ends with, the addresses of a keyspace's replicas. */
  rangeOwnership(keyspace: string): ReadonlyMap<string, readonly string[]>
}

/** Thresholds of cassandra.yaml; bytes and counts. Zero or Infinity: no threshold, as the name's own documentation says. */
export interface CqlLimits {
  readonly batchSizeWarnBytes: number
  readonly batchSizeFailBytes: number
  readonly unloggedBatchAcrossPartitionsWarn: number
  readonly tombstoneWarnThreshold: number
  readonly tombstoneFailureThreshold: number
  readonly pageBytesMax: number
  readonly unpagedBytesMax: number
  readonly inProductMax: number
  /** Whether CREATE MATERIALIZED VIEW is allowed. Default true. */
  readonly viewsEnabled?: boolean
  /** Whether CREATE TABLE … WITH COMPACT STORAGE is allowed. Default true. */
  readonly compactTablesEnabled?: boolean
}

export interface CompiledStatement {
  /** The bind variables in order of position; [] for none. */
  readonly variables: readonly ColumnSpec[]
  /** Indexes in `variables` of the partition key's columns, in their order; [] unless every one has a marker. */
  readonly partitionKeyIndexes: readonly number[]
  /** Null: it answers no rows. */
  readonly resultMetadata: ResultMetadata | null
  /** Keyspace and table it is about, null where there is none: for invalidation, permissions and audit. */
  readonly keyspace: string | null
  readonly table: string | null
  /** Throws a RequestError or rejects with one. */
  execute(environment: Environment, options: QueryOptions, client: ClientState): MaybePromise<StatementResult>
}
