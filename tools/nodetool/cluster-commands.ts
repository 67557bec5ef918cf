/** Commands about the cluster, as the node that is asked knows it. Source: Cassandra's nodetool, its words and outputs. */
import type {
  ClusterReport,
  GossipReport,
  LaneReport,
  NodeReport,
  RangeReport,
  RingReport,
} from '../../lib/server/admin/cluster-reports.ts'
import type { RemovalReport } from '../../lib/server/admin/ring-operations.ts'
import type { Mode } from '../../lib/server/retirement.ts'
import { RELEASE_VERSION } from '../../lib/version.ts'
import { UsageError } from './arguments.ts'
import type { Command, Session } from './command.ts'
import { bytesText } from './text.ts'

interface NodeAnswer {
  readonly version: string
  readonly mode: Mode
  readonly cql: { readonly address: string; readonly port: number } | null
}

/** The words by which scripts ask for names in place of addresses: addresses are shown all the same. */
const RESOLVE = { names: ['-r', '--resolve-ip'], help: 'Taken for the sake of scripts: addresses are shown' }

const SNITCH = 'org.apache.cassandra.locator.GossipingPropertyFileSnitch'
const PARTITIONER = 'org.apache.cassandra.dht.Murmur3Partitioner'

function addressText({ address, port }: { address: string; port: number }, session: Session): string {
  if (!session.printPort) return address
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}

function loadText({ loadBytes }: NodeReport): string {
  return loadBytes === null ? '?' : bytesText(loadBytes)
}

function byDatacenter(nodes: readonly NodeReport[]): [string, NodeReport[]][] {
  const names = [...new Set(nodes.map(({ datacenter }) => datacenter))]
  return names.map((name) => [name, nodes.filter(({ datacenter }) => datacenter === name)])
}

/** Columns as wide as their widest value, two blanks between. */
function columns(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  return rows.map((row) => `${row.map((cell, column) => cell.padEnd(widths[column]!)).join('  ')}\n`).join('')
}

const STATES = { joining: 'J', normal: 'N', leaving: 'L' } as const

function statusText({ nodes, effective, note }: RingReport, session: Session): string {
  const head = ['--', 'Address', 'Load', 'Tokens', effective ? 'Owns (effective)' : 'Owns', 'Host ID', 'Rack']
  const row = (node: NodeReport): string[] => [
    `${node.up ? 'U' : 'D'}${STATES[node.status]}`,
    addressText(node, session),
    loadText(node),
    String(node.tokens.length),
    effective ? `${(node.owns * 100).toFixed(1)}%` : '?',
    node.hostId,
    node.rack,
  ]
  // The columns are as wide in one data centre as in the other.
  const lines = columns([head, ...nodes.map(row)]).split('\n')
  const blocks = byDatacenter(nodes).map(([name, there]) => {
    const title = `Datacenter: ${name}`
    const own = there.map((node) => `${lines[nodes.indexOf(node) + 1]}\n`)
    return `${title}\n${'='.repeat(title.length)}\nStatus=Up/Down\n|/ State=Normal/Leaving/Joining/Moving\n${lines[0]}\n${own.join('')}\n`
  })
  return `${blocks.join('')}${note === null ? '' : `Note: ${note}\n`}`
}

const status: Command = {
  help: 'Print cluster information (state, load, IDs, ...)',
  options: [RESOLVE],
  arguments: '[--] [<keyspace>]',
  async run(session) {
    const report = await session.client.get<RingReport>('ring', { keyspace: session.words.arguments[0] })
    session.print(statusText(report, session))
    return report
  },
}

const RING_STATES = { joining: 'Joining', normal: 'Normal', leaving: 'Leaving' } as const

