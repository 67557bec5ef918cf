/**
 * The tables that a difference hunt plays on: drawn from a seed, small in their values so that writes meet each other.
 * Source: the grammar of CQL as Apache Cassandra 5.0 takes it; nothing here knows what an answer should be.
 */
import type { Dice } from '../../support/random.ts'

/** A type as the generator sees it: its text, and texts of literals of it. */
export interface HuntType {
  readonly cql: string
  readonly kind: 'native' | 'list' | 'set' | 'map' | 'tuple' | 'udt' | 'vector' | 'counter'
  readonly frozen: boolean
  readonly parts: readonly HuntType[]
  /** Of user-defined types. */
  readonly fields: readonly string[]
  literal(dice: Dice): string
}

export interface HuntColumn {
  readonly name: string
  readonly type: HuntType
  readonly role: 'partition' | 'clustering' | 'static' | 'regular'
}

export interface HuntTable {
  readonly name: string
  readonly partition: readonly HuntColumn[]
  readonly clustering: readonly HuntColumn[]
  readonly statics: readonly HuntColumn[]
  readonly regular: readonly HuntColumn[]
  readonly isCounter: boolean
}

export interface HuntSchema {
  readonly statements: readonly string[]
  readonly tables: readonly HuntTable[]
}

const native = (cql: string, ...literals: string[]): HuntType => ({
  cql,
  kind: 'native',
  frozen: true,
  parts: [],
  fields: [],
  literal: (dice) => dice.pick(literals),
})

/** Each value in one spelling: how an equal one is spelled that was written before is Cassandra's own affair. */
const NATIVES: readonly HuntType[] = [
  native('int', '0', '1', '2', '3', '-1', '2147483647', '-2147483648'),
  native('bigint', '0', '1', '-1', '5', '9223372036854775807', '-9223372036854775808'),
  native('smallint', '0', '1', '-1', '32767', '-32768'),
  native('tinyint', '0', '1', '-1', '127', '-128'),
  native('varint', '0', '1', '-1', '255', '-256', '123456789012345678901234567890'),
  native('decimal', '0', '1.0', '-1.5', '100', '1E3', '0.000001'),
  native('double', '0.0', '-0.0', '1.5', '-1.5', 'NaN', 'Infinity', '1e300'),
  native('float', '0.0', '1.5', '-2.25', 'NaN', '-Infinity'),
  native('text', "''", "'a'", "'b'", "'ab'", "'Zz'", "'é'", "'日本'"),
  native('ascii', "''", "'a'", "'b'", "'~'"),
  native('blob', '0x', '0x00', '0x01', '0xff', '0x00ff'),
  native('boolean', 'true', 'false'),
  native('timestamp', "'1970-01-01T00:00:00Z'", "'2026-01-02T03:04:05.678Z'", '-1', '1700000000000'),
  native('date', "'1970-01-01'", "'2026-11-21'", "'1969-12-31'", '5'),
  native('time', "'00:00:00'", "'12:34:56.789'", "'23:59:59.999999999'", '1'),
  native(
    'uuid',
    '00000000-0000-0000-0000-000000000000',
    '5b6962dd-3f90-4c93-8f61-eabfa4a803e2',
    '00000000-0000-1000-8000-000000000001',
  ),
  native(
    'timeuuid',
    '00000000-0000-1000-8000-000000000001',
    '13814000-1dd2-11b2-8080-808080808080',
    'b5c3a100-e6a1-11f0-9c00-325096b39f47',
  ),
  native('inet', "'127.0.0.1'", "'::1'", "'10.0.0.255'", "'2001:db8::1'"),
]
const DURATION = native('duration', '1h', '2d3h', '-1mo', '0s')

/** Types that may be in a key. */
const KEY_TYPES = NATIVES

function collection(kind: 'list' | 'set', part: HuntType, frozen: boolean): HuntType {
  const [open, close] = kind === 'list' ? ['[', ']'] : ['{', '}']
  const bare = `${kind}<${part.cql}>`
  return {
    cql: frozen ? `frozen<${bare}>` : bare,
    kind,
    frozen,
    parts: [part],
    fields: [],
    literal: (dice) => {
      const parts = some(dice, 0, 4, () => part.literal(dice))
      return open + (kind === 'list' ? parts : distinct(parts)).join(', ') + close
    },
  }
}

/** Literals of different values: which of several equal keys wins is by chance in Cassandra. */
function distinct(literals: readonly string[]): string[] {
  return [...new Set(literals)]
}

function map(key: HuntType, value: HuntType, frozen: boolean): HuntType {
  const bare = `map<${key.cql}, ${value.cql}>`
  return {
    cql: frozen ? `frozen<${bare}>` : bare,
    kind: 'map',
    frozen,
    parts: [key, value],
    fields: [],
    literal: (dice) => {
      const keys = distinct(some(dice, 0, 4, () => key.literal(dice)))
      return `{${keys.map((each) => `${each}: ${value.literal(dice)}`).join(', ')}}`
    },
  }
}

function tuple(parts: readonly HuntType[]): HuntType {
  return {
    cql: `frozen<tuple<${parts.map((part) => part.cql).join(', ')}>>`,
    kind: 'tuple',
    frozen: true,
    parts,
    fields: [],
    literal: (dice) => `(${parts.map((part) => (dice.chance(0.1) ? 'null' : part.literal(dice))).join(', ')})`,
  }
}

