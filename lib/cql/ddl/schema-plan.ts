/**
 * A DDL statement ready to be executed: one pure change that goes through the schema's door.
 */

import { invalid, RequestError } from '../../base/errors.ts'
import { stampTail, timeuuidOf, uuidText } from '../../base/uuid.ts'
import type { Outcome } from '../../schema/changes.ts'
import type { Schema } from '../../schema/keyspace.ts'
import type { Datacenters } from '../../schema/replication.ts'
import type { StatementResult } from '../result.ts'
import type { CompiledStatement, Environment } from '../statement.ts'

/** What a change may use besides the schema. What it takes from here is the same however often the change is tried. */
export interface ChangeContext {
  readonly datacenters: Datacenters
  /** Shown to the client with the answer. */
  readonly warnings: string[]
  /** µs; each later than the one before. */
  nextTimestampMicros(): bigint
  /** The id of a new table. */
  newTableId(): string
}

export type Change = (schema: Schema, context: ChangeContext, environment: Environment) => Outcome

/** Nodes by data centre where nobody says otherwise. */
const ALONE: Datacenters = new Map([['datacenter1', 1]])

export class SchemaPlan implements CompiledStatement {
  readonly variables = []
  readonly partitionKeyIndexes = []
  readonly resultMetadata = null
  readonly keyspace: string | null
  readonly table: string | null
  readonly #change: Change

  constructor(keyspace: string, table: string | null, change: Change) {
    this.keyspace = keyspace
    this.table = table
    this.#change = change
  }

  async execute(environment: Environment): Promise<StatementResult> {
    const datacenters = environment.cluster?.datacenters() ?? ALONE
    const start = BigInt(environment.timestampMicros())
    const id = timeUuid(start, environment)
    let warnings: string[] = []
    const change = await environment.schema.change((schema) => {
      let next = start
      warnings = []
      const context: ChangeContext = {
        datacenters,
        warnings,
        nextTimestampMicros: () => next++,
        newTableId: () => id,
      }
      return withWarnings(warnings, () => this.#change(schema, context, environment))
    })
    const result: StatementResult = change ? { kind: 'schema_change', change } : { kind: 'void' }
    return warnings.length === 0 ? result : { ...result, warnings }
  }
}

/** What was warned of goes with the refusal too. */
function withWarnings(warnings: readonly string[], change: () => Outcome): Outcome {
  try {
    return change()
  } catch (error) {
    if (error instanceof RequestError && warnings.length > 0) error.warnings = [...warnings]
    throw error
  }
}

/** A UUID of version 1 with that time, and chance for clock sequence and node. */
function timeUuid(micros: bigint, environment: Environment): string {
  return uuidText(timeuuidOf(micros * 10n, stampTail(environment.randomBytes(Buffer.alloc(8)))))
}

/** The keyspace of a name, or the connection's. */
export function keyspaceName(named: string | null, current: string | null): string {
  const keyspace = named ?? current
  if (keyspace === null)
    throw invalid('No keyspace has been specified. USE a keyspace, or explicitly specify keyspace.tablename')
  return keyspace
}
