/** The counters of dots, and when a node becomes another actor. */
import t from 'tap'
import { ActorDots } from '../../../cluster/coordinator/actor-dots.ts'
import { createSeededRandom } from '../../../lib/runtime/simulated/random.ts'

t.test('counters grow, whatever the clock does, and whatever a row has seen', async (t) => {
  let now = 1000
  const dots = new ActorDots(createSeededRandom(1), () => now)
  t.equal(dots.next(0), 1000, 'the time')
  t.equal(dots.next(0), 1001, 'never the same twice')
  now = 500
  t.equal(dots.next(0), 1002, 'never back')
  t.equal(dots.next(5000), 5001, 'above what was seen')
  t.equal(dots.next(5001), 5002)
  t.equal(dots.next(5000), 5003, 'of a row that says less of the future, too')
  t.equal(dots.next(0), 1003, 'other rows have nothing to do with it')
  now = 10_000
  t.equal(dots.next(0), 10_000)
  t.throws(() => dots.next(Number.MAX_SAFE_INTEGER), 'no counter is given that is not exact')
})

t.test('an actor is eight bytes of chance, and never nobody', async (t) => {
  const random = createSeededRandom(1)
  const [a, b] = [new ActorDots(random, () => 1), new ActorDots(random, () => 1)]
  t.equal(a.actor.length, 8)
  t.notSame(a.actor, b.actor)
  let forgettings = 0
  const forgetful = new ActorDots(
    random,
    () => 1,
    () => forgettings,
  )
  const { actor } = forgetful
  t.same(forgetful.actor, actor)
  forgettings++
  t.notSame(forgetful.actor, actor, 'another one when something was forgotten')
  const zero = new ActorDots({ fill: (target) => target.fill(0) }, () => 1)
  t.notSame(zero.actor, Buffer.alloc(8))
})
