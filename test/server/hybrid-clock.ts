/** The hybrid clock of several nodes: what was heard of is never newer than what comes after, at a skew of up to 500 ms. */
import t from 'tap'
import { createSimulatedClock } from '../../lib/runtime/simulated/clock.ts'
import { HybridClock, SKEW_MAX_MICROS } from '../../lib/server/hybrid-clock.ts'
import { forAll } from '../support/random.ts'

t.test('one node: never the same twice, never back', (t) => {
  const clock = createSimulatedClock()
  const hybrid = new HybridClock(clock)
  const first = hybrid.next()
  t.equal(first, clock.wallMicros())
  t.equal(hybrid.next(), first + 1)
  clock.skew(-60_000_000)
  t.equal(hybrid.next(), first + 2)
  t.ok(hybrid.now() >= first + 2)
  clock.skew(120_000_000)
  t.equal(hybrid.next(), clock.wallMicros())
  t.end()
})

t.test('a timestamp is greater than all that its node heard of, through however many nodes', (t) => {
  forAll(60, (dice) => {
    const count = 2 + dice.int(4)
    // Any two differ by at most SKEW_MAX.
    const clocks = Array.from({ length: count }, () => createSimulatedClock(1_700_000_000_000_000 + dice.int(400_000)))
    const nodes = clocks.map((clock) => new HybridClock(clock))
    /** The greatest timestamp that each has heard of, by any way. */
    const heard = nodes.map(() => 0)
    const onTheWay: { to: number; micros: number; knows: number }[] = []
    for (let step = 0; step < 300; step++) {
      const at = dice.int(count)
      if (dice.chance(0.05)) {
        const micros = dice.int(50_000)
        for (const clock of clocks) clock.skew(micros)
      } else if (dice.chance(0.4)) {
        const timestamp = nodes[at]!.next()
        if (timestamp <= heard[at]!) throw new Error(`${timestamp} is not greater than ${heard[at]}`)
        heard[at] = timestamp
      } else if (dice.chance(0.5)) {
        onTheWay.push({ to: dice.int(count), micros: nodes[at]!.now(), knows: heard[at]! })
      } else if (onTheWay.length > 0) {
        const { to, micros, knows } = onTheWay.splice(dice.int(onTheWay.length), 1)[0]!
        nodes[to]!.observe(micros)
        heard[to] = Math.max(heard[to]!, knows)
      }
    }
    for (const [at, node] of nodes.entries()) {
      t.equal(node.counts.refused, 0)
      t.ok(node.next() > heard[at]!)
    }
  })
  t.end()
})

t.test('a clock that is too far ahead is told of once, counted, and not followed', (t) => {
  const clock = createSimulatedClock()
  const told: string[] = []
  const hybrid = new HybridClock(clock, (message) => told.push(message))
  const wall = clock.wallMicros()
  hybrid.observe(wall + SKEW_MAX_MICROS)
  t.equal(hybrid.next(), wall + SKEW_MAX_MICROS + 1, 'just not too far')
  hybrid.observe(wall + SKEW_MAX_MICROS + 2)
  hybrid.observe(wall + 10_000_000)
  hybrid.observe(wall + 3_000_000)
  t.equal(hybrid.next(), wall + SKEW_MAX_MICROS + 2)
  t.equal(told.length, 1)
  t.match(told[0], /ahead/)
  t.same(hybrid.counts, { refused: 3, aheadMicrosMax: 10_000_000 })
  hybrid.observe(wall - 10_000_000)
  t.equal(hybrid.next(), wall + SKEW_MAX_MICROS + 3, 'one that is behind is let be')
  t.end()
})

t.test('times go on where they were before a restart, however the wall clock was set', (t) => {
  const clock = createSimulatedClock()
  const told: number[] = []
  const ledger = {
    get reserved() {
      return told.at(-1) ?? 0
    },
    reserve: (micros: number) => void told.push(micros),
  }
  const before = new HybridClock(clock, undefined, ledger)
  const given = [before.next(), before.next()]
  t.equal(told.length, 1, 'what is told serves for a while')
  t.ok(told[0]! > given[1]!, 'and is told ahead')
  clock.skew(-60_000_000)
  const after = new HybridClock(clock, undefined, ledger)
  const next = after.next()
  t.ok(next > given[1]!, 'later than all before')
  t.ok(told.at(-1)! > next)
  clock.skew(3_600_000_000)
  t.equal(
    new HybridClock(clock, undefined, ledger).next(),
    clock.wallMicros(),
    'the wall clock counts when it is ahead',
  )
  t.end()
})
