/**
 * The rows that tell of the node: system.local, peers, peers_v2 and the tables of system_views. Source: the same tables of Cassandra 5.0.6,
 * whose versions are given because drivers decide by them what a server can do; our own version is among the settings.
 */

import { CQL_VERSION, RELEASE_VERSION } from '../../version.ts'
import type { ClientInfo, NodeInfo, PeerInfo } from './node-info.ts'
import type { PlainRow } from './plain-values.ts'

const NATIVE_PROTOCOL_VERSION = '5'
const PARTITIONER = 'org.apache.cassandra.dht.Murmur3Partitioner'

/** The rows of an answered table of system or system_views. */
export function nodeRows(table: string, node: NodeInfo, schemaVersion: string): readonly PlainRow[] {
  switch (table) {
    case 'local':
      return [localRow(node, schemaVersion)]
    case 'peers':
      return node.peers().map(peerRow)
    case 'peers_v2':
      return node.peers().map(peerV2Row)
    case 'settings':
      return settingRows(node)
    case 'clients':
      return node.clients().map(clientRow)
    default:
      return node.rows(table) ?? []
  }
}

function localRow(node: NodeInfo, schemaVersion: string): PlainRow {
  const truncations = node.truncations()
  return {
    key: 'local',
    bootstrapped: 'COMPLETED',
    broadcast_address: node.broadcastAddress,
    broadcast_port: node.broadcastPort,
    cluster_name: node.clusterName,
    cql_version: CQL_VERSION,
    data_center: node.datacenter,
    gossip_generation: node.gossipGeneration,
    host_id: node.hostId,
    listen_address: node.listenAddress,
    listen_port: node.listenPort,
    native_protocol_version: NATIVE_PROTOCOL_VERSION,
    partitioner: PARTITIONER,
    rack: node.rack,
    release_version: RELEASE_VERSION,
    rpc_address: node.rpcAddress,
    rpc_port: node.rpcPort,
    schema_version: schemaVersion,
    tokens: node.tokens(),
    truncated_at: truncations.size === 0 ? null : truncations,
  }
}

function peerRow(peer: PeerInfo): PlainRow {
  return {
    peer: peer.address,
    data_center: peer.datacenter,
    host_id: peer.hostId,
    rack: peer.rack,
    release_version: RELEASE_VERSION,
    rpc_address: peer.nativeAddress,
    schema_version: peer.schemaVersion,
    tokens: peer.tokens,
  }
}

function peerV2Row(peer: PeerInfo): PlainRow {
  return {
    peer: peer.address,
    peer_port: peer.port,
    data_center: peer.datacenter,
    host_id: peer.hostId,
    native_address: peer.nativeAddress,
    native_port: peer.nativePort,
    rack: peer.rack,
    release_version: RELEASE_VERSION,
    schema_version: peer.schemaVersion,
    tokens: peer.tokens,
  }
}

function settingRows(node: NodeInfo): PlainRow[] {
  const rows: PlainRow[] = Array.from(node.settings(), ([name, value]) => ({ name, value }))
  rows.push({ name: 'polyxena_version', value: node.version })
  return rows
}

function clientRow(client: ClientInfo): PlainRow {
  return {
    address: client.address,
    port: client.port,
    client_options: client.options,
    connection_stage: client.stage,
    driver_name: client.options.get('DRIVER_NAME'),
    driver_version: client.options.get('DRIVER_VERSION'),
    hostname: client.hostname,
    keyspace_name: client.keyspace,
    protocol_version: client.protocolVersion,
    request_count: client.requestCount,
    ssl_cipher_suite: client.tls?.cipherSuite,
    ssl_enabled: client.tls !== null,
    ssl_protocol: client.tls?.protocol,
    username: client.username,
  }
}
