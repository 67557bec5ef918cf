/** Texts of every type against what Apache Cassandra 5.0.6 made of them: bytes, or the message. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { RequestError } from '../../lib/base/errors.ts'
import { parseTypeClassName } from '../../lib/types/class-name.ts'
import { parseText } from '../../lib/types/literal.ts'
import { nativeType, typeToCql } from '../../lib/types/names.ts'
import type { CqlType } from '../../lib/types/type.ts'

const TUPLE: CqlType = { kind: 'tuple', elements: [nativeType('int')!] }
const VECTOR: CqlType = { kind: 'vector', element: nativeType('float')!, dimension: 3 }

/** One a line: type, text, and the bytes in hex or `!exception: message`. */
const golden = readFileSync(new URL('../../../test/golden/type-text.tsv', import.meta.url), 'utf8')

function answer(type: CqlType, text: string): string {
  try {
    return parseText(type, text, () => 0).toString('hex')
  } catch (error) {
    if (!(error instanceof RequestError)) throw error
    return `!${error.message.replace(/^java\.lang\.\w+: /, '')}`
  }
}

for (const line of golden.split('\n')) {
  if (line === '') continue
  const [name, text, expected] = line.split('\t') as [string, string, string]
  const type: CqlType = nativeType(name) ?? [TUPLE, VECTOR].find((other) => typeToCql(other) === name)!
  t.equal(answer(type, text), expected.replace(/^!\w+: /, '!'), `${name} '${text}'`)
}

/** Likewise of composite classes, by what was stored for the text. */
const composites = readFileSync(new URL('../../../test/golden/composite-text.tsv', import.meta.url), 'utf8')

for (const line of composites.split('\n')) {
  if (line === '') continue
  const [name, text, expected] = line.split('\t') as [string, string, string]
  t.equal(answer(parseTypeClassName(name), text), expected.replace(/^!java\.lang\.\w+: /, '!'), `${name} '${text}'`)
}

t.test('texts of composite classes that cannot be', (t) => {
  const composite = parseTypeClassName('CompositeType(Int32Type)')
  const dynamic = parseTypeClassName('DynamicCompositeType(s=>UTF8Type)')
  for (const text of ['1:2', '!', '_:1', 'x']) t.match(answer(composite, text), /^!/, text)
  for (const text of ['a', 'x@a', '@a', 's@a@b', 'NoSuch@a']) t.match(answer(dynamic, text), /^!/, text)
  t.match(answer(dynamic, `s@${'x'.repeat(70_000)}`), /too long/)
  t.end()
})
