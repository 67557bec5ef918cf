/**
 * One node, put together: storage, schema, coordinator, query processor and the listener for clients, each given what it needs of the others.
 * Always: what was opened is closed in the opposite order, also when the start fails half-way.
 */

import { resolve } from 'node:path'
import { ActorDots } from '../../cluster/coordinator/actor-dots.ts'
import { ConditionalDots } from '../../cluster/coordinator/conditional-dots.ts'
import { CorruptionError } from '../../storage/errors.ts'
import type { ReadCommand } from '../../storage/model/command.ts'
import { openStore, type Store } from '../../storage/store.ts'
import type { SnapshotSettings } from '../../storage/table-snapshots.ts'
import { Closers } from '../base/closers.ts'
import type { LoadedConfig } from '../config/load.ts'
import type { Settings } from '../config/settings.ts'
import { snapshotSchemaText } from '../cql/ddl/snapshot-text.ts'
import { type PreparedText, QueryProcessor } from '../cql/processor.ts'
import type { Environment } from '../cql/statement.ts'
import { type Metrics, openMetrics } from '../metrics.ts'
import type { Log, Runtime } from '../runtime/runtime.ts'
import type { Schema } from '../schema/keyspace.ts'
import type { TableSchema } from '../schema/table.ts'
import { addressBytes } from './addresses.ts'
import type { RingControl } from './admin/admin-node.ts'
import { serveAdmin } from './admin/serve.ts'
import { openClockLedger } from './clock-ledger.ts'
import { ClusterEvents } from './cluster/cluster-events.ts'
import { KnownCluster } from './cluster/known-cluster.ts'
import { openMember } from './cluster/member.ts'
import { selfNode } from './cluster/self.ts'
import { localCoordinator, replicaOf } from './coordination.ts'
import { lockDirectory } from './data-directory.ts'
import type { NodeDoors } from './doors.ts'
import { FailurePolicy } from './failure-policy.ts'
import { createHttpCounters, type HttpCounters } from './http/limits.ts'
import { serveHttp } from './http/serve.ts'
import { HybridClock } from './hybrid-clock.ts'
import { createIdentity, type Identity, loadIdentity } from './identity.ts'
import { openIndexes } from './indexes.ts'
import { ClientListener } from './listener.ts'
import { type MetadataLog, openMetadataLog } from './metadata-log.ts'
import { describeNode } from './node-description.ts'
import type { NodeParts } from './node-parts.ts'
import { cqlLimits, storeSettings } from './node-settings.ts'
import { Retirement } from './retirement.ts'
import { StartError } from './start-error.ts'
import { substitutes } from './table-options.ts'
import { QueryTracer } from './tracing.ts'
import { openViews } from './views.ts'
import { VirtualTables } from './virtual.ts'

const SOURCE = 'node.ts'

/** Failures of storage are logged at most so often. */
const REPORT_EVERY_MS = 1_000

export interface StartedNode {
  readonly address: string
  readonly port: number
  readonly hostId: string
  /** The cluster, as this node knows it. */
  readonly cluster: KnownCluster
  /** Where the administration interface is (`address:port`, or a socket's path), once it is open; null: there is none. */
  readonly admin: Promise<string | null>
  /** Where keys and values are served over HTTP (`address:port`), once they are; null: they are not. */
  readonly http: Promise<string | null>
  readonly store: Store
  /** Nodes leave it by this. Null: the node is alone. */
  readonly ring: RingControl | null
  /** Resolves when the disk failed and the policy is `die`: whoever runs the node should end it. */
  readonly died: Promise<Error>
  /** Answers what is in flight, writes everything down, lets the data go. May be called twice. */
  close(): Promise<void>
}

