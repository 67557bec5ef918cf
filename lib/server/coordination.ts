/**
 * What stands between statements and a node's data: the data as coordinators see it, with indexes, views and virtual tables before the store, and the
 * coordinator of a node that is alone. Those of a cluster's members are made by cluster/member.ts.
 */
import { ActorDots } from '../../cluster/coordinator/actor-dots.ts'
import { LocalCoordinator } from '../../cluster/coordinator/local.ts'
import type { Replica } from '../../cluster/coordinator/replica.ts'
import type { Store } from '../../storage/store.ts'
import { uuidBytes } from '../base/uuid.ts'
import type { NodeViews } from '../view/node-views.ts'
import { addressBytes } from './addresses.ts'
import { CausalTables } from './causal-table.ts'
import type { HybridClock } from './hybrid-clock.ts'
import type { NodeParts } from './node-parts.ts'
import { replicationOf } from './replication.ts'
import type { VirtualTables } from './virtual.ts'

interface DataParts {
  readonly store: Store
  readonly views: NodeViews
  readonly virtual: VirtualTables
}

export function replicaOf({ store, views, virtual }: DataParts): Replica {
  return {
    apply: (mutations) => views.apply(mutations),
    read: (command) => (virtual.handles(command.table) ? virtual.read(command) : views.read(command)),
    rowAtHand: (mutation, position, clustering) => store.rowAtHand(mutation, position, clustering),
    knownRows: store.knownRows,
    forgettings: () => store.forgettings,
    resolution: (table) => store.resolutionOf(table),
    truncate: (table, atMs) => views.truncate(table, atMs),
    truncateViews: (table, atMs) => views.truncateViews(table, atMs),
    fillViews: (table) => views.fill(table),
  }
}

interface LocalParts extends Pick<NodeParts, 'store' | 'metadata' | 'identity' | 'runtime'> {
  readonly replica: Replica
  readonly hybrid: HybridClock
  /** Named in failures. */
  readonly address: string
  /** Told of what the replica could not do. */
  report(cause: Error): void
}

export function localCoordinator(parts: LocalParts): LocalCoordinator {
  const { store, metadata, identity, runtime, replica, hybrid, address, report } = parts
  const { clock, random } = runtime
  const causalTables = new CausalTables(() => metadata.current)
  const timestampMicros = (): number => hybrid.next()
  const nowSeconds = (): number => Math.floor(clock.wallMicros() / 1e6)
  return new LocalCoordinator({
    clock,
    replica,
    counters: { shard: uuidBytes(identity.hostId), timestampMicros, nowSeconds },
    causal: {
      dots: new ActorDots(random.stream('dots'), timestampMicros, () => store.forgettings),
      table: (mutation) => causalTables.of(mutation),
      nowSeconds,
    },
    datacenter: identity.datacenter,
    address: addressBytes(address),
    replication: (keyspace) => replicationOf(metadata.current.keyspaces.get(keyspace) ?? null),
    epoch: () => metadata.current.epoch,
    report,
  })
}
