/** Contexts against plain sets of dots, and what is no context is refused. */
import fc from 'fast-check'
import t from 'tap'
import {
  ACTOR_BYTES,
  contextOfDots,
  contextSize,
  coversContext,
  coversDot,
  coversLegacy,
  greatestCounter,
  joinContexts,
  lastCounter,
  legacyTimestamp,
  makeContext,
  makeDot,
  makeLegacyContext,
  NO_CONTEXT,
  validateContext,
  withoutDots,
} from '../../../storage/model/causal/context.ts'
import { testSeed } from '../../support/random.ts'

const seed = testSeed()
const ACTORS = ['0000000000000002', '00000000000000ff', '8000000000000000', 'ffffffffffffffff'].map((hex) =>
  Buffer.from(hex, 'hex'),
)
const STEPS = 12
/** The counters: small ones, and those next to where their halves change. */
const COUNTERS = Array.from({ length: STEPS }, (_, i) => (i < 6 ? i + 1 : 2 ** 32 - 9 + i))

type Interval = readonly [actor: number, low: number, high: number]

const interval: fc.Arbitrary<Interval> = fc
  .tuple(fc.nat(ACTORS.length - 1), fc.nat(STEPS - 1), fc.nat(STEPS - 1))
  .map(([actor, a, b]) => [actor, Math.min(a, b), Math.max(a, b)] as const)

function lowOf(step: number): number {
  return COUNTERS[step]! - 1
}

function contextOf(intervals: readonly Interval[]): Buffer {
  return intervals.reduce(
    (joined, [actor, low, high]) => joinContexts(joined, makeContext(ACTORS[actor]!, lowOf(low), COUNTERS[high]!)),
    NO_CONTEXT,
  )
}

/** By actor and step. */
function dotsOf(intervals: readonly Interval[]): Set<string> {
  const dots = new Set<string>()
  for (const [actor, low, high] of intervals) for (let i = low; i <= high; i++) dots.add(`${actor}/${i}`)
  return dots
}

function check(property: fc.IRawProperty<unknown>): void {
  fc.assert(property, { seed, numRuns: 1_500 })
}

const some = fc.array(interval, { maxLength: 8 })

t.test('a context covers the dots that were put into it, and no other', (t) => {
  check(
    fc.property(some, (intervals) => {
      const context = contextOf(intervals)
      validateContext(context)
      const dots = dotsOf(intervals)
      for (let actor = 0; actor < ACTORS.length; actor++) {
        let last = 0
        for (let i = 0; i < STEPS; i++) {
          const is = dots.has(`${actor}/${i}`)
          if (is) last = COUNTERS[i]!
          if (coversDot(context, makeDot(ACTORS[actor]!, COUNTERS[i]!), 0) !== is) throw new Error(`${actor}/${i}`)
        }
        if (lastCounter(context, ACTORS[actor]!) !== last) throw new Error('last counter')
      }
      const greatest = Math.max(0, ...[...dots].map((dot) => COUNTERS[Number(dot.split('/')[1])]!))
      return greatestCounter(context) === greatest && contextSize(context) === new Set(intervals.map(([a]) => a)).size
    }),
  )
  t.end()
})

t.test('joining is union, whatever the order; equal sets are equal bytes', (t) => {
  check(
    fc.property(some, some, some, (a, b, c) => {
      const [x, y, z] = [contextOf(a), contextOf(b), contextOf(c)]
      const joined = joinContexts(x, y)
      validateContext(joined)
      return (
        joined.equals(contextOf([...b, ...a])) &&
        joined.equals(joinContexts(y, x)) &&
        joinContexts(joined, z).equals(joinContexts(x, joinContexts(y, z))) &&
        joinContexts(joined, x).equals(joined)
      )
    }),
  )
  t.end()
})

