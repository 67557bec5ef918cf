/** The judges are judged: each accepts histories that are right and rejects hand-made ones that are not; the search agrees with trying everything. */
import t from 'tap'
import { type Dice, forAll } from '../support/random.ts'
import {
  type CounterInput,
  type CounterOutput,
  checkCounterKey,
  checkSetKey,
  type SetInput,
  type SetOutput,
} from './oracles/collections.ts'
import { History, type Operation } from './oracles/history.ts'
import { checkLinearizable, type Model } from './oracles/linearizability.ts'
import {
  checkLastWriteWinsKey,
  checkRegister,
  checkRegisterKey,
  type RegisterInput,
  type RegisterOperation,
  type RegisterOutput,
  type TimestampedInput,
  type TimestampedOutput,
} from './oracles/registers.ts'

const NEVER = Number.POSITIVE_INFINITY

function operation<I, O extends object>(
  call: number,
  end: number,
  input: I,
  told: O | 'unknown' | 'failed',
): Operation<I, O> {
  const base = { process: 0, call, return: end, input }
  if (told === 'unknown' || told === 'failed') return { ...base, outcome: told, output: null }
  return { ...base, outcome: 'ok', output: told }
}

const read = (call: number, end: number, value: string | null) =>
  operation<RegisterInput, RegisterOutput>(call, end, { kind: 'read' }, { kind: 'read', value })
const write = (call: number, end: number, value: string | null, told: 'written' | 'unknown' | 'failed' = 'written') =>
  operation<RegisterInput, RegisterOutput>(
    call,
    end,
    { kind: 'write', value },
    told === 'written' ? { kind: 'written' } : told,
  )
const cas = (call: number, end: number, expected: string | null, value: string | null, found?: string | null) =>
  operation<RegisterInput, RegisterOutput>(
    call,
    end,
    { kind: 'cas', expected, value },
    { kind: 'cas', applied: found === undefined, found: found ?? null },
  )
const lostCas = (call: number, expected: string | null, value: string | null, told: 'unknown' | 'failed' = 'unknown') =>
  operation<RegisterInput, RegisterOutput>(
    call,
    told === 'failed' ? call + 1 : NEVER,
    { kind: 'cas', expected, value },
    told,
  )

const GOOD: Record<string, RegisterOperation[]> = {
  'one after another': [
    write(0, 1, 'a'),
    read(2, 3, 'a'),
    cas(4, 5, 'a', 'b'),
    read(6, 7, 'b'),
    cas(8, 9, 'a', 'c', 'b'),
  ],
  'a read beside a write may see either': [write(0, 10, 'a'), read(1, 2, null), read(3, 4, 'a')],
  'two inserts at once, one wins': [cas(0, 10, null, 'a'), cas(0, 10, null, 'b', 'a'), read(11, 12, 'a')],
  'a timeout that happened': [lostCas(0, null, 'a'), read(5, 6, 'a')],
  'a timeout that happened late': [lostCas(0, null, 'a'), read(5, 6, null), read(7, 8, null), read(9, 10, 'a')],
  'a timeout that never happened': [lostCas(0, null, 'a'), cas(5, 6, null, 'b'), read(7, 8, 'b')],
  'a deletion in doubt': [write(0, 1, 'a'), write(2, NEVER, null, 'unknown'), read(3, 4, 'a'), read(5, 6, null)],
  'timeouts that build on each other, up to a deletion': [
    write(0, 1, 'a'),
    lostCas(2, 'a', 'b'),
    lostCas(3, 'b', null),
    cas(9, 10, null, 'c'),
  ],
  'timeouts that build on each other': [
    lostCas(0, null, 'a'),
    lostCas(1, 'a', 'b'),
    lostCas(2, 'b', 'c'),
    read(9, 10, 'c'),
  ],
  'what failed is not there': [lostCas(0, null, 'a', 'failed'), read(5, 6, null)],
  'times that touch are at once': [write(0, 5, 'a'), read(5, 6, null)],
}

