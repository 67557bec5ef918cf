/** What an administrator asks of the cluster, as this node knows it. Source: the answers of Cassandra's StorageService and Gossiper to nodetool. */
import { parseEndpoint } from '../../../cluster/internode/endpoint.ts'
import { LANES, type Lane } from '../../../cluster/internode/messenger.ts'
import type { Placement } from '../../../cluster/ring/placement.ts'
import type { NodeStatus, RingNode } from '../../../cluster/ring/topology.ts'
import type { KeyspaceSchema } from '../../schema/keyspace.ts'
import { LOCAL_STRATEGY } from '../../schema/replication.ts'
import { isSystemKeyspace } from '../../schema/system-tables.ts'
import { RELEASE_VERSION } from '../../version.ts'
import type { KnownCluster } from '../cluster/known-cluster.ts'
import type { AdminNode } from './admin-node.ts'
import { namedPosition } from './named-partition.ts'
import { AdminError, type Parameters, usage } from './parameters.ts'

export interface NodeReport {
  readonly hostId: string
  readonly address: string
  readonly port: number
  readonly datacenter: string
  readonly rack: string
  readonly tokens: readonly string[]
  readonly status: NodeStatus
  readonly up: boolean
  /** Null: never heard. */
  readonly loadBytes: number | null
  /** Part of all keys that it holds, 0 to 1: of the keyspace's if `effective`, else those for which it is the first replica. */
  readonly owns: number
}

export interface RingReport {
  readonly nodes: readonly NodeReport[]
  readonly effective: boolean
  /** Why it is not. */
  readonly note: string | null
}

export function ring({ cluster }: AdminNode, parameters: Parameters): RingReport {
  const keyspace = parameters.text('keyspace')
  const { placement, note } = effectiveOf(cluster, keyspace)
  const shares = placement ? placement.ownership() : firstShares(cluster)
  return {
    nodes: cluster.nodes().map((node) => ({
      hostId: node.hostId,
      ...parseEndpoint(node.endpoint),
      datacenter: node.datacenter,
      rack: node.rack,
      tokens: node.tokens,
      status: node.status,
      up: cluster.isAlive(node.hostId),
      loadBytes: cluster.loadBytes(node.hostId),
      owns: shares.get(node.hostId) ?? 0,
    })),
    effective: placement !== null,
    note,
  }
}

/** The ring for which shares are told: of a keyspace, or of all that users made, when these agree. */
function effectiveOf(
  cluster: KnownCluster,
  name: string | null,
): { readonly placement: Placement | null; readonly note: string | null } {
  const { keyspaces } = cluster.schema()
  if (name !== null) {
    const keyspace = keyspaces.get(name)
    if (!keyspace) throw new AdminError('failure', `The keyspace ${name}, does not exist`)
    if (isLocal(keyspace))
      throw new AdminError('failure', 'Ownership values for keyspaces with LocalStrategy are meaningless')
    return { placement: cluster.placed(name)!.placement, note: null }
  }
  const made = [...keyspaces.values()].filter((one) => !isLocal(one) && !isSystemKeyspace(one.name))
  if (new Set(made.map(({ replication }) => JSON.stringify([...replication].sort()))).size > 1)
    return {
      placement: null,
      note: "Non-system keyspaces don't have the same replication settings, effective ownership information is meaningless",
    }
  return { placement: cluster.placed(made[0]?.name ?? 'system_traces')?.placement ?? null, note: null }
}

function isLocal({ isVirtual, replication }: KeyspaceSchema): boolean {
  return isVirtual || (replication.get('class') ?? LOCAL_STRATEGY) === LOCAL_STRATEGY
}

function firstShares(cluster: KnownCluster): Map<string, number> {
  const shares = new Map<string, number>()
  const tokens = cluster
    .nodes()
    .filter(({ status }) => status !== 'joining')
    .flatMap((node) => node.tokens.map((token) => ({ token: BigInt(token), hostId: node.hostId })))
    .sort((a, b) => (a.token < b.token ? -1 : 1))
  tokens.forEach(({ token, hostId }, i) => {
    const width = tokens.length === 1 ? 1 : Number(BigInt.asUintN(64, token - tokens.at(i - 1)!.token)) / 2 ** 64
    shares.set(hostId, (shares.get(hostId) ?? 0) + width)
  })
  return shares
}

export interface ClusterReport {
  readonly name: string
  /** By version the addresses that have it; of nodes that are away nothing is known. */
  readonly schemaVersions: readonly { readonly version: string; readonly addresses: readonly string[] }[]
  readonly unreachable: readonly string[]
  readonly live: number
  readonly joining: number
  readonly leaving: number
  readonly datacenters: readonly { readonly name: string; readonly nodes: number; readonly down: number }[]
  readonly releaseVersions: readonly { readonly version: string; readonly endpoints: readonly string[] }[]
  readonly keyspaces: readonly {
    readonly name: string
    readonly class: string
    readonly options: Readonly<Record<string, string>>
  }[]
}

