/** A schema that is changed in memory, and what statements need besides. */

import type { SchemaStatement } from '../../lib/cql/ast.ts'
import { compileSchemaStatement } from '../../lib/cql/ddl/schema-statements.ts'
import { parseStatement } from '../../lib/cql/parser/parser.ts'
import type { ClientState, Environment, QueryOptions, SchemaDoor } from '../../lib/cql/statement.ts'
import type { Schema } from '../../lib/schema/keyspace.ts'
import { createSystemSchema } from '../../lib/schema/system-tables.ts'
import { LOOSE_LIMITS, QUERY_OPTIONS } from './cql-options.ts'
import { conditionalDots } from './dots.ts'

export interface SchemaWorld {
  readonly environment: Environment
  readonly options: QueryOptions
  readonly client: { -readonly [Name in keyof ClientState]: ClientState[Name] }
  /** Payloads of the changes so far. */
  readonly payloads: readonly string[]
}

export function createSchemaWorld(datacenters: Readonly<Record<string, number>> = { dc1: 1 }): SchemaWorld {
  const payloads: string[] = []
  let current: Schema = createSystemSchema()
  let micros = 1_700_000_000_000_000
  const schema: SchemaDoor = {
    get current() {
      return current
    },
    async change(apply) {
      const outcome = apply(current)
      if (outcome.change) payloads.push(outcome.payload)
      current = outcome.schema
      return outcome.change
    },
  }
  const never = () => {
    throw new Error('not in this test')
  }
  const environment: Environment = {
    schema,
    coordinator: { write: never, read: never, cas: never, truncate: never },
    conditionalWrites: conditionalDots(),
    timestampMicros: () => (micros += 1000),
    wallMicros: () => micros,
    randomBytes: (target) => target.fill(7),
    limits: LOOSE_LIMITS,
    cluster: {
      clusterName: 'Test Cluster',
      datacenters: () => new Map(Object.entries(datacenters)),
      rangeOwnership: () => new Map([['0', ['/127.0.0.1:7000']]]),
    },
  }
  return {
    environment,
    payloads,
    client: { keyspace: null, user: null, remoteAddress: '127.0.0.1', remotePort: 1 },
    options: QUERY_OPTIONS,
  }
}

/** Makes the change that a statement of DDL asks for. */
export async function changed(world: SchemaWorld, cql: string): Promise<void> {
  const { statement } = parseStatement(cql)
  const plan = compileSchemaStatement(statement as SchemaStatement, null)
  await plan.execute(world.environment, world.options, world.client)
}
