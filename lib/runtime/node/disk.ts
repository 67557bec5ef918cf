/** The real disk, over node:fs. Data is synced with fdatasync, names with fsync of their directory. */
import fs from 'node:fs'
import { hostname } from 'node:os'
import { dirname, join } from 'node:path'
import type { Disk, DiskFile } from '../runtime.ts'

const FLAGS = {
  read: fs.constants.O_RDONLY,
  readwrite: fs.constants.O_RDWR,
  write: fs.constants.O_RDWR | fs.constants.O_CREAT,
  create: fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_EXCL,
} as const

export function openNodeDisk(): Disk {
  return {
    async open(path, mode) {
      const fd = await call<number>((done) => fs.open(path, FLAGS[mode], 0o644, done))
      return new NodeFile(path, fd)
    },
    async mkdir(path) {
      await fs.promises.mkdir(path, { recursive: true })
    },
    async list(path) {
      return (await fs.promises.readdir(path)).sort()
    },
    async stat(path) {
      try {
        const stat = await fs.promises.stat(path)
        return { size: stat.size, directory: stat.isDirectory(), modifiedMs: stat.mtimeMs }
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
        throw error
      }
    },
    rename: (from, to) => fs.promises.rename(from, to),
    link: (from, to) => fs.promises.link(from, to),
    remove: (path) => fs.promises.unlink(path),
    removeTree: (path) => fs.promises.rm(path, { recursive: true, force: true }),
    async syncDirectory(path) {
      const handle = await fs.promises.open(path, 'r')
      try {
        await handle.sync()
      } finally {
        await handle.close()
      }
    },
    async freeBytes(path) {
      const stat = await fs.promises.statfs(path)
      return stat.bavail * stat.bsize
    },
    async space(path) {
      const { bsize, blocks, bfree, bavail } = await fs.promises.statfs(path)
      return { freeBytes: bavail * bsize, totalBytes: (blocks - bfree + bavail) * bsize }
    },
    lock: lockFile,
  }
}

class NodeFile implements DiskFile {
  readonly path: string
  readonly #fd: number
  #closed = false

  constructor(path: string, fd: number) {
    this.path = path
    this.#fd = fd
  }

  /** One promise a read: this is on the path of each block that is not in memory. */
  read(target: Uint8Array, position: number): Promise<number> {
    return new Promise((resolve, reject) => {
      let filled = 0
      const take = (error: Error | null, count: number): void => {
        filled += error ? 0 : count
        if (error) reject(error)
        else if (count === 0 || filled === target.length) resolve(filled)
        else fs.read(this.#fd, target, filled, target.length - filled, position + filled, take)
      }
      if (target.length === 0) resolve(0)
      else fs.read(this.#fd, target, 0, target.length, position, take)
    })
  }

  async write(source: Uint8Array, position: number): Promise<void> {
    let written = 0
    while (written < source.length) {
      const from = written
      written += await call<number>((done) =>
        fs.write(this.#fd, source, from, source.length - from, position + from, done),
      )
    }
  }

  sync(): Promise<void> {
    return call<void>((done) => fs.fdatasync(this.#fd, (error) => done(error)))
  }

  truncate(size: number): Promise<void> {
    return call<void>((done) => fs.ftruncate(this.#fd, size, (error) => done(error)))
  }

  async size(): Promise<number> {
    return (await call<fs.Stats>((done) => fs.fstat(this.#fd, done))).size
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await call<void>((done) => fs.close(this.#fd, (error) => done(error ?? null)))
  }
}

/** A callback of node:fs as a promise; several times cheaper than the promises of fs.promises on the path of each commit. */
function call<T>(run: (done: (error: Error | null, value?: T) => void) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    run((error, value) => {
      if (error) reject(error)
      else resolve(value as T)
    })
  })
}

/** How long a lock's owner is waited for: one that was just killed is a moment away from being gone. */
const LOCK_WAIT_MS = 1_000
const LOCK_RETRY_MS = 50

/**
 * The lock is a file that holds its owner's host, process id and the time that process began; it is taken by linking a complete file to
 * the name, so that no reader sees half of it. A lock whose process is gone is stale (kill -9 leaves one), and is taken over.
 */
async function lockFile(path: string): Promise<AsyncDisposable> {
  const own = `${hostname()} ${process.pid} ${processBegan(process.pid) ?? 0}\n`
  const draft = `${path}.${process.pid}.${process.hrtime.bigint()}`
  await fs.promises.writeFile(draft, own)
  try {
    await takeLock(draft, path)
  } finally {
    await fs.promises.unlink(draft)
  }
  let held = true
  return {
    async [Symbol.asyncDispose]() {
      if (!held) return
      held = false
      await fs.promises.rm(path, { force: true })
    },
  }
}

async function takeLock(draft: string, path: string): Promise<void> {
  const deadline = Date.now() + LOCK_WAIT_MS
  for (;;) {
    try {
      return await fs.promises.link(draft, path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    try {
      await removeStaleLock(path)
    } catch (error) {
      if (Date.now() > deadline) throw error
      await new Promise((resolve) => setTimeout(resolve, LOCK_RETRY_MS))
    }
  }
}

async function removeStaleLock(path: string): Promise<void> {
  const text = await fs.promises.readFile(path, 'utf8').catch(() => null)
  if (text === null) return
  const [host, pid, began] = text.trim().split(' ')
  const alive = host !== hostname() || isAlive(Number(pid), began ?? '0')
  if (alive) {
    throw Object.assign(new Error(`${dirname(path)} is in use by process ${pid} on ${host} (${path})`), {
      code: 'ELOCKED',
    })
  }
  const aside = join(dirname(path), `stale-lock.${process.pid}.${process.hrtime.bigint()}`)
  try {
    await fs.promises.rename(path, aside)
    const moved = await fs.promises.readFile(aside, 'utf8')
    if (moved !== text) await fs.promises.link(aside, path)
    await fs.promises.unlink(aside)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}

function isAlive(pid: number, began: string): boolean {
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
  }
  if (isZombie(pid)) return false
  const now = processBegan(pid)
  return now === null || String(now) === began
}

/** Clock ticks since boot at which the process began (field 22 of /proc/pid/stat), or null where there is no /proc or no such process. */
function processBegan(pid: number): number | null {
  const fields = processFields(pid)
  return fields ? Number(fields[19]) : null
}

/** It has ended, and only its parent does not know yet. */
function isZombie(pid: number): boolean {
  const state = processFields(pid)?.[0]
  return state === 'Z' || state === 'X'
}

/** The fields of /proc/pid/stat from the third, the state, on. */
function processFields(pid: number): string[] | null {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'latin1')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  } catch {
    return null
  }
}