export function describeCluster({ cluster }: AdminNode): ClusterReport {
  const nodes = cluster.nodes()
  const alive = (node: RingNode): boolean => cluster.isAlive(node.hostId)
  const versions = group(nodes.filter(alive), ({ hostId }) => cluster.schemaVersion(hostId))
  const releases = group(nodes, ({ hostId }) =>
    cluster.isSelf(hostId) ? RELEASE_VERSION : (cluster.heard(hostId, 'RELEASE_VERSION') ?? RELEASE_VERSION),
  )
  return {
    name: cluster.clusterName,
    schemaVersions: versions.map(([version, those]) => ({ version, addresses: those.map(addressOf) })),
    unreachable: nodes.filter((node) => !alive(node)).map(addressOf),
    live: nodes.filter(alive).length,
    joining: nodes.filter(({ status }) => status === 'joining').length,
    leaving: nodes.filter(({ status }) => status === 'leaving').length,
    datacenters: group(nodes, ({ datacenter }) => datacenter).map(([name, those]) => ({
      name,
      nodes: those.length,
      down: those.filter((node) => !alive(node)).length,
    })),
    releaseVersions: releases.map(([version, those]) => ({
      version,
      endpoints: those.map(({ endpoint }) => endpoint),
    })),
    keyspaces: [...cluster.schema().keyspaces.values()]
      .filter(({ isVirtual }) => !isVirtual)
      .map(({ name, replication }) => {
        const { class: strategy, ...options } = Object.fromEntries(replication)
        return { name, class: (strategy ?? LOCAL_STRATEGY).replace(/^.*\./, ''), options }
      }),
  }
}

function group(nodes: readonly RingNode[], key: (node: RingNode) => string): [string, RingNode[]][] {
  const groups = new Map<string, RingNode[]>()
  for (const node of nodes) {
    const name = key(node)
    const those = groups.get(name)
    if (those) those.push(node)
    else groups.set(name, [node])
  }
  return [...groups]
}

function addressOf({ endpoint }: RingNode): string {
  return parseEndpoint(endpoint).address
}

export interface GossipReport {
  readonly address: string
  readonly port: number
  readonly generation: number
  readonly heartbeat: number
  readonly values: readonly { readonly key: string; readonly version: number; readonly value: string }[]
}

export function gossipInfo({ cluster }: AdminNode): { readonly nodes: readonly GossipReport[] } {
  const nodes: GossipReport[] = []
  for (const { generation, heartbeat, values } of cluster.states()) {
    const endpoint = values.get('INTERNAL_ADDRESS_AND_PORT')?.value
    if (endpoint === undefined) continue
    nodes.push({
      ...parseEndpoint(endpoint),
      generation,
      heartbeat,
      values: Array.from(values, ([key, { version, value }]) => ({ key, version, value })),
    })
  }
  return { nodes }
}

/** How unusual the silence of each other node is. */
export function failureDetector({ cluster }: AdminNode): object {
  return {
    nodes: cluster
      .nodes()
      .filter(({ hostId }) => !cluster.isSelf(hostId))
      .map(({ hostId, endpoint }) => ({ ...parseEndpoint(endpoint), phi: cluster.hearsay?.phi(hostId) ?? 0 })),
  }
}

/** Who holds a partition. */
export function endpoints(node: AdminNode, parameters: Parameters): { readonly endpoints: readonly object[] } {
  const { cluster } = node
  const keyspace = parameters.required('keyspace')
  const name = parameters.required('table')
  const found = cluster.schema().keyspaces.get(keyspace)
  if (!found) throw usage(`Unknown keyspace '${keyspace}'`)
  const table = found.tables.get(name)
  if (!table) throw usage(`Unknown table '${name}' in keyspace '${keyspace}'`)
  const placed = cluster.placed(keyspace)
  const holders = placed
    ? placed.placement.atPosition(namedPosition(node, table, parameters)).natural
    : [cluster.self()]
  return { endpoints: holders.map(({ endpoint, hostId }) => ({ ...parseEndpoint(endpoint), hostId })) }
}

export interface RangeReport {
  readonly start: string
  readonly end: string
  readonly endpoints: readonly {
    readonly address: string
    readonly port: number
    readonly clientAddress: string
    readonly clientPort: number
    readonly datacenter: string
    readonly rack: string
  }[]
}

export function describeRing({ cluster }: AdminNode, parameters: Parameters): object {
  const keyspace = parameters.required('keyspace')
  const placed = cluster.placed(keyspace)
  if (!placed) {
    if (!cluster.schema().keyspaces.has(keyspace)) throw new AdminError('failure', `No such keyspace: ${keyspace}`)
    throw new AdminError('failure', `There is no ring for the keyspace: ${keyspace}`)
  }
  const ranges = placed.placement.tokenRanges().map(
    ({ after, token, replicas }): RangeReport => ({
      start: String(after),
      end: String(token),
      endpoints: replicas.natural.map(({ endpoint, clientAddress, clientPort, datacenter, rack }) => ({
        ...parseEndpoint(endpoint),
        clientAddress,
        clientPort,
        datacenter,
        rack,
      })),
    }),
  )
  return { schemaVersion: cluster.schema().version, ranges }
}

export interface LaneReport {
  readonly pending: number
  readonly completed: number
  readonly dropped: number
}

const MODES = { joining: 'JOINING', normal: 'NORMAL', leaving: 'LEAVING' } as const

export function netStats({ cluster, mode, metrics }: AdminNode): object {
  const counts = cluster.messages()
  const lane = (name: Lane): LaneReport => {
    const report = { pending: 0, completed: 0, dropped: 0 }
    for (const { lanes } of counts?.peers ?? []) {
      report.pending += lanes[name].pending
      report.completed += lanes[name].sent
      report.dropped += lanes[name].dropped
    }
    return report
  }
  return {
    mode: mode() === 'SERVING' ? MODES[cluster.self().status] : mode(),
    readRepairs: metrics.coordinator.counts.repairs,
    lanes: Object.fromEntries(LANES.map((name) => [name, lane(name)])),
    peers: counts?.peers ?? [],
  }
}
