/** What a connection needs of the rooms that answer its requests: said here, by the one who uses it. */

import type { Request } from '../../protocol/requests.ts'
import type { StatementResult } from '../cql/result.ts'
import type { BoundValue, ClientState, CompiledStatement, MaybePromise, QueryOptions } from '../cql/statement.ts'

export interface Prepared {
  /** 16 bytes. */
  readonly id: Buffer
  readonly statement: CompiledStatement
  readonly warnings?: readonly string[]
}

export type BatchItem =
  | { readonly text: string; readonly values: BoundValue[] }
  | { readonly prepared: Prepared; readonly values: BoundValue[] }

/** Executes statements. What a client is to be told is thrown, or rejected with, as a RequestError; everything else is a bug of ours. */
export interface Processor {
  /** `names`: the values go by name. `keyspace`: the request's own (v5), else null. */
  query(
    text: string,
    options: QueryOptions,
    names: readonly string[] | null,
    client: ClientState,
    keyspace: string | null,
  ): MaybePromise<StatementResult>
  prepare(text: string, keyspace: string | null, client: ClientState): MaybePromise<Prepared>
  /** By its 16 bytes as a string of one character each. */
  prepared(id: string): Prepared | undefined
  execute(
    prepared: Prepared,
    options: QueryOptions,
    names: readonly string[] | null,
    client: ClientState,
  ): MaybePromise<StatementResult>
  batch(
    type: 'logged' | 'unlogged' | 'counter',
    items: readonly BatchItem[],
    options: QueryOptions,
    client: ClientState,
    keyspace: string | null,
  ): MaybePromise<StatementResult>
}

/** One traced request. */
export interface TraceSession {
  /** A version 1 UUID, 16 bytes: told in the answer. */
  readonly id: Uint8Array
  /** Begins the work for the request: what it asks of other nodes before it waits is traced. */
  run<T>(work: () => T): T
  end(durationMicros: number): void
}

export interface Tracer {
  /** `request` is one of QUERY, PREPARE, EXECUTE and BATCH; `prepared` what an EXECUTE named. */
  begin(client: ClientState, request: Request, prepared: Prepared | null): TraceSession
}