t.test('one covers another as its set contains the other set', (t) => {
  check(
    fc.property(some, some, (a, b) => {
      const [own, wanted] = [dotsOf(a), dotsOf(b)]
      // What lies between two steps has dots of its own, where the steps are not neighbours.
      const adjoins = (i: number): boolean => i > 0 && COUNTERS[i]! - COUNTERS[i - 1]! > 1
      const whole = (dots: Set<string>, intervals: readonly Interval[]): Set<string> => {
        for (const [actor, low, high] of intervals)
          for (let i = low + 1; i <= high; i++) if (adjoins(i)) dots.add(`${actor}/before ${i}`)
        return dots
      }
      whole(own, a)
      const contains = [...whole(wanted, b)].every((dot) => own.has(dot))
      return coversContext(contextOf(a), contextOf(b)) === contains
    }),
  )
  t.end()
})

t.test('the context of dots has seen these alone, and one without dots all others', (t) => {
  const dot = fc.tuple(fc.nat(ACTORS.length - 1), fc.nat(STEPS - 1))
  check(
    fc.property(some, fc.array(dot, { maxLength: 10 }), (intervals, chosen) => {
      const dots = chosen.map(([actor, i]) => makeDot(ACTORS[actor]!, COUNTERS[i]!)).sort(Buffer.compare)
      const seen = chosen.map(([actor, i]) => [actor, i, i] as const)
      const context = contextOf(intervals)
      const left = withoutDots(context, dots)
      validateContext(left)
      const isGone = (other: Buffer): boolean => dots.some((dot) => dot.equals(other))
      for (const actor of ACTORS)
        for (const counter of COUNTERS) {
          const other = makeDot(actor, counter)
          if (coversDot(left, other, 0) !== (coversDot(context, other, 0) && !isGone(other))) return false
        }
      return (
        contextOfDots(dots).equals(contextOf(seen)) &&
        joinContexts(left, contextOf(seen)).equals(joinContexts(context, contextOf(seen)))
      )
    }),
  )
  t.end()
})

t.test('what was written before there were versions', (t) => {
  const old = makeLegacyContext(-1, 0xfffffff0)
  const young = makeLegacyContext(0, 5)
  t.ok(joinContexts(old, young).equals(young) && joinContexts(young, old).equals(young))
  t.ok(coversContext(young, old) && !coversContext(old, young))
  t.same(legacyTimestamp(old), { high: -1, low: 0xfffffff0 })
  t.equal(legacyTimestamp(makeContext(ACTORS[0]!, 0, 5)), null)
  const both = joinContexts(makeContext(ACTORS[1]!, 3, 4), young)
  t.ok(coversLegacy(both))
  t.equal(greatestCounter(both), 4)
  t.equal(greatestCounter(young), 0)
  t.doesNotThrow(() => validateContext(both))
  t.throws(() => validateContext(Buffer.concat([Buffer.alloc(ACTOR_BYTES), Buffer.from([2]), Buffer.alloc(16, 1)])))
  t.end()
})

t.test('what is no context is refused, and what is not refused is canonical', (t) => {
  check(
    fc.property(
      some,
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }),
      fc.nat(40),
      (intervals, flips, cut) => {
        const bytes = Buffer.from(contextOf(intervals))
        for (const [at, value] of flips) if (bytes.length > 0) bytes[at % bytes.length] = value
        const left = bytes.subarray(0, Math.max(0, bytes.length - (flips.length % 2 === 0 ? cut : 0)))
        try {
          validateContext(left)
        } catch (error) {
          if ((error as Error).name !== 'BytesError') throw error
          return true
        }
        // Every entry by itself, joined again, gives the same bytes.
        return joinContexts(left, joinContexts(left, NO_CONTEXT)).equals(left) && coversContext(left, left)
      },
    ),
  )
  const wrong = (hex: string): void => {
    t.throws(() => validateContext(Buffer.from(hex, 'hex')), { name: 'BytesError' }, hex)
  }
  wrong('0000000000000002')
  wrong('000000000000000200')
  wrong('0000000000000002010000000000000000')
  wrong('0000000000000002010020000000000000')
  wrong('00000000000000028100' + '0000000000000001')
  wrong('00000000000000020200000000000000050000000000000005')
  wrong('0000000000000002010000000000000001'.repeat(2))
  t.end()
})
