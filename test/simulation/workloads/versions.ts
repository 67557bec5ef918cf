/**
 * A table that keeps concurrent versions: clients that give back the context of what they read, clients that write blindly, deletions, conditional writes, and
 * sets whose additions and removals merge. On some keys only one client writes, always with a context: there must never be two versions then.
 */
import { Consistency } from '../../../lib/types/consistency.ts'
import { checkSet, type SetInput, type SetOutput } from '../oracles/collections.ts'
import { History, type Operation, type Violation } from '../oracles/history.ts'
import { checkVersions, type VersionInput, type VersionOutput } from '../oracles/versions.ts'
import { type Answer, type Cell, fateOf, int, text } from '../world/client.ts'
import type { Plan } from '../world/plan.ts'
import type { Workload, WorkloadContext } from './index.ts'

const PARTITIONS = 2
const ROWS = 3
/** Of each partition, the row on which only one client writes. */
const OWNED = 2

/** Serial levels of conditions, which order their own kind alone: on one row only SERIAL ones are asked, on another one both. */
const SERIAL_ONLY = { p: 1, c: 1 }
const MIXED = { p: 0, c: 1 }

const READ = 'SELECT v, vclock(*) FROM sim.versions WHERE p = ? AND c = ?'

interface Found {
  readonly values: readonly string[]
  /** Null: there is nothing. */
  readonly context: Cell
}

