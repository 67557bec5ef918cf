/** Runs in the worker thread: imports the module that a job names, and answers with what its function returns. */
import { parentPort } from 'node:worker_threads'

interface Job {
  readonly id: number
  readonly module: string
  readonly name: string
  readonly argument: unknown
}

parentPort?.on('message', (job: Job) => {
  run(job).then(
    (result) => parentPort?.postMessage({ id: job.id, result }),
    (error: unknown) => parentPort?.postMessage({ id: job.id, error }),
  )
})

async function run(job: Job): Promise<unknown> {
  const module = (await import(job.module)) as Record<string, (argument: unknown) => unknown>
  return module[job.name]!(job.argument)
}