/** Takes the doors over: they are closed with the node, also when it cannot start. Rejects with a StartError then. */
export async function openNode({ settings, memory }: LoadedConfig, doors: NodeDoors): Promise<StartedNode> {
  const opened = new Closers()
  /** What serves clients and other nodes: closed when the node is drained, while administrators may still ask it. */
  const serving = new Closers()
  const { runtime } = doors
  const { log } = runtime
  try {
    opened.defer(() => doors[Symbol.asyncDispose]())
    const directory = memory ? null : resolve(settings.data_file_directories[0]!)
    const fresh = createIdentity(settings, runtime.random, Math.floor(runtime.clock.wallMicros() / 1e6))
    if (directory !== null) opened.use(await lockDirectory(runtime.disk, directory))
    const identity = directory === null ? fresh : await loadIdentity(runtime.disk, directory, fresh)
    const late: { schema: (() => Schema) | null } = { schema: null }
    const snapshots: SnapshotSettings = {
      auto: settings.auto_snapshot,
      autoTtlMs: settings.auto_snapshot_ttl,
      beforeCompaction: settings.snapshot_before_compaction,
      describe: (table) => (late.schema ? snapshotSchemaText(late.schema(), table) : ''),
    }
    const failures = new FailurePolicy(settings, log)
    const store = await openStore({
      runtime,
      directory,
      settings: { ...storeSettings(settings), ...failures.storeSettings, snapshots },
    }).catch(refuseDamage)
    opened.defer(() => store.close())
    opened.use(serving)
    const member =
      settings.seeds.length > 0
        ? serving.use(
            await openMember({
              settings,
              runtime,
              identity,
              store,
              directory,
              end: (error) => failures.endNode(error),
            }),
          )
        : null
    const metadata = member?.metadata ?? (await openAlone({ settings, runtime, identity, store }))
    late.schema = () => metadata.current
    serving.defer(() => metadata.settle())
    logSubstitutes(metadata, log)
    await restoreArchive(store, settings, log)
    const indexes = await openIndexes({ store, metadata, clock: runtime.clock, log })
    serving.defer(() => indexes.close())
    const indexed = {
      apply: (mutations: readonly Buffer[]) => indexes.apply(mutations),
      read: (command: ReadCommand) => indexes.read(command),
      truncate: (table: string, also: readonly string[], atMs?: number) => indexes.truncate(table, also, atMs),
    }
    const replica = member?.share(indexed) ?? indexed
    const views = await openViews({
      store,
      replica,
      metadata,
      clock: runtime.clock,
      log,
      ...(member && { places: member.viewPlaces }),
    })
    serving.defer(() => views.close())
    const parts: NodeParts = { settings, runtime, store, metadata, indexes, views, identity, member }
    const listener = await serve({ ...parts, doors })
    serving.defer(async () => {
      member?.serving(false)
      listener.metrics[Symbol.dispose]()
      await stopServing(settings.drain_grace)
    })
    const http = serveHttp({
      settings,
      runtime,
      metadata,
      cluster: listener.cluster,
      processor: listener.processor,
      httpCounters: listener.httpCounters,
      listenHttp: doors.listenHttp ?? null,
    })
    const stopServing = async (graceMs: number): Promise<void> => {
      await Promise.all([listener.clients.close(graceMs), http.close(graceMs)])
    }
    failures.serving(() => stopServing(0))
    const retirement = new Retirement({
      log,
      member,
      serving,
      store,
      stopServing: () => stopServing(settings.drain_grace),
      ...listener,
    })
    const ring: RingControl | null = member && {
      removals: member.removals,
      decommission: (force) => retirement.decommission(member, force),
    }
    const admin = serveAdmin({ ...parts, directory, retirement, ring, ...listener })
    opened.defer(async () => (await admin)?.[Symbol.asyncDispose]())
    log.info(SOURCE, 'Startup complete')
    return startedNode(
      {
        ...listener,
        http: http.opened.then((service) => service?.name ?? null),
        admin: admin.then((served) => served?.name ?? null),
        died: failures.died,
      },
      { identity, store, retirement, ring },
      opened,
    )
  } catch (error) {
    await opened[Symbol.asyncDispose]()
    throw error
  }
}

/** The metadata of a node that is alone: it is the whole ring. */
function openAlone({
  settings,
  runtime,
  identity,
  store,
}: Pick<NodeParts, 'settings' | 'runtime' | 'identity' | 'store'>): Promise<MetadataLog> {
  return openMetadataLog({
    store,
    nowSeconds: () => Math.floor(runtime.clock.wallMicros() / 1e6),
    self: { ...selfNode(settings, identity), tokens: identity.tokens },
  })
}