export function versions({ levels, clients }: Plan): Workload {
  const history = new History<VersionInput, VersionOutput>()
  const cart = carts(levels)
  let last = 0

  const nameOf = (p: number, c: number): string => `${p}/${c}`

  const read = async (
    client: WorkloadContext,
    p: number,
    c: number,
    level: keyof typeof Consistency = levels.read,
  ): Promise<Found | null> => {
    const operation = history.invoke(client.process, nameOf(p, c), { kind: 'read' }, client.now())
    const answer = await client.ask(READ, [int(p), int(c)], { consistency: Consistency[level] })
    if (answer.kind !== 'rows') return null
    const values = answer.rows.map(([v]) => v!.toString().trimEnd())
    history.complete(operation, { kind: 'read', values }, client.now())
    return { values, context: answer.rows[0]?.[1] ?? null }
  }

  const end = (client: WorkloadContext, operation: Operation<VersionInput, VersionOutput>, answer: Answer): void => {
    const fate = isApplied(answer) ? fateOf(answer) : 'failed'
    if (fate === 'ok') history.complete(operation, { kind: 'written' }, client.now())
    else if (fate === 'failed') history.fail(operation, client.now())
  }

  const begin = (
    client: WorkloadContext,
    p: number,
    c: number,
    value: string | null,
    seen: readonly string[],
    conditional: boolean,
  ): Operation<VersionInput, VersionOutput> =>
    history.invoke(client.process, nameOf(p, c), { kind: 'write', value, seen, conditional }, client.now())

  /** Writes, or deletes (`value` null), what was found before; with nothing found, blindly. */
  const replace = async (
    client: WorkloadContext,
    p: number,
    c: number,
    value: string | null,
    found: Found | null,
    serial: number | null = null,
  ): Promise<void> => {
    const conditional = serial !== null
    const seen = found?.values ?? []
    const context = found?.context ?? null
    const using = context === null || conditional ? '' : ' USING VCLOCK ?'
    const condition = conditional ? ' IF VCLOCK = ?' : ''
    const operation = begin(client, p, c, value, seen, conditional && isOrdered(p, c))
    const key = [int(p), int(c)]
    const contexts = context !== null || conditional ? [context] : []
    const statement =
      value === null
        ? `DELETE FROM sim.versions${using} WHERE p = ? AND c = ?${condition}`
        : `INSERT INTO sim.versions (p, c, v) VALUES (?, ?, ?)${conditional ? condition : using}`
    const values =
      value === null
        ? conditional
          ? [...key, ...contexts]
          : [...contexts, ...key]
        : [...key, padded(client, value), ...contexts]
    const answer = await client.ask(statement, values, {
      consistency: Consistency[levels.write],
      serialConsistency: serial ?? Consistency.SERIAL,
      expected: ['INVALID'],
    })
    end(client, operation, answer)
  }

  const blindDelete = async (client: WorkloadContext, p: number, c: number): Promise<void> => {
    const operation = history.invoke(client.process, nameOf(p, c), { kind: 'blind delete' }, client.now())
    const answer = await client.ask('DELETE FROM sim.versions WHERE p = ? AND c = ?', [int(p), int(c)], {
      consistency: Consistency[levels.read === 'ALL' ? 'ALL' : 'QUORUM'],
    })
    end(client, operation, answer)
  }

  /** Two rows of a partition at once, each with what was found of it; now and then only if that is all there is. */
  const batch = async (client: WorkloadContext, p: number): Promise<void> => {
    const found = [await read(client, p, 0), await read(client, p, 1)]
    const isConditional = found.every((one) => one !== null) && client.dice.chance(0.4)
    const operations = found.map((one, c) =>
      begin(client, p, c, `${client.process}:${++last}`, one?.values ?? [], isConditional && isOrdered(p, c)),
    )
    const items = operations.map(({ input }, c) => {
      const context = found[c]?.context ?? null
      const value = padded(client, (input as { value: string }).value)
      const clause = isConditional ? ' IF VCLOCK = ?' : context === null ? '' : ' USING VCLOCK ?'
      return {
        query: `INSERT INTO sim.versions (p, c, v) VALUES (?, ?, ?)${clause}`,
        values: [int(p), int(c), value, ...(clause === '' ? [] : [context])],
      }
    })
    const answer = await client.batch(items, {
      consistency: Consistency[levels.write],
      serialConsistency: Consistency.SERIAL,
      expected: ['INVALID'],
    })
    for (const operation of operations) end(client, operation, answer)
  }

  const own = async (client: WorkloadContext, p: number): Promise<void> => {
    const found = await read(client, p, OWNED)
    if (found === null) return
    await replace(client, p, OWNED, client.dice.chance(0.1) ? null : `${client.process}:${++last}`, found)
  }

  return {
    tables: [
      "CREATE TABLE IF NOT EXISTS sim.versions (p int, c int, v text, PRIMARY KEY (p, c)) WITH resolution = 'vclock'",
      ...cart.tables,
    ],
    async step(client) {
      const { dice } = client
      const p = dice.int(PARTITIONS)
      if (dice.chance(0.25)) return await cart.step(client)
      if (client.process === 1 + (p % clients) && dice.chance(0.3)) return await own(client, p)
      if (dice.chance(0.1)) return await batch(client, p)
      const c = dice.int(OWNED)
      if (dice.chance(0.15)) return await replace(client, p, c, `${client.process}:${++last}`, null)
      if (dice.chance(0.05)) {
        // At once, of whatever leader that node is.
        const burst = [1, 2, 3].map(() => replace(client, p, c, `${client.process}:${++last}`, null))
        await Promise.all(burst)
        return
      }
      // Deletions that see what they find are on one row only: there the oracle knows less.
      if (p === 0 && c === 0 && dice.chance(0.05)) return await blindDelete(client, p, c)
      const found = await read(client, p, c)
      if (found === null || dice.chance(0.2)) return
      if (dice.chance(0.3)) await client.sleep(dice.int(500))
      let serial: number | null = null
      if (isOrdered(p, c) && dice.chance(0.5)) serial = Consistency.SERIAL
      else if (p === MIXED.p && c === MIXED.c && dice.chance(0.5))
        serial = dice.pick([Consistency.SERIAL, Consistency.LOCAL_SERIAL])
      const value = dice.chance(0.1) && found.context !== null ? null : `${client.process}:${++last}`
      await replace(client, p, c, value, found, serial)
    },
    async readAll(client) {
      for (let p = 0; p < PARTITIONS; p++)
        for (let c = 0; c < ROWS; c++) {
          // What all replicas have been asked for, and given, each of them has.
          while ((await read(client, p, c, 'ALL')) === null) await client.sleep(500)
          while ((await read(client, p, c, 'ONE')) === null) await client.sleep(500)
        }
      await cart.readAll(client)
    },
    check: () => [...checkVersions(history), ...cart.check()],
  }
}

/** Of two conditions on the row that were applied one has seen the other. */
function isOrdered(p: number, c: number): boolean {
  return p === SERIAL_ONLY.p && c === SERIAL_ONLY.c
}

/** Some are so long that memtables are flushed, and rows are read from files. */
function padded({ dice }: WorkloadContext, value: string): Buffer {
  return text(value.padEnd(dice.pick([0, 0, 500, 3000])))
}

