/** What the administration interface needs of a node, and how it finds the tables that it is asked about. */
import type { HintedHandoff } from '../../../cluster/hints/handoff.ts'
import type { Store } from '../../../storage/store.ts'
import type { Settings } from '../../config/settings.ts'
import type { NodeIndexes } from '../../index/node-indexes.ts'
import type { Metrics } from '../../metrics.ts'
import type { Clock, Disk } from '../../runtime/runtime.ts'
import type { KeyspaceSchema, Schema } from '../../schema/keyspace.ts'
import type { TableSchema } from '../../schema/table.ts'
import type { NodeViews } from '../../view/node-views.ts'
import type { KnownCluster } from '../cluster/known-cluster.ts'
import type { RingRemovals } from '../cluster/removals.ts'
import type { Identity } from '../identity.ts'
import type { Mode } from '../retirement.ts'
import type { CompactionControl } from './compaction-control.ts'
import { AdminError, usage } from './parameters.ts'

export interface AdminNode {
  readonly settings: Settings
  readonly identity: Identity
  readonly cluster: KnownCluster
  readonly store: Store
  readonly metrics: Metrics
  readonly indexes: NodeIndexes
  readonly views: NodeViews
  /** Null: nothing is kept on disk. */
  readonly compactions: CompactionControl | null
  readonly clock: Clock
  readonly disk: Disk
  /** Null: nothing is kept on disk. */
  readonly directory: string | null
  /** By the monotonic clock. */
  readonly startedAtMs: number
  readonly version: string
  schema(): Schema
  /** Null: the node is alone, or does not serve yet. */
  hints(): HintedHandoff | null
  /** Where CQL is served; null: it is not, any more. */
  cql(): { readonly address: string; readonly port: number } | null
  mode(): Mode
  /** Serves nobody any more, and writes everything out. */
  drain(): Promise<void>
  /** Null: the node is alone. */
  readonly ring: RingControl | null
}

/** Of a node of a cluster. */
export interface RingControl {
  readonly removals: RingRemovals
  /** Gives this node's data to others and leaves. `force`: also when fewer replicas remain than a keyspace asks for. */
  decommission(force: boolean): Promise<void>
}

/** Those with tables on disk. */
export function storedKeyspaces(node: AdminNode): KeyspaceSchema[] {
  return [...node.schema().keyspaces.values()].filter((keyspace) => !keyspace.isVirtual)
}

export function tablesOf(keyspace: KeyspaceSchema): TableSchema[] {
  return [...keyspace.tables.values()]
    .filter((table) => !table.isVirtual)
    .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
}

/** The tables of a keyspace, or those named; of all keyspaces when none is. `missing`: what a table that is not there is, as Cassandra has it. */
export function chosenTables(
  node: AdminNode,
  keyspace: string | null,
  names: readonly string[],
  missing: 'usage' | 'failure' = 'failure',
): TableSchema[] {
  if (keyspace === null) return storedKeyspaces(node).flatMap(tablesOf)
  const found = node.schema().keyspaces.get(keyspace)
  if (!found || found.isVirtual) throw usage(`Keyspace [${keyspace}] does not exist.`)
  if (names.length === 0) return tablesOf(found)
  return names.map((name) => {
    const table = found.tables.get(name)
    if (!table || table.isVirtual) throw new AdminError(missing, `Unknown keyspace/cf pair (${keyspace}.${name})`)
    return table
  })
}
