/**
 * Part of `npm run conformance -- --cluster`: the drivers of other languages, a table that keeps concurrent versions, and two data centres that do not reach
 * each other while both are written to. Each program (programs/, Usage in its head) says when the network shall part, and when it shall be whole.
 */
import { spawn } from 'node:child_process'
import { startCluster } from '../../lib/index.ts'
import type { Counts, Language } from './languages.ts'

const PHASE_MS = 180_000
const PORT = 9042

export async function runSiblings(languages: ReadonlyMap<string, Language>): Promise<Counts> {
  const sum = { passed: 0, failed: 0, skipped: 0 }
  const cluster = await startCluster({ dcs: { east: 2, west: 2 }, memory: true, port: PORT })
  const addressesOf = (datacenter: string): string =>
    cluster.nodes
      .filter((node) => node.datacenter === datacenter)
      .map(({ address }) => address)
      .join(',')
  const enter = async (phase: string): Promise<void> => {
    if (phase === 'parted') cluster.partition([1, 2], [3, 4])
    else {
      cluster.heal()
      await cluster.settle()
    }
  }
  try {
    for (const [name, { siblings, folder }] of languages) {
      if (siblings === undefined) continue
      const [command, ...words] = siblings(addressesOf('east'), addressesOf('west'), String(PORT))
      const child = spawn(command!, words, { cwd: folder, timeout: PHASE_MS })
      let failed = 0
      let rest = ''
      let turn = Promise.resolve()
      child.stderr.on('data', (chunk) => process.stderr.write(chunk))
      child.stdout.on('data', (chunk) => {
        rest += String(chunk)
        const lines = rest.split('\n')
        rest = lines.pop()!
        for (const line of lines) {
          if (line.startsWith('ok - ')) sum.passed++
          if (line.startsWith('not ok - ')) failed++
          if (/^(not )?ok - /.test(line)) process.stdout.write(`${line.replace(' - ', ` - ${name}, siblings: `)}\n`)
          if (line.startsWith('phase '))
            turn = turn.then(() => enter(line.slice(6))).then(() => void child.stdin.write('go on\n'))
        }
      })
      const status = await new Promise((resolve) => child.on('close', resolve))
      await turn
      await enter('whole')
      if (status !== 0 && failed === 0) {
        process.stdout.write(`not ok - ${name}, siblings: ended with status ${String(status)}\n`)
        failed++
      }
      sum.failed += failed
    }
  } finally {
    await cluster.close()
  }
  return sum
}
