/** The judge of values that expire is judged: it accepts what clocks may have done, and rejects what none of them can explain. */
import t from 'tap'
import { checkExpiryKey, type ExpiryOperation, type Seconds } from './oracles/expiry.ts'

const exactly = (second: number): Seconds => ({ from: second, to: second })

function write(call: number, value: string | null, ttl: number, at: Seconds = exactly(call)): ExpiryOperation {
  const input = { kind: 'write', value, timestamp: call, ttl } as const
  return { process: 0, call, return: call + 0.5, input, outcome: 'ok', output: { kind: 'written', at } }
}

function lost(call: number, value: string, ttl: number): ExpiryOperation {
  return { ...write(call, value, ttl), return: Number.POSITIVE_INFINITY, outcome: 'unknown', output: null }
}

/** `of`: when what it shows was written. */
function read(
  call: number,
  value: string | null,
  of = 0,
  { at = exactly(call), latest = call }: { at?: Seconds; latest?: number } = {},
): ExpiryOperation {
  const found = value === null ? null : { value, timestamp: of }
  const output = { kind: 'read', found, at, latest } as const
  return { process: 0, call, return: call + 0.5, input: { kind: 'read' }, outcome: 'ok', output }
}

const GOOD: Record<string, ExpiryOperation[]> = {
  'alive, then dead': [write(1, 'a', 5), read(3, 'a', 1), read(6, null), read(9, null)],
  'dead by a clock that is ahead, alive by one that is not': [
    write(1, 'a', 5),
    read(3, null, 0, { at: exactly(60), latest: 60 }),
    read(4, 'a', 1, { latest: 60 }),
  ],
  'written by a clock that is ahead': [write(1, 'a', 5, exactly(100)), read(50, 'a', 1)],
  'read by a clock that was changed meanwhile': [write(1, 'a', 5), read(9, 'a', 1, { at: null })],
  'a clock that strobes says nothing between its ends': [
    write(1, 'a', 5, { from: 1, to: 3 }),
    read(7, 'a', 1),
    read(7.6, null, 0, { at: exactly(7), latest: 7 }),
  ],
  'one in doubt that expired': [write(1, 'a', 0), lost(2, 'b', 1), read(9, null)],
  'what came after what expired': [write(1, 'a', 2), write(5, 'b', 0), read(9, 'b', 5)],
}

const BAD: Record<string, ExpiryOperation[]> = {
  'alive beyond its time': [write(1, 'a', 5), read(6, 'a', 1)],
  'dead before its time': [write(1, 'a', 5), read(3, null)],
  'what it covered comes back': [write(1, 'a', 0), write(2, 'b', 3), read(9, 'a', 1)],
  'what it covered comes back after one saw nothing': [
    write(1, 'a', 0),
    read(2, 'a', 1),
    lost(3, 'b', 1),
    read(6, null),
    read(8, 'a', 1),
  ],
  'what has no TTL is gone': [write(1, 'a', 0), read(9, null)],
  'a deletion is undone': [write(1, 'a', 0), write(2, null, 0), read(9, 'a', 1)],
  'a value from nowhere': [write(1, 'a', 5), read(3, 'b', 1)],
}

t.test('a register whose values expire', (t) => {
  for (const [name, operations] of Object.entries(GOOD)) t.same(checkExpiryKey(operations, true), [], name)
  for (const [name, operations] of Object.entries(BAD)) t.not(checkExpiryKey(operations, true).length, 0, name)
  t.end()
})
