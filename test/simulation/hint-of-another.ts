/**
 * A write's one replica is cut off, and the coordinator keeps a hint for it; before the hint is taken, a third node joins and holds the row from then on. Who gets
 * the hint must hand it on: else the base table's row is nowhere, and what it means for the view is written.
 */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { runPlan } from './world/world.ts'

const PLAN = new URL('../../../test/golden/simulation/hint-of-another.json', import.meta.url)

t.test('a hint for who holds the row no more reaches those who do', async (t) => {
  const { problems, succeeded, story } = await runPlan(JSON.parse(readFileSync(PLAN, 'utf8')))
  t.same(problems, [], story.slice(-20).join('\n'))
  t.ok(succeeded > 100)
})
