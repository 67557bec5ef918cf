/**
 * `npm run bench -- --http`: keys and values over HTTP, one node, connections that are kept with one request in flight each.
 *
 *     npm run bench -- --http [--seconds 5] [--warm 5] [--keys 20000] [--value 256] [--only get,put]
 *
 * The node has one thread for requests, so requests a second of its CPU time are what one core gives: that figure is told beside the rate, for the load
 * program and others may take a part of the machine.
 */
import { execFile } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { temporaryDirectory } from '../support/directory.ts'
import { readOptions } from '../support/options.ts'
import { endProcess, freePort, listening, processUsage, startProcess } from '../support/server.ts'
import type { HttpLoadPlan } from './http-load.ts'
import type { LoadReport } from './load-report.ts'

const HERE = dirname(fileURLToPath(import.meta.url))
const CONNECTIONS = [1, 16, 64]

async function load(plan: HttpLoadPlan): Promise<LoadReport> {
  const { stdout } = await promisify(execFile)(process.execPath, [join(HERE, 'http-load.js'), JSON.stringify(plan)])
  return JSON.parse(stdout) as LoadReport
}

export async function benchHttp(words: readonly string[]): Promise<void> {
  const flags = readOptions(
    'npm run bench -- --http',
    'keys and values over HTTP, one node',
    {
      http: { type: 'boolean', describe: 'This bench' },
      seconds: { type: 'number', default: 5, describe: 'Of each row' },
      warm: { type: 'number', default: 5, describe: 'Seconds before' },
      keys: { type: 'number', default: 20_000, describe: 'How many' },
      value: { type: 'number', default: 256, describe: 'Bytes' },
      only: { type: 'string', default: 'get,put', describe: 'Which requests' },
      address: { type: 'string', default: '127.0.0.1', describe: 'Of the node' },
    },
    words,
  )
  const { address } = flags
  const { path: directory } = temporaryDirectory('bench')
  const port = await freePort(address)
  const options = ['--address', address, '--http-port', String(port), '--admin-port', '0']
  const node = await startProcess(['--data', directory, '--commitlog-sync', 'periodic', ...options])
  const plan = { address, port, keys: flags.keys, valueBytes: flags.value }
  const lines = [
    '| request | connections | requests/s | requests a CPU second of the node | p50 ms | p99 ms | errors |',
    '|---|---|---|---|---|---|---|',
  ]
  let errors = 0
  try {
    await listening(port, address)
    const filled = await load({ ...plan, operation: 'fill', connections: 16, seconds: 0, warmSeconds: 0 })
    errors += filled.errors
    for (const operation of flags.only.split(',') as ('get' | 'put')[]) {
      await load({ ...plan, operation, connections: 16, seconds: flags.warm, warmSeconds: 0 })
      for (const connections of CONNECTIONS) {
        const before = processUsage(node.process.pid).cpuSeconds
        const report = await load({ ...plan, operation, connections, seconds: flags.seconds, warmSeconds: 0 })
        const cpuSeconds = processUsage(node.process.pid).cpuSeconds - before
        errors += report.errors
        const cells = [
          operation,
          connections,
          Math.round(report.requests / report.seconds),
          Math.round(report.requests / cpuSeconds),
          report.p50.toFixed(2),
          report.p99.toFixed(2),
          report.errors,
        ]
        lines.push(`| ${cells.join(' | ')} |`)
      }
    }
  } finally {
    await endProcess(node, 'SIGTERM')
  }
  process.stdout.write(`${lines.join('\n')}\n`)
  if (errors > 0) {
    process.stdout.write('\nsome answers were wrong: the figures above are void\n')
    process.exitCode = 1
  }
}