const BAD: Record<string, RegisterOperation[]> = {
  'a lost write': [write(0, 1, 'a'), read(2, 3, null)],
  'a stale read': [write(0, 1, 'a'), write(2, 3, 'b'), read(4, 5, 'a')],
  'reads that go back': [write(0, 20, 'a'), read(1, 2, 'a'), read(3, 4, null)],
  'two inserts that both win': [cas(0, 10, null, 'a'), cas(0, 10, null, 'b')],
  'two that win over the same value': [write(0, 1, 'a'), cas(2, 9, 'a', 'b'), cas(3, 8, 'a', 'c')],
  'a lost update': [write(0, 1, 'a'), cas(2, 3, 'a', 'b'), cas(4, 5, 'b', 'c'), read(6, 7, 'b')],
  'refused by what was there': [write(0, 1, 'a'), cas(2, 3, 'a', 'b', 'a')],
  'refused by what was never there': [write(0, 1, 'a'), cas(2, 3, 'z', 'b', 'q')],
  'refused by what is no longer there': [write(0, 1, 'a'), write(2, 3, 'b'), cas(4, 5, 'z', 'c', 'a')],
  'what failed is there': [lostCas(0, null, 'a', 'failed'), read(5, 6, 'a')],
  'a timeout that happened and did not': [lostCas(0, null, 'a'), read(5, 6, 'a'), read(7, 8, null)],
  'a timeout that happened before it was asked for': [read(0, 1, 'a'), lostCas(2, null, 'a')],
  'a timeout whose condition never held': [write(0, 1, 'x'), lostCas(2, 'y', 'a'), read(5, 6, 'a')],
  'a value from nowhere': [write(0, 1, 'a'), read(2, 3, 'b')],
}

t.test('a register that lightweight transactions change', (t) => {
  for (const [name, operations] of Object.entries(GOOD)) t.same(checkRegisterKey(operations), [], name)
  for (const [name, operations] of Object.entries(BAD)) t.not(checkRegisterKey(operations).length, 0, name)
  t.end()
})

/** Tries every order: the slow and obvious judge. */
function isLinearizable(operations: readonly RegisterOperation[]): boolean {
  const possible = operations.filter(({ outcome }) => outcome !== 'failed')
  const search = (left: readonly RegisterOperation[], state: string | null): boolean => {
    if (left.every((one) => one.return === NEVER)) return true
    const earliest = Math.min(...left.map((one) => one.return))
    return left.some((one) => {
      if (one.call > earliest) return false
      const next = apply(state, one)
      return (
        next !== undefined &&
        search(
          left.filter((other) => other !== one),
          next,
        )
      )
    })
  }
  return search(possible, null)
}

function apply(state: string | null, { input, output }: RegisterOperation): string | null | undefined {
  if (input.kind === 'read') return output?.kind === 'read' && output.value !== state ? undefined : state
  if (input.kind === 'write') return input.value
  const holds = input.expected === state
  if (output?.kind === 'cas' && output.applied !== holds) return undefined
  if (output?.kind === 'cas' && !holds && output.found !== state) return undefined
  return holds ? input.value : state
}

/** A history that some register gave, with answers now and then replaced. */
function someHistory(dice: Dice, size: number, isHonest: boolean): RegisterOperation[] {
  const plan = Array.from({ length: size }, (_, i) => {
    const at = dice.int(size * 4)
    return { i, at, call: at - dice.int(6), return: at + dice.int(6) }
  }).sort((a, b) => a.at - b.at)
  let state: string | null = null
  const values: (string | null)[] = [null]
  return plan.map(({ i, call, return: end }) => {
    const value = dice.chance(0.1) ? null : `v${i}`
    const expected = dice.chance(0.7) ? state : dice.pick(values)
    values.push(value)
    const input: RegisterInput = dice.chance(0.3)
      ? { kind: 'read' }
      : dice.chance(0.3)
        ? { kind: 'write', value }
        : { kind: 'cas', expected, value }
    // In long histories deletions in doubt are left out: nothing tells one from another, so all their subsets are tried.
    const told = dice.chance(0.15) && (size < 10 || value !== null) ? 'unknown' : dice.chance(0.05) ? 'failed' : 'ok'
    const happens = told === 'ok' || (told === 'unknown' && dice.chance(0.5))
    const before: string | null = !isHonest && dice.chance(0.15) ? dice.pick(values) : state
    const holds = input.kind === 'cas' && input.expected === before
    if (happens && (input.kind === 'write' || holds)) state = value
    const output: RegisterOutput =
      input.kind === 'read'
        ? { kind: 'read', value: before }
        : input.kind === 'write'
          ? { kind: 'written' }
          : { kind: 'cas', applied: holds, found: holds ? null : before }
    return operation(call, told === 'unknown' ? NEVER : end, input, told === 'ok' ? output : told)
  })
}

t.test('the search agrees with trying every order', (t) => {
  const counts = { right: 0, wrong: 0 }
  forAll(1500, (dice) => {
    const operations = someHistory(dice, 2 + dice.int(6), dice.chance(0.3))
    const is = isLinearizable(operations)
    counts[is ? 'right' : 'wrong'] += 1
    const found = checkRegisterKey(operations)
    if ((found.length === 0) !== is) throw new Error(`${is} but ${found.join()} of ${JSON.stringify(operations)}`)
  })
  if (!process.env.TEST_SEED) t.ok(counts.right > 20 && counts.wrong > 20, JSON.stringify(counts))
  t.end()
})

