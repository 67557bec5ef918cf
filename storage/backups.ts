/**
 * Incremental backups: while they are on, each SSTable that new data comes in by (flushed, restored; not compacted) is hard-linked into
 * `backups/<keyspace>/<table>-<id>/`, where whoever copies it away removes it. Source: Cassandra's incremental_backups.
 * Always: a file is linked, durably, before the manifest names it: no crash leaves a live file without its link. Links may be left of files that never
 * counted; restored, they change nothing, as what they hold is in other files too.
 */
import type { Disk, Log } from '../lib/runtime/runtime.ts'
import type { TableStore } from './table-store.ts'

const SOURCE = 'storage/backups.ts'

export class Backups {
  /** May be changed at any time. */
  enabled: boolean
  /** Files that could not be linked: each is a hole in the backups. */
  failures = 0
  readonly #disk: Disk
  readonly #log: Log
  /** The data directory. */
  readonly #parent: string

  constructor(runtime: { readonly disk: Disk; readonly log: Log }, directory: string, enabled: boolean) {
    this.#disk = runtime.disk
    this.#log = runtime.log
    this.#parent = directory
    this.enabled = enabled
  }

  /** Links a whole, synced file that is about to count. A failure is logged: no write is refused for want of a backup. */
  async add(store: TableStore, path: string): Promise<void> {
    const { keyspace, name, options } = store.table
    if (!this.enabled || name === '' || !options.incrementalBackups) return
    const parents = [this.#parent, `${this.#parent}/backups`, `${this.#parent}/backups/${keyspace}`]
    const folder = `${parents[2]}/${name}-${store.id.replaceAll('-', '')}`
    try {
      if (!(await this.#disk.stat(folder))) {
        await this.#disk.mkdir(folder)
        for (const parent of parents) await this.#disk.syncDirectory(parent)
      }
      const link = `${folder}${path.slice(path.lastIndexOf('/'))}`
      // A crash before the manifest named the file: its number is used again.
      if (await this.#disk.stat(link)) await this.#disk.remove(link)
      await this.#disk.link(path, link)
      await this.#disk.syncDirectory(folder)
    } catch (cause) {
      this.failures += 1
      this.#log.error(SOURCE, `${path} has no incremental backup`, cause)
    }
  }
}
