/** Roles and permissions. Where nobody has to log in, Cassandra refuses all these statements to the anonymous user; so do we. */
import { invalid, RequestError } from '../base/errors.ts'
import type { AuthStatement } from './ast.ts'
import type { StatementResult } from './result.ts'
import type { ClientState, CompiledStatement, Environment, QueryOptions } from './statement.ts'

const PASSWORDS = new Set(['password', 'hashed password'])

export class AuthPlan implements CompiledStatement {
  readonly variables = []
  readonly partitionKeyIndexes = []
  readonly resultMetadata = null
  readonly keyspace = null
  readonly table = null
  readonly #statement: AuthStatement

  constructor(statement: AuthStatement) {
    this.#statement = statement
  }

  execute(_environment: Environment, _options: QueryOptions, client: ClientState): StatementResult {
    const statement = this.#statement
    if (statement.kind === 'create_role' || statement.kind === 'alter_role') {
      const password = statement.options.find((option) => PASSWORDS.has(option.name.toLowerCase()))
      if (password)
        throw invalid(
          `org.apache.cassandra.auth.CassandraRoleManager doesn't support ${password.name.toUpperCase().replace(' ', '_')}`,
        )
    }
    if (client.user === null)
      throw new RequestError('UNAUTHORIZED', 'You have to be logged in and not anonymous to perform this request')
    throw invalid('Roles and permissions are not supported yet')
  }
}