/** Applies archived commit-log segments, if the settings name any. Done twice, it changes nothing. */
async function restoreArchive(store: Store, settings: Settings, log: Log): Promise<void> {
  const {
    commitlog_archiving_restore_directories: directories,
    commitlog_archiving_restore_point_in_time: untilMicros,
  } = settings
  if (directories.length === 0) return
  const result = await store
    .restoreArchive({ directories: directories.map((directory) => resolve(directory)), untilMicros })
    .catch(refuseDamage)
  log.warn(
    SOURCE,
    `Restored ${result.restored} mutations of ${result.segments} archived segments (${result.tooNew} are newer, ${result.unknown} of tables ` +
      'that there are not): take commitlog_archiving_restore_directories out of the configuration',
  )
}

/** Damage that a node does not start with is the operator's to look at, not a crash. */
function refuseDamage(error: unknown): never {
  if (error instanceof CorruptionError) throw new StartError(`${error.message}; see docs/operations.md`)
  throw error
}

/** Says in the log where a table gets something else than it asks for: at the start, and when its options change. */
function logSubstitutes(metadata: MetadataLog, log: Log): void {
  const say = (table: TableSchema): void => {
    for (const what of substitutes(table.options)) log.warn(SOURCE, `${table.keyspace}.${table.name}: ${what}`)
  }
  for (const table of metadata.current.tablesById.values()) if (!table.isVirtual) say(table)
  metadata.listen((changes, schema) => {
    for (const { target, change, keyspace, name } of changes) {
      const table =
        target === 'TABLE' && change !== 'DROPPED' ? schema.keyspaces.get(keyspace)?.tables.get(name) : undefined
      if (table) say(table)
    }
  })
}

interface Serving {
  readonly cluster: KnownCluster
  readonly clients: ClientListener
  readonly processor: QueryProcessor
  readonly httpCounters: HttpCounters
  readonly metrics: Metrics
  readonly address: string
  readonly port: number
}

function startedNode(
  serving: Serving & Pick<StartedNode, 'admin' | 'http' | 'died'>,
  {
    identity,
    store,
    retirement,
    ring,
  }: Pick<StartedNode, 'store' | 'ring'> & { identity: Identity; retirement: Retirement },
  opened: Closers,
): StartedNode {
  let closing: Promise<void> | null = null
  const close = async (): Promise<void> => {
    // What could not be closed in order is closed all the same, and the failure told.
    const drained = await retirement.drain().then(nothing, asError)
    await opened[Symbol.asyncDispose]()
    if (drained !== null) throw drained
  }
  return {
    address: serving.address,
    port: serving.port,
    hostId: identity.hostId,
    cluster: serving.cluster,
    died: serving.died,
    admin: serving.admin,
    http: serving.http,
    store,
    ring,
    close() {
      closing ??= close()
      return closing
    },
  }
}

function nothing(): null {
  return null
}

function asError(cause: unknown): Error {
  return cause as Error
}

interface ServedParts extends NodeParts {
  readonly doors: NodeDoors
}

