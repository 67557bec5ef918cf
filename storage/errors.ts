/** What can go wrong with stored data. It is told to the operator; a client only learns that its request failed. */

/** The store can no longer keep what it promises (a failed write or sync, a closed log): nothing may be acknowledged until a restart. */
export class StorageError extends Error {
  override name: string = 'StorageError'
}

/** The disk is full, or nearly: nothing of the write was done, and none is taken until there is room again. Reads go on. */
export class NoRoomError extends StorageError {
  override name = 'NoRoomError'
}

/** Bytes on disk are not what was written: never answered from, never repaired by guess. */
export class CorruptionError extends Error {
  override name = 'CorruptionError'
  readonly path: string
  readonly offset: number

  constructor(path: string, offset: number, what: string, options?: ErrorOptions) {
    super(`${path} is damaged at offset ${offset}: ${what}`, options)
    this.path = path
    this.offset = offset
  }
}

/** A snapshot, or a restore, that cannot be done as it was asked for; nothing was changed. Its words are for the operator. */
export class SnapshotError extends Error {
  override name = 'SnapshotError'
}

/** What a failed read of a file means: a place that the disk cannot read is damaged. Other errors stay as they are. */
export function readFailure(error: unknown, path: string, offset: number): unknown {
  if (errorCode(error) !== 'EIO') return error
  return new CorruptionError(path, offset, 'the disk cannot read it', { cause: error })
}

/** The operating system's code for an error of the disk: ENOSPC, EIO, … */
export function errorCode(error: unknown): string | null {
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' ? code : null
}

/** The disk, or what this user may have of it, is full, or the process has no file descriptor left: it may work later. */
export function lacksRoom(error: unknown): boolean {
  const code = errorCode(error)
  return code === 'ENOSPC' || code === 'EDQUOT' || code === 'EMFILE' || code === 'ENFILE'
}
