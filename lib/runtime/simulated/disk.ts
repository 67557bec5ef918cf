/**
 * A disk in memory that forgets like a real one. Bytes are durable after their file's sync, names after their directory's: a crash keeps
 * each unsynced 512-byte sector, and each unsynced change of a name, by chance. After a failed sync the bytes it should have written are
 * clean to the system but not on the platter: a second sync succeeds and saves nothing. It may have little room, few descriptors, and be slow.
 * Source: the faults of "All File Systems Are Not Created Equal" (Pillai 2014) and "Can Applications Recover from fsync Failures?" (Rebello 2020).
 */
import type { Disk, DiskFile, FileStat, Random } from '../runtime.ts'

const SECTOR = 512
/** What a disk without a limit says of itself. */
const UNLIMITED_BYTES = 2 ** 40

export type DiskOperation =
  | 'open'
  | 'read'
  | 'write'
  | 'sync'
  | 'truncate'
  | 'mkdir'
  | 'rename'
  | 'link'
  | 'remove'
  | 'syncDirectory'

export interface SimulatedDisk extends Disk {
  /** Operations that change something, counted from 0. */
  readonly operations: number
  /**
   * Called before each operation; may throw an error (see diskError) in its place, or give a promise that it waits for: a slow disk. `index` counts the
   * operations that change something.
   */
  onOperation: ((operation: DiskOperation, path: string, index: number) => unknown) | null
  /** Room for the sectors of all files that have a name; beyond it ENOSPC. Holes take none. Default: no limit. */
  capacityBytes: number
  /** How often there was not enough. */
  readonly refusals: number
  /** What the files take of it. */
  readonly usedBytes: number
  /** Files that may be open at once; beyond it EMFILE. Default: no limit. */
  openFilesMax: number
  /** Files that are open. */
  readonly openFiles: number
  /** What a machine that loses power now finds when it starts again. `survival`: the chance, 0 to 1, of each thing not synced. */
  crash(survival: number, random: Random): SimulatedDisk
  /** Its process died: its locks and descriptors are gone. What was not synced may still be lost with the power. */
  forgetProcess(): void
  /** All files with their present content, for tests that damage them. */
  files(): Map<string, Buffer>
  /** Replaces a file's content, durably. */
  overwrite(path: string, content: Buffer): void
}

