/** Key-value over HTTP for a node: loaded and opened after CQL is served, so that it costs no start any time. */
import type { Settings } from '../../config/settings.ts'
import type { QueryProcessor } from '../../cql/processor.ts'
import type { ListenHttpService } from '../../runtime/node/http-service.ts'
import type { Runtime } from '../../runtime/runtime.ts'
import type { KnownCluster } from '../cluster/known-cluster.ts'
import type { MetadataLog } from '../metadata-log.ts'
import type { Replication } from './key-value-statements.ts'
import { HTTP_LIMITS, type HttpCounters, type HttpLimits } from './limits.ts'
import type { HttpService } from './service.ts'

export interface ServingNode {
  readonly settings: Settings
  readonly runtime: Runtime
  readonly metadata: MetadataLog
  readonly cluster: KnownCluster
  readonly processor: QueryProcessor
  readonly httpCounters: HttpCounters
  /** Null: this world has no HTTP. */
  readonly listenHttp: ListenHttpService | null
}

export interface ServedHttp {
  /** Null: it is not served. */
  readonly opened: Promise<{ readonly name: string; readonly port: number } | null>
  /** Requests that have begun are answered, for `graceMs` at most. May be called twice. */
  close(graceMs: number): Promise<void>
}

const SOURCE = 'http.ts'

/** With fewer nodes in a data centre, so many replicas. */
const REPLICAS_MAX = 3

/** Of a mutation, what is not the value: key, content type, context, and what the row's form adds. Where mutations are small, half of one. */
const MUTATION_OVERHEAD_BYTES = 256 * 1024

export function serveHttp(own: ServingNode): ServedHttp {
  const { settings, runtime } = own
  const wanted = settings.http_port !== null && own.listenHttp !== null
  const service = wanted ? open(own) : Promise.resolve(null)
  const opened = service.catch((error: NodeJS.ErrnoException) => {
    const where = `${settings.rpc_address}:${settings.http_port}`
    const why = error.code === 'EADDRINUSE' ? `${where} is in use by another process` : error.message
    runtime.log.error(SOURCE, `Keys and values are not served over HTTP: ${why}`)
    return null
  })
  return {
    opened,
    close: async (graceMs) => (await opened)?.close(graceMs),
  }
}

async function open({
  settings,
  runtime,
  metadata,
  cluster,
  processor,
  httpCounters,
  listenHttp,
}: ServingNode): Promise<HttpService> {
  const [{ openHttpService }, { KeyValueTables }] = await Promise.all([
    import('./service.ts'),
    import('./key-value.ts'),
  ])
  const random = runtime.random.stream('http')
  const service = await openHttpService({
    clock: runtime.clock,
    log: runtime.log,
    random,
    limits: limitsOf(settings),
    counters: httpCounters,
    tables: new KeyValueTables({
      processor,
      random,
      schema: () => metadata.current,
      confirm: () => metadata.confirm(),
      replication: () => settings.http_replication ?? replicationFor(cluster),
    }),
    listen: listenHttp!,
    address: settings.rpc_address,
    port: settings.http_port!,
  })
  runtime.log.info(SOURCE, `Keys and values over HTTP on http://${service.name}/kv`)
  return service
}

function limitsOf(settings: Settings): HttpLimits {
  const mutationBytesMax = Math.floor(settings.commitlog_segment_size / 2)
  const overheadBytes = Math.min(MUTATION_OVERHEAD_BYTES, Math.floor(mutationBytesMax / 2))
  return {
    ...HTTP_LIMITS,
    valueBytesMax: Math.min(settings.http_value_size_max, mutationBytesMax - overheadBytes),
    inFlightBytesMax: settings.http_data_in_flight_max,
    connectionsMax: settings.native_transport_max_concurrent_connections,
  }
}

function replicationFor(cluster: KnownCluster): Replication {
  return new Map(Array.from(cluster.datacenters(), ([name, nodes]) => [name, Math.min(nodes, REPLICAS_MAX)]))
}
