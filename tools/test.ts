/**
 * Runs the built tests with tap, two files at a time, and ends with one line that counts them: `N passed, N failed`.
 * Arguments name test files (paths under dist/test, or parts of them); none means all. A test is a file of test/ that imports tap; test/tidy.ts sees to it
 * that the others are programs with a command of their own (run.ts), or what tests and programs are made of.
 */
import { spawn, spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../..')
const TESTS = join(ROOT, 'test')

const wanted = process.argv.slice(2)
const files = readdirSync(TESTS, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
  .map((entry) => join(entry.parentPath, entry.name))
  .filter((path) => /^import .*'tap'$/m.test(readFileSync(path, 'utf8')))
  .map((path) => relative(TESTS, path).replace(/\.ts$/, '.js'))
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part.replace(/^dist\/test\//, ''))))
  .sort()
  .map((file) => join('dist/test', file))

const runner = join(ROOT, 'node_modules/tap/dist/esm/run.mjs')
// The choice of plugins in .taprc holds only once tap has built itself with it, which an installation undoes.
const builtMs = modifiedMs('.tap/plugins/package.json')
if (builtMs < modifiedMs('.taprc') || builtMs < modifiedMs('node_modules/.package-lock.json')) {
  rmSync(join(ROOT, '.tap/plugins'), { recursive: true, force: true })
  spawnSync(process.execPath, [runner, 'build'], { cwd: ROOT, stdio: 'ignore' })
}
const tap = spawn(process.execPath, [runner, '--reporter=tap', '--jobs=2', ...files], {
  cwd: ROOT,
  stdio: ['ignore', 'pipe', 'inherit'],
})

let passed = 0
let failed = 0
let summary = false
const lines: string[] = []
for await (const line of createInterface({ input: tap.stdout })) {
  const top = /^(ok|not ok) \d+ - (.*?)(?: # time=.*)?(?: \{)?$/.exec(line)
  if (top) {
    process.stdout.write(`${line.replace(/ \{$/, '')}\n`)
    if (top[1] === 'not ok') process.stdout.write(`${lines.join('\n')}\n`)
    lines.length = 0
  } else {
    lines.push(line)
  }
  const counts = /^# \{ total: (\d+)(?:, pass: (\d+))?(?:, fail: (\d+))?/.exec(line)
  if (counts) {
    summary = true
    passed = Number(counts[2] ?? 0)
    failed = Number(counts[3] ?? 0)
  }
}
const status = await new Promise<number>((resolve) => {
  if (tap.exitCode !== null) resolve(tap.exitCode)
  else tap.once('close', (code) => resolve(code ?? 1))
})
if (!summary || (status !== 0 && failed === 0)) {
  process.stdout.write(`${lines.join('\n')}\n`)
  failed = Math.max(failed, 1)
}
process.stdout.write(`${passed} passed, ${failed} failed\n`)
process.exitCode = failed === 0 && status === 0 ? 0 : 1

function modifiedMs(path: string): number {
  return statSync(join(ROOT, path), { throwIfNoEntry: false })?.mtimeMs ?? 0
}
