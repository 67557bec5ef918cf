/**
 * Statements that change data, one script after another, against what Apache Cassandra 5.0.6 answered: errors to the letter, bind variables and
 * the key among them. Without storage, so rows that were read before (lists by index, conditions) are not judged here.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { RequestError } from '../../lib/base/errors.ts'
import { typeToCql } from '../../lib/types/names.ts'
import type { CqlType } from '../../lib/types/type.ts'
import { createNode, type TestNode } from '../support/recording-node.ts'

/** `error`: its message, null for any syntax error. */
interface Golden {
  readonly cql: string
  readonly error?: string | null
  readonly bind?: readonly string[]
  readonly key?: readonly number[]
  readonly rows?: boolean
}

const FOLDER = join(import.meta.dirname, '../../../test/golden/modify')

/** Depends on data that only storage has. */
const READS = /^(?:Attempted to|List index)/

async function answerOf(node: TestNode, golden: Golden): Promise<string> {
  try {
    if (golden.bind === undefined) {
      const { kind } = await node.run(golden.cql)
      return kind === 'rows' ? 'rows' : 'done'
    }
    const { statement } = node.processor.prepare(golden.cql, null, node.client)
    const bind = statement.variables.map(({ name, type }) => `${name} ${shown(type)}`)
    return `bind ${bind.join(', ')} key ${statement.partitionKeyIndexes.join(',')}`
  } catch (error) {
    if (error instanceof RequestError) return error.code === 'SYNTAX_ERROR' ? 'syntax error' : error.message
    throw error
  }
}

/** As the protocol tells it: without frozen. */
function shown(type: CqlType): string {
  return typeToCql(type).replaceAll(/frozen<((?:[^<>]|<[^<>]*>)*)>/g, '$1')
}

function expectation(golden: Golden): string {
  if (golden.error !== undefined) return golden.error ?? 'syntax error'
  if (golden.bind !== undefined) return `bind ${golden.bind.join(', ')} key ${(golden.key ?? []).join(',')}`
  return golden.rows === true ? 'rows' : 'done'
}

for (const file of readdirSync(FOLDER).sort()) {
  t.test(file, async (t) => {
    const node = createNode()
    const scripts = JSON.parse(readFileSync(join(FOLDER, file), 'utf8')) as Golden[]
    for (const golden of scripts) {
      const answer = await answerOf(node, golden)
      const expected = expectation(golden)
      if (READS.test(answer) || READS.test(expected)) continue
      t.equal(answer, expected, golden.cql)
    }
  })
}
