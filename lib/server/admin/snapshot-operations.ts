/** Snapshots, backups and restores for the administration interface. Source: snapshot, listsnapshots, clearsnapshot, import, refresh of Cassandra's nodetool. */
import type { RestoreResult } from '../../../storage/restore.ts'
import type { TableSnapshots } from '../../../storage/table-snapshots.ts'
import { fitShape, parseShape, shapeOf } from '../../schema/shape.ts'
import type { TableSchema } from '../../schema/table.ts'
import { type AdminNode, chosenTables, storedKeyspaces, tablesOf } from './admin-node.ts'
import { AdminError, type Parameters, parseAge, usage } from './parameters.ts'

const TTL_MS_MIN = 60_000

function snapshotsOf(node: AdminNode): TableSnapshots {
  const { snapshots } = node.store
  if (!snapshots) throw new AdminError('failure', 'This node keeps nothing on disk')
  return snapshots
}

export async function takeSnapshot(node: AdminNode, parameters: Parameters): Promise<{ tag: string }> {
  const tag = parameters.text('tag') ?? String(Math.floor(node.clock.wallMicros() / 1000))
  const ttl = parameters.text('ttl')
  const ttlMs = ttl === null ? null : Math.floor(parseAge(ttl, 'ns'))
  if (tag.includes('/')) throw new AdminError('failure', 'Snapshot name cannot contain /')
  if (ttlMs !== null && ttlMs < TTL_MS_MIN)
    throw usage(`ttl for snapshot must be at least ${TTL_MS_MIN / 1000} seconds`)
  const tables = snapshotTables(node, parameters).map(({ id }) => id)
  await snapshotsOf(node).take({ tag, tables, ttlMs, skipFlush: parameters.flag('skipFlush') })
  return { tag }
}

/** All keyspaces, some, one table of one, or a list of `keyspace.table`. */
function snapshotTables(node: AdminNode, parameters: Parameters): TableSchema[] {
  const keyspaces = parameters.texts('keyspaces')
  const table = parameters.text('table')
  const list = parameters.texts('tables')
  if (list.length > 0) {
    if (keyspaces.length > 0)
      throw new AdminError(
        'failure',
        'When specifying the Keyspace table list (using -kt,--kt-list,-kc,--kc.list), you must not also specify keyspaces to snapshot',
      )
    const chosen = list.flatMap((name) => {
      const [keyspace, ...rest] = name.split('.')
      return rest.length === 0 ? known(node, name, null) : known(node, keyspace!, rest.join('.'))
    })
    return [...new Set(chosen)]
  }
  if (table !== null) {
    if (keyspaces.length !== 1)
      throw new AdminError(
        'failure',
        'When specifying the table for a snapshot, you must specify one and only one keyspace',
      )
    return known(node, keyspaces[0]!, table)
  }
  if (keyspaces.length === 0) return storedKeyspaces(node).flatMap(tablesOf)
  return [...new Set(keyspaces.flatMap((keyspace) => known(node, keyspace, null)))]
}

function known(node: AdminNode, keyspace: string, table: string | null): TableSchema[] {
  const found = node.schema().keyspaces.get(keyspace)
  if (!found || found.isVirtual) throw usage(`Keyspace ${keyspace} does not exist`)
  return table === null ? tablesOf(found) : chosenTables(node, keyspace, [table], 'usage')
}

export interface ListedSnapshot {
  readonly tag: string
  readonly keyspace: string
  readonly table: string
  readonly trueBytes: number
  readonly diskBytes: number
  readonly createdAt: string | null
  readonly expiresAt: string | null
  readonly ephemeral: boolean
}

export async function listSnapshots(
  node: AdminNode,
  parameters: Parameters,
): Promise<{ snapshots: ListedSnapshot[]; trueBytes: number }> {
  const found = node.store.snapshots ? await node.store.snapshots.list() : []
  const shown = found.filter(
    ({ ephemeral, expiresAtMs }) =>
      (parameters.flag('ephemeral') || !ephemeral) && !(parameters.flag('noTtl') && expiresAtMs !== null),
  )
  const iso = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString())
  return {
    snapshots: shown.map((snapshot) => ({
      tag: snapshot.tag,
      keyspace: snapshot.keyspace,
      table: snapshot.table,
      trueBytes: snapshot.freedBytes + snapshot.otherBytes,
      diskBytes: [...snapshot.files.values()].reduce((sum, bytes) => sum + bytes, snapshot.otherBytes),
      createdAt: iso(snapshot.createdAtMs),
      expiresAt: iso(snapshot.expiresAtMs),
      ephemeral: snapshot.ephemeral,
    })),
    trueBytes: shown.reduce((sum, { freedBytes }) => sum + freedBytes, 0),
  }
}

