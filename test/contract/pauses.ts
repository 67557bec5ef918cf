/** Stalls of the event loop and collections of garbage are counted. */
import t from 'tap'
import { openNodePauses } from '../../lib/runtime/node/pauses.ts'

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

t.test('a loop that stands still is counted, with how long', async (t) => {
  const pauses = openNodePauses()
  await wait(30)
  const before = pauses.stalls.count
  const until = performance.now() + 60
  while (performance.now() < until);
  await wait(30)
  t.ok(pauses.stalls.count > before)
  t.ok(pauses.stalls.longestMs >= 50 && pauses.stalls.totalMs >= pauses.stalls.longestMs)
  let kept: object[] = []
  while (pauses.collections.count === 0) {
    for (let i = 0; i < 100_000; i++) kept.push({ i })
    kept = []
    await wait(1)
  }
  t.ok(pauses.collections.longestMs > 0 && pauses.collections.totalMs >= pauses.collections.longestMs)
  pauses[Symbol.dispose]()
  const after = pauses.stalls.count
  const again = performance.now() + 40
  while (performance.now() < again);
  await wait(20)
  t.equal(pauses.stalls.count, after, 'no more once it is disposed')
})
