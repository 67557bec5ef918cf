/** Random work on a table with indexes of every kind, and every query that they answer. */
import type { Dice } from './random.ts'

export const TABLE = 'k.t'

export const SCHEMA: readonly string[] = [
  "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
  `CREATE TABLE ${TABLE} (a int, b int, c int, d text, s int static, v int, w text, x bigint, st set<int>, l list<text>,
   m map<text, int>, f frozen<set<int>>, PRIMARY KEY ((a, b), c, d)) WITH CLUSTERING ORDER BY (c DESC, d ASC)`,
]

export const INDEXES: readonly string[] = [
  `CREATE INDEX i_v ON ${TABLE} (v)`,
  `CREATE INDEX i_b ON ${TABLE} (b)`,
  `CREATE INDEX i_c ON ${TABLE} (c)`,
  `CREATE INDEX i_d ON ${TABLE} (d)`,
  `CREATE INDEX i_s ON ${TABLE} (s)`,
  `CREATE INDEX i_st ON ${TABLE} (st)`,
  `CREATE INDEX i_l ON ${TABLE} (l)`,
  `CREATE INDEX i_mk ON ${TABLE} (keys(m))`,
  `CREATE INDEX i_mv ON ${TABLE} (values(m))`,
  `CREATE INDEX i_me ON ${TABLE} (entries(m))`,
  `CREATE INDEX i_f ON ${TABLE} (full(f))`,
  `CREATE INDEX i_x ON ${TABLE} (x) USING 'sai'`,
  `CREATE CUSTOM INDEX i_w ON ${TABLE} (w) USING 'sai' WITH OPTIONS = {'case_sensitive': 'false'}`,
]

const NUMBERS = [0, 1, 2, 3]
const TEXTS = ["'p'", "'q'", "''"]
const WORDS = ["'Alpha'", "'ALPHA'", "'beta'"]
const LONGS = ['-9000000000', '-1', '0', '5', '260', '261', '9000000000']

/** What can be asked of the indexes. */
export function queries(dice: Dice): string[] {
  const where = [
    ...NUMBERS.flatMap((n) => [`v = ${n}`, `b = ${n}`, `c = ${n}`, `s = ${n}`, `st CONTAINS ${n}`, `m CONTAINS ${n}`]),
    ...TEXTS.flatMap((text) => [`d = ${text}`, `l CONTAINS ${text}`, `m CONTAINS KEY ${text}`, `m[${text}] = 1`]),
    ...LONGS.flatMap((n) => [`x = ${n}`, `x > ${n}`, `x <= ${n}`, `x >= -1 AND x < ${n}`]),
    "w = 'alpha'",
    "w = 'BETA' AND x > 0",
    'f = {1}',
    'f = {1, 2}',
    `a = 1 AND b = ${dice.pick(NUMBERS)} AND v = ${dice.pick(NUMBERS)}`,
    `a = 1 AND b = 1 AND c >= 1 AND v = ${dice.pick(NUMBERS)}`,
    `v = 1 AND st CONTAINS 1 AND x > 0`,
    `token(a, b) > 0 AND v = ${dice.pick(NUMBERS)}`,
    `s = 1 AND c = ${dice.pick(NUMBERS)}`,
  ]
  return where.map((condition) => `SELECT * FROM ${TABLE} WHERE ${condition} ALLOW FILTERING`)
}

/** One write, with times that collide. */
export function randomStatement(dice: Dice): string {
  const using = [`TIMESTAMP ${dice.int(12)}`, ...(dice.chance(0.3) ? [`TTL ${1 + dice.int(200)}`] : [])].join(' AND ')
  const partition = `a = ${dice.int(2)} AND b = ${dice.int(3)}`
  const key = `${partition} AND c = ${dice.int(3)} AND d = ${dice.pick(TEXTS)}`
  switch (dice.int(12)) {
    case 0:
      return `DELETE FROM ${TABLE} USING TIMESTAMP ${dice.int(12)} WHERE ${key}`
    case 1:
      return `DELETE ${dice.pick(['v', 'st', 'm', 'l', 'w', 'x', 'f', "m['p']", 'st[1]'])} FROM ${TABLE} USING TIMESTAMP ${dice.int(12)} WHERE ${key}`
    case 2:
      return dice.chance(0.3)
        ? `DELETE FROM ${TABLE} USING TIMESTAMP ${dice.int(12)} WHERE ${partition}`
        : `DELETE FROM ${TABLE} USING TIMESTAMP ${dice.int(12)} WHERE ${partition} AND c > ${dice.int(3)}`
    case 3:
      return `UPDATE ${TABLE} USING ${using} SET s = ${dice.chance(0.2) ? 'null' : dice.int(4)} WHERE ${partition}`
    case 4:
      return `UPDATE ${TABLE} USING ${using} SET st = st ${dice.pick(['+', '-'])} {${dice.int(4)}, ${dice.int(4)}} WHERE ${key}`
    case 5:
      return `UPDATE ${TABLE} USING ${using} SET m[${dice.pick(TEXTS)}] = ${dice.chance(0.2) ? 'null' : dice.int(4)} WHERE ${key}`
    case 6:
      return `UPDATE ${TABLE} USING ${using} SET l = ${dice.chance(0.5) ? `l + [${dice.pick(TEXTS)}]` : `[${dice.pick(TEXTS)}]`} WHERE ${key}`
    case 7:
      return `UPDATE ${TABLE} USING ${using} SET v = ${dice.chance(0.2) ? 'null' : dice.int(4)}, x = ${dice.pick(LONGS)} WHERE ${key}`
    case 8:
      return `BEGIN BATCH UPDATE ${TABLE} SET w = ${dice.pick(WORDS)} WHERE ${key}; UPDATE ${TABLE} SET v = ${dice.int(4)} WHERE ${key}; APPLY BATCH`
    default: {
      const [a, b, c, d] = [dice.int(2), dice.int(3), dice.int(3), dice.pick(TEXTS)]
      const values = [
        a,
        b,
        c,
        d,
        dice.int(4),
        dice.pick(WORDS),
        dice.pick(LONGS),
        `{${dice.int(4)}}`,
        `{1, ${dice.int(4)}}`,
      ]
      return `INSERT INTO ${TABLE} (a, b, c, d, v, w, x, st, f) VALUES (${values.join(', ')}) USING ${using}`
    }
  }
}
