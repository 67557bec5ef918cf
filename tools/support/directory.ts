/**
 * Folders of a tool or a test that are gone when its process is, also when that is ended from outside, where a `finally` or a teardown never comes.
 * SIGKILL alone leaves them. Whoever needs the room before may remove them itself.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

const TRIES_MAX = 40
const RETRY_MS = 50

export interface TemporaryDirectory {
  readonly path: string
  /** It stays, for a look. */
  keep(): void
}

export function temporaryDirectory(name: string): TemporaryDirectory {
  const path = mkdtempSync(join(tmpdir(), `polyxena-${name}-`))
  const remove = (): void => {
    for (let tries = 1; ; tries++)
      try {
        rmSync(path, { recursive: true, force: true })
        return
      } catch (error) {
        // A node that was just killed may still have made a file meanwhile.
        if (tries === TRIES_MAX) throw error
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS)
      }
  }
  process.once('exit', remove)
  // Not once: the same signal may come again while the process ends, as to each of a group and to all of it.
  for (const signal of SIGNALS) if (!process.listeners(signal).includes(end)) process.on(signal, end)
  return { path, keep: () => void process.off('exit', remove) }
}

/** So that what is to be done at the end of the process is done. */
function end(signal: NodeJS.Signals): void {
  process.exit(128 + constants.signals[signal])
}
