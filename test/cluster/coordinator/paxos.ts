/**
 * Lightweight transactions among several nodes: a few random runs, and bugs that are planted. `npm run lwt` is the long form.
 * TEST_SEED=<n> replays a run.
 */
import t from 'tap'
import { type Ballot, encodeBallot } from '../../../cluster/paxos/ballot.ts'
import {
  encodeValue,
  FIRST_BALLOT,
  fateOf,
  mutationOf,
  ORIGINS_MAX,
  originOf,
} from '../../../cluster/paxos/register.ts'
import { runPaxos } from '../../support/paxos-cluster.ts'
import type { PaxosPlant } from '../../support/paxos-plants.ts'
import { testSeeds } from '../../support/random.ts'

/** Those that show soon. All of them, each within 200 seeds: `npm run lwt -- --plants`. */
const PLANTS: readonly PaxosPlant[] = ['in progress ignored', 'commit lost', 'read at one replica']
const SEEDS_PER_PLANT = 25

t.test('what clients are told is linearizable', async (t) => {
  for (const seed of testSeeds(4)) {
    const { violations } = await runPaxos({ seed, operations: 150 })
    t.same(violations, [], `TEST_SEED=${seed}`)
  }
})

t.test('a run is the same each time', async (t) => {
  const [a, b] = [await runPaxos({ seed: 3, operations: 100 }), await runPaxos({ seed: 3, operations: 100 })]
  t.equal(a.trace, b.trace)
})

for (const plant of PLANTS)
  t.test(`planted: ${plant}`, async (t) => {
    for (let seed = 1; seed <= SEEDS_PER_PLANT; seed++) {
      const { violations } = await runPaxos({ seed, operations: 200, plant })
      if (violations.length === 0) continue
      t.pass(`found at SEED=${seed}`)
      return
    }
    t.fail(`not found in ${SEEDS_PER_PLANT} runs`)
  })

t.test('values name those decided before them', (t) => {
  const at = (micros: number): Ballot => ({ micros, node: '00000000-0000-4000-8000-00000000000a' })
  const chain: Buffer[] = []
  for (let i = 1; i <= 20; i++) chain.push(encodeValue(at(i * 10), chain.at(-1) ?? FIRST_BALLOT, Buffer.from(`m${i}`)))
  const last = chain[19]!
  t.same(originOf(last), at(200))
  t.equal(mutationOf(last).toString(), 'm20')
  for (let back = 0; back <= ORIGINS_MAX; back++) t.equal(fateOf(chain[19 - back]!, last), 'decided')
  t.equal(fateOf(chain[19 - ORIGINS_MAX - 1]!, last), 'unknown')
  const lost = (micros: number): Buffer => encodeValue(at(micros), FIRST_BALLOT, Buffer.alloc(0))
  t.equal(fateOf(lost(155), last), 'never', 'it lost to the 16th')
  t.equal(fateOf(lost(15), last), 'unknown', 'too much happened since')
  t.equal(fateOf(lost(15), chain[2]!), 'never', 'the chain reaches to the beginning')
  const anew = encodeValue(at(300), at(250), Buffer.alloc(0))
  t.equal(fateOf(lost(240), anew), 'unknown', 'what was decided up to there may be forgotten')
  t.equal(fateOf(lost(260), anew), 'never')
  t.same(last.subarray(0, 24), encodeBallot(at(200)))
  t.end()
})
