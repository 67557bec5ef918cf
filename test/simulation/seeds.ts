/**
 * Whole clusters under faults, in short: what clients are told is held against oracles. At length: `npm run simulate`. TEST_SEED=<n> runs one seed alone.
 */
import t from 'tap'
import { testSeed } from '../support/random.ts'
import { WORKLOADS } from './workloads/index.ts'
import { drawPlan } from './world/plan.ts'
import { runPlan } from './world/world.ts'

const SEEDS = 50
const SECONDS = 4
/** A machine that is slower runs fewer seeds. */
const REAL_MS_MAX = 120_000

t.test('what was acknowledged is there, whatever happens', async (t) => {
  const first = testSeed()
  const count = process.env.TEST_SEED ? 1 : SEEDS
  const began = performance.now()
  for (let seed = first; seed < first + count; seed++) {
    if (performance.now() - began > REAL_MS_MAX) {
      t.pass(`seeds ${first} to ${seed - 1}: no time for the other ${first + count - seed}`)
      return
    }
    const plan = drawPlan(seed, { seconds: SECONDS, nodes: null, workloads: Object.keys(WORKLOADS) })
    const result = await runPlan(plan)
    if (result.problems.length > 0) {
      t.fail(`TEST_SEED=${seed} fails: ${result.problems[0]}\n${result.story.slice(-40).join('\n')}`)
      return
    }
    if (seed % 20 !== 0) continue
    const again = await runPlan(plan)
    if (!t.equal(again.trace, result.trace, `TEST_SEED=${seed} does the same twice`)) return
  }
  t.pass(`seeds ${first} to ${first + count - 1}`)
})

t.test('the real world is out of reach while a simulation runs', async (t) => {
  const { guardRealWorld } = await import('./world/guard.ts')
  const { randomFillSync } = await import('node:crypto')
  const { readFileSync } = await import('node:fs')
  const real = { setTimeout, random: Math.random }
  {
    using _guard = guardRealWorld()
    t.throws(() => Date.now(), /used in a simulation/)
    t.throws(() => new Date(), /used in a simulation/)
    t.ok(new Date(0))
    t.throws(() => setTimeout(() => {}, 1), /used in a simulation/)
    t.throws(() => Math.random(), /used in a simulation/)
    t.throws(() => performance.now(), /used in a simulation/)
    t.throws(() => crypto.randomUUID(), /used in a simulation/)
  }
  t.equal(setTimeout, real.setTimeout)
  t.equal(Math.random, real.random)
  t.ok(Date.now() > 0)
  t.ok(performance.now() > 0)
  t.equal(randomFillSync(Buffer.alloc(4)).length, 4)
  t.type(readFileSync, 'function')
})
