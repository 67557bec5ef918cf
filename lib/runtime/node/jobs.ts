/** Jobs in one worker thread, started with the first one and ended when the node closes. */
import { Worker } from 'node:worker_threads'
import type { Jobs } from '../runtime.ts'

interface Answer {
  readonly id: number
  readonly result?: unknown
  readonly error?: Error
}

interface Waiting {
  resolve(value: unknown): void
  reject(error: Error): void
}

export function openNodeJobs(): Jobs & AsyncDisposable {
  let worker: Worker | null = null
  let nextId = 0
  const waiting = new Map<number, Waiting>()

  const failAll = (error: Error): void => {
    worker = null
    for (const { reject } of waiting.values()) reject(error)
    waiting.clear()
  }

  const start = (): Worker => {
    const started = new Worker(new URL('./job-worker.js', import.meta.url))
    started.unref()
    started.on('message', (answer: Answer) => {
      const job = waiting.get(answer.id)
      waiting.delete(answer.id)
      if (waiting.size === 0) started.unref()
      if (answer.error) job?.reject(answer.error)
      else job?.resolve(answer.result)
    })
    started.on('error', (error) => failAll(error as Error))
    started.on('exit', () => {
      if (worker === started) failAll(new Error('the worker thread ended'))
    })
    return started
  }

  return {
    run<A, R>(module: string, name: string, argument: A, signal?: AbortSignal) {
      signal?.throwIfAborted()
      worker ??= start()
      worker.ref()
      const id = nextId++
      return new Promise<R>((resolve, reject) => {
        const abort = (): void => {
          waiting.delete(id)
          reject(signal?.reason)
        }
        signal?.addEventListener('abort', abort, { once: true })
        waiting.set(id, {
          resolve(value) {
            signal?.removeEventListener('abort', abort)
            resolve(value as R)
          },
          reject(error) {
            signal?.removeEventListener('abort', abort)
            reject(error)
          },
        })
        worker!.postMessage({ id, module, name, argument })
      })
    },
    async [Symbol.asyncDispose]() {
      const ending = worker
      worker = null
      await ending?.terminate()
      failAll(new Error('the node is closing'))
    },
  }
}