/** Sets of unique elements in one column, added and removed by whoever; an element is never added twice. */
function carts(levels: Plan['levels']): Workload {
  const history = new History<SetInput, SetOutput>()
  /** By element: when somebody began to remove it, and when he was told that it was done. */
  const removed = new Map<string, { readonly call: number; done: number }>()
  /** What somebody saw of a key. */
  const seen = new Map<number, { readonly elements: readonly string[]; readonly context: Cell }>()
  let last = 0

  const read = async (client: WorkloadContext, key: number): Promise<{ elements: string[]; context: Cell } | null> => {
    const call = client.now()
    const operation = history.invoke(client.process, `cart ${key}`, { kind: 'read' }, call)
    const answer = await client.ask('SELECT tags, vclock(*) FROM sim.carts WHERE k = ?', [int(key)], {
      consistency: Consistency[levels.read],
    })
    if (answer.kind !== 'rows') return null
    const elements = elementsOf(answer.rows[0]?.[0] ?? null)
    history.complete(operation, { kind: 'read', elements }, client.now())
    return { elements, context: answer.rows[0]?.[1] ?? null }
  }

  const add = async (client: WorkloadContext, key: number): Promise<void> => {
    const element = `${client.process}:${++last}`
    const operation = history.invoke(client.process, `cart ${key}`, { kind: 'add', element }, client.now())
    const answer = await client.ask('UPDATE sim.carts SET tags = tags + ? WHERE k = ?', [setOf(element), int(key)], {
      consistency: Consistency[levels.write],
    })
    const fate = fateOf(answer)
    if (fate === 'ok') history.complete(operation, { kind: 'added' }, client.now())
    else if (fate === 'failed') history.fail(operation, client.now())
  }

  const remove = async (client: WorkloadContext, key: number): Promise<void> => {
    // Who read long ago removes through a node that may not have heard of what he saw.
    const before = seen.get(key) ?? null
    const found = before !== null && client.dice.chance(0.5) ? before : await read(client, key)
    if (found === null || found.elements.length === 0) return
    seen.set(key, found)
    const element = client.dice.pick(found.elements)
    const fate = removed.get(element) ?? { call: client.now(), done: Number.POSITIVE_INFINITY }
    removed.set(element, fate)
    const answer = await client.ask(
      'UPDATE sim.carts USING VCLOCK ? SET tags = tags - ? WHERE k = ?',
      [found.context, setOf(element), int(key)],
      { consistency: Consistency[levels.write] },
    )
    if (fateOf(answer) === 'ok') fate.done = Math.min(fate.done, client.now())
  }

  return {
    tables: [
      `CREATE TABLE IF NOT EXISTS sim.carts (k int PRIMARY KEY, tags set<text>) WITH resolution = 'vclock' AND resolver = {'tags': 'or-set'}`,
    ],
    async step(client) {
      const key = client.dice.int(2)
      if (client.dice.chance(0.2)) await read(client, key)
      else if (client.dice.chance(0.35)) await remove(client, key)
      else await add(client, key)
    },
    async readAll(client) {
      for (let key = 0; key < 2; key++) while ((await read(client, key)) === null) await client.sleep(500)
    },
    check: () => checkCarts(history, removed),
  }
}

/** As other sets, but for what was removed: it may be there until somebody was told that it is gone. */
function checkCarts(
  history: History<SetInput, SetOutput>,
  removed: ReadonlyMap<string, { readonly call: number; readonly done: number }>,
): Violation[] {
  const violations: Violation[] = []
  const rest = new History<SetInput, SetOutput>()
  for (const [key, operations] of history.keys())
    for (const operation of operations) {
      const { input, output, process, call } = operation
      if (input.kind === 'add' && removed.has(input.element)) continue
      const copy = rest.invoke(process, key, input, call)
      if (operation.outcome === 'failed') rest.fail(copy, operation.return)
      if (operation.outcome !== 'ok') continue
      if (output?.kind !== 'read') rest.complete(copy, output!, operation.return)
      else {
        const elements = output.elements.filter((element) => !removed.has(element))
        rest.complete(copy, { kind: 'read', elements }, operation.return)
        for (const element of output.elements)
          if ((removed.get(element)?.done ?? Number.POSITIVE_INFINITY) < call)
            violations.push({ key, what: `${element} was removed, and is there in a read that began at ${call}` })
      }
    }
  return [...violations, ...checkSet(rest, { monotonic: false })]
}

function isApplied(answer: Answer): boolean {
  if (answer.kind !== 'rows') return true
  const at = answer.columns.indexOf('[applied]')
  return at < 0 || answer.rows[0]![at]![0] === 1
}

/** A set of one text, as the protocol writes it. */
function setOf(element: string): Buffer {
  const bytes = text(element)
  return Buffer.concat([int(1), int(bytes.length), bytes])
}

function elementsOf(cell: Cell): string[] {
  const elements: string[] = []
  if (cell === null) return elements
  let at = 4
  for (let count = cell.readInt32BE(0); count > 0; count--) {
    const length = cell.readInt32BE(at)
    elements.push(cell.toString('utf8', at + 4, at + 4 + length))
    at += 4 + length
  }
  return elements
}
