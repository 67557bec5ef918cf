/**
 * Every statement that real Cassandra 5.0.6 was asked (test/golden/cql/statements.jsonl): ours takes what it took, and refuses what its
 * parser refused. A line is `[text]` or `[text, message]`. And every word it treats in a way of its own (words.tsv).
 */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { RequestError } from '../../lib/base/errors.ts'
import { parseStatement } from '../../lib/cql/parser/parser.ts'

const GOLDEN = new URL('../../../test/golden/cql/', import.meta.url)

function lines(name: string): string[] {
  return readFileSync(new URL(name, GOLDEN), 'utf8').trimEnd().split('\n')
}

/** The message of the refusal, null if the text was taken. */
function refusal(text: string): string | null {
  try {
    parseStatement(text)
    return null
  } catch (error) {
    if (error instanceof RequestError && error.code === 'SYNTAX_ERROR') return error.message
    throw error
  }
}

t.test('statements are taken or refused as Cassandra does', (t) => {
  const wrong: unknown[] = []
  let refused = 0
  let toTheLetter = 0
  for (const line of lines('statements.jsonl')) {
    const [text, message] = JSON.parse(line) as [string, string?]
    const got = refusal(text)
    if ((got === null) !== (message === undefined)) wrong.push({ text, expected: message ?? 'taken', got })
    if (message === undefined) continue
    refused += 1
    if (got === message) toTheLetter += 1
  }
  t.same(wrong, [])
  // Which piece of the text is shown, and a few kinds of wrong, follow the look-ahead of another kind of parser.
  t.ok(toTheLetter >= refused * 0.95, `${toTheLetter} of ${refused} messages are the same`)
  t.end()
})

t.test('words name columns, functions and types as in Cassandra', (t) => {
  const [, ...rows] = lines('words.tsv')
  t.ok(rows.length > 150)
  const wrong: string[] = []
  for (const row of rows) {
    const [word, ...expected] = row.split('\t')
    const texts = [`SELECT ${word} FROM t`, `SELECT ${word}(a) FROM t`, `CREATE TYPE ks.${word} (a int)`]
    for (const each of [texts, texts.map((text) => text.replace(word!, word!.toUpperCase()))]) {
      const got = each.map((text) => (refusal(text) === null ? 'yes' : 'no'))
      if (got.join() !== expected.join()) wrong.push(`${row}: ${got}`)
    }
    // In quotes each of them is a name like any other.
    if (refusal(`SELECT "${word}", "${word}"(a) FROM "${word}"`) !== null) wrong.push(`${word} in quotes`)
  }
  t.same(wrong, [])
  t.end()
})