function vector(dimension: number): HuntType {
  return {
    cql: `vector<float, ${dimension}>`,
    kind: 'vector',
    frozen: true,
    parts: [],
    fields: [],
    literal: (dice) => `[${Array.from({ length: dimension }, () => dice.pick(['0', '1', '0.5', '-2'])).join(', ')}]`,
  }
}

function userType(name: string, parts: readonly HuntType[], frozen: boolean): HuntType {
  const fields = parts.map((_, index) => `f${index}`)
  return {
    cql: frozen ? `frozen<${name}>` : name,
    kind: 'udt',
    frozen,
    parts,
    fields,
    literal: (dice) => {
      const given = parts.flatMap((part, index) =>
        dice.chance(0.2) ? [] : [`f${index}: ${dice.chance(0.1) ? 'null' : part.literal(dice)}`],
      )
      return `{${given.length > 0 ? given.join(', ') : `f0: ${parts[0]!.literal(dice)}`}}`
    },
  }
}

const COUNTER: HuntType = {
  cql: 'counter',
  kind: 'counter',
  frozen: true,
  parts: [],
  fields: [],
  literal: (dice) => dice.pick(['0', '1', '-3', '100']),
}

export function some<T>(dice: Dice, least: number, most: number, make: () => T): T[] {
  return Array.from({ length: least + dice.int(most - least + 1) }, make)
}

/** A type for a column that is not in a key. */
function valueType(dice: Dice, types: readonly HuntType[]): HuntType {
  const kind = dice.int(14)
  const part = (): HuntType => dice.pick(NATIVES)
  switch (kind) {
    case 0:
      return collection('list', part(), dice.chance(0.3))
    case 1:
      return collection('set', part(), dice.chance(0.3))
    case 2:
      return map(part(), part(), dice.chance(0.3))
    case 3:
      return tuple(some(dice, 1, 3, part))
    case 4:
      return dice.chance(0.5) && types.length > 0 ? dice.pick(types) : DURATION
    case 5:
      return types.length > 0 ? dice.pick(types) : vector(2)
    case 6:
      return dice.chance(0.5) ? vector(3) : collection('list', tuple([part(), part()]), false)
    default:
      return part()
  }
}

/** A type for a column of a key. */
function keyType(dice: Dice): HuntType {
  if (dice.chance(0.9)) return dice.pick(KEY_TYPES)
  return dice.chance(0.5)
    ? tuple([dice.pick(NATIVES), dice.pick(NATIVES)])
    : collection(dice.pick(['list', 'set'] as const), dice.pick(NATIVES), true)
}

export function drawSchema(dice: Dice, keyspace: string): HuntSchema {
  const statements = [
    `DROP KEYSPACE IF EXISTS ${keyspace}`,
    `CREATE KEYSPACE ${keyspace} WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`,
    `USE ${keyspace}`,
  ]
  const types: HuntType[] = []
  if (dice.chance(0.6)) {
    const parts = some(dice, 1, 3, () => dice.pick(NATIVES))
    statements.push(`CREATE TYPE u0 (${parts.map((part, index) => `f${index} ${part.cql}`).join(', ')})`)
    types.push(userType('u0', parts, true), userType('u0', parts, false))
  }
  const tables: HuntTable[] = []
  for (let i = 0; i < 2; i++) {
    const table = drawTable(dice, `t${i}`, types)
    tables.push(table)
    statements.push(createTable(dice, table))
  }
  return { statements, tables }
}

function withoutEmpty(type: HuntType): HuntType {
  const literal = (dice: Dice): string => {
    for (;;) {
      const text = type.literal(dice)
      if (text !== "''" && text !== '0x') return text
    }
  }
  return { ...type, literal }
}

function drawTable(dice: Dice, name: string, types: readonly HuntType[]): HuntTable {
  const isCounter = dice.chance(0.12)
  const named = (prefix: string, count: number, role: HuntColumn['role'], type: () => HuntType): HuntColumn[] =>
    Array.from({ length: count }, (_, index) => ({ name: `${prefix}${index}`, type: type(), role }))
  const value = (): HuntType => (isCounter ? COUNTER : valueType(dice, types))
  const clustering = named('c', dice.pick([0, 1, 1, 2, 2, 3]), 'clustering', () => keyType(dice))
  return {
    name,
    // Whether an empty key or an empty slice is seen first differs; empty keys are left to tests of their own.
    partition: named('p', dice.pick([1, 1, 2]), 'partition', () => withoutEmpty(keyType(dice))),
    clustering,
    statics: clustering.length > 0 && dice.chance(0.5) ? named('s', 1 + dice.int(2), 'static', value) : [],
    regular: named('v', 1 + dice.int(4), 'regular', value),
    isCounter,
  }
}

function createTable(dice: Dice, table: HuntTable): string {
  const columns = [...table.partition, ...table.clustering, ...table.statics, ...table.regular].map(
    ({ name, type, role }) => `${name} ${type.cql}${role === 'static' ? ' static' : ''}`,
  )
  const names = (list: readonly HuntColumn[]): string => list.map((column) => column.name).join(', ')
  const key = `((${names(table.partition)})${table.clustering.length > 0 ? `, ${names(table.clustering)}` : ''})`
  const order = table.clustering.map((column) => `${column.name} ${dice.pick(['ASC', 'DESC'])}`).join(', ')
  const options = order !== '' && dice.chance(0.6) ? ` WITH CLUSTERING ORDER BY (${order})` : ''
  return `CREATE TABLE ${table.name} (${columns.join(', ')}, PRIMARY KEY ${key})${options}`
}
