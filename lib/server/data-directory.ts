/** The directory that holds all of a node's data: made so that it survives a power loss, and held by one process at a time. */
import { dirname, join } from 'node:path'
import type { Disk } from '../runtime/runtime.ts'
import { StartError } from './start-error.ts'

export async function lockDirectory(disk: Disk, directory: string): Promise<AsyncDisposable> {
  try {
    await makeDurable(disk, directory)
    return await disk.lock(join(directory, 'LOCK'))
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ELOCKED') throw new StartError(message)
    if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS')
      throw new StartError(`${directory} cannot be written (${code}); choose another directory with --data`)
    if (code === 'ENOTDIR' || code === 'EEXIST')
      throw new StartError(`${directory} is no directory; choose another with --data`)
    throw error
  }
}

/** What is synced inside a directory is lost all the same when the directory's own name is. */
async function makeDurable(disk: Disk, directory: string): Promise<void> {
  const made: string[] = []
  for (let path = directory; dirname(path) !== path && (await disk.stat(path)) === null; path = dirname(path))
    made.push(path)
  await disk.mkdir(directory)
  for (const path of made) await disk.syncDirectory(dirname(path))
}
