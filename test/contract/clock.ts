/** What every Clock promises; and that virtual time moves only when told to. */
import t from 'tap'
import { openNodeClock } from '../../lib/runtime/node/clock.ts'
import { createSimulatedClock } from '../../lib/runtime/simulated/clock.ts'

const simulated = createSimulatedClock()
for (const { name, clock, pass } of [
  { name: 'node', clock: openNodeClock(), pass: () => new Promise((resolve) => setTimeout(resolve, 40)) },
  { name: 'simulated', clock: simulated, pass: () => simulated.advance(40) },
]) {
  t.test(`the ${name} clock`, async (t) => {
    const startMs = clock.monotonicMs()
    const startMicros = clock.wallMicros()
    t.ok(Number.isSafeInteger(startMicros))
    const seen: string[] = []
    clock.after(20, () => seen.push('second'))
    clock.after(5, () => seen.push('first'))
    clock.after(10, () => seen.push('never'))[Symbol.dispose]()
    clock.soon(() => seen.push('soon'))
    await pass()
    t.same(seen, ['soon', 'first', 'second'])
    t.ok(clock.monotonicMs() - startMs >= 39)
    t.ok(clock.wallMicros() - startMicros >= 39_000)
  })
}

t.test('virtual time', async (t) => {
  const clock = createSimulatedClock()
  const before = clock.wallMicros()
  clock.skew(-5_000_000)
  t.equal(clock.wallMicros(), before - 5_000_000, 'the wall may jump back')
  t.equal(clock.monotonicMs(), 0)
  let fired = 0
  clock.after(10, () => {
    fired++
    clock.after(10, () => fired++)
  })
  await clock.advance(19)
  t.equal(fired, 1)
  t.equal(clock.pendingTimers, 1)
  await clock.advance(1)
  t.equal(fired, 2)
})
