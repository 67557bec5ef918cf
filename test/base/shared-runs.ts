/** Runs that many share: never two at once, and never one that began before it was asked for. */
import t from 'tap'
import { SharedRuns } from '../../lib/base/shared-runs.ts'
import { createDice, testSeed } from '../support/random.ts'

/** Runs that end when they are told to. */
function createWork() {
  const open: ((failure: Error | null) => void)[] = []
  const counts = { begun: 0, mostAtOnce: 0 }
  const work = (): Promise<number> => {
    counts.begun += 1
    const number = counts.begun
    return new Promise((resolve, reject) => {
      open.push((failure) => (failure === null ? resolve(number) : reject(failure)))
      counts.mostAtOnce = Math.max(counts.mostAtOnce, open.length)
    })
  }
  const end = (failure: Error | null = null): void => open.shift()?.(failure)
  return { work, counts, end }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

t.test('who asks while one runs shares the next, which fails for those alone who share it', async (t) => {
  const { work, counts, end } = createWork()
  const runs = new SharedRuns(work)
  const first = runs.run()
  const later = [runs.run(), runs.run(), runs.run()]
  t.equal(counts.begun, 1)
  end()
  t.equal(await first, 1)
  await turn()
  t.equal(counts.begun, 2)
  const last = runs.run()
  end(new Error('the second'))
  for (const one of later) await t.rejects(one, { message: 'the second' })
  await turn()
  end()
  t.equal(await last, 3)
  const again = runs.run()
  end()
  t.equal(await again, 4, 'nothing was waiting')
})

t.test('whenever it is asked, the run began afterwards, and there is one at a time', async (t) => {
  const dice = createDice(testSeed())
  const { work, counts, end } = createWork()
  const runs = new SharedRuns(work)
  const asked: Promise<void>[] = []
  const ask = (): void => {
    const begun = counts.begun
    asked.push(runs.run().then((number) => void (number > begun || t.fail(`asked after run ${begun}, got ${number}`))))
  }
  for (let i = 0; i < 2_000; i++) {
    if (dice.chance(0.5)) ask()
    if (dice.chance(0.3)) end()
    for (let hops = dice.int(5); hops > 0; hops--) await null
  }
  for (let i = 0; i < 3; i++) {
    end()
    await turn()
  }
  await Promise.all(asked)
  t.equal(counts.mostAtOnce, 1)
  t.ok(counts.begun > 100 && counts.begun < asked.length, `${counts.begun} runs for ${asked.length}`)
})