function ringText({ nodes, note }: RingReport, session: Session): string {
  const width = Math.max(...nodes.map((node) => addressText(node, session).length)) + 5
  const line = (cells: readonly string[]): string => {
    const widths = [width + 2, 12, 7, 8, 16, 20, 44]
    return `${cells.map((cell, i) => cell.padEnd(widths[i]!)).join('')}\n`
  }
  const head = line(['Address', 'Rack', 'Status', 'State', 'Load', 'Owns', 'Token'])
  const blocks = byDatacenter(nodes).map(([name, there]) => {
    const tokens = there
      .flatMap((node) => node.tokens.map((token) => ({ node, token })))
      .sort((a, b) => (BigInt(a.token) < BigInt(b.token) ? -1 : 1))
    const rows = tokens.map(({ node, token }) =>
      line([
        addressText(node, session),
        node.rack,
        node.up ? 'Up' : 'Down',
        RING_STATES[node.status],
        loadText(node),
        `${(node.owns * 100).toFixed(2)}%`,
        token,
      ]),
    )
    const last = line(['', '', '', '', '', '', tokens.at(-1)?.token ?? ''])
    return `\nDatacenter: ${name}\n==========\n${head}${last}${rows.join('')}`
  })
  const many = nodes.some(({ tokens }) => tokens.length > 1)
  const warning = many
    ? '\n  Warning: "nodetool ring" is used to output all the tokens of a node.\n  To view status related info of a node use "nodetool status" instead.\n'
    : ''
  return `${blocks.join('')}${warning}\n\n  ${note === null ? '' : `Note: ${note}\n`}`
}

const ring: Command = {
  help: 'Print information about the token ring',
  options: [RESOLVE],
  arguments: '[--] [<keyspace>]',
  async run(session) {
    const report = await session.client.get<RingReport>('ring', { keyspace: session.words.arguments[0] })
    session.print(ringText(report, session))
    return report
  },
}

function clusterText(report: ClusterReport): string {
  const lines = [
    'Cluster Information:',
    `\tName: ${report.name}`,
    `\tSnitch: ${SNITCH}`,
    '\tDynamicEndPointSnitch: enabled',
    `\tPartitioner: ${PARTITIONER}`,
    '\tSchema versions:',
    ...report.schemaVersions.flatMap(({ version, addresses }) => [`\t\t${version}: [${addresses.join(', ')}]`, '']),
    ...(report.unreachable.length === 0 ? [] : [`\t\tUNREACHABLE: [${report.unreachable.join(', ')}]`, '']),
    'Stats for all nodes:',
    `\tLive: ${report.live}`,
    `\tJoining: ${report.joining}`,
    '\tMoving: 0',
    `\tLeaving: ${report.leaving}`,
    `\tUnreachable: ${report.unreachable.length}`,
    '',
    'Data Centers: ',
    ...report.datacenters.map(({ name, nodes, down }) => `\t${name} #Nodes: ${nodes} #Down: ${down}`),
    '',
    'Database versions:',
    ...report.releaseVersions.map(({ version, endpoints }) => `\t${version}: [${endpoints.join(', ')}]`),
    '',
    'Keyspaces:',
    ...report.keyspaces.map(({ name, class: strategy, options }) => {
      const pairs = Object.entries(options).map(([key, value]) => `${key}=${value}`)
      return `\t${name} -> Replication class: ${strategy} {${pairs.join(', ')}}`
    }),
  ]
  return `${lines.join('\n')}\n`
}

const describecluster: Command = {
  help: 'Print the name, snitch, partitioner and schema version of a cluster',
  async run({ client, print }) {
    const report = await client.get<ClusterReport>('describecluster')
    print(clusterText(report))
    return report
  },
}

/** In the order in which Cassandra lists them; what it does not know comes last, but for the tokens. */
const GOSSIP_ORDER = [
  'LOAD',
  'SCHEMA',
  'DC',
  'RACK',
  'RELEASE_VERSION',
  'SEVERITY',
  'NET_VERSION',
  'HOST_ID',
  'RPC_READY',
  'INTERNAL_ADDRESS_AND_PORT',
  'NATIVE_ADDRESS_AND_PORT',
  'STATUS_WITH_PORT',
  'SSTABLE_VERSIONS',
  'DISK_USAGE',
  'INDEX_STATUS',
]

