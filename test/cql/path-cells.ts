/** The cells of a collection, gathered in any order and several for one path, against a slow obvious version. */
import assert from 'node:assert/strict'
import t from 'tap'
import { PathCells } from '../../lib/cql/modify/path-cells.ts'
import { type Dice, forAll } from '../support/random.ts'

interface Cell {
  readonly path: Buffer
  /** Null: removed. */
  readonly value: Buffer | null
}

/** Few paths of few bytes, so that many are equal or begin with another. */
function randomCell(dice: Dice): Cell {
  return { path: randomBytes(dice, 2), value: dice.chance(0.2) ? null : randomBytes(dice, 200) }
}

function randomBytes(dice: Dice, below: number): Buffer {
  return Buffer.from(Array.from({ length: dice.int(3) }, () => dice.int(below)))
}

/** For each path the removal, else the greatest value; by path. */
function expected(cells: readonly Cell[]): string[] {
  const winners = new Map<string, Cell>()
  for (const cell of cells) {
    const name = cell.path.toString('hex')
    const known = winners.get(name)
    const wins =
      known === undefined ||
      (known.value !== null && (cell.value === null || Buffer.compare(cell.value, known.value) > 0))
    if (wins) winners.set(name, cell)
  }
  return [...winners.values()].sort((a, b) => Buffer.compare(a.path, b.path)).map(cellText)
}

function cellText({ path, value }: Cell): string {
  return `${path.toString('hex')}: ${value === null ? 'removed' : value.toString('hex')}`
}

function gather(into: PathCells, cells: readonly Cell[]): void {
  into.reset()
  for (const { path, value } of cells) {
    into.path().bytes(path)
    if (value === null) into.remove()
    else into.put(Buffer.concat([Buffer.of(1), value, Buffer.of(2)]), 1, 1 + value.length)
  }
}

function written(from: PathCells): string[] {
  const lines: string[] = []
  from.write(
    {
      complexDeletion: (columnId, before) => lines.push(`${columnId} ${before ? 'before' : 'all'}`),
      pathCell: (_, { buffer, pathStart, pathEnd, valueStart, valueEnd }) =>
        lines.push(
          cellText({ path: buffer.subarray(pathStart, pathEnd), value: buffer.subarray(valueStart, valueEnd) }),
        ),
      pathTombstone: (_, { buffer, pathStart, pathEnd }) =>
        lines.push(cellText({ path: buffer.subarray(pathStart, pathEnd), value: null })),
    },
    7,
  )
  return lines
}

t.test('cells are written by path, one for each', (t) => {
  const gathered = new PathCells()
  t.doesNotThrow(() =>
    forAll(2_000, (dice) => {
      const cells = Array.from({ length: dice.int(24) }, () => randomCell(dice))
      gather(gathered, cells)
      const sorted = expected(cells)
      assert.deepEqual(written(gathered), sorted)
      gather(
        gathered,
        sorted.map((line) => cells.find((cell) => cellText(cell) === line)!),
      )
      assert.deepEqual(written(gathered), sorted)
    }),
  )
  t.end()
})

t.test('what was there before goes first, and nothing stays from one column to the next', (t) => {
  const gathered = new PathCells()
  gather(gathered, [{ path: Buffer.of(1), value: Buffer.alloc(200_000, 3) }])
  gathered.removal = 'older'
  t.equal(written(gathered)[0], '7 before')
  gather(gathered, [])
  t.same(written(gathered), [])
  gathered.removal = 'all'
  t.same(written(gathered), ['7 all'])
  t.end()
})
