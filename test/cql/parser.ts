/**
 * Texts and their trees: test/golden/cql/tree-*.txt, each a text behind `> ` and what the parser makes of it.
 * `node dist/test/cql/parser.js --rewrite` writes them anew, for review.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { inspect } from 'node:util'
import t, { type Test } from 'tap'
import { RequestError } from '../../lib/base/errors.ts'
import { parseStatement, parseTerm, parseType } from '../../lib/cql/parser/parser.ts'

const GOLDEN = new URL('../../../test/golden/cql/', import.meta.url)
const REWRITE = process.argv.includes('--rewrite')

function parserOf(file: string): (text: string) => unknown {
  if (file === 'tree-types.txt') return parseType
  if (file === 'tree-terms.txt') return parseTerm
  return parseStatement
}

function tree(parse: (text: string) => unknown, text: string): string {
  try {
    return inspect(parse(text), { depth: null, breakLength: 120, compact: 4, maxArrayLength: null })
  } catch (error) {
    if (error instanceof RequestError) return `${error.code}: ${error.message}`
    throw error
  }
}

for (const file of readdirSync(GOLDEN).filter((name) => name.startsWith('tree-'))) {
  t.test(file, (t) => {
    const golden = readFileSync(new URL(file, GOLDEN), 'utf8')
    const texts = golden
      .split('\n')
      .filter((line) => line.startsWith('> '))
      .map((line) => line.slice(2))
    t.ok(texts.length > 0)
    const now = texts.map((text) => `> ${text}\n${tree(parserOf(file), text)}\n`).join('\n')
    if (REWRITE) writeFileSync(new URL(file, GOLDEN), now)
    else t.equal(now, golden)
    t.end()
  })
}

function refused(t: Test, text: string, message: string): void {
  t.throws(() => parseStatement(text), new RequestError('SYNTAX_ERROR', message))
}

t.test('names that JavaScript knows are names like any other', (t) => {
  const { statement } = parseStatement(
    `INSERT INTO constructor (proto, "__proto__", toString) VALUES ({"__proto__": 1, constructor: 2}, 1, 2)`,
  )
  t.match(statement, {
    table: { name: 'constructor' },
    columns: ['proto', '__proto__', 'tostring'],
    values: [{ fields: [['__proto__'], ['constructor']] }],
  })
  const create = parseStatement(`CREATE TABLE t (k int PRIMARY KEY) WITH "__proto__" = 1 AND "hasOwnProperty" = {}`)
  t.match(create.statement, { properties: [{ name: '__proto__' }, { name: 'hasOwnProperty' }] })
  refused(
    t,
    `CREATE TABLE t (k int PRIMARY KEY) WITH "__proto__" = 1 AND "__proto__" = 2`,
    "Multiple definitions for property '__proto__'",
  )
  t.end()
})

t.test('markers are numbered in the order of the text', (t) => {
  const { statement, markers } = parseStatement('UPDATE t USING TTL ? SET a = :a, b[?] = :"B" WHERE k IN :a IF c = ?')
  t.same(markers, [null, 'a', null, 'B', 'a', null])
  t.match(statement, { using: { timeToLive: { index: 0 } }, assignments: [{ value: { index: 1 } }, {}] })
  const many = (count: number) => `SELECT * FROM t WHERE k IN (${'?,'.repeat(count - 1)}?)`
  t.equal(parseStatement(many(65_535)).markers.length, 65_535)
  t.throws(
    () => parseStatement(many(65_536)),
    new RequestError('INVALID', 'Too many markers(?). 65536 markers exceed the allowed maximum of 65535'),
  )
  t.end()
})

t.test('nesting and length have limits', (t) => {
  const nested = (open: string, inner: string, close: string, depth: number) =>
    open.repeat(depth) + inner + close.repeat(depth)
  const shapes: [string, (depth: number) => string][] = [
    ['list', (depth) => `SELECT * FROM t WHERE k = ${nested('[', '1', ']', depth)}`],
    ['tuple', (depth) => `SELECT * FROM t WHERE k = ${nested('(', '1', ')', depth)}`],
    ['map', (depth) => `SELECT * FROM t WHERE k = ${nested('{1:', '1', '}', depth)}`],
    ['hint', (depth) => `SELECT * FROM t WHERE k = ${'(int)'.repeat(depth)}1`],
    ['call', (depth) => `SELECT * FROM t WHERE k = ${nested('f(', '1', ')', depth)}`],
    ['cast', (depth) => `SELECT * FROM t WHERE k = ${nested('cast(', '1', ' as int)', depth)}`],
    ['relation', (depth) => `SELECT * FROM t WHERE ${nested('(', 'k = 1', ')', depth)}`],
    ['selector', (depth) => `SELECT ${nested('(', 'a', ')', depth)} FROM t`],
    ['selected list', (depth) => `SELECT ${nested('[', 'a', ']', depth)} FROM t`],
    ['negation', (depth) => `SELECT ${'- '.repeat(depth)}a FROM t`],
    ['selected hint', (depth) => `SELECT ${'(int)'.repeat(depth)}a FROM t`],
    ['field', (depth) => `SELECT a${'.b'.repeat(depth)} FROM t`],
    ['element', (depth) => `SELECT a${'[1]'.repeat(depth)} FROM t`],
    ['type', (depth) => `CREATE TABLE t (k ${nested('list<', 'int', '>', depth)})`],
  ]
  for (const [name, text] of shapes) {
    for (const depth of [10, 100]) t.doesNotThrow(() => parseStatement(text(depth)), `${name} ${depth}`)
    for (const depth of [300, 1_000, 100_000])
      t.throws(
        () => parseStatement(text(depth)),
        { code: 'SYNTAX_ERROR', message: /nested|tokens/ },
        `${name} ${depth}`,
      )
  }
  t.doesNotThrow(() => parseStatement(`INSERT INTO t (a) VALUES (${nested('[', '1', ']', 120)})`))
  t.throws(() => parseStatement('a '.repeat(500_001)), { code: 'SYNTAX_ERROR', message: /more than 500000 tokens/ })
  t.end()
})

t.test('a fault of the lexer behind one of the parser stays unsaid', (t) => {
  refused(t, "SELECT a b FROM t WHERE k = 'x", "line 1:9 no viable alternative at input 'b' (SELECT [a] b...)")
  refused(t, 'SELECT a,\n  b FROM t\nWHERE @', "line 3:6 no viable alternative at character '@'")
  t.end()
})
