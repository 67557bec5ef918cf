/** A partition that an administrator names by the text of its key. */
import type { TableSchema } from '../../schema/table.ts'
import { parseText } from '../../types/literal.ts'
import { encodePosition, serializePartitionKey } from '../../types/partition-key.ts'
import type { AdminNode } from './admin-node.ts'
import { type Parameters, usage } from './parameters.ts'

/** Its position: parameter `key` is the key as text (`1`, `a:b`), or in hexadecimal with `hex`. */
export function namedPosition(node: AdminNode, table: TableSchema, parameters: Parameters): Buffer {
  return encodePosition(partitionKey(node, table, parameters), new Int32Array(2))
}

function partitionKey(node: AdminNode, table: TableSchema, parameters: Parameters): Buffer {
  const text = parameters.required('key')
  if (parameters.flag('hex')) return Buffer.from(text, 'hex')
  const texts = table.partitionKey.length === 1 ? [text] : text.split(':')
  if (texts.length !== table.partitionKey.length)
    throw usage(`The partition key of ${table.keyspace}.${table.name} has ${table.partitionKey.length} columns`)
  const values = table.partitionKey.map(({ type }, i) =>
    parseText(type, texts[i]!, () => Math.floor(node.clock.wallMicros() / 1000)),
  )
  return serializePartitionKey(values)
}
