/** Everything that the administration interface can be asked: by name, with what it does. Reading ones are safe and may be repeated. */

import { type AdminNode, chosenTables } from './admin-node.ts'
import { clearCache, resizeCaches } from './cache-operations.ts'
import {
  describeCluster,
  describeRing,
  endpoints,
  failureDetector,
  gossipInfo,
  netStats,
  ring,
} from './cluster-reports.ts'
import {
  automatic,
  collectGarbage,
  compact,
  compactionHistory,
  compactionLimits,
  compactionStats,
  rewrite,
  setAutomatic,
  setCompactionLimits,
  stopCompactions,
  verify,
} from './compaction-operations.ts'
import { handoffStatus, pendingHints, setHandoff, truncateHints } from './hint-operations.ts'
import type { Parameters } from './parameters.ts'
import {
  dataPaths,
  garbage,
  info,
  proxyHistograms,
  sstablesOf,
  tableHistograms,
  tableStats,
  threadPools,
} from './reports.ts'
import { assassinate, decommission, removalStatus, removeNode } from './ring-operations.ts'
import {
  backupStatus,
  clearSnapshots,
  importTables,
  listSnapshots,
  refresh,
  setBackup,
  takeSnapshot,
} from './snapshot-operations.ts'

type Run = (node: AdminNode, parameters: Parameters) => unknown

/** GET. */
export const REPORTS: Readonly<Record<string, Run>> = {
  node: (node) => ({
    version: node.version,
    mode: node.mode(),
    cql: node.cql(),
    hostId: node.identity.hostId,
    directory: node.directory,
  }),
  info,
  ring,
  describecluster: describeCluster,
  gossipinfo: gossipInfo,
  failuredetector: failureDetector,
  endpoints,
  describering: describeRing,
  netstats: netStats,
  removal: removalStatus,
  tablestats: tableStats,
  tablehistograms: tableHistograms,
  proxyhistograms: proxyHistograms,
  tpstats: threadPools,
  handoff: handoffStatus,
  pendinghints: pendingHints,
  gcstats: garbage,
  snapshots: listSnapshots,
  backup: backupStatus,
  sstables: sstablesOf,
  datapaths: dataPaths,
  compactionstats: compactionStats,
  compactionhistory: compactionHistory,
  compactionlimits: compactionLimits,
  autocompaction: automatic,
}

/** POST. */
export const ACTIONS: Readonly<Record<string, Run>> = {
  async flush(node, parameters) {
    const tables = chosenTables(node, parameters.text('keyspace'), parameters.texts('tables'))
    await Promise.all(tables.map(({ id }) => node.store.flush(id)))
  },
  drain: (node) => node.drain(),
  removenode: removeNode,
  decommission,
  assassinate,
  snapshot: takeSnapshot,
  clearsnapshot: clearSnapshots,
  refresh,
  import: importTables,
  backup: setBackup,
  compact,
  garbagecollect: collectGarbage,
  rewrite,
  verify,
  invalidatecache: clearCache,
  cachecapacity: resizeCaches,
  handoff: setHandoff,
  truncatehints: truncateHints,
  stop: stopCompactions,
  autocompaction: setAutomatic,
  compactionlimits: setCompactionLimits,
}