function gossipText(node: GossipReport, session: Session): string {
  const place = (key: string): number => {
    if (key === 'TOKENS') return Infinity
    const at = GOSSIP_ORDER.indexOf(key)
    return at < 0 ? GOSSIP_ORDER.length : at
  }
  const values = [...node.values].sort((a, b) => place(a.key) - place(b.key))
  const lines = [
    `/${addressText(node, session)}`,
    `  generation:${node.generation}`,
    `  heartbeat:${node.heartbeat}`,
    ...values.map(({ key, version, value }) => `  ${key}:${version}:${key === 'TOKENS' ? '<hidden>' : value}`),
  ]
  return `${lines.join('\n')}\n`
}

const gossipinfo: Command = {
  help: 'Shows the gossip information for the cluster',
  options: [RESOLVE],
  async run(session) {
    const report = await session.client.get<{ nodes: readonly GossipReport[] }>('gossipinfo')
    session.print(`${report.nodes.map((node) => gossipText(node, session)).join('')}\n`)
    return report
  },
}

const failuredetector: Command = {
  help: 'Shows the failure detector information for the cluster',
  async run(session) {
    const report = await session.client.get<{ nodes: { address: string; port: number; phi: number }[] }>(
      'failuredetector',
    )
    const row = (name: string, phi: string): string => `${name.padStart(10)},${phi.padStart(16)}\n`
    const rows = report.nodes.map((node) => row(`/${addressText(node, session)}`, node.phi.toFixed(8)))
    session.print(`${row('Endpoint', 'Phi')}${rows.join('')}`)
    return report
  },
}

const getendpoints: Command = {
  help: 'Print the end points that owns the key',
  arguments: '[--] <keyspace> <table> <key>',
  async run(session) {
    const [keyspace, table, key] = session.words.arguments
    if (session.words.arguments.length !== 3)
      throw new UsageError('getendpoints requires keyspace, table and partition key arguments')
    const report = await session.client.get<{ endpoints: { address: string; port: number }[] }>('endpoints', {
      keyspace,
      table,
      key,
    })
    session.print(report.endpoints.map((one) => `${addressText(one, session)}\n`).join(''))
    return report
  },
}

function rangeText({ start, end, endpoints }: RangeReport, session: Session): string {
  const details = endpoints.map(
    (one) => `EndpointDetails(host:${addressText(one, session)}, datacenter:${one.datacenter}, rack:${one.rack})`,
  )
  const clients = endpoints.map((one) => addressText({ address: one.clientAddress, port: one.clientPort }, session))
  return `\tTokenRange(start_token:${start}, end_token:${end}, endpoints:[${endpoints
    .map((one) => addressText(one, session))
    .join(', ')}], rpc_endpoints:[${clients.join(', ')}], endpoint_details:[${details.join(', ')}])\n`
}

const describering: Command = {
  help: 'Shows the token ranges info of a given keyspace',
  arguments: '[--] <keyspace>',
  async run(session) {
    const [keyspace] = session.words.arguments
    if (session.words.arguments.length !== 1) throw new UsageError('Missing required argument: keyspace')
    const report = await session.client.get<{ schemaVersion: string; ranges: RangeReport[] }>('describering', {
      keyspace,
    })
    const ranges = report.ranges.map((range) => rangeText(range, session))
    session.print(`Schema Version:${report.schemaVersion}\nTokenRange: \n${ranges.join('')}`)
    return report
  },
}

interface NetReport {
  readonly mode: string
  /** Reads that wrote to replicas what they lacked, before they answered. */
  readonly readRepairs: number
  readonly lanes: Readonly<Record<'gossip' | 'small' | 'large', LaneReport>>
}

