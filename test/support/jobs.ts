/** Jobs for the tests of Jobs: their module is loaded by worker threads too. */
import { defineJob, type JobContext } from '../../lib/runtime/runtime.ts'

export async function double(argument: { bytes: Uint8Array; shared: SharedArrayBuffer }): Promise<{
  bytes: Uint8Array
  isBuffer: boolean
}> {
  new Uint8Array(argument.shared)[0] = 7
  const isBuffer = Buffer.isBuffer(argument.bytes)
  return { bytes: argument.bytes.map((byte) => byte * 2), isBuffer }
}

/** Writes a file in pieces, and says how far it is. */
export async function writeFile(argument: { path: string; pieces: number }, context: JobContext): Promise<number> {
  const file = await context.disk.open(argument.path, 'create')
  try {
    for (let piece = 0; piece < argument.pieces; piece++) {
      await file.write(Buffer.alloc(100, piece), piece * 100)
      context.progress({ piece })
      await context.pause()
    }
    await file.sync()
    return await file.size()
  } finally {
    await file.close()
  }
}

/** Sums its input. */
export async function sum(_argument: null, context: JobContext): Promise<{ sum: number; parts: number }> {
  let total = 0
  let parts = 0
  for (let part = await context.input(); part; part = await context.input()) {
    for (const byte of part) total += byte
    parts++
  }
  return { sum: total, parts }
}

/** Goes on until it is aborted, then cleans up for a while. */
export async function untilAborted(argument: { path: string }, context: JobContext): Promise<void> {
  const file = await context.disk.open(argument.path, 'create')
  context.progress('begun')
  try {
    for (;;) await context.pause()
  } finally {
    await file.close()
    await context.disk.remove(argument.path)
  }
}

export async function fail(): Promise<void> {
  const cause = Object.assign(new Error('no room'), { code: 'ENOSPC' })
  throw Object.assign(new Error('it failed', { cause }), { name: 'CorruptionError', path: '/x', offset: 12 })
}

/** Hears of no abort. */
export async function deaf(): Promise<void> {
  await new Promise<never>(() => setInterval(() => {}, 1_000))
}

/** Not awaited by anybody: what kills a thread. */
export async function die(): Promise<void> {
  void Promise.reject(new Error('a bug'))
  await new Promise<never>(() => {})
}

export async function fillHeap(): Promise<void> {
  const kept: object[] = []
  for (;;) kept.push({ kept: [kept.length] })
}

export async function notPlain(): Promise<() => void> {
  return () => {}
}

export const DOUBLE = defineJob(import.meta.url, double)
export const WRITE_FILE = defineJob(import.meta.url, writeFile)
export const SUM = defineJob(import.meta.url, sum)
export const UNTIL_ABORTED = defineJob(import.meta.url, untilAborted)
export const FAIL = defineJob(import.meta.url, fail)
export const DEAF = defineJob(import.meta.url, deaf)
export const DIE = defineJob(import.meta.url, die)
export const FILL_HEAP = defineJob(import.meta.url, fillHeap)
export const NOT_PLAIN = defineJob(import.meta.url, notPlain)
