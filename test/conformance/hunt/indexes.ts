/** Secondary indexes of both kinds on the columns of a hunt's table, and the questions that they may answer. */
import type { Dice } from '../../support/random.ts'
import { type HuntColumn, type HuntTable, some } from './schema.ts'

/** CREATE INDEX on some columns; some of them are refused. */
export function drawIndexes(dice: Dice, table: HuntTable): string[] {
  // Of a write that an index refuses Cassandra keeps some: vectors of no length are left out.
  const columns = [...table.partition, ...table.clustering, ...table.statics, ...table.regular].filter(
    ({ type }) => type.kind !== 'vector',
  )
  return some(dice, 1, 5, () => {
    const column = dice.pick(columns)
    const using = dice.chance(0.5) ? " USING 'sai'" : ''
    return `CREATE INDEX ON ${table.name} (${drawTarget(dice, column)})${using}`
  })
}

function drawTarget(dice: Dice, { name, type }: HuntColumn): string {
  if (type.kind === 'map' && !type.frozen) return `${dice.pick(['keys', 'values', 'entries'])}(${name})`
  const isCollection = type.kind === 'map' || type.kind === 'list' || type.kind === 'set'
  return isCollection && type.frozen ? `full(${name})` : name
}
