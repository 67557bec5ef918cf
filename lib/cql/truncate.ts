/** TRUNCATE: all rows of a table. Source: CQL 3.4.7 "TRUNCATE". */
import { invalid } from '../base/errors.ts'
import type { QualifiedName } from './ast.ts'
import { keyspaceOf, tableOf } from './prepare.ts'
import type { StatementResult } from './result.ts'
import type { CompiledStatement, Environment } from './statement.ts'

export class Truncate implements CompiledStatement {
  readonly variables = []
  readonly partitionKeyIndexes = []
  readonly resultMetadata = null
  readonly keyspace: string
  readonly table: string

  /** `keyspace` is the request's or the connection's. The table is looked up when the statement is executed. */
  constructor(name: QualifiedName, keyspace: string | null) {
    this.keyspace = keyspaceOf(name, keyspace)
    this.table = name.name
  }

  async execute(environment: Environment): Promise<StatementResult> {
    const table = tableOf({ keyspace: this.keyspace, name: this.table }, null, environment.schema.current)
    if (table.isVirtual) throw invalid(`Truncation is not supported by table ${table.keyspace}.${table.name}`)
    if (table.view !== null)
      throw invalid('Cannot TRUNCATE materialized view directly; must truncate base table instead')
    await environment.coordinator.truncate(table.id)
    return { kind: 'void' }
  }
}
