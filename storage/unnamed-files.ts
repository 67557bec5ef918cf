/**
 * What becomes, at start, of SSTables that the manifest does not name: files of writers that did not finish, of merges that did, and of tables that were
 * dropped. Most are deleted. What may be somebody's data is not: it is moved to the quarantine, and the log says so.
 *
 * Always: a whole SSTable is deleted only if the manifest shows that it was named once and removed, or that its number was reserved for work that
 * did not end; and never while files are missing that the manifest names, for then it is not the manifest of these files.
 */
import type { Disk, Runtime } from '../lib/runtime/runtime.ts'
import { BlockCache } from './cache.ts'
import { listSegments } from './commitlog/replay.ts'
import { CorruptionError } from './errors.ts'
import { FILE_SUFFIX, fileName, MANIFEST_NAME, type Manifest } from './manifest.ts'
import { moveToQuarantine, quarantineName } from './quarantine.ts'
import { openTableReader } from './sstable/reader.ts'

export interface UnnamedFiles {
  /** Paths, as they were. */
  readonly removed: readonly string[]
  readonly quarantined: readonly string[]
}

export interface Directories {
  readonly tables: string
  readonly quarantine: string
}

const SOURCE = 'storage/unnamed-files.ts'

/** Throws CorruptionError when there is no manifest, but SSTables or commit-log segments that it must have named. Call it before one is begun. */
export async function refuseLostManifest(
  disk: Disk,
  directories: { readonly tables: string; readonly commitLog: string },
): Promise<void> {
  const path = `${directories.tables}/${MANIFEST_NAME}`
  if ((await disk.stat(path)) !== null) return
  const has = async (directory: string): Promise<boolean> => (await disk.stat(directory)) !== null
  const tables = (await has(directories.tables)) ? await listTableFiles(disk, directories.tables) : new Map()
  const segments = (await has(directories.commitLog)) ? await listSegments(disk, directories.commitLog) : []
  const orphan = [...tables.values()].flat()[0] ?? segments[0]?.path
  if (orphan !== undefined) throw new CorruptionError(path, 0, `it is missing, but there is ${orphan}`)
}

/** Call it at start, before anything is written. */
export async function settleUnnamedFiles(
  runtime: Pick<Runtime, 'disk' | 'log'>,
  manifest: Manifest,
  directories: Directories,
): Promise<UnnamedFiles> {
  const { disk, log } = runtime
  const named = new Set<string>()
  /** Files that a crash kept from their way into the quarantine, or back; and their names there. */
  const astray = new Map<string, string>()
  const folders = new Set<string>()
  for (const state of manifest.tables.values()) {
    folders.add(state.directory)
    for (const number of state.files.keys()) named.add(`${state.directory}/${fileName(number)}`)
    for (const file of state.quarantined.values())
      astray.set(`${state.directory}/${fileName(file.number)}`, `${state.directory}/${quarantineName(file)}`)
  }
  const found = await listTableFiles(disk, directories.tables)
  const unnamed = [...found.values()].flat().filter((file) => !named.delete(file))
  for (const missing of named) log.error(SOURCE, `${directories.tables}/${missing} is missing: the manifest names it`)
  const removed: string[] = []
  const quarantined: string[] = []
  for (const file of unnamed) {
    const path = `${directories.tables}/${file}`
    const name = astray.get(file)
    if (name !== undefined) {
      await moveToQuarantine(disk, path, `${directories.quarantine}/${name}`)
      continue
    }
    if (named.size > 0 || (numberOf(file) >= manifest.reservedNumber && (await isWhole(disk, path)))) {
      const to = await moveToQuarantine(disk, path, `${directories.quarantine}/${file}`)
      log.warn(SOURCE, `${path} is in no manifest, and nothing shows that it was removed: it is now ${to}`)
      quarantined.push(path)
    } else {
      await disk.remove(path)
      removed.push(path)
    }
  }
  for (const folder of found.keys()) {
    const path = `${directories.tables}/${folder}`
    if (!folders.has(folder) && (await disk.list(path)).length === 0) await disk.removeTree(path)
  }
  return { removed, quarantined }
}

/** SSTables by their folder, `<keyspace>/<table>-<id>`; all paths from `directory` on. */
async function listTableFiles(disk: Disk, directory: string): Promise<Map<string, string[]>> {
  const found = new Map<string, string[]>()
  for (const keyspace of await subdirectories(disk, directory, '')) {
    for (const folder of await subdirectories(disk, directory, `${keyspace}/`)) {
      const names = await disk.list(`${directory}/${folder}`)
      found.set(
        folder,
        names.filter((name) => name.endsWith(FILE_SUFFIX)).map((name) => `${folder}/${name}`),
      )
    }
  }
  return found
}

async function subdirectories(disk: Disk, directory: string, parent: string): Promise<string[]> {
  const found: string[] = []
  for (const name of await disk.list(`${directory}/${parent}`.replace(/\/$/, ''))) {
    const stat = await disk.stat(`${directory}/${parent}${name}`)
    if (stat?.directory) found.push(`${parent}${name}`)
  }
  return found
}

/** Of a name that is no number, too great for any manifest to know. */
function numberOf(file: string): number {
  const name = file.slice(file.lastIndexOf('/') + 1, -FILE_SUFFIX.length)
  return /^\d{10}$/.test(name) ? Number(name) : Number.POSITIVE_INFINITY
}

/** Whether it was finished: its end was written, and is as it was written. */
async function isWhole(disk: Disk, path: string): Promise<boolean> {
  try {
    await (await openTableReader(disk, path, { cache: new BlockCache(0) })).close()
    return true
  } catch (error) {
    if (error instanceof CorruptionError) return false
    throw error
  }
}
