/**
 * Power loss at every disk operation of a short scripted load, with all, half and none of what was not synced surviving, and errors of the disk.
 * At length: `npm run powerloss`.
 */
import t from 'tap'
import { failEverywhere, killThenLosePower, losePowerEverywhere } from '../support/power-loss.ts'
import { testSeed } from '../support/random.ts'

const STEPS = 40

t.test('a power loss at any operation loses nothing that was acknowledged', async (t) => {
  const { inspected, problems } = await losePowerEverywhere({ seed: testSeed(), steps: STEPS })
  t.same(problems, [], `${inspected} disks`)
})

for (const code of ['EIO', 'ENOSPC', 'EMFILE'] as const)
  t.test(`${code} at an operation is never taken for success`, async (t) => {
    const { inspected, problems } = await failEverywhere(
      { seed: testSeed(), steps: STEPS },
      code,
      code === 'EMFILE' ? 31 : 9,
    )
    t.same(problems, [], `${inspected} disks`)
  })

t.test('killed, and the power lost in the start that follows: nothing that was acknowledged is lost', async (t) => {
  const { inspected, problems } = await killThenLosePower({ seed: testSeed(), steps: STEPS }, 13)
  t.same(problems, [], `${inspected} disks`)
})
