/** The CQL of key-value tables: what a program would send that works with them by a driver. */

export const KEYSPACE = 'kv'

/** Replicas by data centre. */
export type Replication = ReadonlyMap<string, number>

/** The write that is to be done: with what was seen, or only if that is all there is. */
export type Condition =
  | { readonly kind: 'none' }
  | { readonly kind: 'replaces'; readonly context: Buffer }
  /** Null: nothing may be there. */
  | { readonly kind: 'only if'; readonly context: Buffer | null }

export function createKeyspace(replication: Replication): string {
  const centres = Array.from(replication, ([name, factor]) => `, '${name.replaceAll("'", "''")}': ${factor}`).join('')
  return `CREATE KEYSPACE IF NOT EXISTS ${KEYSPACE} WITH replication = {'class': 'NetworkTopologyStrategy'${centres}}`
}

export function createTable(table: string): string {
  return (
    `CREATE TABLE IF NOT EXISTS ${KEYSPACE}."${table}" (key text PRIMARY KEY, content_type text, value blob, version uuid) ` +
    "WITH resolution = 'vclock' AND comment = 'Keys and values over HTTP; version names the PUT that wrote a value'"
  )
}

/** All that is told of a key: a row a sibling. */
export function selectKey(table: string): string {
  return `SELECT content_type, value, version, writetime(value), ttl(value), vclock(*) FROM ${KEYSPACE}."${table}" WHERE key = ?`
}

/** Which versions a key has. */
export function selectVersions(table: string): string {
  return `SELECT version, vclock(*) FROM ${KEYSPACE}."${table}" WHERE key = ?`
}

export function selectKeys(table: string): string {
  return `SELECT DISTINCT key FROM ${KEYSPACE}."${table}"`
}

export function writeText(table: string, { kind }: Condition): string {
  const insert = `INSERT INTO ${KEYSPACE}."${table}" (key, content_type, value, version) VALUES (?, ?, ?, ?)`
  switch (kind) {
    case 'none':
      return `${insert} USING TTL ?`
    case 'replaces':
      return `${insert} USING TTL ? AND VCLOCK ?`
    case 'only if':
      return `${insert} IF VCLOCK = ? USING TTL ?`
  }
}

export function deleteText(table: string, { kind }: Condition): string {
  const from = `FROM ${KEYSPACE}."${table}"`
  switch (kind) {
    case 'none':
      return `DELETE ${from} WHERE key = ?`
    case 'replaces':
      return `DELETE ${from} USING VCLOCK ? WHERE key = ?`
    case 'only if':
      return `DELETE ${from} WHERE key = ? IF VCLOCK = ?`
  }
}
