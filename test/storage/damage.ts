/** Damage at some bytes of a commit log, an SSTable and a manifest, never the same ones: found, or harmless. At each byte: `npm run damage`. */
import t from 'tap'
import { commitLogSubject, damageEverywhere, manifestSubject, type Subject, tableSubject } from '../support/damage.ts'
import { testSeed } from '../support/random.ts'

const SUBJECTS: { readonly make: (seed: number) => Promise<Subject>; readonly stride: number }[] = [
  { make: (seed) => manifestSubject(seed, 12), stride: 13 },
  { make: (seed) => tableSubject(seed, 40), stride: 41 },
  { make: (seed) => commitLogSubject(seed, { marked: true, segmentBytes: 2048 }), stride: 11 },
  { make: (seed) => commitLogSubject(seed, { marked: false, segmentBytes: 2048 }), stride: 11 },
]

for (const { make, stride } of SUBJECTS)
  t.test('no damage becomes an answer', async (t) => {
    const seed = testSeed()
    const subject = await make(seed)
    const { positions, outcomes, problems } = await damageEverywhere(subject, { seed, stride })
    t.same(problems, [], subject.name)
    t.ok(
      positions > 100 && (outcomes.get('flip refused') ?? 0) > 10,
      `${subject.name}: ${JSON.stringify([...outcomes])}`,
    )
  })
