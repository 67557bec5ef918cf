/** Power loss at every disk operation of a short script on a table that is altered to keep versions. At length: `npm run powerloss`. */
import t from 'tap'
import { losePowerUnderVersions } from '../../support/causal-power-loss.ts'
import { testSeed } from '../../support/random.ts'

t.test('a power loss at any operation loses no version and brings none back', async (t) => {
  const { inspected, problems } = await losePowerUnderVersions({ seed: testSeed(), steps: 16 })
  t.ok(inspected > 16)
  t.same(problems, [], `${inspected} disks`)
})
