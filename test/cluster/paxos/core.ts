/**
 * The Paxos core, checked by random runs: messages are lost, doubled and overtaken, acceptors and proposers crash, clocks stand still.
 * Bugs that are planted must be found, or the check could not fail.
 */
import t from 'tap'
import {
  type Ballot,
  BallotSource,
  compareBallots,
  encodeBallot,
  highestBallot,
  readBallot,
} from '../../../cluster/paxos/ballot.ts'
import { Attempt, commit, emptyAcceptor, prepare, propose } from '../../../cluster/paxos/core.ts'
import { type Bug, checkLog, checkRegister } from '../../support/paxos-world.ts'
import { forAll, testSeed } from '../../support/random.ts'

const A = '00000000-0000-4000-8000-00000000000a'
const B = '00000000-0000-4000-8000-00000000000b'
const at = (micros: number, node = A): Ballot => ({ micros, node })

t.test('ballots have one order, as objects and as bytes', (t) => {
  forAll(500, (dice) => {
    const draw = (): Ballot => ({
      micros: dice.int(3) * 2 ** 32 + dice.int(3),
      node: dice.pick([A, B, 'ff000000-0000-4000-8000-000000000000']),
    })
    const [a, b] = [draw(), draw()]
    const order = compareBallots(a, b)
    t.equal(Math.sign(Buffer.compare(encodeBallot(a), encodeBallot(b))), order)
    t.equal(compareBallots(b, a), order === 0 ? 0 : -order)
    t.same(readBallot(Buffer.concat([Buffer.from([1]), encodeBallot(a)]), 1), a)
    t.same(highestBallot(a, null), a)
  })
  const frozen = new BallotSource(A, () => 5)
  t.same(
    [frozen.next(), frozen.next(), frozen.next(at(9, B)), frozen.next(at(3, B))].map((b) => b.micros),
    [5, 6, 10, 11],
  )
  t.end()
})

t.test('an acceptor', (t) => {
  const promised = prepare(emptyAcceptor<string>(), at(5))
  t.equal(promised.write, 'promised')
  t.same(prepare(promised.state, at(5)).reply, { kind: 'refused', by: at(5) }, 'promises a ballot once')
  t.same(prepare(promised.state, at(5, B)).reply, { kind: 'refused', by: at(5) }, 'and no other of the same µs')
  t.same(propose(promised.state, { ballot: at(4), value: 'x' }).reply, { kind: 'refused', by: at(5), never: true })
  const accepted = propose(promised.state, { ballot: at(5), value: 'x' })
  t.equal(accepted.write, 'accepted')
  t.equal(propose(accepted.state, { ballot: at(5), value: 'x' }).write, null, 'writes a duplicate once')
  const later = prepare(accepted.state, at(7, B))
  t.same(later.reply, { kind: 'promised', accepted: { ballot: at(5), value: 'x' }, committed: null })
  t.same(propose(later.state, { ballot: at(5), value: 'x' }).reply, { kind: 'accepted' }, 'remembers what it accepted')
  const over = propose(later.state, { ballot: at(7, B), value: 'x' })
  t.same(propose(over.state, { ballot: at(5), value: 'x' }).reply, { kind: 'refused', by: at(7, B), never: false })
  const done = commit(over.state, { ballot: at(7, B), value: 'x' })
  t.same(done.state.accepted, null)
  t.equal(commit(done.state, { ballot: at(5), value: 'x' }).write, null, 'does not go back')
  t.same(prepare(done.state, at(7)).reply, { kind: 'refused', by: at(7, B) })
  const unheard = commit(emptyAcceptor<string>(), { ballot: at(7), value: 'x' })
  t.same(unheard.write, 'committed', 'takes what was decided without having promised')
  t.same(prepare(unheard.state, at(6)).reply, { kind: 'refused', by: at(7) })
  const ahead = commit(over.state, { ballot: at(6), value: 'x' })
  t.same(ahead.state.accepted?.ballot, at(7, B), 'keeps what is in progress above the commit')
  t.end()
})

