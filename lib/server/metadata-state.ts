/**
 * The metadata of a cluster as a value, and the entries of the log that change it: a pure state machine, the same on every node.
 * Source: Cassandra's CEP-21 (ClusterMetadata, Transformation).
 * Always: what an entry does follows from the state before it and from the entry alone: ids, tokens and times are in it.
 */
import {
  changeTopology,
  EMPTY_TOPOLOGY,
  type RingNode,
  type Topology,
  type TopologyChange,
} from '../../cluster/ring/topology.ts'
import type { Schema, SchemaChange } from '../schema/keyspace.ts'
import { decodeRecords, encodeRecords, type SchemaRecord } from '../schema/records.ts'
import { applyRecords, snapshotRecords } from '../schema/state.ts'

export interface ClusterMetadata {
  /** Of the last entry. */
  readonly epoch: number
  /** UUID; empty until a cluster was founded: a node that always was alone belongs to none. */
  readonly clusterId: string
  readonly schema: Schema
  readonly topology: Topology
  /** Host ids of those who decide the next entry. */
  readonly members: readonly string[]
}

/** What one entry says. Entries of a node that is alone are lists of records, the other ones objects. */
export interface MetadataEntry {
  /** Unique: tells two entries of the same content apart. */
  readonly by?: string
  /** The first one of a cluster. */
  readonly cluster?: { readonly id: string }
  readonly topology?: readonly TopologyChange[]
  readonly members?: readonly string[]
  readonly schema?: readonly SchemaRecord[]
  /** What clients are told of the schema's change. */
  readonly change?: SchemaChange
}

export interface LoggedEntry {
  readonly epoch: number
  readonly payload: string
}

/** Bytes of a snapshot's part: far below what one mutation, and one message, may have. */
const PART_BYTES_MAX = 256 * 1024

export function encodeEntry(entry: MetadataEntry): string {
  return JSON.stringify(entry)
}

/** The text is a node's own: read back from a checksummed row, or sent by a node of this cluster. */
export function decodeEntry(payload: string): MetadataEntry {
  if (payload === '') return {}
  const decoded = JSON.parse(payload) as MetadataEntry | SchemaRecord[]
  return Array.isArray(decoded) ? { schema: decoded } : decoded
}

export function emptyMetadata(builtIn: Schema): ClusterMetadata {
  return { epoch: 0, clusterId: '', schema: builtIn, topology: EMPTY_TOPOLOGY, members: [] }
}

/** The state after the entries, which follow it without a gap. All at once: one by one, each would copy the schema. */
export function applyEntries(before: ClusterMetadata, entries: readonly LoggedEntry[]): ClusterMetadata {
  let { epoch, clusterId, topology, members } = before
  let schemaEpoch = before.schema.epoch
  const records: SchemaRecord[] = []
  for (const logged of entries) {
    const entry = decodeEntry(logged.payload)
    epoch = logged.epoch
    if (entry.schema) {
      records.push(...entry.schema)
      schemaEpoch = epoch
    }
    if (entry.cluster) clusterId = entry.cluster.id
    for (const change of entry.topology ?? []) topology = changeTopology(topology, change)
    if (entry.members) members = entry.members
  }
  const schema = schemaEpoch === before.schema.epoch ? before.schema : applyRecords(before.schema, records, schemaEpoch)
  return { epoch, clusterId, schema, topology, members }
}

/** The whole state as text: the schema in parts, and what else there is. */
export interface MetadataSnapshot {
  readonly head: SnapshotHead
  readonly parts: readonly string[]
}

export interface SnapshotHead {
  readonly epoch: number
  readonly parts: number
  /** Absent where no cluster was founded: then all entries were of the schema. */
  readonly cluster?: {
    readonly id: string
    readonly schemaEpoch: number
    readonly members: readonly string[]
    readonly nodes: readonly RingNode[]
  }
  /** Tables that the node had before it took this snapshot from another: what is left of them must go. */
  readonly dropped?: readonly string[]
}

export function snapshotOf(state: ClusterMetadata, builtIn: Schema): MetadataSnapshot {
  const { epoch, clusterId, members, topology } = state
  const parts = cut(snapshotRecords(state.schema, builtIn))
  const head = { epoch, parts: parts.length }
  if (clusterId === '') return { head, parts }
  const cluster = { id: clusterId, schemaEpoch: state.schema.epoch, members, nodes: [...topology.nodes.values()] }
  return { head: { ...head, cluster }, parts }
}

export function readSnapshot(builtIn: Schema, head: SnapshotHead, parts: readonly string[]): ClusterMetadata {
  const { epoch, cluster } = head
  const schemaEpoch = cluster?.schemaEpoch ?? epoch
  const schema = schemaEpoch === 0 ? builtIn : applyRecords(builtIn, parts.flatMap(decodeRecords), schemaEpoch)
  return {
    epoch,
    clusterId: cluster?.id ?? '',
    schema,
    topology: { nodes: new Map(cluster?.nodes.map((node) => [node.hostId, node])) },
    members: cluster?.members ?? [],
  }
}

function cut(records: readonly SchemaRecord[]): string[] {
  const parts: string[] = []
  let part: SchemaRecord[] = []
  let bytes = 0
  for (const record of records) {
    const size = JSON.stringify(record).length
    if (part.length > 0 && bytes + size > PART_BYTES_MAX) {
      parts.push(encodeRecords(part))
      part = []
      bytes = 0
    }
    part.push(record)
    bytes += size
  }
  parts.push(encodeRecords(part))
  return parts
}
