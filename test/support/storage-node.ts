/** A processor over storage in memory: statements and their answers, without the protocol. */
import { LocalCoordinator } from '../../cluster/coordinator/local.ts'
import { QueryProcessor } from '../../lib/cql/processor.ts'
import type { StatementResult } from '../../lib/cql/result.ts'
import {
  type BoundValue,
  type ClientState,
  type CqlLimits,
  type Environment,
  type QueryOptions,
  UNSET,
} from '../../lib/cql/statement.ts'
import { SILENT_LOG } from '../../lib/runtime/node/log.ts'
import { openNodeRuntime } from '../../lib/runtime/node/runtime.ts'
import { openIndexes } from '../../lib/server/indexes.ts'
import { openMetadataLog } from '../../lib/server/metadata-log.ts'
import { replicationOf } from '../../lib/server/replication.ts'
import { openStore } from '../../storage/store.ts'
import { QUERY_OPTIONS, USUAL_LIMITS } from './cql-options.ts'
import { conditionalDots, countedDots } from './dots.ts'

export interface StorageNode extends AsyncDisposable {
  readonly processor: QueryProcessor
  readonly environment: Environment
  readonly client: ClientState
  /** Commands that were read. */
  readonly reads: { count: number }
  run(cql: string, options?: Partial<QueryOptions>, names?: readonly string[]): Promise<StatementResult>
}

/** Values as goldens have them: hex, null, or 'unset'. */
export function boundValues(values: readonly (string | null)[]): BoundValue[] {
  return values.map((value) => (value === null ? null : value === 'unset' ? UNSET : Buffer.from(value, 'hex')))
}

export async function openStorageNode(limits: Partial<CqlLimits> = {}): Promise<StorageNode> {
  const runtime = openNodeRuntime(SILENT_LOG)
  const store = await openStore({ runtime, directory: null })
  const metadata = await openMetadataLog({ store, nowSeconds: () => Math.floor(runtime.clock.wallMicros() / 1e6) })
  const indexes = await openIndexes({ store, metadata, clock: runtime.clock, log: SILENT_LOG })
  const reads = { count: 0 }
  let micros = 0
  const timestampMicros = (): number => {
    micros = Math.max(micros + 1, runtime.clock.wallMicros())
    return micros
  }
  const coordinator = new LocalCoordinator({
    clock: { monotonicMs: () => 0 },
    replica: {
      apply: (mutations) => indexes.apply(mutations),
      read: (command) => {
        reads.count += 1
        return indexes.read(command)
      },
      rowAtHand: (mutation, position, clustering) => store.rowAtHand(mutation, position, clustering),
      knownRows: store.knownRows,
      resolution: (table) => store.resolutionOf(table),
      truncate: (table) => indexes.truncate(table),
    },
    datacenter: 'dc1',
    causal: {
      dots: countedDots(),
      table: () => ({ name: 'a table', maxSiblings: 100 }),
      nowSeconds: () => 1_700_000_000,
    },
    counters: { shard: Buffer.alloc(16, 1), timestampMicros, nowSeconds: () => 1_700_000_000 },
    address: Uint8Array.of(127, 0, 0, 1),
    replication: (keyspace) => replicationOf(metadata.current.keyspaces.get(keyspace) ?? null),
    epoch: () => metadata.current.epoch,
    report: () => {},
  })
  const environment: Environment = {
    schema: metadata,
    coordinator,
    conditionalWrites: conditionalDots(),
    timestampMicros,
    wallMicros: () => runtime.clock.wallMicros(),
    randomBytes: (target) => target.fill(7),
    limits: { ...USUAL_LIMITS, ...limits },
  }
  const processor = new QueryProcessor(environment)
  const client: ClientState = { keyspace: null, user: null, remoteAddress: '127.0.0.1', remotePort: 1 }
  return {
    processor,
    environment,
    client,
    reads,
    async run(cql, options = {}, names) {
      const result = await processor.query(cql, { ...QUERY_OPTIONS, ...options }, names ?? null, client, null)
      if (result.kind === 'schema_change') await indexes.settle()
      if (result.kind === 'set_keyspace') client.keyspace = result.keyspace
      return result
    },
    async [Symbol.asyncDispose]() {
      await indexes.close()
      await metadata.settle()
      await store.close()
      await runtime[Symbol.asyncDispose]()
    },
  }
}
