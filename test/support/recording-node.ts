/** A processor over a schema that DDL changes and a coordinator that only records: what statements write, without storage. */

import { RequestError } from '../../lib/base/errors.ts'
import { QueryProcessor } from '../../lib/cql/processor.ts'
import type { StatementResult } from '../../lib/cql/result.ts'
import type { BoundValue, ClientState, Environment, QueryOptions, WriteKind } from '../../lib/cql/statement.ts'
import type { Schema } from '../../lib/schema/keyspace.ts'
import { createSystemSchema } from '../../lib/schema/system-tables.ts'
import { MutationReader } from '../../storage/model/mutation.ts'
import { QUERY_OPTIONS, USUAL_LIMITS } from './cql-options.ts'
import { conditionalDots } from './dots.ts'

export interface Write {
  readonly mutations: readonly Buffer[]
  readonly kind: WriteKind
}

export const NOW_MICROS = 1_700_000_000_000_000

export function createNode(): TestNode {
  return new TestNode()
}

export class TestNode {
  readonly writes: Write[] = []
  readonly client: ClientState = { keyspace: null, user: null, remoteAddress: '127.0.0.1', remotePort: 1 }
  readonly processor: QueryProcessor
  readonly environment: Environment
  #schema: Schema = createSystemSchema()
  #clock = NOW_MICROS

  constructor() {
    const node = this
    this.environment = {
      schema: {
        get current() {
          return node.#schema
        },
        async change(apply) {
          const outcome = apply(node.#schema)
          node.#schema = outcome.schema
          return outcome.change
        },
      },
      coordinator: {
        write: (mutations, kind) => {
          node.writes.push({ mutations: mutations.map((mutation) => Buffer.from(mutation)), kind })
          return undefined
        },
        read: () => ({ partitions: [], more: false, tombstones: 0 }),
        cas: async (request) => {
          const nothing = { partitions: [], more: false, tombstones: 0 }
          const mutations = await request.decide(nothing, { timestamp: null, read: () => nothing })
          if (mutations === null) return false
          node.writes.push({ mutations: mutations.map((mutation) => Buffer.from(mutation)), kind: 'CAS' })
          return true
        },
        truncate: async () => {},
      },
      conditionalWrites: conditionalDots(),
      timestampMicros: () => ++this.#clock,
      wallMicros: () => NOW_MICROS,
      randomBytes: (target) => target.fill(7),
      limits: { ...USUAL_LIMITS, pageBytesMax: 1 << 20, unpagedBytesMax: 1 << 30 },
    }
    this.processor = new QueryProcessor(this.environment)
  }

  async run(
    text: string,
    values: readonly BoundValue[] = [],
    more: Partial<QueryOptions> = {},
  ): Promise<StatementResult> {
    return await this.processor.query(text, { ...OPTIONS, values, ...more }, null, this.client, null)
  }

  /** The message of the error that the statement is answered with. */
  async error(text: string, values: readonly BoundValue[] = [], more: Partial<QueryOptions> = {}): Promise<string> {
    try {
      await this.run(text, values, more)
    } catch (error) {
      if (error instanceof RequestError) return error.message
      throw error
    }
    return 'no error'
  }

  /** The last write, entry by entry: kind, clustering or range, bytes of row or deletion, in hex. */
  written(): string[] {
    const lines: string[] = []
    const reader = new MutationReader()
    for (const mutation of this.writes.at(-1)?.mutations ?? []) {
      reader.reset(mutation)
      lines.push(`partition ${mutation.toString('hex', 26, reader.positionEnd)}`)
      while (reader.next())
        lines.push(
          `${reader.kind} ${mutation.toString('hex', reader.boundStart, reader.boundEnd)} ${mutation.toString('hex', reader.valueStart, reader.valueEnd)}`,
        )
    }
    return lines
  }
}

export const OPTIONS: QueryOptions = { ...QUERY_OPTIONS, timestamp: { high: 0, low: 5 } }

export function int(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}
