/**
 * `npm run bench -- --internode`: what a message between nodes costs. Two messengers in this process on loopback, so the CPU time is that of both sides:
 * of each request its writing and reading, and the same of its answer.
 */
import { openMessenger } from '../../cluster/internode/node-messenger.ts'
import { Verb } from '../../cluster/internode/verbs.ts'
import { openNodeClock } from '../../lib/runtime/node/clock.ts'
import { openNodeNetwork } from '../../lib/runtime/node/network.ts'
import { openNodeRandom } from '../../lib/runtime/node/random.ts'

const SECONDS = 2
const PAYLOAD_BYTES = 200
const ANSWER_BYTES = 8

export async function benchInternode(): Promise<void> {
  const clock = openNodeClock()
  const random = openNodeRandom()
  const network = openNodeNetwork()
  const quiet = { trace() {}, debug() {}, info() {}, warn: console.warn, error: console.error }
  const open = (hostId: string, compress: boolean) =>
    openMessenger({
      clock,
      random,
      network,
      log: quiet,
      self: { hostId, endpoint: '127.0.0.1:0' },
      clusterName: 'bench',
      epoch: () => 1,
      hybrid: { now: () => clock.wallMicros(), observe() {} },
      compresses: () => compress,
    })
  console.log('in flight   LZ4   requests/s   CPU µs/message')
  for (const compress of [false, true])
    for (const inFlight of [1, 32, 256, 1024]) {
      const client = await open('00000000-0000-0000-0000-000000000001', compress)
      const server = await open('00000000-0000-0000-0000-000000000002', compress)
      const answer = Buffer.alloc(ANSWER_BYTES)
      server.handle(Verb.MUTATION, () => answer)
      const payload = Buffer.from('abcdefgh'.repeat(PAYLOAD_BYTES / 8))
      let done = 0
      let isOver = false
      const ask = (): void => client.request(server.self.endpoint, Verb.MUTATION, payload, 5_000, reply)
      const reply = {
        replied() {
          done++
          if (!isOver) ask()
        },
        failed() {
          throw new Error('a request failed')
        },
      }
      for (let i = 0; i < inFlight; i++) ask()
      await new Promise((resolve) => setTimeout(resolve, 700))
      const before = done
      const cpu = process.cpuUsage()
      const started = performance.now()
      await new Promise((resolve) => setTimeout(resolve, SECONDS * 1000))
      const used = process.cpuUsage(cpu)
      const requests = done - before
      const rate = requests / ((performance.now() - started) / 1000)
      isOver = true
      await new Promise((resolve) => setTimeout(resolve, 50))
      const micros = (used.user + used.system) / (requests * 2)
      console.log(
        `${String(inFlight).padStart(9)}   ${compress ? 'yes' : 'no '}   ${String(Math.round(rate)).padStart(10)}   ${micros.toFixed(2)}`,
      )
      await client.close()
      await server.close()
    }
}
