/** Statements that change data: every form, with timestamps that collide, on few keys. */
import type { Dice } from '../../support/random.ts'
import { type HuntColumn, type HuntTable, some } from './schema.ts'

export interface WriteRules {
  /** Conditional statements; they take the server's time, so such a hunt compares no write times. */
  readonly conditional: boolean
  /** TTLs that run out during the hunt. */
  readonly expiring: boolean
}

const TIMESTAMPS = ['1', '2', '3', '10', '1000', '1700000000000000']

export function drawWrite(dice: Dice, table: HuntTable, rules: WriteRules): string {
  if (dice.chance(0.08)) return drawBatch(dice, table)
  return drawChange(dice, table, rules, true)
}

function drawChange(dice: Dice, table: HuntTable, rules: WriteRules, timed: boolean): string {
  // What a counter is that was deleted and then changed depends on Cassandra's counter cache.
  if (table.isCounter) return drawCounterUpdate(dice, table)
  const kind = dice.int(10)
  if (kind < 4) return drawInsert(dice, table, rules, timed)
  if (kind < 7) return drawUpdate(dice, table, rules, timed)
  return drawDelete(dice, table, rules, timed)
}

function drawBatch(dice: Dice, table: HuntTable): string {
  const rules = { conditional: false, expiring: false }
  const own = dice.chance(0.5)
  const changes = some(dice, 1, 5, () => drawChange(dice, table, rules, own))
  const kind = table.isCounter ? 'COUNTER ' : dice.pick(['', '', 'UNLOGGED '])
  const timestamp = own || table.isCounter ? '' : ` USING TIMESTAMP ${dice.pick(TIMESTAMPS)}`
  return `BEGIN ${kind}BATCH${timestamp} ${changes.join('; ')}; APPLY BATCH`
}

function using(dice: Dice, rules: WriteRules, timed: boolean, conditional: boolean): string {
  const parts: string[] = []
  if (timed && !conditional) parts.push(`TIMESTAMP ${dice.pick(TIMESTAMPS)}`)
  if (dice.chance(0.15)) parts.push(`TTL ${rules.expiring && dice.chance(0.5) ? 1 : dice.pick(['100000', '0'])}`)
  return parts.length > 0 ? ` USING ${parts.join(' AND ')}` : ''
}

function value(dice: Dice, column: HuntColumn): string {
  return dice.chance(0.07) ? 'null' : column.type.literal(dice)
}

function drawInsert(dice: Dice, table: HuntTable, rules: WriteRules, timed: boolean): string {
  const staticOnly = table.statics.length > 0 && dice.chance(0.1)
  const keys = staticOnly ? table.partition : [...table.partition, ...table.clustering]
  const rest = (staticOnly ? table.statics : [...table.statics, ...table.regular]).filter(() => dice.chance(0.6))
  const columns = [...keys, ...rest]
  const conditional = rules.conditional && dice.chance(0.2)
  const values = columns.map((column) => (keys.includes(column) ? column.type.literal(dice) : value(dice, column)))
  const names = columns.map((column) => column.name).join(', ')
  const condition = conditional ? ' IF NOT EXISTS' : ''
  // Of a row that was inserted and has run out, Cassandra sees older cells only where they are selected.
  const timing = using(dice, { ...rules, expiring: false }, timed, conditional)
  return `INSERT INTO ${table.name} (${names}) VALUES (${values.join(', ')})${condition}${timing}`
}

function equalities(dice: Dice, columns: readonly HuntColumn[]): string {
  return columns.map((column) => `${column.name} = ${column.type.literal(dice)}`).join(' AND ')
}

function drawUpdate(dice: Dice, table: HuntTable, rules: WriteRules, timed: boolean): string {
  const staticOnly = table.statics.length > 0 && dice.chance(0.15)
  const targets = (staticOnly ? table.statics : [...table.statics, ...table.regular]).filter(() => dice.chance(0.5))
  const chosen = targets.length > 0 ? targets : [dice.pick(staticOnly ? table.statics : table.regular)]
  const keys = staticOnly ? table.partition : [...table.partition, ...table.clustering]
  const condition = rules.conditional && dice.chance(0.25) ? ` ${drawCondition(dice, staticOnly, table)}` : ''
  const timing = using(dice, rules, timed, condition !== '')
  const changes = chosen.map((column) => drawAssignment(dice, column)).join(', ')
  return `UPDATE ${table.name}${timing} SET ${changes} WHERE ${equalities(dice, keys)}${condition}`
}

function drawAssignment(dice: Dice, column: HuntColumn): string {
  const { name, type } = column
  const plain = `${name} = ${value(dice, column)}`
  if (type.frozen || dice.chance(0.25)) return plain
  switch (type.kind) {
    case 'list':
      switch (dice.int(4)) {
        case 0:
          return `${name} = ${name} + ${type.literal(dice)}`
        case 1:
          return `${name} = ${type.literal(dice)} + ${name}`
        case 2:
          return `${name} = ${name} - ${type.literal(dice)}`
        default:
          return `${name}[${dice.int(3)}] = ${type.parts[0]!.literal(dice)}`
      }
    case 'set':
      return `${name} = ${name} ${dice.pick(['+', '-'])} ${type.literal(dice)}`
    case 'map': {
      const [key, item] = type.parts
      switch (dice.int(3)) {
        case 0:
          return `${name} = ${name} + ${type.literal(dice)}`
        case 1:
          return `${name} = ${name} - {${some(dice, 1, 2, () => key!.literal(dice)).join(', ')}}`
        default:
          return `${name}[${key!.literal(dice)}] = ${dice.chance(0.2) ? 'null' : item!.literal(dice)}`
      }
    }
    case 'udt': {
      const field = dice.int(type.parts.length)
      return `${name}.${type.fields[field]} = ${dice.chance(0.2) ? 'null' : type.parts[field]!.literal(dice)}`
    }
    default:
      return plain
  }
}

