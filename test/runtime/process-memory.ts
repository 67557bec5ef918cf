/** Memory that is given back: the young generation shrinks, which by itself stays as large as it was. */
import { getHeapSpaceStatistics } from 'node:v8'
import t from 'tap'
import { giveBack } from '../../lib/runtime/node/process-memory.ts'

const SURVIVORS = 200_000

function youngBytes(): number {
  return getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space')!.space_size
}

t.test('after a load that made the young generation large, its memory is given back', async (t) => {
  let kept: object[] = []
  for (let round = 0; round < 5; round++) {
    kept = []
    for (let i = 0; i < SURVIVORS; i++) kept.push({ round, i })
  }
  t.equal(kept.length, SURVIVORS)
  const before = youngBytes()
  kept = []
  await giveBack()
  t.ok(youngBytes() < before / 2, `${before} bytes before, ${youngBytes()} after`)
})
