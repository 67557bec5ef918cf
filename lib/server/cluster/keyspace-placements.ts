/** Who holds the keys of a keyspace: its replication, as the schema has it, on the ring, as the topology has it. The same objects while both stay. */
import type { Replication } from '../../../cluster/coordinator/levels.ts'
import { type Placement, Placements } from '../../../cluster/ring/placement.ts'
import type { Topology } from '../../../cluster/ring/topology.ts'
import type { KeyspaceSchema } from '../../schema/keyspace.ts'
import { LOCAL_STRATEGY } from '../../schema/replication.ts'
import { replicationOf } from '../replication.ts'

export interface PlacedKeyspace {
  readonly placement: Placement
  readonly replication: Replication
}

export class KeyspacePlacements {
  readonly #placements = new Placements()
  #topology: Topology | null = null
  #placed = new WeakMap<KeyspaceSchema, PlacedKeyspace>()

  /** Null: a keyspace whose data is each node's own (system, virtual ones), or that there is not. */
  of(keyspace: KeyspaceSchema | null | undefined, topology: Topology): PlacedKeyspace | null {
    if (!keyspace) return null
    if (topology !== this.#topology) {
      this.#topology = topology
      this.#placed = new WeakMap()
    }
    const known = this.#placed.get(keyspace)
    if (known) return known
    if (keyspace.isVirtual || (keyspace.replication.get('class') ?? LOCAL_STRATEGY) === LOCAL_STRATEGY) return null
    const replication = replicationOf(keyspace)!
    const placed = { placement: this.#placements.of(replication, topology), replication }
    this.#placed.set(keyspace, placed)
    return placed
  }
}