t.test('long histories are judged, and what takes too long is not passed', (t) => {
  forAll(5, (dice) => {
    const operations = someHistory(dice, 1000, true)
    const found = checkRegisterKey(operations)
    if (found.length > 0) throw new Error(found.join())
    // A value that the whole history overwrote is read at its end.
    const first = operations.find(
      ({ input, outcome }) => input.kind === 'write' && outcome === 'ok' && input.value !== null,
    )!
    if (first.input.kind !== 'write') throw new Error('it is a write')
    const late = read(10_000, 10_001, first.input.value)
    if (checkRegisterKey([...operations, write(9000, 9001, 'last'), late]).length === 0)
      throw new Error('a stale read passed')
  })
  // Sums of unknown additions: the state does not say which of them happened, so nothing cuts the search short.
  const sums: Model<number, { call: number; return: number; add: number; sum: number }> = {
    initial: 0,
    step: (state, one) => (one.add === 0 ? (state === one.sum ? state : undefined) : state + one.add),
    key: (state) => `${state}`,
  }
  const adds = Array.from({ length: 40 }, (_, i) => ({ call: 0, return: NEVER, add: 2 ** (i % 30), sum: 0 }))
  const verdict = checkLinearizable(sums, [...adds, { call: 1, return: 2, add: 0, sum: 0.5 }], 10_000)
  t.equal(verdict.kind, 'undecided')
  t.end()
})

t.test('keys are judged each for itself', (t) => {
  const history = new History<RegisterInput, RegisterOutput>()
  const a = history.invoke(1, 'a', { kind: 'write', value: 'x' }, 0)
  history.complete(a, { kind: 'written' }, 1)
  const b = history.invoke(1, 'b', { kind: 'read' }, 2)
  history.complete(b, { kind: 'read', value: null }, 3)
  const lost = history.invoke(2, 'b', { kind: 'write', value: 'y' }, 2)
  history.fail(lost, 4)
  t.same(checkRegister(history), [])
  history.complete(history.invoke(2, 'b', { kind: 'read' }, 5), { kind: 'read', value: 'y' }, 6)
  t.match(checkRegister(history), [{ key: 'b', what: /not linearizable/ }])
  t.equal(history.size, 4)
  t.end()
})

const put = (
  call: number,
  end: number,
  value: string | null,
  timestamp: number,
  told: 'written' | 'unknown' | 'failed' = 'written',
  expiresAt?: number,
) =>
  operation<TimestampedInput, TimestampedOutput>(
    call,
    end,
    { kind: 'write', value, timestamp, ...(expiresAt === undefined ? {} : { expiresAt }) },
    told === 'written' ? { kind: 'written' } : told,
  )
const get = (call: number, end: number, value: string | null, timestamp = 0) =>
  operation<TimestampedInput, TimestampedOutput>(
    call,
    end,
    { kind: 'read' },
    { kind: 'read', found: value === null ? null : { value, timestamp } },
  )

