/** What the main thread and a worker thread tell each other. A worker has one job at a time. */
import type { PlainError } from '../job-error.ts'

export type ToWorker =
  | { readonly kind: 'run'; readonly module: string; readonly name: string; readonly argument: unknown }
  | { readonly kind: 'abort'; readonly reason: PlainError }

export type FromWorker =
  | { readonly kind: 'progress'; readonly report: unknown }
  | { readonly kind: 'done'; readonly result: unknown }
  | { readonly kind: 'failed'; readonly error: PlainError }
