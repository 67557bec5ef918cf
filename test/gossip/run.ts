/**
 * Gossip at size, in virtual time: how many rounds a change takes to reach all, what it costs, and whether anybody goes down who should not.
 * `npm run gossip -- [--nodes 300] [--seconds 120]`: seconds are virtual. Exit 1 when a bound is passed. TEST_SEED replays.
 */
import { readOptions } from '../../tools/support/options.ts'
import { GossipWorld } from '../support/gossip-world.ts'
import { testSeed } from '../support/random.ts'

const { nodes, seconds } = readOptions('npm run gossip', 'gossip at size, in virtual time', {
  nodes: { type: 'number', default: 300, describe: 'How many' },
  seconds: { type: 'number', default: 120, describe: 'Virtual time' },
})
const seed = testSeed()
let failed = false

function check(holds: boolean, line: string): void {
  if (!holds) failed = true
  process.stdout.write(`${holds ? 'ok    ' : 'NOT OK'} ${line}\n`)
}

process.stdout.write(`${nodes} nodes, ${seconds} virtual seconds, TEST_SEED=${seed}\n`)

for (const loss of [0, 0.2]) {
  const name = `loss ${loss * 100} %:`
  const world = new GossipWorld({ seed, nodes, loss })
  world.startAll(1_000)
  world.run(1_000)
  const wholeMs = world.until(() => world.isWhole(), 120_000)
  check(wholeMs < 60_000, `${name} all up everywhere ${((wholeMs + 1_000) / 1_000).toFixed(1)} s after the start`)
  world.run(10_000)
  const bytes = world.nodes.map(({ sentBytes }) => sentBytes)
  const messages = world.nodes.map(({ messages }) => messages)
  const startMs = world.agenda.nowMs
  for (const node of world.nodes) node.changes.length = 0

  const rounds: number[] = []
  while (world.agenda.nowMs - startMs < seconds * 1_000) {
    const node = world.nodes[(rounds.length * 37) % nodes]!
    const value = `load ${rounds.length}`
    node.gossiper.setLocal('LOAD', value)
    const told = world.until(
      () => world.nodes.every(({ gossiper }) => gossiper.state(node.hostId)?.values.get('LOAD')?.value === value),
      60_000,
    )
    rounds.push(told / 1_000)
    world.run(2_000)
  }
  const elapsed = (world.agenda.nowMs - startMs) / 1_000
  rounds.sort((x, y) => x - y)
  const median = rounds[rounds.length >> 1]!
  const most = rounds[rounds.length - 1]!
  check(
    most <= 2 + 2 * Math.log2(nodes),
    `${name} a change reaches all in ${median} rounds (median), ${most} (most) of ${rounds.length}; log2 N is ${Math.log2(nodes).toFixed(1)}`,
  )
  const perNode = (now: (index: number) => number) =>
    Math.round(world.nodes.reduce((sum, _, index) => sum + now(index), 0) / nodes / elapsed)
  const bytesPerSecond = perNode((index) => world.nodes[index]!.sentBytes - bytes[index]!)
  const messagesPerSecond = perNode((index) => world.nodes[index]!.messages - messages[index]!)
  check(
    bytesPerSecond < 400 * nodes,
    `${name} a node sends ${bytesPerSecond} bytes a second, in ${messagesPerSecond} messages`,
  )
  const wrong = world.nodes.reduce((sum, { changes }) => sum + changes.filter((c) => c.startsWith('down')).length, 0)
  check(wrong === 0, `${name} ${wrong} times somebody was held for down in ${elapsed.toFixed(0)} s`)

  const dead = world.nodes[nodes >> 1]!
  world.kill(dead)
  const downMs = world.until(() => world.running.every(({ gossiper }) => !gossiper.isAlive(dead.hostId)), 120_000)
  check(downMs < 40_000, `${name} a killed node is down everywhere after ${(downMs / 1_000).toFixed(1)} s`)
  const others = world.running.reduce((sum, { changes }) => sum + changes.filter((c) => c.startsWith('down')).length, 0)
  check(others === nodes - 1 + wrong, `${name} and nobody else is`)
}
process.exitCode = failed ? 1 : 0
