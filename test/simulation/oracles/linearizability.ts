/**
 * Is there an order of these operations, each at one instant between its call and its return, that a single object would have answered like this?
 * Source: Wing & Gong (1993), with Lowe's memory of configurations seen (Testing for linearizability, 2017), as porcupine has them.
 * Always: `linearizable` and `violation` are proofs; what took more steps than allowed is `undecided`, never passed.
 */

export interface Model<S, T> {
  readonly initial: S
  /** The state after the operation, or undefined: in this state it would have answered something else. */
  step(state: S, operation: T): S | undefined
  /** Equal texts for equal states. */
  key(state: S): string
}

export interface Interval {
  readonly call: number
  /** Infinity: it may happen at any time after its call, or never. */
  readonly return: number
}

export type Verdict<T> =
  | { readonly kind: 'linearizable'; readonly order: readonly T[] }
  /** The longest order found, and what could have come next but would have answered otherwise. */
  | { readonly kind: 'violation'; readonly order: readonly T[]; readonly stuck: readonly T[] }
  | { readonly kind: 'undecided' }

/**
 * A call or a return, in a doubly linked list in order of time, from which operations are lifted as they are put in order. Calls without return are
 * in a list of their own: they are tried when nothing else is possible, so that those that explain nothing are never tried.
 */
interface Entry {
  readonly operation: number
  readonly time: number
  /** Of a call: where its operation returns; null for a return, and for an operation that never does. */
  readonly match: Entry | null
  readonly kind: 'head' | 'call' | 'return' | 'unreturned'
  before: Entry | null
  after: Entry | null
}

const STEPS_MAX = 300_000

export function checkLinearizable<S, T extends Interval>(
  model: Model<S, T>,
  given: readonly T[],
  stepsMax = STEPS_MAX,
): Verdict<T> {
  const isSure = ({ return: end }: T): boolean => end !== Number.POSITIVE_INFINITY
  const sure = given.filter(isSure).sort((a, b) => a.call - b.call)
  const operations = [...sure, ...given.filter((one) => !isSure(one)).sort((a, b) => a.call - b.call)]
  const { head, unreturned } = linkEntries(operations)
  const seen = new Set<string>()
  const done = new Configuration(operations.length, sure.length)
  /** The calls put in order, with the states before them. */
  const order: { entry: Entry; before: S }[] = []
  let longest: { order: number[]; stuck: number[] } = { order: [], stuck: [] }
  let state = model.initial
  /** Operations that must be put in order: those that returned. */
  let remaining = sure.length
  let entry = head.after
  for (let steps = 0; remaining > 0; steps++) {
    if (steps > stepsMax) return { kind: 'undecided' }
    if (entry?.kind === 'return') entry = unreturned.after
    if (entry && (entry.kind === 'call' || entry.time <= firstReturn(head))) {
      const next = model.step(state, operations[entry.operation]!)
      const isUseless = entry.kind === 'unreturned' && next !== undefined && model.key(next) === model.key(state)
      if (next !== undefined && !isUseless) {
        done.add(entry.operation)
        const configuration = `${done.key()}/${model.key(next)}`
        if (!seen.has(configuration)) {
          seen.add(configuration)
          order.push({ entry, before: state })
          state = next
          lift(entry)
          if (entry.match) remaining -= 1
          entry = head.after
          continue
        }
        done.remove(entry.operation)
      }
      entry = entry.after
      continue
    }
    // Nothing that may come next would have answered so: another order of what came before has to be tried.
    if (order.length >= longest.order.length)
      longest = { order: order.map((one) => one.entry.operation), stuck: openCalls(head) }
    const last = order.pop()
    if (last === undefined) {
      const named = (ids: readonly number[]): T[] => ids.map((id) => operations[id]!)
      return { kind: 'violation', order: named(longest.order), stuck: named(longest.stuck) }
    }
    state = last.before
    done.remove(last.entry.operation)
    restore(last.entry)
    if (last.entry.match) remaining += 1
    entry = last.entry.after
  }
  return { kind: 'linearizable', order: order.map((one) => operations[one.entry.operation]!) }
}

/** Calls before returns where both are at one time: they may have met. */
function linkEntries(operations: readonly Interval[]): { head: Entry; unreturned: Entry } {
  const entries: Entry[] = []
  const others: Entry[] = []
  const links = { before: null, after: null }
  operations.forEach(({ call, return: end }, operation) => {
    if (end === Number.POSITIVE_INFINITY) {
      others.push({ operation, time: call, match: null, kind: 'unreturned', ...links })
      return
    }
    const match: Entry = { operation, time: end, match: null, kind: 'return', ...links }
    entries.push({ operation, time: call, match, kind: 'call', ...links }, match)
  })
  entries.sort((a, b) => a.time - b.time || Number(b.kind === 'call') - Number(a.kind === 'call'))
  return { head: linked(entries), unreturned: linked(others) }
}

function linked(entries: readonly Entry[]): Entry {
  const head: Entry = { operation: -1, time: 0, match: null, kind: 'head', before: null, after: null }
  let last = head
  for (const entry of entries) {
    last.after = entry
    entry.before = last
    last = entry
  }
  return head
}

/** Until then whatever comes next must have been called. */
function firstReturn(head: Entry): number {
  for (let entry = head.after; entry; entry = entry.after) if (entry.kind === 'return') return entry.time
  return Number.POSITIVE_INFINITY
}

/** What may come next: the calls before the first return. */
function openCalls(head: Entry): number[] {
  const ids: number[] = []
  for (let entry = head.after; entry?.kind === 'call'; entry = entry.after) ids.push(entry.operation)
  return ids
}

function unlink(entry: Entry): void {
  entry.before!.after = entry.after
  if (entry.after) entry.after.before = entry.before
}

function relink(entry: Entry): void {
  entry.before!.after = entry
  if (entry.after) entry.after.before = entry
}

function lift(call: Entry): void {
  unlink(call)
  if (call.match) unlink(call.match)
}

function restore(call: Entry): void {
  if (call.match) relink(call.match)
  relink(call)
}

/** The set of operations in order so far. Of those that returned it is nearly a prefix, so it is named by what it differs in. */
class Configuration {
  readonly #has: Uint8Array
  readonly #sure: number
  #first = 0
  #last = -1

  constructor(size: number, sure: number) {
    this.#has = new Uint8Array(size)
    this.#sure = sure
  }

  add(id: number): void {
    this.#has[id] = 1
    if (id >= this.#sure) return
    if (id > this.#last) this.#last = id
    while (this.#first < this.#sure && this.#has[this.#first] === 1) this.#first += 1
  }

  remove(id: number): void {
    this.#has[id] = 0
    if (id >= this.#sure) return
    if (id < this.#first) this.#first = id
    while (this.#last >= 0 && this.#has[this.#last] === 0) this.#last -= 1
  }

  key(): string {
    let key = `${this.#first}`
    for (let id = this.#first + 1; id <= this.#last; id++) if (this.#has[id] === 1) key += `,${id}`
    for (let id = this.#sure; id < this.#has.length; id++) if (this.#has[id] === 1) key += `,${id}`
    return key
  }
}
