/** Many sources as one sequence, against one sorted list of all that they hold. */
import t from 'tap'
import { MergedCursor } from '../../storage/read/merged-cursor.ts'
import type { Source, SourceCursor } from '../../storage/read/source.ts'
import { createDice, type Dice, testSeeds } from '../support/random.ts'

/** Keys of a source, ascending; some movements have to be waited for. */
function sourceOf(name: number, keys: readonly string[], dice: Dice): Source {
  const cursor = (): SourceCursor => {
    let at = -1
    const to = (place: number): Promise<void> | undefined => {
      if (!dice.chance(0.2)) {
        at = place
        return undefined
      }
      return Promise.resolve().then(() => {
        at = place
      })
    }
    const firstFrom = (bound: Buffer): number => {
      const found = keys.findIndex((key) => Buffer.from(key).compare(bound) >= 0)
      return found < 0 ? keys.length : found
    }
    return {
      get valid() {
        return at >= 0 && at < keys.length
      },
      get key() {
        return Buffer.from(keys[at]!)
      },
      get value() {
        return Buffer.from([name])
      },
      keyInto: (span) => {
        span.setTo(Buffer.from(keys[at]!))
      },
      valueInto: (span) => {
        span.setTo(Buffer.from([name]))
      },
      seek: (bound) => to(firstFrom(bound)),
      seekBefore: (bound) => to(firstFrom(bound) - 1),
      next: () => to(at + 1),
      previous: () => to(at - 1),
    }
  }
  return { cursor } as unknown as Source
}

async function check(dice: Dice): Promise<void> {
  const held = Array.from({ length: dice.int(20) }, () => {
    const keys = new Set(Array.from({ length: dice.int(12) }, () => String(10 + dice.int(40))))
    return [...keys].sort()
  })
  const reversed = dice.chance(0.5)
  const merged = new MergedCursor(
    held.map((keys, name) => sourceOf(name, keys, dice)),
    reversed,
  )
  for (let round = 0; round < 3; round++) {
    const bound = String(10 + dice.int(45))
    const expected = [...new Set(held.flat())].sort().filter((key) => (reversed ? key < bound : key >= bound))
    if (reversed) expected.reverse()
    await merged.seek(Buffer.from(bound))
    for (const key of expected) {
      const versions = Array.from({ length: merged.versions }, (_, i) => merged.version(i)[0]!)
      const want = held.flatMap((keys, name) => (keys.includes(key) ? [name] : []))
      if (merged.key?.view().toString() !== key || String(versions) !== String(want))
        throw new Error(`${merged.key?.view()} of ${versions}, not ${key} of ${want}`)
      await merged.next()
    }
    if (merged.key !== null) throw new Error(`${merged.key.view()} is one too many`)
  }
}

t.test('each key once, with all its versions, newest source first', async (t) => {
  for (const seed of testSeeds(300))
    await check(createDice(seed)).catch((cause: unknown) => {
      throw new Error(`TEST_SEED=${seed} replays this`, { cause })
    })
  t.pass()
})

/** What stands still at a key, and fails when it moves: at once, or later. */
function failing(how: 'at once' | 'later', canSeek: boolean): Source {
  const fail = (): Promise<void> => {
    if (how === 'at once') throw new Error(how)
    return Promise.reject(new Error(how))
  }
  const seek = (): Promise<void> | undefined => (canSeek ? undefined : fail())
  const key = Buffer.from('k')
  const cursor: SourceCursor = {
    valid: true,
    key,
    value: key,
    keyInto: (span) => span.setTo(key),
    valueInto: (span) => span.setTo(key),
    seek,
    seekBefore: seek,
    next: fail,
    previous: fail,
  }
  return { cursor: () => cursor } as unknown as Source
}

t.test('of two damaged files one fails at once: the failure of the other is not left for nobody', async (t) => {
  const unhandled: unknown[] = []
  const note = (error: unknown): void => void unhandled.push(error)
  process.on('unhandledRejection', note)
  t.teardown(() => process.off('unhandledRejection', note))
  for (const reversed of [false, true]) {
    const still = new MergedCursor([failing('later', false), failing('at once', false)], reversed)
    t.throws(() => still.seek(Buffer.from('a')), { message: 'at once' })
    const moving = new MergedCursor([failing('later', true), failing('at once', true)], reversed)
    moving.seek(Buffer.from('a'))
    t.throws(() => moving.next(), { message: 'at once' })
  }
  await new Promise((resolve) => setImmediate(resolve))
  t.same(unhandled, [])
})
