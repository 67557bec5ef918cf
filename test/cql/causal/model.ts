/**
 * Random statements on a vector-clock table against an obvious model: each row is a list of versions, each write removes those that its context holds.
 * Whatever is asked (all of it, by page, by filter, by index, counted) is what the model gives.
 */
import t from 'tap'
import type { RowsResult, StatementResult } from '../../../lib/cql/result.ts'
import type { BoundValue } from '../../../lib/cql/statement.ts'
import { createDice, type Dice, testSeed } from '../../support/random.ts'
import { openStorageNode, type StorageNode } from '../../support/storage-node.ts'

interface Version {
  readonly a: string | null
  readonly b: number | null
}

interface Row {
  versions: readonly Version[]
  tags: ReadonlySet<string>
}

/** A context that was read, and what it stands for. */
interface Seen {
  readonly blob: Buffer
  readonly versions: readonly Version[]
  readonly tags: ReadonlySet<string>
}

const PARTITIONS = 3
const ROWS = 3
const WORDS = ['red', 'green', 'blue']

class World {
  readonly node: StorageNode
  readonly dice: Dice
  readonly rows = new Map<string, Row>()
  /** By row; tags of contexts grow old, so a removal uses the newest. */
  readonly seen = new Map<string, Seen[]>()

  constructor(node: StorageNode, dice: Dice) {
    this.node = node
    this.dice = dice
  }

  row(place: string): Row {
    return this.rows.get(place) ?? { versions: [], tags: new Set() }
  }

  async step(): Promise<void> {
    const { dice } = this
    const [p, c] = [dice.int(PARTITIONS), dice.int(ROWS)]
    const place = `${p}/${c}`
    const row = this.row(place)
    const contexts = this.seen.get(place) ?? []
    const seen = contexts.length > 0 && dice.chance(0.7) ? dice.pick(contexts) : null
    const left = (): Version[] => row.versions.filter((version) => seen?.versions.includes(version) !== true)
    const using = seen === null ? '' : 'USING VCLOCK ?'
    const values: BoundValue[] = seen === null ? [] : [seen.blob]
    const a = dice.pick(WORDS)
    const b = dice.int(5)
    const where = `WHERE p = ${p} AND c = ${c}`
    switch (dice.int(8)) {
      case 0:
      case 1:
        await this.#run(`INSERT INTO k.t (p, c, a, b) VALUES (${p}, ${c}, '${a}', ${b}) ${using}`, values)
        this.rows.set(place, { versions: [...left(), { a, b }], tags: row.tags })
        break
      case 2: {
        await this.#run(`UPDATE k.t ${using} SET b = ${b} ${where}`, values)
        const known = row.versions.filter((version) => seen?.versions.includes(version) === true)
        const base = (known.length > 0 ? known : row.versions).at(-1) ?? { a: null }
        this.rows.set(place, { versions: [...left(), { a: base.a, b }], tags: row.tags })
        break
      }
      case 3:
        await this.#run(`UPDATE k.t SET tags = tags + {'${a}'} ${where}`)
        this.rows.set(place, { versions: row.versions, tags: new Set([...row.tags, a]) })
        break
      case 4:
        await this.#run(`UPDATE k.t SET tags = tags - {'${a}'} ${where}`)
        this.rows.set(place, { versions: row.versions, tags: new Set([...row.tags].filter((tag) => tag !== a)) })
        break
      case 5:
        if (dice.chance(0.5)) await this.#run(`DELETE FROM k.t ${where}`)
        else await this.#run(`DELETE FROM k.t WHERE p = ${p} AND c >= ${c} AND c <= ${c}`)
        this.rows.set(place, { versions: [], tags: new Set() })
        break
      case 6: {
        const condition = contexts.length > 0 ? dice.pick(contexts) : null
        const result = await this.#run(`INSERT INTO k.t (p, c, a, b) VALUES (${p}, ${c}, '${a}', ${b}) IF VCLOCK = ?`, [
          condition?.blob ?? null,
        ])
        // What has been seen of tags and deletions is in contexts, too: the model knows only where it must not be applied.
        const isApplied = (result as RowsResult).rowBytes[4] === 1
        const isLive = row.versions.length > 0 || row.tags.size > 0
        const mayBe =
          condition === null ? !isLive : row.versions.every((version) => condition.versions.includes(version))
        if (isApplied && !mayBe) throw new Error('applied, though there was what it had not seen')
        if (!isApplied && condition === null && !isLive) throw new Error('not applied, though there was nothing')
        if (isApplied) this.rows.set(place, { versions: [{ a, b }], tags: row.tags })
        break
      }
      default: {
        const result = (await this.#run(`SELECT vclock(*) FROM k.t ${where} LIMIT 1`)) as RowsResult
        if (result.rowCount === 0) break
        const { versions, tags } = row
        this.seen.set(place, [
          ...contexts.slice(-3),
          { blob: Buffer.from(result.rowBytes.subarray(4)), versions, tags },
        ])
      }
    }
  }

  #run(text: string, values: readonly BoundValue[] = []): Promise<StatementResult> {
    return this.node.run(text, { values })
  }

  /** As the model has it: a line for each row of an answer, sorted. */
  expected(wanted: (version: Version, row: Row) => boolean): string[] {
    const lines: string[] = []
    for (const [place, row] of this.rows) {
      const tags = [...row.tags].sort().join(',')
      const versions = row.versions.length > 0 || row.tags.size === 0 ? row.versions : [{ a: null, b: null }]
      for (const version of versions) if (wanted(version, row)) lines.push(`${place} ${version.a} ${version.b} ${tags}`)
    }
    return lines.sort()
  }

  /** What a SELECT answers, page by page. */
  async found(where: string, pageSize: number | null): Promise<string[]> {
    const lines: string[] = []
    let pagingState: Buffer | null = null
    do {
      const text = `SELECT JSON p, c, a, b, tags FROM k.t ${where}`
      const result = (await this.node.run(text, { pageSize, pagingState })) as RowsResult
      for (let at = 0, i = 0; i < result.rowCount; i++) {
        const length = result.rowBytes.readInt32BE(at)
        const row = JSON.parse(result.rowBytes.toString('utf8', at + 4, at + 4 + length))
        lines.push(`${row.p}/${row.c} ${row.a} ${row.b} ${(row.tags ?? []).sort().join(',')}`)
        at += 4 + length
      }
      if (pageSize !== null && result.rowCount > pageSize) throw new Error('a page that is too large')
      pagingState = result.pagingState
    } while (pagingState !== null)
    return lines.sort()
  }
}