export async function clearSnapshots(node: AdminNode, parameters: Parameters): Promise<{ cleared: number }> {
  const tag = parameters.text('tag')
  const all = parameters.flag('all')
  const olderThan = parameters.text('olderThan')
  const olderThanTimestamp = parameters.text('olderThanTimestamp')
  if (olderThan !== null && tag !== null)
    throw usage('Specifying snapshot name together with --older-than flag is not allowed')
  if (olderThanTimestamp !== null && tag !== null)
    throw usage('Specifying snapshot name together with --older-than-timestamp flag is not allowed')
  if (olderThan !== null && olderThanTimestamp !== null)
    throw usage('Specify only one of --older-than or --older-than-timestamp')
  if (tag === null && !all) throw usage('Specify snapshot name or --all')
  if (tag !== null && all) throw usage('Specify only one of snapshot name or --all')
  const madeBeforeMs = clearedBefore(node, olderThan, olderThanTimestamp)
  const cleared = await snapshotsOf(node).clear({
    ...(tag === null ? {} : { tag }),
    keyspaces: parameters.texts('keyspaces'),
    ...(madeBeforeMs === null ? {} : { madeBeforeMs }),
  })
  return { cleared }
}

function clearedBefore(node: AdminNode, age: string | null, timestamp: string | null): number | null {
  if (age !== null) return node.clock.wallMicros() / 1000 - parseAge(age, 's')
  if (timestamp === null) return null
  const ms = /^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(timestamp) ? Date.parse(timestamp) : Number.NaN
  if (Number.isNaN(ms))
    throw usage(`Parameter --older-than-timestamp has to be a valid instant in ISO format: ${timestamp}`)
  return ms
}

export function backupStatus(node: AdminNode): { running: boolean; failures: number } {
  const { backups } = node.store
  return { running: backups?.enabled ?? false, failures: backups?.failures ?? 0 }
}

export function setBackup(node: AdminNode, parameters: Parameters): void {
  const { backups } = node.store
  if (!backups) throw new AdminError('failure', 'This node keeps nothing on disk')
  backups.enabled = parameters.flag('enabled')
}

/** Takes in, and moves, what lies in import/<keyspace>/<table>/ of the data directory. */
export async function refresh(node: AdminNode, parameters: Parameters): Promise<RestoreResult> {
  const table = restoredTable(node, parameters)
  const folder = `${directoryOf(node)}/import/${table.keyspace}/${table.name}`
  if (!(await node.disk.stat(folder))) return { files: 0, rewritten: 0, known: 0, bytes: 0 }
  return restore(node, table, [folder], true)
}

/** Takes in folders of the data directory, or a table's part of a snapshot. */
export async function importTables(node: AdminNode, parameters: Parameters): Promise<RestoreResult> {
  const table = restoredTable(node, parameters)
  const tag = parameters.text('snapshot')
  const folders = parameters.texts('directories').map((path) => inside(node, path))
  if (tag !== null) folders.push(await snapshotFolder(node, tag, table))
  if (folders.length === 0) throw usage('import requires keyspace, table name and directories')
  // Snapshots and backups stay what they are.
  const isUpload = folders.every((folder) => folder.startsWith(`${directoryOf(node)}/import/`))
  return restore(node, table, folders, isUpload && !parameters.flag('copy'))
}

function restoredTable(node: AdminNode, parameters: Parameters): TableSchema {
  const table = chosenTables(node, parameters.required('keyspace'), [parameters.required('table')], 'usage')[0]!
  // Rows of other times would stay in it, whatever its base table says.
  if (table.view !== null)
    throw new AdminError(
      'failure',
      `${table.keyspace}.${table.name} is a materialized view: import ${table.view.baseName}, and it is built again`,
    )
  return table
}

async function snapshotFolder(node: AdminNode, tag: string, table: TableSchema): Promise<string> {
  const found = await snapshotsOf(node).find(tag, table.keyspace, table.name)
  if (found.length === 0)
    throw new AdminError('failure', `Snapshot ${tag} has nothing of ${table.keyspace}.${table.name}`)
  if (found.length > 1)
    throw new AdminError(
      'failure',
      `Snapshot ${tag} has several tables of that name, name one of them: ${found.join(', ')}`,
    )
  return found[0]!
}

async function restore(
  node: AdminNode,
  table: TableSchema,
  folders: readonly string[],
  move: boolean,
): Promise<RestoreResult> {
  const own = shapeOf(table)
  try {
    return await node.store.restore(table.id, {
      folders,
      move,
      fit: (text) => {
        const shape = parseShape(text)
        return shape ? fitShape(shape, own) : { kind: 'refused', why: 'what it says of its columns is not understood' }
      },
      prepare: async () => {
        await node.indexes.invalidate(table.id)
        await node.views.invalidate(table.id)
      },
    })
  } finally {
    await node.indexes.buildAgain(table.id)
    await node.views.buildAgain(table.id)
  }
}

function directoryOf(node: AdminNode): string {
  if (node.directory === null) throw new AdminError('failure', 'This node keeps nothing on disk')
  return node.directory
}

/** Where SSTables may be taken from: the interface reaches nothing else. */
const SOURCES = ['snapshots', 'backups', 'import', 'quarantine']

/** A path from the data directory on, or an absolute one into it. */
function inside(node: AdminNode, path: string): string {
  const directory = directoryOf(node)
  const relative = path.startsWith(`${directory}/`) ? path.slice(directory.length + 1) : path
  const parts = relative.split('/').filter((part) => part !== '' && part !== '.')
  if (relative.startsWith('/') || parts.includes('..') || !SOURCES.includes(parts[0] ?? ''))
    throw usage(
      `${path} is not below ${SOURCES.map((name) => `${name}/`).join(', ')} of the data directory ${directory}: copy the files to import/ there`,
    )
  return `${directory}/${parts.join('/')}`
}