t.test('an attempt', (t) => {
  const promise = (accepted: number | null, committed: number | null) =>
    ({
      kind: 'promised',
      accepted: accepted === null ? null : { ballot: at(accepted), value: `v${accepted}` },
      committed: committed === null ? null : { ballot: at(committed), value: `v${committed}` },
    }) as const
  const first = new Attempt<string>(at(9), ['1', '2', '3'])
  t.equal(first.promise('1', promise(4, 3)).kind, 'pending')
  t.equal(first.promise('1', promise(8, 3)).kind, 'pending', 'counts a participant once')
  t.equal(first.promise('4', promise(8, 3)).kind, 'pending', 'and nobody else')
  t.same(first.promise('2', promise(null, 2)), {
    kind: 'promised',
    inProgress: { ballot: at(4), value: 'v4' },
    committed: { ballot: at(3), value: 'v3' },
    lacking: ['2'],
  })
  t.equal(first.promise('3', promise(7, 7)).kind, 'pending', 'is over with the majority')
  t.same(first.propose('v4'), { ballot: at(9), value: 'v4' })
  t.equal(first.accept('1', { kind: 'accepted' }).kind, 'pending')
  t.equal(first.accept('1', { kind: 'accepted' }).kind, 'pending')
  t.equal(first.accept('3', { kind: 'accepted' }).kind, 'decided')

  const committedSince = new Attempt<string>(at(9), ['1'])
  t.match(committedSince.promise('1', promise(4, 4)), { kind: 'promised', inProgress: null })

  const refused = new Attempt<string>(at(9), ['1', '2', '3'])
  t.equal(refused.promise('1', { kind: 'refused', by: at(11) }).kind, 'pending')
  t.same(refused.promise('2', null), { kind: 'refused', by: at(11) })
  t.throws(() => refused.propose('x'))

  const unheard = new Attempt<string>(at(9), ['1', '2', '3'])
  unheard.promise('1', null)
  t.same(unheard.promise('3', null), { kind: 'unreachable' })

  const fate = (answers: readonly ('yes' | 'never' | 'maybe' | null)[]) => {
    const attempt = new Attempt<string>(at(9), ['1', '2', '3'])
    attempt.promise('1', promise(null, null))
    attempt.promise('2', promise(null, null))
    attempt.propose('x')
    return answers.map((answer, i) =>
      attempt.accept(
        String(i + 1),
        answer === null
          ? null
          : answer === 'yes'
            ? { kind: 'accepted' }
            : { kind: 'refused', by: at(11), never: answer === 'never' },
      ),
    )
  }
  t.same(fate(['never', 'never']).at(-1), { kind: 'refused', by: at(11), isUncertain: true }, 'the third may accept it')
  t.same(fate(['yes', 'never', 'never']).at(-1), { kind: 'refused', by: at(11), isUncertain: true })
  t.same(fate([null, null]).at(-1), { kind: 'unreachable', isUncertain: true })
  t.throws(() => new Attempt(at(1), ['1', '2', '3', '4'], 2), 'no fewer than a majority')
  t.throws(() => new Attempt(at(1), ['1', '1']))
  t.end()
})

const RUNS = 1500

t.test('at most one value is decided in an entry of a log', (t) => {
  const first = testSeed()
  let decided = 0
  for (let seed = first; seed < first + RUNS; seed++) {
    const found = checkLog(seed, null)
    t.equal(found.violation, null, `TEST_SEED=${seed}`)
    decided += found.decided
  }
  t.ok(decided > RUNS / 2, `${decided} of ${RUNS} runs come to a decision`)
  t.end()
})

t.test('decisions in a register follow each other, each on what the last one left', (t) => {
  const first = testSeed()
  let decided = 0
  for (let seed = first; seed < first + RUNS; seed++) {
    const found = checkRegister(seed, null)
    t.equal(found.violation, null, `TEST_SEED=${seed}`)
    decided += found.decided
  }
  t.ok(decided > 2 * RUNS, `${decided} decisions in ${RUNS} runs`)
  t.end()
})

const PLANTED: readonly [Bug, typeof checkLog][] = [
  ['promise not persisted', checkLog],
  ['accepted not persisted', checkLog],
  ['ballot reused', checkLog],
  ['highest accepted ignored', checkLog],
  ['first accepted taken', checkLog],
  ['duplicates counted', checkLog],
  ['quorum too small', checkLog],
  ['promise not persisted', checkRegister],
  ['highest accepted ignored', checkRegister],
  ['commit clears what is above it', checkRegister],
]
for (const [bug, check] of PLANTED)
  t.test(`${bug}: found (${check.name})`, (t) => {
    const first = testSeed()
    let seed = first
    while (seed < first + 50_000 && check(seed, bug).violation === null) seed++
    t.comment(`after ${seed - first + 1} seeds`)
    t.ok(seed < first + 50_000)
    t.end()
  })