function drawCondition(dice: Dice, staticOnly: boolean, table: HuntTable): string {
  if (dice.chance(0.3)) return 'IF EXISTS'
  const from = staticOnly ? table.statics : [...table.statics, ...table.regular]
  const terms = 1 + dice.int(2)
  const conditions = some(dice, terms, terms, () => {
    const column = dice.pick(from)
    const { name, type } = column
    if (type.kind === 'map' && dice.chance(0.5))
      return `${name}[${type.parts[0]!.literal(dice)}] = ${type.parts[1]!.literal(dice)}`
    if (type.kind === 'list' && dice.chance(0.5)) return `${name}[${dice.int(2)}] = ${type.parts[0]!.literal(dice)}`
    if (type.kind === 'udt' && dice.chance(0.5)) return `${name}.f0 = ${type.parts[0]!.literal(dice)}`
    if (dice.chance(0.2)) return `${name} IN (${some(dice, 1, 3, () => value(dice, column)).join(', ')})`
    // Which of several conditions is looked at first is by chance in Cassandra: only one may be an error.
    const operator = dice.pick(['=', '=', '!=', '<', '>=', '>'])
    const isSlice = operator !== '=' && operator !== '!='
    return `${name} ${operator} ${isSlice && terms > 1 ? nonEmpty(dice, column) : value(dice, column)}`
  })
  return `IF ${conditions.join(' AND ')}`
}

/** Neither null nor an empty collection, which cannot be compared. */
function nonEmpty(dice: Dice, column: HuntColumn): string {
  for (;;) {
    const text = column.type.literal(dice)
    if (text !== '{}' && text !== '[]') return text
  }
}

function drawDelete(dice: Dice, table: HuntTable, rules: WriteRules, timed: boolean): string {
  const { partition, clustering, statics, regular } = table
  const conditional = rules.conditional && dice.chance(0.15)
  const timing = timed && !conditional ? ` USING TIMESTAMP ${dice.pick(TIMESTAMPS)}` : ''
  const condition = conditional ? ' IF EXISTS' : ''
  const where = equalities(dice, partition)
  const wholeRow = [where, equalities(dice, clustering)].filter((part) => part !== '').join(' AND ')
  switch (dice.int(5)) {
    case 0:
      return `DELETE FROM ${table.name}${timing} WHERE ${where}`
    case 1:
      if (clustering.length > 0)
        return `DELETE FROM ${table.name}${timing} WHERE ${where}${drawSlice(dice, clustering)}`
      break
    case 2: {
      if (statics.length === 0) break
      return `DELETE ${dice.pick(statics).name} FROM ${table.name}${timing} WHERE ${where}${condition}`
    }
    case 3: {
      const column = dice.pick(regular)
      const { name, type } = column
      const target =
        type.frozen || dice.chance(0.4)
          ? name
          : type.kind === 'map'
            ? `${name}[${type.parts[0]!.literal(dice)}]`
            : type.kind === 'set'
              ? `${name}[${type.parts[0]!.literal(dice)}]`
              : type.kind === 'list'
                ? `${name}[${dice.int(3)}]`
                : `${name}.f0`
      return `DELETE ${target} FROM ${table.name}${timing} WHERE ${wholeRow}${condition}`
    }
  }
  return `DELETE FROM ${table.name}${timing} WHERE ${wholeRow}${condition}`
}

/** A restriction of clustering columns to a slice: some equal, the next one bounded. */
export function drawSlice(dice: Dice, clustering: readonly HuntColumn[]): string {
  const equal = dice.int(clustering.length)
  const parts = clustering.slice(0, equal).map((column) => `${column.name} = ${column.type.literal(dice)}`)
  const column = clustering[equal]!
  if (dice.chance(0.25) && clustering.length > equal + 1) {
    const list = clustering.slice(equal)
    const names = list.map((each) => each.name).join(', ')
    const bound = (): string => `(${list.map((each) => each.type.literal(dice)).join(', ')})`
    parts.push(`(${names}) ${dice.pick(['>', '>=', '<', '<='])} ${bound()}`)
  } else {
    if (dice.chance(0.7)) parts.push(`${column.name} ${dice.pick(['>', '>='])} ${column.type.literal(dice)}`)
    if (dice.chance(0.5)) parts.push(`${column.name} ${dice.pick(['<', '<='])} ${column.type.literal(dice)}`)
  }
  return parts.length > 0 ? ` AND ${parts.join(' AND ')}` : ''
}

function drawCounterUpdate(dice: Dice, table: HuntTable): string {
  const staticOnly = table.statics.length > 0 && dice.chance(0.2)
  const column = dice.pick(staticOnly ? table.statics : table.regular)
  const keys = staticOnly ? table.partition : [...table.partition, ...table.clustering]
  const change = `${column.name} = ${column.name} ${dice.pick(['+', '-'])} ${dice.pick(['1', '2', '10'])}`
  return `UPDATE ${table.name} SET ${change} WHERE ${equalities(dice, keys)}`
}
