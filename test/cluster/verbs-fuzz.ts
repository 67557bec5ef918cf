/**
 * A node of whom another node (of its cluster, by its handshake) asks nonsense: random bytes and broken messages for each verb. It answers each request, with a
 * failure or not, goes on serving its clients, keeps what it has, and does not grow.
 */
import t from 'tap'
import type { Messenger } from '../../cluster/internode/messenger.ts'
import { Verb } from '../../cluster/internode/verbs.ts'
import { Kernel } from '../../lib/runtime/simulated/kernel.ts'
import { SimulatedNetwork } from '../../lib/runtime/simulated/network.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'
import { Consistency } from '../../lib/types/consistency.ts'
import { CqlConnection } from '../simulation/world/client.ts'
import { Machine } from '../simulation/world/node.ts'
import { ask, createMemoryLog, openTestMessenger } from '../support/messengers.ts'
import { createDice, type Dice, testSeed } from '../support/random.ts'

const NODE = '10.0.0.1'
const ROUNDS = 40

/** The beginnings of what somebody might mean: tables that exist or not, lengths that are too long, JSON. */
function nonsense(dice: Dice, known: readonly Buffer[]): Buffer {
  const kind = dice.int(5)
  if (kind === 0) return Buffer.alloc(dice.int(4))
  if (kind === 1) return Buffer.from('{"a":[1,2,{"b":null}]}'.slice(0, dice.int(23)))
  const bytes = Buffer.from(Array.from({ length: dice.int(120) }, () => dice.int(256)))
  if (kind === 2) return bytes
  if (kind === 3) {
    const four = dice.pick([0, 1, 0xff, 0xffff, 0x7fffffff, 0xffffffff])
    if (bytes.length > 8) bytes.writeUInt32BE(four, dice.int(bytes.length - 4))
    return bytes
  }
  const base = Buffer.from(dice.pick(known))
  for (let n = dice.int(4); n > 0; n--) base[dice.int(base.length)] = dice.int(256)
  return dice.chance(0.3) ? base.subarray(0, dice.int(base.length)) : base
}

t.test('nonsense for every verb', async (t) => {
  const seed = testSeed()
  t.comment(`TEST_SEED=${seed}`)
  const dice = createDice(seed)
  const random = createSeededRandom(seed)
  const kernel = new Kernel({ random, hop: setImmediate })
  const network = new SimulatedNetwork({ clock: kernel.clock, random })
  const story: string[] = []
  const problems: string[] = []
  const machine = new Machine(
    {
      kernel,
      network,
      random,
      address: NODE,
      settings: { seeds: [NODE], num_tokens: 4, commitlog_segment_size: 1024 * 1024 },
      syncMs: 1,
      otherMs: 0.1,
      latenessMs: 0,
      say: (line) => story.push(line),
      violation: (what) => problems.push(what),
    },
    'node1',
  )
  const rejected = (error: unknown): void => {
    problems.push(`unhandled rejection: ${error instanceof Error ? error.stack : error}`)
  }
  process.on('unhandledRejection', rejected)
  t.teardown(() => process.off('unhandledRejection', rejected))
  const wait = async <T>(promise: Promise<T>): Promise<T> => {
    let isDone = false
    promise.finally(() => (isDone = true)).catch(() => {})
    for (let turn = 0; !isDone && turn < 4_000; turn++) await kernel.run(kernel.nowMs + 25)
    if (!isDone) throw new Error(`nothing comes of it\n${story.slice(-10).join('\n')}`)
    return promise
  }
  machine.start()
  await wait(
    (async () => {
      while (machine.phase !== 'serving') await new Promise<void>((resolve) => kernel.clock.after(50, resolve))
    })(),
  )
  const client = await wait(CqlConnection.open(kernel.clock, network.attach('10.0.1.1', kernel.clock), NODE, 9042, 4))
  const query = (text: string) => wait(client!.query(text, [], { consistency: Consistency.ONE }))
  await query("CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
  await query('CREATE TABLE k.t (p int PRIMARY KEY, v int) WITH ID = 5a1c395e-b41f-11e5-9f22-ba0be0483c18')
  // What is meant for the other table may well change it: a truncation, a deletion.
  await query('CREATE TABLE k.kept (p int PRIMARY KEY, v int)')
  await query('INSERT INTO k.kept (p, v) VALUES (1, 2)')

  const other = kernel.process('other')
  const messenger: Messenger = await openTestMessenger({
    network: network.attach('10.0.0.2', other.clock),
    clock: other.clock,
    endpoint: '10.0.0.2:7000',
    seed: 2,
    log: createMemoryLog(),
  })
  const table = Buffer.from('5a1c395eb41f11e59f22ba0be0483c18', 'hex')
  const known = [
    Buffer.concat([table, Buffer.alloc(12), Buffer.from([0, 4, 0, 0, 0, 1, 3, 0, 0])]),
    Buffer.concat([Buffer.alloc(9), Buffer.from([0, 0, 0, 40]), table, Buffer.alloc(24)]),
    Buffer.concat([Buffer.alloc(8), Buffer.from([0, 0, 0, 30]), table, Buffer.alloc(14)]),
  ]
  let asked = 0
  let ended = 0
  for (let round = 0; round < ROUNDS; round++)
    for (const verb of Object.values(Verb)) {
      const payload = nonsense(dice, known)
      asked++
      if (dice.chance(0.2)) {
        messenger.send(`${NODE}:7000`, verb, payload)
        ended++
      } else void ask(messenger, `${NODE}:7000`, verb, payload, 2_000).then(() => ended++)
      if (asked % 16 === 0) await kernel.run(kernel.nowMs + 5)
      if (machine.phase !== 'serving') problems.push(`the node died of ${verb} ${payload.toString('hex')}`)
      if (problems.length > 0) break
    }
  await kernel.run(kernel.nowMs + 20_000)
  t.same(problems, [], story.slice(-12).join('\n'))
  t.equal(ended, asked)
  const answer = await query('SELECT v FROM k.kept WHERE p = 1')
  t.same(answer.kind === 'rows' && answer.rows, [[Buffer.from([0, 0, 0, 2])]])
  t.equal(machine.phase, 'serving')
})
