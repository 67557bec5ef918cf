/** SELECT statements of every shape over a hunt's table. */
import type { Dice } from '../../support/random.ts'
import { type HuntColumn, type HuntTable, some } from './schema.ts'
import { drawSlice } from './writes.ts'

export interface SelectRules {
  /** Whether write times may be asked for: they are the hunt's own, not the server's. */
  readonly writeTimes: boolean
  /** Columns have indexes: filters are tried without ALLOW FILTERING too. */
  readonly indexes: boolean
}

const NUMBERS = new Set(['int', 'bigint', 'smallint', 'tinyint', 'varint', 'decimal', 'double', 'float'])

const CASTS = ['text', 'double', 'bigint', 'varint']

export function drawSelect(dice: Dice, table: HuntTable, rules: SelectRules): string {
  const all = [...table.partition, ...table.clustering, ...table.statics, ...table.regular]
  const { text: where, filtering, wholePartition } = drawWhere(dice, table, all, rules.indexes)
  const group = drawGroupBy(dice, table)
  const distinct = group === '' && where === '' && dice.chance(0.08)
  const clause = distinct ? `DISTINCT ${distinctColumns(dice, table)}` : drawSelection(dice, all, rules, group !== '')
  const order =
    wholePartition && table.clustering.length > 0 && dice.chance(0.3)
      ? ` ORDER BY ${table.clustering[0]!.name} ${dice.pick(['ASC', 'DESC'])}`
      : ''
  const perPartition = !distinct && dice.chance(0.1) ? ` PER PARTITION LIMIT ${1 + dice.int(3)}` : ''
  const limit = dice.chance(0.2) ? ` LIMIT ${1 + dice.int(5)}` : ''
  const allow = filtering || dice.chance(0.05) ? ' ALLOW FILTERING' : ''
  // Cassandra sorts rows of JSON by the wrong column.
  const json = dice.chance(0.06) && !distinct && order === '' ? 'JSON ' : ''
  return `SELECT ${json}${clause} FROM ${table.name}${where}${group}${order}${perPartition}${limit}${allow}`
}

function distinctColumns(dice: Dice, table: HuntTable): string {
  const names = table.partition.map((column) => column.name)
  if (table.statics.length > 0 && dice.chance(0.5)) names.push(dice.pick(table.statics).name)
  return names.join(', ')
}

function drawGroupBy(dice: Dice, table: HuntTable): string {
  if (!dice.chance(0.08)) return ''
  const keys = [...table.partition, ...table.clustering]
  const count = table.partition.length + dice.int(table.clustering.length + 1)
  return ` GROUP BY ${keys
    .slice(0, count)
    .map((column) => column.name)
    .join(', ')}`
}

function drawSelection(dice: Dice, all: readonly HuntColumn[], rules: SelectRules, grouped: boolean): string {
  if (!grouped && dice.chance(0.45)) return '*'
  if (dice.chance(grouped ? 0.7 : 0.12)) return some(dice, 1, 3, () => drawAggregate(dice, dice.pick(all))).join(', ')
  return some(dice, 1, 4, () => drawSelector(dice, dice.pick(all), rules)).join(', ')
}

function drawAggregate(dice: Dice, column: HuntColumn): string {
  const names = NUMBERS.has(column.type.cql) ? ['count', 'min', 'max', 'sum', 'avg'] : ['count', 'min', 'max']
  return dice.chance(0.2) ? 'count(*)' : `${dice.pick(names)}(${column.name})`
}

