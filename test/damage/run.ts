/**
 * `npm run damage`: every byte of a commit log of 64 KiB, of an SSTable and of a manifest is flipped, zeroed, cut off, and zeroed to the file's end.
 *
 *     npm run damage -- [--seed N] [--stride 1]
 */
import { readOptions, seedOr } from '../../tools/support/options.ts'
import {
  commitLogSubject,
  damageEverywhere,
  KINDS,
  manifestSubject,
  type Subject,
  tableSubject,
} from '../support/damage.ts'

const flags = readOptions(
  'npm run damage',
  'every byte of a commit log, an SSTable and a manifest is flipped, zeroed and cut off',
  {
    seed: { type: 'number', describe: 'Replays a run' },
    stride: { type: 'number', default: 1, describe: 'Every so many bytes' },
  },
)
const seed = seedOr(flags.seed)
const stride = flags.stride
const print = (line: string): void => {
  process.stdout.write(`${line}\n`)
}

let passed = 0
let failed = 0

async function prove(subject: Subject): Promise<void> {
  const began = performance.now()
  const bytes = [...subject.files.values()].reduce((sum, content) => sum + content.length, 0)
  print(`${subject.name}: ${subject.files.size} files, ${bytes} bytes`)
  const { positions, outcomes, problems } = await damageEverywhere(subject, {
    seed,
    stride,
    report: (done, total) => print(`  … ${done} of ${total} positions`),
  })
  for (const kind of KINDS) {
    const counted = [...outcomes].filter(([name]) => name.startsWith(`${kind} `))
    print(`  ${kind.padEnd(4)} ${counted.map(([name, count]) => `${count} ${name.slice(kind.length + 1)}`).join(', ')}`)
  }
  for (const problem of problems.slice(0, 10)) print(`  ${problem}`)
  const seconds = ((performance.now() - began) / 1000).toFixed(0)
  print(`  ${positions} positions × ${KINDS.length} kinds, ${problems.length} wrong (${seconds} s)`)
  passed += positions * KINDS.length - problems.length
  failed += problems.length
}

print(`seed ${seed}`)
await prove(await manifestSubject(seed, 20))
await prove(await tableSubject(seed, 150))
for (const marked of [true, false]) await prove(await commitLogSubject(seed, { marked, segmentBytes: 16 * 1024 }))
print(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