t.test('a register by timestamps', (t) => {
  const good = (name: string, ...operations: Parameters<typeof checkLastWriteWinsKey>[0][number][]): void => {
    t.same(checkLastWriteWinsKey(operations), [], name)
  }
  const bad = (
    name: string,
    what: RegExp,
    ...operations: Parameters<typeof checkLastWriteWinsKey>[0][number][]
  ): void => {
    t.match(checkLastWriteWinsKey(operations), [what], name)
  }
  good('the newest', put(0, 1, 'a', 10), put(2, 3, 'b', 20), get(4, 5, 'b', 20))
  good('an older write that came later loses', put(0, 1, 'a', 20), put(2, 3, 'b', 10), get(4, 5, 'a', 20))
  good('in doubt', put(0, 1, 'a', 10), put(2, NEVER, 'b', 20, 'unknown'), get(4, 5, 'a', 10), get(6, 7, 'b', 20))
  good('deleted', put(0, 1, 'a', 10), put(2, 3, null, 20), get(4, 5, null))
  good('written after deletion', put(2, 3, null, 20), put(4, 5, 'b', 30), get(6, 7, 'b', 30))
  good(
    'a deletion in doubt',
    put(0, 1, 'a', 10),
    put(2, NEVER, null, 20, 'unknown'),
    get(4, 5, 'a', 10),
    get(6, 7, null),
  )
  good('expired', put(0, 1, 'a', 10, 'written', 100), get(50, 51, 'a', 10), get(101, 102, null))
  bad('a lost write', /shows nothing/, put(0, 1, 'a', 10), get(2, 3, null))
  bad('an older version', /goes back/, put(0, 1, 'a', 10), put(2, 3, 'b', 20), get(4, 5, 'a', 10))
  bad(
    'back behind a read',
    /goes back/,
    put(0, 1, 'a', 10),
    put(2, NEVER, 'b', 20, 'unknown'),
    get(4, 5, 'b', 20),
    get(6, 7, 'a', 10),
  )
  bad(
    'back behind a read that saw nothing',
    /goes back/,
    put(0, 1, 'a', 10),
    put(2, NEVER, null, 20, 'unknown'),
    get(4, 5, null),
    get(6, 7, 'a', 10),
  )
  bad(
    'deleted data that returned',
    /goes back/,
    put(0, 1, 'a', 10),
    put(2, 3, null, 20),
    get(4, 5, null),
    get(6, 7, 'a', 10),
  )
  bad('what failed', /nobody wrote/, put(0, 1, 'a', 10, 'failed'), get(2, 3, 'a', 10))
  bad('from the future', /nobody wrote/, get(2, 3, 'a', 10), put(5, 6, 'a', 10))
  bad('another timestamp', /nobody wrote/, put(0, 1, 'a', 10), get(2, 3, 'a', 11))
  bad('gone too early', /shows nothing/, put(0, 1, 'a', 10, 'written', 100), get(50, 51, null))
  bad('there too long', /had expired/, put(0, 1, 'a', 10, 'written', 100), get(101, 102, 'a', 10))
  const back = [put(0, 1, 'a', 10), put(2, NEVER, 'b', 20, 'unknown'), get(4, 5, 'b', 20), get(6, 7, 'a', 10)]
  t.same(checkLastWriteWinsKey(back, { monotonic: false }), [], 'if it was not promised')
  t.end()
})

t.test('a set of unique elements', (t) => {
  const add = (call: number, end: number, element: string, told: 'added' | 'unknown' | 'failed' = 'added') =>
    operation<SetInput, SetOutput>(call, end, { kind: 'add', element }, told === 'added' ? { kind: 'added' } : told)
  const all = (call: number, end: number, ...elements: string[]) =>
    operation<SetInput, SetOutput>(call, end, { kind: 'read' }, { kind: 'read', elements })
  const doubt = add(0, NEVER, 'b', 'unknown')
  t.same(
    checkSetKey([
      add(0, 1, 'a'),
      doubt,
      add(0, 9, 'c'),
      all(2, 3, 'a'),
      all(4, 5, 'a', 'b'),
      all(10, 11, 'a', 'b', 'c'),
    ]),
    [],
  )
  t.match(checkSetKey([add(0, 1, 'a'), all(2, 3)]), [/does not show: a/])
  t.match(checkSetKey([doubt, all(2, 3, 'b'), all(4, 5)]), [/does not show: b/])
  t.same(checkSetKey([doubt, all(2, 3, 'b'), all(4, 5)], { monotonic: false }), [])
  t.match(checkSetKey([all(2, 3, 'z')]), [/nobody had added: z/])
  t.match(checkSetKey([add(0, 1, 'a', 'failed'), all(2, 3, 'a')]), [/nobody had added/])
  t.match(checkSetKey([all(2, 3, 'a'), add(4, 5, 'a')]), [/nobody had added/])
  t.match(checkSetKey([add(0, 1, 'a'), all(2, 3, 'a', 'a')]), [/twice: a/])
  t.end()
})

t.test('counters', (t) => {
  const add = (call: number, end: number, amount: number, told: 'added' | 'unknown' | 'failed' = 'added') =>
    operation<CounterInput, CounterOutput>(
      call,
      end,
      { kind: 'add', amount },
      told === 'added' ? { kind: 'added' } : told,
    )
  const sum = (call: number, end: number, value: number) =>
    operation<CounterInput, CounterOutput>(call, end, { kind: 'read' }, { kind: 'read', value })
  const before = [add(0, 1, 5), add(0, NEVER, 3, 'unknown'), add(0, 9, -2), add(0, 1, 100, 'failed'), add(50, 51, 7)]
  for (const value of [3, 5, 6, 8]) t.same(checkCounterKey([...before, sum(4, 6, value)]), [])
  for (const value of [2, 9, 105]) t.match(checkCounterKey([...before, sum(4, 6, value)]), [/not within \[3, 8\]/])
  t.match(checkCounterKey([...before, sum(60, 61, 9)]), [/not within \[10, 13\]/])
  t.end()
})
