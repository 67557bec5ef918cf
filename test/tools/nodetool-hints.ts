/** polyxena-nodetool's commands about hinted handoff: they say what Cassandra's say, and do what they say. */
import t from 'tap'
import { HintedHandoff } from '../../cluster/hints/handoff.ts'
import { createSimulatedClock } from '../../lib/runtime/simulated/clock.ts'
import { openSimulatedDisk } from '../../lib/runtime/simulated/disk.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'
import { createSystemSchema } from '../../lib/schema/system-tables.ts'
import type { AdminNode } from '../../lib/server/admin/admin-node.ts'
import { ACTIONS, REPORTS } from '../../lib/server/admin/operations.ts'
import { AdminError, Parameters } from '../../lib/server/admin/parameters.ts'
import { type Asked, RefusedError, type Values } from '../../tools/nodetool/client.ts'
import { runTool } from '../../tools/nodetool/run.ts'
import { createMemoryLog } from '../support/messengers.ts'
import { recordedCluster } from '../support/recorded-cluster.ts'

const TWO = '57b21c9b-0a3e-4428-9050-e7911ce2ed0c'

t.test('hinted handoff', async (t) => {
  const recorded = recordedCluster(createSystemSchema())
  recorded.dead.add(TWO)
  const clock = createSimulatedClock(Date.UTC(2026, 10, 21, 14, 5, 7, 123) * 1000)
  const hints = await HintedHandoff.open({
    clock,
    random: createSeededRandom(1),
    log: createMemoryLog(),
    disk: openSimulatedDisk(),
    directory: '/hints',
    settings: { enabled: true, windowMs: 10_800_000, throttleBytes: 1, fileBytesMax: 1_000, hostBytesMax: 0 },
    messenger: null as never,
    liveness: { isAlive: (hostId) => !recorded.dead.has(hostId), listen: () => ({ [Symbol.dispose]() {} }) },
    endpointOf: () => undefined,
    gcGraceSeconds: () => 1,
  })
  const node = {
    cluster: recorded.cluster,
    settings: { max_hint_window: 10_800_000, hinted_handoff_enabled: true },
    hints: () => hints,
  } as unknown as AdminNode
  const call = async (run: (typeof REPORTS)[string], values: Values = {}): Promise<unknown> => {
    try {
      return JSON.parse(JSON.stringify((await run(node, new Parameters(new Map(Object.entries(values))))) ?? {}))
    } catch (error) {
      if (error instanceof AdminError) throw new RefusedError(error.kind, error.message)
      throw error
    }
  }
  const client: Asked = {
    get: async <T>(report: string, values?: Values) => (await call(REPORTS[report]!, values)) as T,
    post: async <T>(action: string, values?: Values) => (await call(ACTIONS[action]!, values)) as T,
  }
  const tool = async (...words: readonly string[]): Promise<string> => {
    let said = ''
    const print = (text: string): void => {
      said += text
    }
    const status = await runTool(words, { connect: () => client, print, printError: print })
    return status === 0 ? said : `${status} ${said}`
  }

  t.equal(await tool('statushandoff'), 'Hinted handoff is running\n')
  t.equal(await tool('getmaxhintwindow'), 'Current max hint window: 10800000 ms\n')
  t.equal(await tool('listpendinghints'), 'This node does not have any pending hints\n')
  t.equal(await tool('disablehandoff'), '')
  t.equal(await tool('statushandoff'), 'Hinted handoff is not running\n')
  t.equal(hints.mayStore(TWO), false)
  await tool('enablehandoff')
  t.equal(hints.mayStore(TWO), true)
  await tool('pausehandoff')
  t.equal(hints.isPaused, true)
  await tool('resumehandoff')
  t.equal(hints.isPaused, false)
  await tool('sethintedhandoffthrottlekb', '2048')
  t.equal(hints.throttleBytes, 2_097_152)
  t.match(await tool('sethintedhandoffthrottlekb'), /^1 .*throttle_in_kb/s)

  const stored = Promise.resolve(hints.store(TWO, Buffer.alloc(40), 1))
  await clock.advance(100)
  await stored
  const list = await tool('listpendinghints')
  const [head, row] = list.split('\n').map((line) => line.trim().split(/ {1,}(?! )/))
  t.same(head!.join(' '), 'Host ID Address Rack DC Status Total files Newest Oldest')
  t.match(
    row!.join(' '),
    new RegExp(`^${TWO} 127\\.0\\.26\\.2 \\S+ \\S+ DOWN 1 2026-11-21 14:05:07,123 2026-11-21 14:05:07,123`),
  )
  t.match(await tool('truncatehints', '127.0.26.200'), /^2 .*There is no node at 127\.0\.26\.200/s)
  t.match(await tool('listpendinghints'), TWO)
  t.equal(await tool('truncatehints', '127.0.26.2'), '')
  t.equal(await tool('listpendinghints'), 'This node does not have any pending hints\n')
  await hints.close()
})
