/**
 * A cluster that a node joins while another is cut off from the rest; then that one reaches one of the others again, which are cut off from the rest by now: the
 * two are a quorum of the ring of before, and one alone of that of now. Their disks are slow, so that it takes its time to learn of the join.
 * `npm run simulate -- --plants --only "has not heard"` plants that the other one answers all the same.
 */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { runPlan } from './world/world.ts'

const PLAN = new URL('../../../test/golden/simulation/behind-ring.json', import.meta.url)

t.test('no quorum of a ring that is past is taken for one', async (t) => {
  const { problems, succeeded, story } = await runPlan(JSON.parse(readFileSync(PLAN, 'utf8')))
  t.same(problems, [], story.slice(-20).join('\n'))
  t.ok(succeeded > 100)
})
