/** Schema races, a few seeds of them; `npm run races` runs many. */
import t from 'tap'
import { raceFounding } from '../../support/founding-races.ts'
import { raceSchemas } from '../../support/schema-races.ts'

const SEEDS = 4

t.test('clients race for the same tables through different nodes, under faults', async (t) => {
  let applied = 0
  for (let seed = 1; seed <= SEEDS; seed++) {
    const report = await raceSchemas(seed)
    t.equal(report.violation, null, `seed ${seed}`)
    applied += report.applied
  }
  t.ok(applied > 5 * SEEDS, `${applied} changes were made`)
})

t.test('seeds that die while they found a cluster found one', async (t) => {
  let kills = 0
  for (let seed = 1; seed <= 2 * SEEDS; seed++) {
    const report = await raceFounding(seed)
    t.equal(report.violation, null, `seed ${seed}`)
    kills += report.kills
  }
  t.ok(kills > 0)
})

t.test('a seed gives the same run again', async (t) => {
  const [first, again] = [await raceSchemas(3), await raceSchemas(3)]
  t.same(again, first)
})

t.test('acceptors that hide what they accepted are found', async (t) => {
  for (let seed = 1; seed < 201; seed++) {
    const { violation } = await raceSchemas(seed, 'accepted hidden')
    if (violation === null) continue
    t.comment(`seed ${seed}: ${violation.split('\n')[0]}`)
    return
  }
  t.fail('200 seeds, and nothing was found')
})