const netstats: Command = {
  help: 'Print network information on provided host (connecting node by default)',
  options: [
    { names: ['-H', '--human-readable'], help: 'Display bytes in human readable form, i.e. KiB, MiB, GiB, TiB' },
  ],
  async run({ client, print }) {
    const report = await client.get<NetReport>('netstats')
    const row = (name: string, { pending, completed, dropped }: LaneReport): string =>
      poolLine([name, 'n/a', String(pending), String(completed), String(dropped)])
    print(
      `Mode: ${report.mode}\nNot sending any streams.\nRead Repair Statistics:\nAttempted: 0\nMismatch (Blocking): ${report.readRepairs}\nMismatch (Background): 0\n${poolLine(['Pool Name', 'Active', 'Pending', 'Completed', 'Dropped'])}${row('Large messages', report.lanes.large)}${row('Small messages', report.lanes.small)}${row('Gossip messages', report.lanes.gossip)}`,
    )
    return report
  },
}

function poolLine([name, ...figures]: readonly string[]): string {
  const widths = [10, 10, 15, 10]
  return `${name!.padEnd(25)}${figures.map((figure, i) => figure.padStart(widths[i]!)).join('')}\n`
}

/** Cassandra's line; who waits for what comes after it. */
function removalText({ removal }: RemovalReport, session: Session): string {
  if (removal === null) return 'RemovalStatus: No token removals in process.\n'
  const { token, waiting } = removal
  const addresses = waiting.map((one) => `/${addressText(one, session)}`).join(',')
  const troubles = waiting
    .filter(({ trouble }) => trouble !== null)
    .map((one) => `  /${addressText(one, session)}: ${one.trouble}\n`)
  return `RemovalStatus: Removing token (${token}). Waiting for replication confirmation from [${addresses}].\n${troubles.join('')}`
}

const removenode: Command = {
  help: 'Show status of current node removal, force completion of pending removal or remove provided ID',
  arguments: '[--] <status>|<force>|<ID>',
  async run(session) {
    const { client, words, print } = session
    const [what] = words.arguments
    if (what === undefined || words.arguments.length !== 1)
      throw new UsageError('Missing an argument: it is status, force, or the Host ID of the node to remove')
    if (what !== 'status' && what !== 'force') return client.post<RemovalReport>('removenode', { hostId: what })
    const report =
      what === 'status'
        ? await client.get<RemovalReport>('removal')
        : await client.post<RemovalReport>('removenode', { force: true })
    print(removalText(report, session))
    return report
  },
}

const decommission: Command = {
  help: 'Decommission the *node I am connecting to*',
  options: [
    {
      names: ['-f', '--force'],
      help: 'Force decommission of this node even when it reduces the number of replicas to below configured RF',
    },
  ],
  run: ({ client, words }) => client.post('decommission', { force: words.has('-f') }),
}

const assassinate: Command = {
  help: 'Forcefully remove a dead node without re-replicating any data. Use as a last resort if you cannot removenode',
  arguments: '[--] <ip_address>',
  run({ client, words }) {
    const [address] = words.arguments
    if (address === undefined || words.arguments.length !== 1)
      throw new UsageError('Missing the IP address of the node to assassinate')
    return client.post('assassinate', { address })
  },
}

const statusbinary: Command = {
  help: 'Status of native transport (binary protocol)',
  async run({ client, print }) {
    const { cql } = await client.get<NodeAnswer>('node')
    print(cql === null ? 'not running\n' : 'running\n')
    return { running: cql !== null }
  },
}

const statusgossip: Command = {
  help: 'Status of gossip',
  async run({ client, print }) {
    const { mode } = await client.get<NodeAnswer>('node')
    const running = mode === 'SERVING'
    print(running ? 'running\n' : 'not running\n')
    return { running }
  },
}

const version: Command = {
  help: 'Print cassandra version',
  async run({ client, print }) {
    const node = await client.get<NodeAnswer>('node')
    print(`ReleaseVersion: ${RELEASE_VERSION}\n`)
    return { releaseVersion: RELEASE_VERSION, polyxenaVersion: node.version }
  },
}

export const CLUSTER_COMMANDS: Readonly<Record<string, Command>> = {
  status,
  ring,
  describecluster,
  gossipinfo,
  failuredetector,
  getendpoints,
  describering,
  netstats,
  removenode,
  decommission,
  assassinate,
  statusbinary,
  statusgossip,
  version,
}
