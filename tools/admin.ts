#!/usr/bin/env node
/**
 * The `polyxena-nodetool` command: what an operator asks a node, in nodetool's words and columns. It asks over CQL, on the node's client port.
 * Exit codes as nodetool's: 0, 1 wrong usage, 2 the node could not be asked.
 */
import yargs from 'yargs'
import { hideBin } from 'yargs/helpers'
import { toCqlText } from '../lib/types/format.ts'
import { type ResultRow, rowsOf, ToolClient } from './support/client.ts'

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

async function version(client: ToolClient): Promise<string> {
  const [row] = rowsOf(await client.query('SELECT release_version FROM system.local'))
  return `ReleaseVersion: ${text(row!, 'release_version')}\n`
}

/** Columns as wide as their widest value, two blanks between. */
function columns(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  return rows.map((row) => `${row.map((cell, column) => cell.padEnd(widths[column]!)).join('  ')}\n`).join('')
}

async function status(client: ToolClient): Promise<string> {
  const all = await nodes(client)
  const datacenters = [...new Set(all.map((node) => node.datacenter))].sort()
  return datacenters
    .map((datacenter) => {
      const title = `Datacenter: ${datacenter}`
      const there = all.filter((node) => node.datacenter === datacenter)
      const share = `${(100 / all.length).toFixed(1)}%`
      const rows = there.map((node) => ['UN', node.address, '?', String(node.tokens), share, node.hostId, node.rack])
      const head = ['--', 'Address', 'Load', 'Tokens', 'Owns (effective)', 'Host ID', 'Rack']
      return `${title}\n${'='.repeat(title.length)}\nStatus=Up/Down\n|/ State=Normal/Leaving/Joining/Moving\n${columns([head, ...rows])}\n`
    })
    .join('')
}

async function describeCluster(client: ToolClient): Promise<string> {
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

const COMMANDS: Record<string, { readonly help: string; readonly run: (client: ToolClient) => Promise<string> }> = {
  version: { help: 'Print the Cassandra version whose behaviour the node shows', run: version },
  status: { help: 'Print the nodes of the cluster and their states', run: status },
  describecluster: { help: 'Print the name, schema versions and keyspaces of the cluster', run: describeCluster },
  statusbinary: { help: 'Say whether the node serves CQL clients', run: async () => 'running\n' },
}

async function ask(name: string, host: string, port: number): Promise<void> {
  let client: ToolClient
  try {
    client = await ToolClient.connect(host, port)
  } catch (error) {
    if (name === 'statusbinary') process.stdout.write('not running\n')
    else {
      process.stderr.write(`polyxena-nodetool: Failed to connect to '${host}:${port}' - ${(error as Error).message}\n`)
      process.exitCode = 2
    }
    return
  }
  process.stdout.write(await COMMANDS[name]!.run(client))
  client.close()
}

const parser = yargs(hideBin(process.argv))
  .scriptName('polyxena-nodetool')
  .option('host', { alias: 'h', type: 'string', default: '127.0.0.1', describe: 'Address of the node' })
  .option('port', { alias: 'p', type: 'number', default: 9042, describe: 'Its CQL port' })
  .demandCommand(1, 'Name a command')
  .strict()
  .help('help')
  .version(false)
for (const [name, { help }] of Object.entries(COMMANDS)) {
  parser.command(name, help, {}, (options) => ask(name, String(options.host), Number(options.port)))
}
await parser.parseAsync()