async function serve({
  settings,
  runtime,
  store,
  metadata,
  indexes,
  views,
  identity,
  doors,
  member,
}: ServedParts): Promise<Serving> {
  const { clock, random, log } = runtime
  const address = settings.broadcast_rpc_address ?? settings.rpc_address
  // The description needs the port and the listener, which come last: it is asked for them only once clients are there.
  const late: {
    clients: ClientListener | null
    metrics: Metrics | null
    port: number
    prepared: () => readonly PreparedText[]
  } = {
    clients: null,
    metrics: null,
    port: settings.native_transport_port,
    prepared: () => [],
  }
  const cluster = new KnownCluster({
    clusterName: identity.clusterName,
    generation: identity.generation,
    self: member?.self ?? selfNode(settings, identity),
    metadata,
    loadBytes: () => store.reports.statistics.fileBytes,
    hearsay: member?.gossiper ?? null,
    messages: () => member?.messenger.counts() ?? null,
  })
  const virtual = new VirtualTables(
    describeNode({
      settings,
      identity,
      store,
      schema: () => metadata.current,
      cluster,
      hints: () => member?.hints ?? null,
      builtIndexes: () => indexes.builtIndexes(),
      views,
      late,
    }),
    () => metadata.current,
  )
  const replica = replicaOf({ store, views, virtual })
  const report = reporter(log, clock)
  const hybrid = member?.hybrid ?? new HybridClock(clock, undefined, await openClockLedger(store, clock))
  const tracer = new QueryTracer({
    clock,
    log,
    random,
    processor: () => processor,
    address,
    port: settings.storage_port,
  })
  const coordinator = member
    ? await member.coordinate(replica, report, tracer)
    : localCoordinator({ store, metadata, identity, runtime, replica, hybrid, address, report })
  const idBytes = random.stream('cql')
  const conditionalActors = random.stream('conditional dots')
  const environment: Environment = {
    schema: metadata,
    coordinator,
    timestampMicros: () => hybrid.next(),
    siblingsRead: (table, versions) => coordinator.latencies.siblingsRead(table, versions),
    conditionalWrites: new ConditionalDots(() => new ActorDots(conditionalActors, () => hybrid.next())),
    wallMicros: () => clock.wallMicros(),
    randomBytes: (target) => idBytes.fill(target),
    limits: cqlLimits(settings),
    address: addressBytes(address),
    cluster,
  }
  const processor = new QueryProcessor(environment, { preparedBytesMax: settings.prepared_statements_cache_size })
  late.prepared = () => processor.preparedTexts()
  const clients = new ClientListener({
    clock,
    log,
    random,
    network: runtime.network,
    processor,
    tracer,
    limits: {
      bodyBytesMax: settings.native_transport_max_frame_size,
      connectionsMax: settings.native_transport_max_concurrent_connections,
      requestBytesMax: settings.native_transport_max_request_data_in_flight,
      requestBytesPerAddressMax: settings.native_transport_max_request_data_in_flight,
    },
  })
  late.clients = clients
  const httpCounters = createHttpCounters()
  const metrics = openMetrics({
    clock,
    store,
    pauses: doors.pauses,
    memory: () => doors.memory(),
    latencies: coordinator.latencies,
    schema: () => metadata.current,
    statements: () => processor.counts,
    metadata: () => metadata.figures,
    clients: () => ({ connections: clients.connections.size, counters: clients.counters }),
    http: () => httpCounters,
    hints: () => member?.hints?.counts() ?? null,
  })
  late.metrics = metrics
  metadata.listen((changes) => {
    for (const change of changes) clients.events.broadcast({ kind: 'SCHEMA_CHANGE', change })
  })
  await member?.enter().catch((error: unknown) => {
    metrics[Symbol.dispose]()
    throw error
  })
  const bound = await listen(clients, settings).catch((error: unknown) => {
    metrics[Symbol.dispose]()
    throw error
  })
  late.port = bound.port
  if (member) member.announceNeighbours(new ClusterEvents(cluster, clock, (event) => clients.events.broadcast(event)))
  member?.serving(true)
  log.info(SOURCE, `Starting listening for CQL clients on /${settings.rpc_address}:${bound.port} (unencrypted)...`)
  return { clients, processor, httpCounters, metrics, cluster, address, port: bound.port }
}

async function listen(clients: ClientListener, settings: Settings): Promise<{ port: number }> {
  const { rpc_address: address, native_transport_port: port } = settings
  try {
    return await clients.listen(address, port)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    await clients.close(0)
    if (code === 'EADDRINUSE')
      throw new StartError(`${address}:${port} is in use by another process; choose another port with --port`)
    if (code === 'EADDRNOTAVAIL')
      throw new StartError(`${address} is no address of this machine; choose another with --address`)
    if (code === 'EACCES')
      throw new StartError(`this user may not listen on ${address}:${port}; choose another port with --port`)
    throw error
  }
}

/** Logs what storage could not do; of a flood of failures only some. */
function reporter(log: Log, clock: Runtime['clock']): (cause: Error) => void {
  let lastMs = Number.NEGATIVE_INFINITY
  let silenced = 0
  return (cause) => {
    const nowMs = clock.monotonicMs()
    silenced += 1
    if (nowMs - lastMs < REPORT_EVERY_MS) return
    const others = silenced > 1 ? ` (${silenced - 1} more since the last line)` : ''
    log.error(SOURCE, `A request failed in storage: ${cause.message}${others}`, cause)
    lastMs = nowMs
    silenced = 0
  }
}
