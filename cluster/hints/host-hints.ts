/** The hints for one node, oldest first, wherever they are kept: in files (file-hints.ts) or, without a disk, in memory (memory-hints.ts). */
import type { Hint } from './record.ts'

export interface HintBatch {
  readonly hints: readonly Hint[]
  readonly bytes: number
}

export interface HostHints {
  readonly hostId: string
  /** With what is not on disk yet. */
  readonly bytes: number
  /** When the oldest was kept, in ms since 1970; null: there is none. */
  readonly oldestMs: number | null
  /** When the newest was. */
  readonly newestMs: number | null
  readonly files: number
  /** Bytes that were no hint when they were read. */
  readonly damagedBytes: number
  /** Copies it. What it returns resolves when no crash can take it away any more. Rejects when it cannot be kept. */
  append(hint: Hint): Promise<void> | undefined
  /** The oldest that are not done, about BATCH_BYTES of them; null: there are none. The same again until done() is called. Views, valid until then. */
  peek(): Promise<HintBatch | null>
  /** What peek() showed was taken by its node: it is never shown again by this process, and after a crash only if its file is not done. */
  done(): Promise<void>
  /** Drops all that is there now. */
  clear(): Promise<void>
  close(): Promise<void>
}

export const BATCH_BYTES = 64 * 1024
export const BATCH_HINTS = 256
