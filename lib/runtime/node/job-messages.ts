/** What the main thread and a worker thread tell each other. A worker has one job at a time. */
import type { PlainError } from '../job-error.ts'

export type ToWorker =
  | { readonly kind: 'run'; readonly module: string; readonly name: string; readonly argument: unknown }
  | { readonly kind: 'abort'; readonly reason: PlainError }
  | { readonly kind: 'part'; readonly part: Uint8Array | null; readonly error: PlainError | null }

export type FromWorker =
  | { readonly kind: 'progress'; readonly report: unknown }
  /** Asks for a part of the input; gives back one that is spent. */
  | { readonly kind: 'pull'; readonly spent: Uint8Array | null }
  | { readonly kind: 'done'; readonly result: unknown }
  | { readonly kind: 'failed'; readonly error: PlainError }
