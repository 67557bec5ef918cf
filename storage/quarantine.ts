/**
 * The quarantine: files that must not be read any more, but are never deleted by the node. An operator looks at them, brings them back, or removes them
 * (docs/operations.md). Below `quarantine/` of the data directory they keep the path that they had below `tables/`.
 */
import type { Disk } from '../lib/runtime/runtime.ts'
import type { TableFile } from './manifest-edits.ts'

/** The name of a file that the manifest knows to be there; never that of another file. */
export function quarantineName({ number, uid }: TableFile): string {
  return `${String(number).padStart(10, '0')}-${uid.toString('hex')}.sst`
}

/** Moves a file; both names are durable when it resolves. Returns where it is: a number is added where another lies already. */
export async function moveToQuarantine(disk: Disk, from: string, to: string): Promise<string> {
  const directory = parentOf(to)
  const missing: string[] = []
  for (let at = directory; (await disk.stat(at)) === null; at = parentOf(at)) missing.unshift(at)
  if (missing.length > 0) await disk.mkdir(directory)
  for (const made of missing) await disk.syncDirectory(parentOf(made))
  let free = to
  for (let n = 2; (await disk.stat(free)) !== null; n++) free = `${to}.${n}`
  await disk.rename(from, free)
  await disk.syncDirectory(directory)
  await disk.syncDirectory(parentOf(from))
  return free
}

/** Moves a file out of it again; both names are durable when it resolves. */
export async function moveBack(disk: Disk, from: string, to: string): Promise<void> {
  await disk.rename(from, to)
  await disk.syncDirectory(parentOf(to))
  await disk.syncDirectory(parentOf(from))
}

function parentOf(path: string): string {
  const slash = path.lastIndexOf('/')
  return slash <= 0 ? '/' : path.slice(0, slash)
}
