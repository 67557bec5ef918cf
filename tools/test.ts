/**
 * Runs the built tests, two files at a time, each as a process of its own, and ends with one line that counts what they asserted: `N passed, N failed`.
 * Arguments name test files (paths under dist/test, or parts of them); none means all. A test is a file of test/ that imports tap; test/tidy.ts sees to it
 * that the others are programs with a command of their own (run.ts), or what tests and programs are made of. Of a file that fails everything is shown that it
 * printed. A file that asserts nothing fails. No loader stands between node and the tests: tap's own runner spends a fifth of the time on that.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../..')
const TESTS = join(ROOT, 'test')
const JOBS = 2
/** Until a test file gives up by itself, and says what it waited for. */
const FILE_SECONDS_MAX = 240
/** Until it is killed, when it does not. */
const KILL_AFTER_MS = (FILE_SECONDS_MAX + 30) * 1_000
/** Begun first, so that no processor is idle while the other runs one of them. */
const LONGEST = ['simulation/seeds.js', 'view/answers.js', 'server/']

interface Outcome {
  readonly passed: number
  readonly failed: number
  readonly output: string
}

/** Children that run. */
const running = new Set<ChildProcess>()

function testFiles(wanted: readonly string[]): string[] {
  const rank = (file: string): number => {
    const at = LONGEST.findIndex((long) => file.startsWith(long))
    return at < 0 ? LONGEST.length : at
  }
  return readdirSync(TESTS, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => /^import .*'tap'$/m.test(readFileSync(path, 'utf8')))
    .map((path) => relative(TESTS, path).replace(/\.ts$/, '.js'))
    .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part.replace(/^dist\/test\//, ''))))
    .sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1))
    .map((file) => join('dist/test', file))
}

async function runFile(file: string): Promise<Outcome> {
  const child = spawn(process.execPath, [file], {
    cwd: ROOT,
    env: { ...process.env, TAP_TIMEOUT: String(FILE_SECONDS_MAX) },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  running.add(child)
  const chunks: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
  const timer = setTimeout(() => child.kill('SIGKILL'), KILL_AFTER_MS)
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (...ended) => resolve(ended))
  })
  clearTimeout(timer)
  running.delete(child)
  const output = Buffer.concat(chunks).toString()
  const counts = /^# \{ total: (\d+)(.*) \}$/m.exec(output)
  const count = (name: string): number => Number(new RegExp(` ${name}: (\\d+)`).exec(counts?.[2] ?? '')?.[1] ?? 0)
  const passed = count('pass')
  const isWhole = code === 0 && counts !== null && Number(counts[1]) > 0
  const failed = isWhole ? count('fail') : Math.max(count('fail'), 1)
  const end = isWhole || count('fail') > 0 ? '' : `# ended with ${signal ?? `status ${code}`}\n`
  return { passed, failed, output: output + end }
}

async function runAll(files: readonly string[]): Promise<{ passed: number; failed: number }> {
  const sum = { passed: 0, failed: 0 }
  const waiting = files.values()
  let count = 0
  const worker = async (): Promise<void> => {
    for (const file of waiting) {
      const began = performance.now()
      const { passed, failed, output } = await runFile(file)
      const took = Math.round(performance.now() - began)
      process.stdout.write(`${failed === 0 ? 'ok' : 'not ok'} ${++count} - ${file} # time=${took}ms\n`)
      if (failed > 0) process.stdout.write(output)
      sum.passed += passed
      sum.failed += failed
    }
  }
  await Promise.all(Array.from({ length: JOBS }, worker))
  return sum
}

for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => {
    for (const child of running) child.kill('SIGKILL')
    process.exit(1)
  })
const files = testFiles(process.argv.slice(2))
const sum = await runAll(files)
process.stdout.write(`${sum.passed} passed, ${sum.failed} failed\n`)
process.exitCode = sum.failed === 0 && files.length > 0 ? 0 : 1
