/** Native functions against what Apache Cassandra 5.0.6 gave for the same arguments, or said of them. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { RequestError } from '../../lib/base/errors.ts'
import type { AggregateFunction, CqlFunction, FunctionArgument } from '../../lib/cql/functions/function.ts'
import { resolveFunction } from '../../lib/cql/functions/resolve.ts'
import { testTypeAssignment } from '../../lib/types/assignment.ts'
import { toCqlLiteral } from '../../lib/types/format.ts'
import { parseText } from '../../lib/types/literal.ts'
import { NATIVE, nativeType, typeToCql } from '../../lib/types/names.ts'
import type { CqlType } from '../../lib/types/type.ts'

const CONTEXT = {
  wallMicros: () => 1_709_210_096_789_123,
  randomBytes: (target: Buffer) => target.fill(7),
  protocolVersion: 5,
}
const SCOPE = { keyspace: 'ks', partitionKey: [NATIVE.int] }

function argument(type: CqlType, text: string): FunctionArgument {
  return { type, text, assignableTo: (to) => testTypeAssignment(to, type) }
}

function resolve(name: string, args: readonly FunctionArgument[]): CqlFunction | null {
  return resolveFunction({ keyspace: null, name }, args, null, SCOPE)
}

function answer(name: string, args: readonly string[]): string {
  const parsed = args.map((text): [CqlType, string] => {
    const blank = text.indexOf(' ')
    return [nativeType(text.slice(0, blank))!, text.slice(blank + 1)]
  })
  try {
    const found = resolve(
      name,
      parsed.map(([type, text]) => argument(type, text)),
    )
    if (found?.kind !== 'scalar') return String(found)
    const result = found.execute(
      parsed.map(([type, text]) => parseText(type, text, () => 0)),
      CONTEXT,
    )
    return `${typeToCql(found.returnType)} ${toCqlLiteral(found.returnType, result)}`
  } catch (error) {
    if (error instanceof RequestError) return `!${error.message}`
    throw error
  }
}

t.test('as the real server', (t) => {
  const golden = readFileSync(new URL('../../../test/golden/functions.tsv', import.meta.url), 'utf8')
  for (const line of golden.split('\n')) {
    if (line === '') continue
    const [name, ...rest] = line.split('\t') as [string, ...string[]]
    t.equal(answer(name, rest.slice(0, -1)), rest.at(-1), line)
  }
  t.end()
})

t.test('null in, null out; unknown names are nothing', (t) => {
  const abs = resolve('abs', [argument(NATIVE.int, 'i')])
  t.equal(abs?.kind === 'scalar' && abs.execute([null], CONTEXT), null)
  t.equal(abs?.kind === 'scalar' && abs.execute([Buffer.alloc(0)], CONTEXT), null)
  t.equal(resolve('nosuch', []), null)
  t.equal(resolveFunction({ keyspace: 'other', name: 'now' }, [], null, SCOPE), null)
  t.end()
})

t.test('signatures in messages', (t) => {
  t.throws(() => resolve('totimestamp', [argument(NATIVE.text, 'tx')]), {
    message:
      'Invalid call to function totimestamp, none of its type signatures match (known type signatures: system.totimestamp : (date) -> timestamp, system.totimestamp : (timeuuid) -> timestamp)',
  })
  t.throws(() => resolve('_negate', [argument(NATIVE.duration, 'd')]), {
    message: /^Invalid call to function system\._negate, .*signatures: system\."_negate" : \(tinyint\) -> tinyint, /,
  })
  t.end()
})

t.test('time comes from the context', (t) => {
  const now = resolve('now', [])
  const value = now?.kind === 'scalar' ? now.execute([], CONTEXT) : null
  t.equal(now?.isPure, false)
  t.equal(answerOf('to_unix_timestamp', NATIVE.timeuuid, value!), '1709210096789')
  t.end()
})

function answerOf(name: string, type: CqlType, value: Buffer): string {
  const found = resolve(name, [argument(type, 'x')])
  return found?.kind === 'scalar' ? toCqlLiteral(found.returnType, found.execute([value], CONTEXT)) : ''
}

function aggregate(name: string, type: CqlType, values: readonly (string | null)[]): string {
  const found = resolve(name, [argument(type, 'x')]) as AggregateFunction
  const state = found.create()
  for (const value of values) state.add([value === null ? null : parseText(type, value, () => 0)])
  return toCqlLiteral(found.returnType, state.result())
}

t.test('aggregates', (t) => {
  t.equal(aggregate('sum', NATIVE.int, ['10', '15', null, '-7']), '18')
  t.equal(aggregate('avg', NATIVE.int, ['2147483647', '1']), '1073741824')
  t.equal(aggregate('sum', NATIVE.int, ['2147483647', '1']), '-2147483648')
  t.equal(aggregate('avg', NATIVE.float, ['1.5', '2.5', '-0.5']), '1.1666666')
  t.equal(aggregate('sum', NATIVE.double, ['0.1', '0.2', '0.3']), '0.6')
  t.equal(aggregate('sum', NATIVE.double, ['NaN', '3']), 'NaN')
  t.equal(aggregate('sum', NATIVE.double, ['Infinity', '3']), 'Infinity')
  t.equal(aggregate('avg', NATIVE.decimal, ['1.10', '2.205', '-3']), '0.101')
  t.equal(aggregate('sum', NATIVE.decimal, []), '0')
  t.equal(aggregate('avg', NATIVE.float, []), '0.0')
  t.equal(aggregate('min', NATIVE.float, []), 'null')
  t.equal(aggregate('max', NATIVE.float, ['1', 'NaN', '2']), 'NaN')
  t.equal(aggregate('min', NATIVE.text, ['b', 'a', null]), "'a'")
  t.equal(aggregate('count', NATIVE.text, ['b', 'a', null]), '2')
  t.end()
})

t.test('collections and vectors', (t) => {
  const list: CqlType = { kind: 'list', element: NATIVE.int, frozen: false }
  const value = Buffer.from('0000000300000004000000030000000400000001000000040000000' + '2', 'hex')
  t.equal(answerOf('collection_count', list, value), '3')
  t.equal(answerOf('collection_max', list, value), '3')
  t.equal(answerOf('collection_sum', list, value), '6')
  t.equal(answerOf('collection_avg', list, value), '2')
  const map: CqlType = { kind: 'map', key: NATIVE.text, value: NATIVE.int, frozen: false }
  const entries = Buffer.from('00000001000000016100000004000000' + '01', 'hex')
  t.equal(answerOf('map_keys', map, entries), "{'a'}")
  t.equal(answerOf('map_values', map, entries), '[1]')
  t.throws(() => resolve('collection_sum', [argument({ ...list, element: NATIVE.text }, 's')]), {
    message:
      'Function system.collection_sum requires a numeric set/list argument, but found argument s of type list<text>',
  })
  const vector: CqlType = { kind: 'vector', element: NATIVE.float, dimension: 3 }
  const ones = Buffer.from('3f8000004000000040400000', 'hex')
  for (const [name, expected] of [
    ['similarity_cosine', '1.0'],
    ['similarity_euclidean', '1.0'],
    ['similarity_dot_product', '7.5'],
  ] as const) {
    const found = resolve(name, [argument(vector, 'v'), argument(vector, 'w')])
    t.equal(found?.kind === 'scalar' && toCqlLiteral(NATIVE.float, found.execute([ones, ones], CONTEXT)), expected)
  }
  t.end()
})
