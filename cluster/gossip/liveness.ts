/**
 * Who is alive, as this node sees it. An opinion, not a fact: two nodes may differ for seconds, and nothing that must be safe depends on it.
 * Always: a node is alive to itself; `listen` hears of a change after `isAlive` tells it.
 */

/**
 * alive: heard of lately. suspect: still asked, but only if no better one is there (its silence is unusual). down: it said that it stops, or
 * was silent for so long that chance hardly explains it, or was never heard of.
 */
export type Standing = 'alive' | 'suspect' | 'down'

export type LivenessChange = (hostId: string, alive: boolean) => void

export interface Liveness {
  /** True for nodes that are alive or suspect. */
  isAlive(hostId: string): boolean
  /** A node that restarts goes down and comes up again, however quick it was: what it missed must be sent to it. */
  listen(change: LivenessChange): Disposable
}

/** What a node tells of itself, beside its heartbeat. Names as in Cassandra's ApplicationState, which nodetool gossipinfo shows. */
export type GossipKey =
  | 'STATUS_WITH_PORT'
  | 'LOAD'
  | 'SCHEMA'
  | 'DC'
  | 'RACK'
  | 'RELEASE_VERSION'
  | 'INTERNAL_ADDRESS_AND_PORT'
  | 'NATIVE_ADDRESS_AND_PORT'
  | 'HOST_ID'
  | 'TOKENS'
  | 'NET_VERSION'
  | 'RPC_READY'
  | 'SSTABLE_VERSIONS'
  | 'INDEX_STATUS'
  | 'SEVERITY'
  | 'DISK_USAGE'

export interface GossipValue {
  readonly value: string
  /** Of the node's own counter, which heartbeats share: the order in which it said things. */
  readonly version: number
}

/** What is known of a node. Never changes: what is heard later makes a new one. */
export interface NodeState {
  readonly hostId: string
  /** Seconds since 1970 of its start, or one more than that of the start before. */
  readonly generation: number
  readonly heartbeat: number
  /** By GossipKey; a node of a later version may tell more. */
  readonly values: ReadonlyMap<string, GossipValue>
}
