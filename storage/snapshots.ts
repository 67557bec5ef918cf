/**
 * Snapshots: hard links of SSTables with what is needed to restore them, `snapshots/<tag>/<keyspace>/<table>-<id>/` beside the tables' folders, so that
 * they outlive their tables. Source: Cassandra's snapshots; its names of files and words.
 * Always: a snapshot of several tables is there as a whole or not at all: before the first name is made or removed, `<tag>/.unfinished` names the folders
 * that do not count, durably; it goes when all the others are durable. What it names is removed at the next start, and only that.
 */
import type { Disk, Log } from '../lib/runtime/runtime.ts'
import { SnapshotError } from './errors.ts'
import {
  readWhole,
  type SnapshotManifest,
  type SnapshotRequest,
  type SnapshotTable,
  snapshotManifestText,
  tryReadManifest,
  writeWhole,
} from './snapshot-manifest.ts'

/** One table's part of a snapshot. */
export interface SnapshotListing {
  readonly tag: string
  readonly keyspace: string
  readonly table: string
  readonly tableId: string
  readonly path: string
  readonly createdAtMs: number | null
  readonly expiresAtMs: number | null
  readonly ephemeral: boolean
  /** Names of its SSTables, and their bytes. */
  readonly files: ReadonlyMap<string, number>
  /** Of manifest.json and schema.cql. */
  readonly otherBytes: number
}

export interface SnapshotFilter {
  /** Absent: any. */
  readonly tag?: string
  /** Absent or empty: all. */
  readonly keyspaces?: readonly string[]
  /** Those made before. */
  readonly madeBeforeMs?: number
}

export const SNAPSHOT_MANIFEST = 'manifest.json'
export const SNAPSHOT_SCHEMA = 'schema.cql'
const UNFINISHED = '.unfinished'
const SOURCE = 'storage/snapshots.ts'
const TAG_BYTES_MAX = 255
const SCHEMA_BYTES_MAX = 64 * 1024 * 1024

/** Why it cannot be a snapshot's name; null: it can. */
export function tagProblem(tag: string): string | null {
  if (tag === '') return 'You must supply a snapshot name.'
  if (tag.includes('/')) return 'Snapshot name cannot contain /'
  if (tag === '.' || tag === '..' || tag.includes('\0')) return `Snapshot name cannot be ${JSON.stringify(tag)}`
  return Buffer.byteLength(tag) > TAG_BYTES_MAX ? `Snapshot name cannot be longer than ${TAG_BYTES_MAX} bytes` : null
}

export class Snapshots {
  readonly #disk: Disk
  readonly #log: Log
  /** The data directory, and the folder in it. */
  readonly #parent: string
  readonly #root: string
  /** One change at a time. */
  #queue: Promise<unknown> = Promise.resolve()

  constructor(runtime: { readonly disk: Disk; readonly log: Log }, directory: string) {
    this.#disk = runtime.disk
    this.#log = runtime.log
    this.#parent = directory
    this.#root = `${directory}/snapshots`
  }

  /** Removes what a crash left of snapshots that were being made or cleared. Returns whether there are snapshots. */
  async recover(): Promise<boolean> {
    const tags = await this.#tags()
    for (const tag of tags) {
      await this.#removeUnfinished(tag)
      await this.#removeIfEmpty(tag)
    }
    return tags.length > 0
  }

  /** Links the files, which must stay where they are until it resolves. Throws SnapshotError when a table has a snapshot of that name, and has done nothing. */
  take(request: SnapshotRequest): Promise<void> {
    return this.#inTurn(() => this.#take(request))
  }

