/**
 * What a node gives its coordinator and replica side: who holds what by the metadata as it is now, its own data, time and messages.
 * Always: placements are looked up once for each keyspace and epoch; what they were made of never changes.
 */

import type { CoordinatorEnvironment, Hints, RequestTimeouts } from '../../../cluster/coordinator/environment.ts'
import type { Replication } from '../../../cluster/coordinator/levels.ts'
import type { Replica } from '../../../cluster/coordinator/replica.ts'
import type { Liveness } from '../../../cluster/gossip/liveness.ts'
import type { Messenger } from '../../../cluster/internode/messenger.ts'
import { type Placement, Placements } from '../../../cluster/ring/placement.ts'
import type { RingNode } from '../../../cluster/ring/topology.ts'
import type { CausalTable } from '../../../storage/model/causal/siblings.ts'
import { uuidBytes, uuidText } from '../../base/uuid.ts'
import type { Settings } from '../../config/settings.ts'
import type { Clock, Random } from '../../runtime/runtime.ts'
import type { Schema } from '../../schema/keyspace.ts'
import { isSloppy } from '../../schema/options.ts'
import { LOCAL_STRATEGY } from '../../schema/replication.ts'
import { CausalTables } from '../causal-table.ts'
import type { HybridClock } from '../hybrid-clock.ts'
import type { MetadataLog } from '../metadata-log.ts'
import { replicationOf } from '../replication.ts'

export interface NodeEnvironmentOptions {
  readonly clock: Clock
  readonly random: Random
  readonly messenger: Messenger
  readonly liveness: Liveness
  readonly metadata: MetadataLog
  readonly ring: { readonly epoch: number }
  /** Until the ring has this node. */
  readonly self: RingNode
  readonly replica: Replica
  readonly hybrid: HybridClock
  readonly hints: Hints
  readonly settings: Settings
  report(cause: Error): void
}

interface Placed {
  readonly placement: Placement
  readonly replication: Replication
}

export class NodeEnvironment implements CoordinatorEnvironment {
  readonly clock: Clock
  readonly random: Random
  readonly messenger: Messenger
  readonly liveness: Liveness
  readonly replica: Replica
  readonly hints: Hints
  readonly timeouts: RequestTimeouts
  readonly report: (cause: Error) => void
  readonly #metadata: MetadataLog
  readonly #causalTables: CausalTables
  readonly #ring: { readonly epoch: number }
  readonly #hybrid: HybridClock
  readonly #joining: RingNode
  readonly #placements = new Placements()
  /** By keyspace, at the epoch below. */
  readonly #placed = new Map<string, Placed | null>()
  #epoch = -1
  /** By the 16 bytes of a table's id, for the schema below. */
  readonly #keyspaces = new Map<string, string>()
  #schema: Schema | null = null

  constructor(options: NodeEnvironmentOptions) {
    this.clock = options.clock
    this.random = options.random.stream('coordinator')
    this.messenger = options.messenger
    this.liveness = options.liveness
    this.replica = options.replica
    this.hints = options.hints
    this.report = options.report
    this.#metadata = options.metadata
    this.#causalTables = new CausalTables(() => this.#metadata.state.schema)
    this.#ring = options.ring
    this.#hybrid = options.hybrid
    this.#joining = options.self
    this.timeouts = requestTimeouts(options.settings)
  }

  self(): RingNode {
    return this.#metadata.state.topology.nodes.get(this.#joining.hostId) ?? this.#joining
  }

  nodes(): ReadonlyMap<string, RingNode> {
    return this.#metadata.state.topology.nodes
  }

  epoch(): number {
    return this.#metadata.state.epoch
  }

  ringEpoch(): number {
    return this.#ring.epoch
  }

  catchUp(epoch: number): Promise<void> {
    return this.#metadata.catchUp(epoch).catch(() => undefined)
  }

  timestampMicros(): number {
    return this.#hybrid.next()
  }

  observe(micros: number): void {
    this.#hybrid.pass(micros)
  }

  placement(keyspace: string): Placed | null {
    const { epoch } = this.#metadata.state
    if (epoch !== this.#epoch) {
      this.#placed.clear()
      this.#epoch = epoch
    }
    let placed = this.#placed.get(keyspace)
    if (placed === undefined) {
      placed = this.#place(keyspace)
      this.#placed.set(keyspace, placed)
    }
    return placed
  }

  #place(name: string): Placed | null {
    const { schema, topology } = this.#metadata.state
    const keyspace = schema.keyspaces.get(name)
    if (!keyspace || keyspace.isVirtual || keyspace.replication.get('class') === LOCAL_STRATEGY) return null
    const replication = replicationOf(keyspace)
    return replication === null ? null : { placement: this.#placements.of(replication, topology), replication }
  }

  sloppyTables(): ReadonlySet<string> {
    const tables = new Set<string>()
    for (const [id, { options }] of this.#metadata.state.schema.tablesById)
      if (isSloppy(options)) tables.add(uuidBytes(id).toString('latin1'))
    return tables
  }

  gcGraceSeconds(table: string): number | null {
    const id = uuidText(Buffer.from(table, 'latin1'))
    return this.#metadata.state.schema.tablesById.get(id)?.options.gcGraceSeconds ?? null
  }

  causalTable(mutation: Buffer): CausalTable {
    return this.#causalTables.of(mutation)
  }

  viewsOf(table: string): readonly string[] {
    const { schema } = this.#metadata.state
    const base = schema.tablesById.get(table)
    const tables = base ? (schema.keyspaces.get(base.keyspace)?.tables.values() ?? []) : []
    return [...tables].filter(({ view }) => view?.baseId === table).map(({ id }) => id)
  }

  keyspaceOf(table: string): string | null {
    const { schema } = this.#metadata.state
    if (schema !== this.#schema) {
      this.#keyspaces.clear()
      for (const [id, { keyspace }] of schema.tablesById)
        this.#keyspaces.set(uuidBytes(id).toString('latin1'), keyspace)
      this.#schema = schema
    }
    return this.#keyspaces.get(table) ?? null
  }
}

function requestTimeouts(settings: Settings): RequestTimeouts {
  return {
    readMs: settings.read_request_timeout,
    rangeMs: settings.range_request_timeout,
    writeMs: settings.write_request_timeout,
    counterMs: settings.counter_write_request_timeout,
    casContentionMs: settings.cas_contention_timeout,
    truncateMs: settings.truncate_request_timeout,
  }
}
