/**
 * A row's bytes: the one encoding that travels between nodes, lies in commit log, memtable and SSTable. Source: Cassandra ≥ 3 rows (liveness,
 * deletion, cells; complex cells with paths). See docs/formats.md.
 *
 * row  := flags u8 | [timestamp 8 | if TTL: ttl u32, expiresAt u32] | [deletion: timestamp 8, localDeletionTime u32] | cell*
 *         row flags: 1 has liveness, 2 liveness has TTL, 4 has deletion
 * cell := columnId varuint | flags u8 | [timestamp 8] | [localDeletionTime u32] | [ttl u32] | [path: varuint length, bytes]
 *         | [value: varuint length, bytes]
 *         cell flags: 1 tombstone (no value; has localDeletionTime), 2 expiring (has localDeletionTime = expiry second, and ttl),
 *         4 has path, 8 timestamp is that of the row's liveness (absent here), 16 complex deletion (no value, no path; has localDeletionTime:
 *         covers this column's cells with timestamp <= its own), 32 expiry and ttl are those of the row's liveness (absent here)
 * Cells are sorted by column id; within a complex column its complex deletion first, then its cells by path (unsigned bytes).
 * Timestamps are µs, signed 64-bit; times are seconds since 1970, unsigned 32-bit. A row ends where its bytes end.
 */

export const RowFlag = { LIVENESS: 1, LIVENESS_TTL: 2, DELETION: 4 } as const

export const CellFlag = {
  TOMBSTONE: 1,
  EXPIRING: 2,
  PATH: 4,
  ROW_TIMESTAMP: 8,
  COMPLEX_DELETION: 16,
  ROW_TTL: 32,
} as const

/** No expiry: greater than every second that can come. */
export const NEVER = 0xffffffff