export function diskError(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: simulated, ${path}`), { code, path })
}

class Inode {
  content: Buffer
  size: number
  /** What is on the platter. */
  durable: Buffer
  /** Sectors written since, and whether a sync may still save them. */
  dirty = new Set<number>()
  /** Sectors that take room: the first ones that it was made with, and those written since. */
  #firstSectors: number
  readonly #laterSectors = new Set<number>()

  constructor(content: Buffer) {
    this.content = Buffer.from(content)
    this.size = content.length
    this.durable = Buffer.from(content)
    this.#firstSectors = Math.ceil(content.length / SECTOR)
  }

  get allocatedBytes(): number {
    return (this.#firstSectors + this.#laterSectors.size) * SECTOR
  }

  allocate(position: number, length: number): void {
    for (let sector = Math.floor(position / SECTOR); sector * SECTOR < position + length; sector++)
      if (sector >= this.#firstSectors) this.#laterSectors.add(sector)
  }

  /** Bytes of new sectors that a write takes. */
  wanted(position: number, length: number): number {
    let count = 0
    for (let sector = Math.floor(position / SECTOR); sector * SECTOR < position + length; sector++)
      if (sector >= this.#firstSectors && !this.#laterSectors.has(sector)) count++
    return count * SECTOR
  }

  resize(size: number): void {
    if (size > this.content.length) {
      const grown = Buffer.alloc(Math.max(size, this.content.length * 2))
      this.content.copy(grown, 0, 0, this.size)
      this.content = grown
    }
    if (size < this.size) {
      this.content.fill(0, size, this.size)
      this.#firstSectors = Math.min(this.#firstSectors, Math.ceil(size / SECTOR))
      for (const sector of [...this.#laterSectors]) if (sector * SECTOR >= size) this.#laterSectors.delete(sector)
    }
    this.size = size
  }

  bytes(): Buffer {
    return this.content.subarray(0, this.size)
  }

  sync(): void {
    if (this.dirty.size === 0 && this.durable.length === this.size) return
    let durable = this.durable
    if (durable.length !== this.size) {
      durable = Buffer.alloc(this.size)
      this.durable.copy(durable, 0, 0, Math.min(this.size, this.durable.length))
    }
    for (const sector of this.dirty)
      this.content.copy(durable, sector * SECTOR, sector * SECTOR, Math.min(this.size, (sector + 1) * SECTOR))
    this.durable = durable
    this.dirty.clear()
  }

  afterCrash(survival: number, random: Random): Buffer {
    const lost = Buffer.from(this.durable)
    const keepsLength = random.float() < survival
    const size = keepsLength ? this.size : Math.min(lost.length, this.size)
    const found = Buffer.alloc(size)
    lost.copy(found, 0, 0, Math.min(size, lost.length))
    for (const sector of [...this.dirty].sort((a, b) => a - b)) {
      if (sector * SECTOR >= size || random.float() >= survival) continue
      this.content.copy(found, sector * SECTOR, sector * SECTOR, Math.min(size, (sector + 1) * SECTOR))
    }
    return found
  }
}

/** A change of names that its directory's sync makes durable: all of it or nothing. */
interface NameChange {
  readonly directories: readonly string[]
  readonly apply: (names: Map<string, Inode>, directories: Set<string>) => void
}

export function openSimulatedDisk(initial?: {
  files: ReadonlyMap<string, Buffer>
  directories: Iterable<string>
}): SimulatedDisk {
  const names = new Map<string, Inode>()
  const directories = new Set<string>(initial?.directories ?? ['/'])
  for (const [path, content] of initial?.files ?? []) names.set(path, new Inode(content))
  const durableNames = new Map(names)
  const durableDirectories = new Set(directories)
  let changes: NameChange[] = []
  const locks = new Set<string>()
  let operations = 0

  let openFiles = 0

  const before = (operation: DiskOperation, path: string): unknown => {
    const index = operation === 'read' || operation === 'open' ? operations : operations++
    return disk.onOperation?.(operation, path, index)
  }

  const usedBytes = (): number => {
    let used = 0
    for (const node of new Set(names.values())) used += node.allocatedBytes
    return used
  }

  const freeBytes = (): number => Math.max(0, Math.min(UNLIMITED_BYTES, disk.capacityBytes) - usedBytes())

  let refusals = 0
  const takeRoom = (path: string, bytes: number): void => {
    if (bytes <= 0 || disk.capacityBytes === Number.POSITIVE_INFINITY || bytes <= freeBytes()) return
    refusals++
    throw diskError('ENOSPC', path)
  }

  const change = (parents: readonly string[], apply: NameChange['apply']): void => {
    apply(names, directories)
    changes.push({ directories: parents, apply })
  }

  const inode = (path: string): Inode => {
    const found = names.get(path)
    if (!found) throw diskError('ENOENT', path)
    return found
  }

  const open = (path: string, node: Inode): DiskFile => {
    let closed = false
    openFiles++
    const alive = (): void => {
      if (closed) throw diskError('EBADF', path)
    }
    return {
      path,
      async read(target, position) {
        alive()
        await before('read', path)
        const end = Math.min(node.size, position + target.length)
        if (end <= position) return 0
        target.set(node.content.subarray(position, end))
        return end - position
      },
      async write(source, position) {
        alive()
        const bytes = Buffer.from(source)
        await before('write', path)
        takeRoom(path, node.wanted(position, bytes.length))
        node.allocate(position, bytes.length)
        if (position + bytes.length > node.size) node.resize(position + bytes.length)
        bytes.copy(node.content, position)
        for (let sector = Math.floor(position / SECTOR); sector * SECTOR < position + bytes.length; sector++)
          node.dirty.add(sector)
      },
      async sync() {
        alive()
        try {
          await before('sync', path)
        } catch (error) {
          node.dirty.clear()
          throw error
        }
        node.sync()
      },
      async truncate(size) {
        alive()
        await before('truncate', path)
        node.resize(size)
      },
      async size() {
        alive()
        return node.size
      },
      async close() {
        if (!closed) openFiles--
        closed = true
      },
    }
  }

  const disk: SimulatedDisk = {
    onOperation: null,
    capacityBytes: Number.POSITIVE_INFINITY,
    openFilesMax: Number.POSITIVE_INFINITY,
    get refusals() {
      return refusals
    },
    get usedBytes() {
      return usedBytes()
    },
    get openFiles() {
      return openFiles
    },
    get operations() {
      return operations
    },
    async open(path, mode) {
      await Promise.resolve()
      const existing = names.get(path)
      if (mode === 'create' && existing) throw diskError('EEXIST', path)
      if (openFiles >= disk.openFilesMax) throw diskError('EMFILE', path)
      if (existing) {
        await before('open', path)
        return open(path, existing)
      }
      if (mode === 'read' || mode === 'readwrite') throw diskError('ENOENT', path)
      if (!directories.has(parent(path))) throw diskError('ENOENT', path)
      await before('link', path)
      takeRoom(path, 1)
      const created = new Inode(Buffer.alloc(0))
      change([parent(path)], (target) => target.set(path, created))
      return open(path, created)
    },
    async mkdir(path) {
      await Promise.resolve()
      if (directories.has(path)) return
      await before('mkdir', path)
      const missing: string[] = []
      for (let at = path; !directories.has(at); at = parent(at)) missing.unshift(at)
      for (const made of missing) change([parent(made)], (_, target) => target.add(made))
    },
    async list(path) {
      await Promise.resolve()
      if (!directories.has(path)) throw diskError('ENOENT', path)
      const prefix = path === '/' ? '/' : `${path}/`
      const found: string[] = []
      for (const name of [...names.keys(), ...directories]) {
        if (name !== path && name.startsWith(prefix) && !name.slice(prefix.length).includes('/'))
          found.push(name.slice(prefix.length))
      }
      return found.filter((name) => name !== '').sort()
    },
    async stat(path): Promise<FileStat | null> {
      await Promise.resolve()
      if (directories.has(path)) return { size: 0, directory: true, modifiedMs: 0 }
      const found = names.get(path)
      return found ? { size: found.size, directory: false, modifiedMs: 0 } : null
    },
    async rename(from, to) {
      await Promise.resolve()
      await before('rename', from)
      const moved = inode(from)
      change([parent(from), parent(to)], (target) => {
        if (target.get(from) === moved) target.delete(from)
        target.set(to, moved)
      })
    },
    async link(from, to) {
      await Promise.resolve()
      await before('link', from)
      if (names.has(to)) throw diskError('EEXIST', to)
      const linked = inode(from)
      change([parent(to)], (target) => target.set(to, linked))
    },
    async remove(path) {
      await Promise.resolve()
      await before('remove', path)
      const removed = inode(path)
      change([parent(path)], (target) => {
        if (target.get(path) === removed) target.delete(path)
      })
    },
    async removeTree(path) {
      await Promise.resolve()
      await before('remove', path)
      change([parent(path)], (target, folders) => {
        for (const name of [...target.keys()]) if (name === path || name.startsWith(`${path}/`)) target.delete(name)
        for (const name of [...folders]) if (name === path || name.startsWith(`${path}/`)) folders.delete(name)
      })
    },
    async syncDirectory(path) {
      await before('syncDirectory', path)
      const kept: NameChange[] = []
      for (const entry of changes) {
        if (entry.directories.includes(path)) entry.apply(durableNames, durableDirectories)
        else kept.push(entry)
      }
      changes = kept
    },
    async freeBytes() {
      return freeBytes()
    },
    async space() {
      return { freeBytes: freeBytes(), totalBytes: Math.min(UNLIMITED_BYTES, disk.capacityBytes) }
    },
    async lock(path) {
      await Promise.resolve()
      if (locks.has(path)) throw Object.assign(new Error(`${path} is in use`), { code: 'ELOCKED' })
      locks.add(path)
      return {
        async [Symbol.asyncDispose]() {
          locks.delete(path)
        },
      }
    },
    crash(survival, random) {
      const foundNames = new Map(durableNames)
      const foundDirectories = new Set(durableDirectories)
      for (const entry of changes) if (random.float() < survival) entry.apply(foundNames, foundDirectories)
      // A directory whose parent is gone is gone, too. Parents come before their children.
      const reachable = new Set<string>(['/'])
      for (const path of [...foundDirectories].sort()) if (reachable.has(parent(path))) reachable.add(path)
      const contents = new Map<Inode, Buffer>()
      const files = new Map<string, Buffer>()
      for (const [path, node] of [...foundNames].sort(([x], [y]) => (x < y ? -1 : 1))) {
        if (!reachable.has(parent(path))) continue
        if (!contents.has(node)) contents.set(node, node.afterCrash(survival, random))
        files.set(path, contents.get(node)!)
      }
      return openSimulatedDisk({ files, directories: reachable })
    },
    forgetProcess() {
      locks.clear()
      openFiles = 0
    },
    files: () => new Map([...names].map(([path, node]) => [path, Buffer.from(node.bytes())])),
    overwrite(path, content) {
      const node = inode(path)
      node.resize(0)
      node.resize(content.length)
      content.copy(node.content)
      node.dirty.clear()
      node.durable = Buffer.from(content)
    },
  }
  return disk
}

function parent(path: string): string {
  const slash = path.lastIndexOf('/')
  return slash <= 0 ? '/' : path.slice(0, slash)
}
