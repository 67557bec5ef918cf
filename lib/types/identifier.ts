/**
 * Names as they are written in CQL text. Source: the reserved words of CQL 3.4.7 (Cassandra 5.0).
 */

const RESERVED = new Set(
  (
    'add allow alter and apply asc authorize batch begin by columnfamily create delete desc describe drop ' +
    'entries execute from full grant if in index infinity insert into is keyspace limit materialized ' +
    'modify nan norecursive not null of on or order primary rename revoke schema select set table to ' +
    'token truncate unlogged update use using view where with'
  ).split(' '),
)

function isPlain(name: string): boolean {
  if (name.length === 0) return false
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i)
    const letter = code >= 0x61 && code <= 0x7a
    const tail = i > 0 && ((code >= 0x30 && code <= 0x39) || code === 0x5f)
    if (!letter && !tail) return false
  }
  return true
}

/** The name as CQL text would have to write it: in quotes unless it reads back as itself without them. */
export function quoteIdentifier(name: string): string {
  return isPlain(name) && !RESERVED.has(name) ? name : `"${name.replaceAll('"', '""')}"`
}
