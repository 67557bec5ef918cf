/** Commands about the cluster: they ask the node over CQL, at the address that its administration interface names. */
import { toCqlText } from '../../lib/types/format.ts'
import { RELEASE_VERSION } from '../../lib/version.ts'
import { type ResultRow, rowsOf, ToolClient } from '../support/client.ts'
import { UnreachableError } from './client.ts'
import type { Command, Session } from './command.ts'
import { bytesText } from './text.ts'

interface NodeAnswer {
  readonly cql: { readonly address: string; readonly port: number } | null
}

interface NodeRow {
  readonly address: string
  readonly datacenter: string
  readonly rack: string
  readonly hostId: string
  readonly tokens: number
  readonly schemaVersion: string
  readonly releaseVersion: string
  readonly storagePort: string
}

const LOCAL = `SELECT broadcast_address AS address, broadcast_port AS storage_port, data_center, rack, host_id, tokens, schema_version, release_version FROM system.local`
const PEERS = `SELECT peer AS address, peer_port AS storage_port, data_center, rack, host_id, tokens, schema_version, release_version FROM system.peers_v2`

async function nodes(client: ToolClient): Promise<NodeRow[]> {
  const rows = [...rowsOf(await client.query(LOCAL)), ...rowsOf(await client.query(PEERS))]
  return rows.map((row) => ({
    address: text(row, 'address'),
    datacenter: text(row, 'data_center'),
    rack: text(row, 'rack'),
    hostId: text(row, 'host_id'),
    tokens: row.get('tokens')?.bytes?.readInt32BE(0) ?? 0,
    schemaVersion: text(row, 'schema_version'),
    releaseVersion: text(row, 'release_version'),
    storagePort: text(row, 'storage_port'),
  }))
}

function text(row: ResultRow, name: string): string {
  const cell = row.get(name)
  return cell?.bytes ? toCqlText(cell.type, cell.bytes) : ''
}

/** Columns as wide as their widest value, two blanks between. */
function columns(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  return rows.map((row) => `${row.map((cell, column) => cell.padEnd(widths[column]!)).join('  ')}\n`).join('')
}

async function statusText(client: ToolClient, load: string): Promise<string> {
  const all = await nodes(client)
  const datacenters = [...new Set(all.map((node) => node.datacenter))].sort()
  return datacenters
    .map((datacenter) => {
      const title = `Datacenter: ${datacenter}`
      const there = all.filter((node) => node.datacenter === datacenter)
      const share = `${(100 / all.length).toFixed(1)}%`
      const rows = there.map((node) => ['UN', node.address, load, String(node.tokens), share, node.hostId, node.rack])
      const head = ['--', 'Address', 'Load', 'Tokens', 'Owns (effective)', 'Host ID', 'Rack']
      return `${title}\n${'='.repeat(title.length)}\nStatus=Up/Down\n|/ State=Normal/Leaving/Joining/Moving\n${columns([head, ...rows])}\n`
    })
    .join('')
}

async function clusterText(client: ToolClient): Promise<string> {
  const all = await nodes(client)
  const [local] = rowsOf(await client.query('SELECT cluster_name, partitioner FROM system.local'))
  const keyspaces = rowsOf(await client.query('SELECT keyspace_name, replication FROM system_schema.keyspaces'))
  const group = (key: (node: NodeRow) => string, show: (node: NodeRow) => string): string =>
    [...new Set(all.map(key))]
      .map(
        (value) =>
          `${value}: [${all
            .filter((node) => key(node) === value)
            .map(show)
            .join(', ')}]`,
      )
      .join('\n\t\t')
  const lines = [
    'Cluster Information:',
    `\tName: ${text(local!, 'cluster_name')}`,
    `\tPartitioner: ${text(local!, 'partitioner')}`,
    '\tSchema versions:',
    `\t\t${group(
      (node) => node.schemaVersion,
      (node) => node.address,
    )}`,
    '',
    'Stats for all nodes:',
    `\tLive: ${all.length}`,
    ...['Joining', 'Moving', 'Leaving', 'Unreachable'].map((state) => `\t${state}: 0`),
    '',
    'Data Centers: ',
    ...[...new Set(all.map((node) => node.datacenter))].map(
      (name) => `\t${name} #Nodes: ${all.filter((node) => node.datacenter === name).length} #Down: 0`,
    ),
    '',
    'Database versions:',
    `\t${group(
      (node) => node.releaseVersion,
      (node) => `${node.address}:${node.storagePort}`,
    )}`,
    '',
    'Keyspaces:',
    ...keyspaces.map((row) => `\t${text(row, 'keyspace_name')} -> ${replication(row)}`),
  ]
  return `${lines.join('\n')}\n`
}

function replication(row: ResultRow): string {
  const options = new Map<string, string>()
  const bytes = row.get('replication')!.bytes!
  let at = 4
  const next = (): string => {
    const length = bytes.readInt32BE(at)
    at += 4 + length
    return bytes.toString('utf8', at - length, at)
  }
  for (let left = bytes.readInt32BE(0); left > 0; left--) options.set(next(), next())
  const name = options.get('class')!
  options.delete('class')
  return `Replication class: ${name.slice(name.lastIndexOf('.') + 1)} {${[...options].map(([key, value]) => `${key}=${value}`).join(', ')}}`
}

async function overCql(session: Session, ask: (client: ToolClient) => Promise<string>): Promise<unknown> {
  const { cql } = await session.client.get<NodeAnswer>('node')
  if (cql === null) throw new UnreachableError('the node serves no clients any more')
  const client = await ToolClient.connect(cql.address, cql.port)
  try {
    const text = await ask(client)
    session.print(text)
    return { text }
  } finally {
    client.close()
  }
}

const status: Command = {
  help: 'Print cluster information (state, load, IDs, ...)',
  options: [{ names: ['-r', '--resolve-ip'], help: 'Taken for the sake of scripts: addresses are shown' }],
  arguments: '[--] [<keyspace>]',
  async run(session) {
    const { loadBytes } = await session.client.get<{ loadBytes: number }>('info')
    return overCql(session, (client) => statusText(client, bytesText(loadBytes)))
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

const version: Command = {
  help: 'Print cassandra version',
  async run({ client, print }) {
    const node = await client.get<{ version: string }>('node')
    print(`ReleaseVersion: ${RELEASE_VERSION}\n`)
    return { releaseVersion: RELEASE_VERSION, polyxenaVersion: node.version }
  },
}

export const CLUSTER_COMMANDS: Readonly<Record<string, Command>> = {
  status,
  describecluster: {
    help: 'Print the name, snitch, partitioner and schema version of a cluster',
    run: (session) => overCql(session, clusterText),
  },
  statusbinary,
  version,
}