const QUERIES: [string, (version: Version, row: Row) => boolean][] = [
  ['', () => true],
  ["WHERE a = 'red'", ({ a }) => a === 'red'],
  ['WHERE b > 1 AND b < 4', ({ b }) => b !== null && b > 1 && b < 4],
  ["WHERE tags CONTAINS 'blue'", (_, { tags }) => tags.has('blue')],
  ["WHERE a = 'green' AND b = 2 ALLOW FILTERING", ({ a, b }) => a === 'green' && b === 2],
]

t.test('random statements', async (t) => {
  const seed = testSeed()
  for (let round = 0; round < 3; round++) {
    const dice = createDice(seed + round)
    await using node = await openStorageNode()
    await node.run("CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
    await node.run(
      "CREATE TABLE k.t (p int, c int, a text, b int, tags set<text>, PRIMARY KEY (p, c)) WITH resolution = 'vclock' AND resolver = {'tags': 'or-set'} AND max_siblings = 1000",
    )
    await node.run('CREATE INDEX ON k.t (a)')
    await node.run("CREATE INDEX ON k.t (b) USING 'sai'")
    await node.run('CREATE INDEX ON k.t (tags)')
    const world = new World(node, dice)
    for (let step = 0; step < 120; step++) {
      await world.step()
      if (step % 15 !== 14) continue
      for (const [where, wanted] of QUERIES) {
        const pageSize = dice.pick([null, 1, 2, 5])
        const label = `TEST_SEED=${seed + round} step ${step}: ${where} in pages of ${pageSize}`
        t.same(await world.found(where, pageSize), world.expected(wanted), label)
      }
    }
  }
})