  async #take(request: SnapshotRequest): Promise<void> {
    const { tag, tables } = request
    const problem = tagProblem(tag)
    if (problem !== null) throw new SnapshotError(problem)
    await this.#removeUnfinished(tag)
    const folders = tables.map(tableFolder)
    for (const folder of folders)
      if (await this.#disk.stat(this.#path(tag, folder))) throw new SnapshotError(`Snapshot ${tag} already exists.`)
    if (folders.length === 0) return
    try {
      await this.#beginChange(tag, folders)
      for (const table of tables) await this.#link(request, table)
      for (const keyspace of new Set(tables.map((table) => table.keyspace)))
        await this.#disk.syncDirectory(this.#path(tag, keyspace))
      await this.#disk.syncDirectory(this.#path(tag))
      await this.#endChange(tag)
    } catch (error) {
      await this.#removeUnfinished(tag).catch((cause: unknown) =>
        this.#log.warn(SOURCE, `what was made of snapshot ${tag} is removed at the next start: ${String(cause)}`),
      )
      throw error
    }
  }

  async #link(request: SnapshotRequest, table: SnapshotTable): Promise<void> {
    const folder = this.#path(request.tag, tableFolder(table))
    await this.#disk.mkdir(folder)
    for (const { path } of table.files) await this.#disk.link(path, `${folder}/${fileOf(path)}`)
    if (table.schema !== '') await writeWhole(this.#disk, `${folder}/${SNAPSHOT_SCHEMA}`, table.schema)
    await writeWhole(this.#disk, `${folder}/${SNAPSHOT_MANIFEST}`, snapshotManifestText(request, table))
    await this.#disk.syncDirectory(folder)
  }

  /** All that there are, by tag, keyspace and table. */
  async list(): Promise<SnapshotListing[]> {
    const found: SnapshotListing[] = []
    for (const tag of await this.#tags())
      for (const folder of await this.#folders(tag)) found.push(await this.#describe(tag, folder))
    return found
  }

  /** Removes what the filter meets; returns how many tables' parts. */
  clear(filter: SnapshotFilter): Promise<number> {
    return this.#inTurn(async () => {
      let cleared = 0
      for (const tag of filter.tag === undefined ? await this.#tags() : [filter.tag])
        if (tagProblem(tag) === null) cleared += await this.#clear(tag, filter)
      return cleared
    })
  }

  async #clear(tag: string, filter: SnapshotFilter): Promise<number> {
    const { keyspaces = [], madeBeforeMs } = filter
    await this.#removeUnfinished(tag)
    const cleared: string[] = []
    for (const folder of await this.#folders(tag)) {
      const keyspace = folder.slice(0, folder.indexOf('/'))
      if (keyspaces.length > 0 && !keyspaces.includes(keyspace)) continue
      if (madeBeforeMs !== undefined) {
        const manifest = await tryReadManifest(this.#disk, this.#path(tag, folder))
        if (manifest === null || manifest.createdAtMs >= madeBeforeMs) continue
      }
      cleared.push(folder)
    }
    if (cleared.length === 0) return 0
    await this.#beginChange(tag, cleared)
    await this.#removeUnfinished(tag)
    return cleared.length
  }

  /** Removes what has expired. Returns when the next one will (ms since 1970); null: none will. */
  expire(nowMs: number): Promise<number | null> {
    return this.#inTurn(async () => {
      let next: number | null = null
      for (const tag of await this.#tags()) {
        await this.#removeUnfinished(tag)
        const expired: string[] = []
        for (const folder of await this.#folders(tag)) {
          const expiresAtMs = (await tryReadManifest(this.#disk, this.#path(tag, folder)))?.expiresAtMs ?? null
          if (expiresAtMs === null) continue
          if (expiresAtMs <= nowMs) expired.push(folder)
          else next = Math.min(next ?? expiresAtMs, expiresAtMs)
        }
        if (expired.length === 0) continue
        await this.#beginChange(tag, expired)
        await this.#removeUnfinished(tag)
        this.#log.info(SOURCE, `snapshot ${tag} has expired: ${expired.length} tables of it are removed`)
      }
      return next
    })
  }

  /** The folder of a table's part: the only one of that keyspace and name, whatever the table's id was. */
  async find(tag: string, keyspace: string, table: string): Promise<string[]> {
    if (tagProblem(tag) !== null) return []
    const folders = await this.#folders(tag)
    return folders
      .filter((folder) => folder.startsWith(`${keyspace}/`) && splitFolder(folder)?.table === table)
      .map((folder) => this.#path(tag, folder))
  }

  async #describe(tag: string, folder: string): Promise<SnapshotListing> {
    const path = this.#path(tag, folder)
    const files = new Map<string, number>()
    let otherBytes = 0
    for (const name of await this.#disk.list(path)) {
      const size = (await this.#disk.stat(`${path}/${name}`))?.size ?? 0
      if (name.endsWith('.sst')) files.set(name, size)
      else otherBytes += size
    }
    const manifest: SnapshotManifest | null = await tryReadManifest(this.#disk, path)
    const { keyspace, table, tableId } = splitFolder(folder)!
    return {
      tag,
      keyspace,
      table,
      tableId,
      path,
      createdAtMs: manifest?.createdAtMs ?? null,
      expiresAtMs: manifest?.expiresAtMs ?? null,
      ephemeral: manifest?.ephemeral ?? false,
      files,
      otherBytes,
    }
  }

  /** From here on, until endChange, the folders do not count. */
  async #beginChange(tag: string, folders: readonly string[]): Promise<void> {
    await this.#disk.mkdir(this.#path(tag))
    await this.#disk.syncDirectory(this.#parent)
    await this.#disk.syncDirectory(this.#root)
    await writeWhole(this.#disk, this.#path(tag, UNFINISHED), JSON.stringify({ folders }))
    await this.#disk.syncDirectory(this.#path(tag))
  }

  async #endChange(tag: string): Promise<void> {
    await this.#disk.remove(this.#path(tag, UNFINISHED))
    await this.#disk.syncDirectory(this.#path(tag))
  }

  async #removeUnfinished(tag: string): Promise<void> {
    const journal = this.#path(tag, UNFINISHED)
    if (!(await this.#disk.stat(journal))) return
    const keyspaces = new Set<string>()
    for (const folder of await this.#readUnfinished(journal)) {
      if (splitFolder(folder) === null) continue
      await this.#disk.removeTree(this.#path(tag, folder))
      keyspaces.add(folder.slice(0, folder.indexOf('/')))
    }
    for (const keyspace of keyspaces) {
      const path = this.#path(tag, keyspace)
      if (!(await this.#disk.stat(path))) continue
      await this.#disk.syncDirectory(path)
      if ((await this.#disk.list(path)).length === 0) await this.#disk.removeTree(path)
    }
    await this.#disk.syncDirectory(this.#path(tag))
    await this.#endChange(tag)
    await this.#removeIfEmpty(tag)
  }

  async #removeIfEmpty(tag: string): Promise<void> {
    if (!(await this.#disk.stat(this.#path(tag))) || (await this.#disk.list(this.#path(tag))).length > 0) return
    await this.#disk.removeTree(this.#path(tag))
    await this.#disk.syncDirectory(this.#root)
  }

  /** Nothing when it was cut short: it is whole before the first folder is touched. */
  async #readUnfinished(path: string): Promise<readonly string[]> {
    try {
      const { folders } = JSON.parse((await readWhole(this.#disk, path, SCHEMA_BYTES_MAX)).toString()) as {
        folders: unknown
      }
      return Array.isArray(folders) ? folders.map(String) : []
    } catch (error) {
      if (error instanceof SyntaxError || error instanceof TypeError) return []
      throw error
    }
  }

  async #tags(): Promise<string[]> {
    const stat = await this.#disk.stat(this.#root)
    return stat?.directory ? this.#directories(this.#root) : []
  }

  /** `<keyspace>/<table>-<id>` of each table's part, but of those that do not count. */
  async #folders(tag: string): Promise<string[]> {
    if (!(await this.#disk.stat(this.#path(tag)))?.directory) return []
    const found: string[] = []
    const journal = this.#path(tag, UNFINISHED)
    const unfinished = (await this.#disk.stat(journal)) ? await this.#readUnfinished(journal) : []
    for (const keyspace of await this.#directories(this.#path(tag)))
      for (const name of await this.#directories(this.#path(tag, keyspace))) {
        const folder = `${keyspace}/${name}`
        if (splitFolder(folder) !== null && !unfinished.includes(folder)) found.push(folder)
      }
    return found
  }

  async #directories(path: string): Promise<string[]> {
    const found: string[] = []
    for (const name of await this.#disk.list(path))
      if ((await this.#disk.stat(`${path}/${name}`))?.directory) found.push(name)
    return found
  }

  #path(...parts: readonly string[]): string {
    return [this.#root, ...parts].join('/')
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#queue.then(work)
    this.#queue = done.catch(() => {})
    return done
  }
}

function tableFolder(table: SnapshotTable): string {
  return `${table.keyspace}/${table.name}-${table.id.replaceAll('-', '')}`
}

const FOLDER = /^([^/]+)\/([^/]+)-([0-9a-f]{8})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{12})$/

/** Null when it is no table's folder. */
function splitFolder(folder: string): { keyspace: string; table: string; tableId: string } | null {
  const match = FOLDER.exec(folder)
  return match === null || match[1] === '..' || match[1] === '.'
    ? null
    : { keyspace: match[1]!, table: match[2]!, tableId: match.slice(3).join('-') }
}

function fileOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}