function drawSelector(dice: Dice, column: HuntColumn, rules: SelectRules): string {
  const { name, type, role } = column
  const inKey = role === 'partition' || role === 'clustering'
  switch (dice.int(9)) {
    case 0:
      return `${name} AS x${dice.int(3)}`
    case 1:
      if (!inKey && rules.writeTimes && type.kind !== 'counter')
        return `${dice.pick(['writetime', 'maxwritetime'])}(${name})`
      return name
    case 2:
      if (type.kind === 'map') return `${name}[${type.parts[0]!.literal(dice)}]`
      if (type.kind === 'set') return `${name}[${type.parts[0]!.literal(dice)}]`
      if (type.kind === 'udt') return `${name}.${dice.pick(type.fields)}`
      return name
    case 3:
      if (type.kind === 'map' || type.kind === 'set')
        return `${name}[${type.parts[0]!.literal(dice)}..${dice.chance(0.5) ? type.parts[0]!.literal(dice) : ''}]`
      return name
    case 4:
      return `toJson(${name})`
    case 5:
      // Cassandra refuses to cast a descending column to its own type, others not.
      return NUMBERS.has(type.cql) ? `CAST(${name} AS ${dice.pick(CASTS.filter((to) => to !== type.cql))})` : name
    case 6:
      return NUMBERS.has(type.cql)
        ? `${name} ${dice.pick(['+', '-', '*'])} ${dice.int(4)}`
        : type.cql === 'text'
          ? name
          : `CAST(${name} AS text)`
    case 7:
      if (type.kind === 'map') return `${dice.pick(['map_keys', 'map_values', 'collection_count'])}(${name})`
      if ((type.kind === 'set' || type.kind === 'list') && role !== 'clustering')
        return `${dice.pick(['collection_count', 'collection_min', 'collection_max'])}(${name})`
      return NUMBERS.has(type.cql) ? `${dice.pick(['abs', 'round'])}(${name})` : name
    default:
      return name
  }
}

interface Where {
  readonly text: string
  readonly filtering: boolean
  /** One partition, or several by IN: ORDER BY is worth a try. */
  readonly wholePartition: boolean
}

function drawWhere(dice: Dice, table: HuntTable, all: readonly HuntColumn[], indexes: boolean): Where {
  const { partition, clustering } = table
  const kind = dice.int(10)
  if (kind < 2) return { text: '', filtering: false, wholePartition: false }
  if (kind === 2) {
    const names = partition.map((column) => column.name).join(', ')
    const bound = partition.map((column) => column.type.literal(dice)).join(', ')
    const text = ` WHERE token(${names}) ${dice.pick(['>', '>=', '<', '<='])} token(${bound})`
    return { text, filtering: false, wholePartition: false }
  }
  if (kind < 5) {
    const terms = some(dice, 1, 2, () => drawFilter(dice, dice.pick(all)))
    return {
      text: ` WHERE ${terms.join(' AND ')}`,
      filtering: dice.chance(indexes ? 0.4 : 0.95),
      wholePartition: false,
    }
  }
  const keys = partition.map((column) =>
    dice.chance(0.15)
      ? `${column.name} IN (${some(dice, 1, 4, () => column.type.literal(dice)).join(', ')})`
      : `${column.name} = ${column.type.literal(dice)}`,
  )
  const text = ` WHERE ${keys.join(' AND ')}`
  if (clustering.length === 0 || dice.chance(0.3)) return { text, filtering: dice.chance(0.1), wholePartition: true }
  if (dice.chance(0.5)) return { text: text + drawSlice(dice, clustering), filtering: false, wholePartition: true }
  const upTo = 1 + dice.int(clustering.length)
  const restricted = clustering.slice(0, upTo).map((column, index) => {
    if (index === upTo - 1 && dice.chance(0.3))
      return `${column.name} IN (${some(dice, 1, 3, () => column.type.literal(dice)).join(', ')})`
    return `${column.name} = ${column.type.literal(dice)}`
  })
  const extra = dice.chance(0.15) ? ` AND ${drawFilter(dice, dice.pick(table.regular))}` : ''
  return {
    text: `${text} AND ${restricted.join(' AND ')}${extra}`,
    filtering: extra !== '' && !(indexes && dice.chance(0.6)),
    wholePartition: true,
  }
}

function drawFilter(dice: Dice, column: HuntColumn): string {
  const { name, type, role } = column
  // In a descending column Cassandra does not see the collection.
  const kind = role === 'clustering' ? 'native' : type.kind
  switch (kind) {
    case 'map':
      if (dice.chance(0.3)) return `${name} CONTAINS KEY ${type.parts[0]!.literal(dice)}`
      if (dice.chance(0.5)) return `${name} CONTAINS ${type.parts[1]!.literal(dice)}`
      return `${name}[${type.parts[0]!.literal(dice)}] = ${type.parts[1]!.literal(dice)}`
    case 'list':
    case 'set':
      if (dice.chance(0.7)) return `${name} CONTAINS ${type.parts[0]!.literal(dice)}`
      return `${name} = ${type.literal(dice)}`
    default:
      if (dice.chance(0.15)) return `${name} IN (${some(dice, 1, 3, () => type.literal(dice)).join(', ')})`
      return `${name} ${dice.pick(['=', '=', '>', '<', '>=', '<='])} ${type.literal(dice)}`
  }
}
