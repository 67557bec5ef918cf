/**
 * Mutated statements: the parser answers each with a tree or a RequestError, and takes time linear in the text.
 * A number as argument says how many mutations (default 8 000); TEST_SEED replays.
 */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { RequestError } from '../../lib/base/errors.ts'
import { parseStatement, parseTerm, parseType } from '../../lib/cql/parser/parser.ts'
import { createDice, type Dice, testSeed } from '../support/random.ts'

const STATEMENTS = readFileSync(new URL('../../../test/golden/cql/statements.jsonl', import.meta.url), 'utf8')
  .trimEnd()
  .split('\n')
  .map((line) => (JSON.parse(line) as [string])[0])

const SNIPPETS = [
  ...['(', ')', '[', ']', '{', '}', '<', '>', ',', ';', ':', '?', '.', '..', '=', '!=', '+=', '-=', '+', '-', '*', '/'],
  ...["'", "''", '"', '""', '$$', '$', '--', '//', '/*', '*/', '\n', '\0', 'µ', '😀', '\ud800', '0x', '1e', '1.', '-1'],
  ...['expr(', 'P1Y', '-P', '12345678-', '12345678-1234-1234-1234-123456789abc', '1d2h', 'NaN', '-Infinity', 'null'],
  ...['SELECT', 'FROM', 'WHERE', 'IN', 'AND', 'IF', 'AS', 'JSON', 'DISTINCT', 'TOKEN', 'CAST', 'KEY', 'TTL', 'frozen<'],
  ...['__proto__', '9'.repeat(400), 'a'.repeat(400)],
]

function mutate(dice: Dice): string {
  let text = dice.pick(STATEMENTS)
  for (let i = dice.int(4) + 1; i > 0; i--) {
    const at = dice.int(text.length + 1)
    const to = Math.min(text.length, at + 1 + dice.int(12))
    switch (dice.int(5)) {
      case 0:
        text = text.slice(0, at) + text.slice(to)
        break
      case 1:
        text = text.slice(0, at) + dice.pick(SNIPPETS) + text.slice(at)
        break
      case 2:
        text = text.slice(0, at) + text.slice(at, to).repeat(1 + dice.int(40)) + text.slice(to)
        break
      case 3: {
        const other = dice.pick(STATEMENTS)
        text = text.slice(0, at) + other.slice(dice.int(other.length))
        break
      }
      default:
        text = text.slice(0, at) + String.fromCharCode(dice.int(dice.chance(0.9) ? 128 : 0x10000)) + text.slice(to)
    }
  }
  return text
}

t.test('mutated statements: a tree or a RequestError', (t) => {
  const runs = Number(process.argv[2] ?? 8_000)
  const first = testSeed()
  let refused = 0
  let slowestMs = 0
  for (let i = 0; i < runs; i++) {
    const text = mutate(createDice(first + i))
    const start = performance.now()
    for (const parse of [parseStatement, parseTerm, parseType])
      try {
        parse(text)
      } catch (error) {
        if (parse === parseStatement) refused += 1
        if (!(error instanceof RequestError) || error.code !== 'SYNTAX_ERROR')
          throw new Error(`TEST_SEED=${first + i}: ${JSON.stringify(text)}`, { cause: error })
      }
    slowestMs = Math.max(slowestMs, performance.now() - start)
  }
  t.ok(refused > runs / 4 && refused < runs, `${refused} of ${runs} refused`)
  t.comment(`slowest took ${slowestMs.toFixed(1)} ms`)
  t.end()
})

function each(size: number, text: (i: number) => string): string {
  return Array.from({ length: size }, (_, i) => text(i)).join('')
}

t.test('time is linear in the text', (t) => {
  const shapes: [string, (size: number) => string][] = [
    ['values', (size) => `INSERT INTO t (a) VALUES (${'1, '.repeat(size)}1)`],
    ['map', (size) => `INSERT INTO t (a) VALUES ({${"'k': 1, ".repeat(size)}'k': 1})`],
    ['sum', (size) => `SELECT ${'a + '.repeat(size)}a FROM t`],
    ['hinted columns', (size) => `SELECT ${'(int) a, '.repeat(size)}a FROM t`],
    ['assigned fields', (size) => `UPDATE t SET ${each(size, (i) => `a.b${i} = 1, `)}c = 1 WHERE k = 1`],
    ['properties', (size) => `CREATE TABLE t (k int) WITH ${each(size, (i) => `p${i} = {'a': 1} AND `)}c = 1`],
    ['user type', (size) => `INSERT INTO t (a) VALUES ({${each(size, (i) => `f${i}: 1, `)}g: 1})`],
    ['assigned elements', (size) => `UPDATE t SET ${'a[1] = 1, '.repeat(size)}c = 1 WHERE k = 1`],
    ['batch', (size) => `BEGIN BATCH ${'DELETE FROM t WHERE k = 1; '.repeat(size)} APPLY BATCH`],
    ['relations', (size) => `SELECT * FROM t WHERE ${'(k) = (1) AND '.repeat(size)} k = 1`],
    ['types', (size) => `CREATE TABLE t (${'a map<int, text>, '.repeat(size)}k int)`],
    ['bracket', (size) => `SELECT ${'(a)['.repeat(20)}${'1, '.repeat(size)}`],
    ['unclosed type', (size) => `SELECT ${'(a<'.repeat(20)}${'b<'.repeat(size)}`],
    ['comments', (size) => `${'/* */'.repeat(size)}SELECT`],
    ['dashes', (size) => `${'--\n'.repeat(size)}SELECT x`],
    ['quotes', (size) => `SELECT '${"''".repeat(size)}`],
    ['digits', (size) => `SELECT ${'9'.repeat(size)}`],
    ['hexadecimal digits', (size) => `SELECT 0x${'a'.repeat(size)}`],
    ['duration', (size) => `SELECT ${'1d'.repeat(size)}`],
    ['semicolons', (size) => `USE k${';'.repeat(size)}`],
    ['lines', (size) => `${'\n'.repeat(size)}SELECT x x`],
  ]
  const timeMs = (text: string): number => {
    let best = Number.POSITIVE_INFINITY
    for (let i = 0; i < 5; i++) {
      const before = process.cpuUsage()
      try {
        parseStatement(text)
      } catch (error) {
        if (!(error instanceof RequestError)) throw error
      }
      // Of this process alone: others may have the processor in between.
      const { user, system } = process.cpuUsage(before)
      best = Math.min(best, (user + system) / 1_000)
    }
    return best
  }
  for (const [name, shape] of shapes) {
    const small = timeMs(shape(2_000))
    const large = timeMs(shape(16_000))
    // Eight times the text: a quadratic parser takes 64 times as long. Below some 20 ms a busy machine decides.
    t.ok(large < 20 || large < small * 32, `${name}: ${small.toFixed(2)} ms, then ${large.toFixed(2)} ms`)
  }
  t.end()
})
