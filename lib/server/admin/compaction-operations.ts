/** Compactions for the administration interface. Source: compact, stop, compactionstats, compactionhistory, … of Cassandra's nodetool. */
import type { TableSchema } from '../../schema/table.ts'
import { type AdminNode, chosenTables, storedKeyspaces, tablesOf } from './admin-node.ts'
import type { CompactionControl } from './compaction-control.ts'
import { AdminError, type Parameters, usage } from './parameters.ts'

function controlOf(node: AdminNode): CompactionControl {
  if (!node.compactions) throw new AdminError('failure', 'This node keeps nothing on disk')
  return node.compactions
}

/** Cassandra's names of what `stop` can be told to stop, and our kinds under them. */
const STOPPABLE: Readonly<Record<string, readonly string[] | null>> = {
  COMPACTION: ['compaction', 'major', 'user-defined'],
  MAJOR_COMPACTION: ['major'],
  TOMBSTONE_COMPACTION: ['tombstones'],
  GARBAGE_COLLECT: ['garbage'],
  SCRUB: ['rewrite'],
  UPGRADE_SSTABLES: ['rewrite'],
  VALIDATION: [],
  CLEANUP: [],
  INDEX_BUILD: [],
  VERIFY: [],
  VIEW_BUILD: [],
  INDEX_SUMMARY: [],
  ANTICOMPACTION: [],
  RELOCATE: [],
}

/** The tables of a keyspace, one after the other; or those SSTables of one table. */
export async function compact(node: AdminNode, parameters: Parameters): Promise<void> {
  const control = controlOf(node)
  const files = parameters.texts('sstables')
  if (files.length > 0) return compactFiles(node, control, files)
  const keyspace = parameters.text('keyspace')
  for (const table of chosenTables(node, keyspace, parameters.texts('tables'))) {
    await node.store.flush(table.id)
    await control.major(table.id, { splitOutput: parameters.flag('splitOutput') })
  }
}

async function compactFiles(node: AdminNode, control: CompactionControl, files: readonly string[]): Promise<void> {
  const wanted = new Map<string, Set<number>>()
  for (const file of files) {
    const found = fileNamed(node, file)
    const numbers = wanted.get(found.table.id) ?? new Set()
    wanted.set(found.table.id, numbers.add(found.number))
  }
  for (const [table, numbers] of wanted) await control.merge(table, numbers)
}

/** By its path, or its path from the data directory on, or its name alone: file names are unique. */
function fileNamed(node: AdminNode, file: string): { readonly table: TableSchema; readonly number: number } {
  const name = file.slice(file.lastIndexOf('/') + 1)
  for (const table of storedKeyspaces(node).flatMap(tablesOf))
    for (const { path, number } of node.store.reports.liveFiles(table.id))
      if (path.endsWith(`/${name}`) && (file === name || path.endsWith(file))) return { table, number }
  throw new AdminError('failure', `Invalid sstable file ${name}: no table has a live SSTable of that name`)
}

export async function collectGarbage(node: AdminNode, parameters: Parameters): Promise<void> {
  const control = controlOf(node)
  for (const table of chosenTables(node, parameters.text('keyspace'), parameters.texts('tables')))
    await control.collectGarbage(table.id)
}

/** Writes each SSTable anew, by itself: in the current format, with the table's present options. */
export async function rewrite(node: AdminNode, parameters: Parameters): Promise<void> {
  const control = controlOf(node)
  for (const table of chosenTables(node, parameters.text('keyspace'), parameters.texts('tables'), 'usage'))
    for (const { number } of node.store.reports.liveFiles(table.id)) await control.merge(table.id, new Set([number]))
}

/** Throws at the first damaged SSTable of a table; the others are checked too. */
export async function verify(node: AdminNode, parameters: Parameters): Promise<void> {
  const damaged: string[] = []
  for (const table of chosenTables(node, parameters.text('keyspace'), parameters.texts('tables'), 'usage'))
    await node.store.verify(table.id).catch((error: unknown) => {
      if (!(error instanceof Error) || error.name !== 'CorruptionError') throw error
      damaged.push(error.message)
    })
  if (damaged.length > 0) throw new AdminError('failure', damaged.join('\n'))
}

export function stopCompactions(node: AdminNode, parameters: Parameters): { stopped: number } {
  const control = controlOf(node)
  const id = parameters.text('id')
  const type = (parameters.text('type') ?? 'COMPACTION').toUpperCase()
  const kinds = STOPPABLE[type]
  if (!kinds) throw usage(`compaction_type: can not convert "${type}" to a OperationType`)
  return { stopped: control.stop((task) => (id === null ? kinds.includes(task.kind) : task.id === id)) }
}

export function compactionStats(node: AdminNode): object {
  const control = controlOf(node)
  const pending = storedKeyspaces(node)
    .flatMap(tablesOf)
    .map(({ id, keyspace, name }) => ({ keyspace, table: name, tasks: control.pending(id) }))
    .filter(({ tasks }) => tasks > 0)
  const { completed, stopped, failed, bytesRead, bytesWritten } = control.counts
  const hours = (node.clock.monotonicMs() - node.startedAtMs) / 3_600_000
  const sinceMs = node.clock.wallMicros() / 1000 - RECENT_MS
  const recent = control.history.filter(({ compactedAtMs }) => compactedAtMs >= sinceMs).length
  const minutes = Math.max(1, Math.min(RECENT_MS / 60_000, hours * 60))
  return {
    concurrent: control.concurrent,
    pending,
    completed,
    aborted: stopped,
    failed,
    bytesRead,
    bytesWritten,
    recentPerMinute: recent / minutes,
    meanPerHour: hours > 0 ? completed / hours : 0,
    bytesPerSecond: control.bytesPerSecond,
    running: control.running,
  }
}

const RECENT_MS = 15 * 60_000

export function compactionHistory(node: AdminNode): { history: object[] } {
  return {
    history: controlOf(node).history.map((record) => ({ ...record, rowsMerged: [...record.rowsMerged] })),
  }
}

export function automatic(node: AdminNode, parameters: Parameters): { tables: object[] } {
  const control = controlOf(node)
  const tables = chosenTables(node, parameters.text('keyspace'), parameters.texts('tables'), 'usage')
  return {
    tables: tables.map(({ id, keyspace, name }) => ({ keyspace, table: name, running: control.isAutomatic(id) })),
  }
}

export function setAutomatic(node: AdminNode, parameters: Parameters): void {
  const control = controlOf(node)
  for (const { id } of chosenTables(node, parameters.text('keyspace'), parameters.texts('tables'), 'usage'))
    control.setAutomatic(id, parameters.flag('enabled'))
}

export function compactionLimits(node: AdminNode): { bytesPerSecond: number; concurrent: number } {
  const { bytesPerSecond, concurrent } = controlOf(node)
  return { bytesPerSecond, concurrent }
}

export function setCompactionLimits(node: AdminNode, parameters: Parameters): void {
  const control = controlOf(node)
  const bytesPerSecond = parameters.number('bytesPerSecond')
  const concurrent = parameters.number('concurrent')
  if (bytesPerSecond !== null && bytesPerSecond < 0) throw usage('Invalid data rate: value must be non-negative')
  if (concurrent !== null && (!Number.isInteger(concurrent) || concurrent < 1))
    throw usage('concurrent_compactors should be great than 0.')
  if (bytesPerSecond !== null) control.bytesPerSecond = bytesPerSecond
  if (concurrent !== null) control.concurrent = concurrent
}
