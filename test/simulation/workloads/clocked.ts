/**
 * Registers to whose versions the nodes give the timestamps: whoever was told of a write, and writes after that, is not overruled by it. Through one node that
 * holds whatever becomes of its clock: it never gives a time twice, nor one from before a restart. Through another one it holds when that has heard of
 * the write, by reading it, as long as no clock is further ahead than nodes follow.
 */
import { Consistency } from '../../../lib/types/consistency.ts'
import { History } from '../oracles/history.ts'
import { checkLastWriteWins, type TimestampedInput, type TimestampedOutput } from '../oracles/registers.ts'
import { type Answer, type Cell, fateOf, int, text } from '../world/client.ts'
import type { Plan } from '../world/plan.ts'
import type { Workload, WorkloadContext } from './index.ts'

/** Registers in use. One of which nobody knows any more who wrote last is given up, and another one taken. */
const KEYS = 4
/** Two clocks that are as much off, in two directions, follow each other still. */
const SKEW_MS_MAX = 200

interface Register {
  readonly key: number
  /** Who writes it. */
  via: number
  /** By whom it was written, that is known: another one may take it over. */
  isSettled: boolean
  isBusy: boolean
}

export function clocked(plan: Plan): Workload {
  const { levels, datacenters } = plan
  const nodes = datacenters.reduce((sum, size) => sum + size, 0)
  const history = new History<TimestampedInput, TimestampedOutput>()
  const registers: Register[] = []
  const mayMove = nodes > 1 && areClocksNear(plan)
  let lastKey = 0
  /** In the order in which writes were asked for, which is that of their timestamps. */
  let last = 0

  const open = (dice: WorkloadContext['dice']): Register => {
    const register = { key: ++lastKey, via: dice.int(nodes), isSettled: true, isBusy: false }
    registers.push(register)
    return register
  }

  const read = async (client: WorkloadContext, key: number, via?: number): Promise<boolean> => {
    const operation = history.invoke(client.process, String(key), { kind: 'read' }, client.now())
    const answer = await client.ask('SELECT v FROM sim.clocked WHERE k = ?', [int(key)], {
      consistency: Consistency[levels.read],
      ...(via !== undefined && { via }),
    })
    if (answer.kind !== 'rows') return false
    const value = answer.rows[0]?.[0]?.toString() ?? null
    const found = value === null ? null : { value, timestamp: Number(value) }
    history.complete(operation, { kind: 'read', found }, client.now())
    return true
  }

  const write = async (client: WorkloadContext, register: Register): Promise<void> => {
    const { key, via } = register
    const timestamp = ++last
    const isDeletion = client.dice.chance(0.2)
    const value = isDeletion ? null : String(timestamp)
    const operation = history.invoke(client.process, String(key), { kind: 'write', value, timestamp }, client.now())
    const [statement, values]: [string, Cell[]] = isDeletion
      ? ['DELETE FROM sim.clocked WHERE k = ?', [int(key)]]
      : client.dice.chance(0.5)
        ? ['INSERT INTO sim.clocked (k, v) VALUES (?, ?)', [int(key), text(value!)]]
        : ['UPDATE sim.clocked SET v = ? WHERE k = ?', [text(value!), int(key)]]
    const answer: Answer = await client.ask(statement, values, { consistency: Consistency[levels.write], via })
    const fate = fateOf(answer)
    if (fate === 'ok') history.complete(operation, { kind: 'written' }, client.now())
    else if (fate === 'failed') history.fail(operation, client.now())
    register.isSettled = fate === 'ok'
  }

  /** Reads through another node, and writes through it. */
  const move = async (client: WorkloadContext, register: Register): Promise<void> => {
    const before = client.now()
    register.via = (register.via + 1 + client.dice.int(nodes - 1)) % nodes
    const isRead = await read(client, register.key, register.via)
    if (isRead) await write(client, register)
    // It knows nothing of what it heard in an earlier life.
    if (!isRead || client.wasDisturbed(register.via, before, client.now()))
      registers.splice(registers.indexOf(register), 1)
  }

  return {
    tables: ['CREATE TABLE IF NOT EXISTS sim.clocked (k int PRIMARY KEY, v text)'],
    async step(client) {
      const { dice } = client
      while (registers.length < KEYS) open(dice)
      const register = dice.pick(registers)
      if (register.isBusy || dice.chance(0.4)) {
        await read(client, register.key)
        return
      }
      register.isBusy = true
      if (mayMove && register.isSettled && dice.chance(0.4)) await move(client, register)
      else await write(client, register)
      register.isBusy = false
    },
    async readAll(client) {
      for (let key = 1; key <= lastKey; key++) while (!(await read(client, key))) await client.sleep(500)
    },
    check: () => checkLastWriteWins(history, { monotonic: levels.monotonic }),
  }
}

function areClocksNear({ faults }: Plan): boolean {
  return faults.every(
    ({ fault }) => fault.kind !== 'wall' || (!fault.frozen && Math.abs(fault.skewMs) + fault.strobeMs < SKEW_MS_MAX),
  )
}
