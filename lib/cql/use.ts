/** USE: the keyspace of a connection. Source: CQL 3.4.7 "USE". */
import { invalid } from '../base/errors.ts'
import type { Schema } from '../schema/keyspace.ts'
import type { StatementResult } from './result.ts'
import type { ClientState, CompiledStatement, Environment, QueryOptions } from './statement.ts'

export function checkKeyspaceExists(schema: Schema, keyspace: string): void {
  if (!schema.keyspaces.has(keyspace)) throw invalid(`Keyspace '${keyspace}' does not exist`)
}

export class Use implements CompiledStatement {
  readonly variables = []
  readonly partitionKeyIndexes = []
  readonly resultMetadata = null
  readonly keyspace: string
  readonly table = null

  constructor(keyspace: string) {
    this.keyspace = keyspace
  }

  execute(environment: Environment, _options: QueryOptions, client: ClientState): StatementResult {
    checkKeyspaceExists(environment.schema.current, this.keyspace)
    client.keyspace = this.keyspace
    return { kind: 'set_keyspace', keyspace: this.keyspace }
  }
}
