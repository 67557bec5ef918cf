/**
 * Clients that create, alter and drop the same few tables through different nodes, while links are cut, nodes lose power and messages are lost.
 * Checked afterwards, for every statement: what it answered is what it would have answered on some state of the one log between its beginning
 * and its end; nothing that was acknowledged is missing, nothing that failed for good is there.
 */
import type { SchemaStatement } from '../../lib/cql/ast.ts'
import { compileSchemaStatement } from '../../lib/cql/ddl/schema-statements.ts'
import { parseStatement } from '../../lib/cql/parser/parser.ts'
import type { SchemaDoor } from '../../lib/cql/statement.ts'
import type { Outcome } from '../../lib/schema/changes.ts'
import type { Schema } from '../../lib/schema/keyspace.ts'
import { createSystemSchema } from '../../lib/schema/system-tables.ts'
import { readMetadata } from '../../lib/server/metadata-rows.ts'
import { applyEntries, type ClusterMetadata, emptyMetadata } from '../../lib/server/metadata-state.ts'
import { MetadataWorld, type Sabotage, type WorldNode } from './metadata-world.ts'
import { createSchemaWorld } from './schema-world.ts'

export interface RaceReport {
  readonly violation: string | null
  readonly statements: number
  readonly applied: number
  readonly refused: number
  readonly unknown: number
  readonly epochs: number
  readonly kills: number
  /** Of all events: two runs of one seed have the same. */
  readonly trace: string
}

type Fate =
  /** Made a change. */
  | { readonly kind: 'applied' }
  /** IF [NOT] EXISTS. */
  | { readonly kind: 'nothing' }
  | { readonly kind: 'refused'; readonly code: string }
  /** Never happens. */
  | { readonly kind: 'failed' }
  | { readonly kind: 'unknown' }

interface Attempt {
  readonly text: string
  readonly apply: (schema: Schema) => Outcome
  /** It is no older than what was acknowledged before it began. */
  readonly floor: number
  readonly ceiling: number
  readonly fate: Fate
}

const CLIENT_PATIENCE_MS = 10_000

export async function raceSchemas(seed: number, sabotage: Sabotage | null = null): Promise<RaceReport> {
  const race = new Race(seed, sabotage)
  const violation = await race.run()
  const count = (kind: Fate['kind']): number => race.attempts.filter(({ fate }) => fate.kind === kind).length
  return {
    violation,
    statements: race.attempts.length,
    applied: count('applied'),
    refused: count('refused'),
    unknown: count('unknown'),
    epochs: race.epochs,
    kills: race.kills,
    trace: race.world.kernel.trace,
  }
}

class Race {
  readonly world: MetadataWorld
  readonly attempts: Attempt[] = []
  epochs = 0
  kills = 0
  readonly #schemaWorld = createSchemaWorld()
  /** By epoch, as any node saw it. */
  readonly #states = new Map<number, ClusterMetadata>()
  readonly #restarts: Promise<void>[] = []
  #acknowledged = 0
  #columns = 0
  #over = false
  #violation: string | null = null

  constructor(seed: number, sabotage: Sabotage | null) {
    const nodes = 3 + (seed % 3)
    const snapshotEvery = seed % 4 === 0 ? 5 : 1000
    this.world = new MetadataWorld({ seed, sabotage, nodes, snapshotEvery, syncMs: seed % 5 === 0 ? 60 : 4 })
  }

  async run(): Promise<string | null> {
    const { world } = this
    const story = this.#story().catch((error: unknown) => {
      this.#violation ??= String((error as Error).stack)
    })
    await world.until(story, 600_000)
    return this.#violation
  }

  async #story(): Promise<void> {
    const { world } = this
    await Promise.all(Array.from({ length: world.count }, (_, i) => this.#start(i)))
    await Promise.all([...world.nodes.values()].map(({ established }) => established))
    await this.#joinAll()
    world.loss = world.dice.pick([0, 0.02, 0.1])
    world.duplicates = world.dice.pick([0, 0.05])
    world.delayMsMax = world.dice.pick([2, 20, 100])
    const faults = this.#faults()
    const deadly = world.dice.pick([0, 0, 0.02, 0.1])
    // The worst moments: who voted dies, and who was voted for is not heard any more.
    world.onVote = (index, proposer) => {
      if (this.#over || !world.dice.chance(deadly)) return
      const which = world.dice.int(3)
      if (which < 2) this.#restarts.push(this.#killAndRestart(index, 300))
      if (which > 0) this.#restarts.push(this.#mute(proposer))
    }
    await Promise.all(Array.from({ length: 2 + world.dice.int(3) }, () => this.#client()))
    this.#over = true
    await faults
    await Promise.all(this.#restarts)
    world.loss = 0
    world.delayMsMax = 5
    world.isCut = () => false
    for (let i = 0; i < world.count; i++) if (!world.nodes.has(i)) await this.#start(i)
    for (const node of world.nodes.values()) {
      node.process.resume()
      await this.#statement(node, 'CREATE TABLE IF NOT EXISTS last.t (k int PRIMARY KEY)')
    }
    await world.settle()
    await this.#check()
  }

  async #start(index: number): Promise<void> {
    const node = await this.world.start(index)
    const { metadata } = node
    this.#note(metadata.state)
    metadata.watch((after) => this.#note(after))
  }

  #note(state: ClusterMetadata): void {
    const known = this.#states.get(state.epoch)
    if (!known) this.#states.set(state.epoch, state)
    else if (known.schema.version !== state.schema.version || known.members.join() !== state.members.join())
      this.#violation ??= `two states of epoch ${state.epoch}`
  }

  /** Seeds that came too late to found. */
  async #joinAll(): Promise<void> {
    for (const { index, metadata } of this.world.nodes.values()) {
      const node = this.world.ringNode(index)
      await metadata.changeTopology(({ topology }) =>
        topology.nodes.has(node.hostId) ? null : { kind: 'join-start', node },
      )
    }
    const [first] = this.world.nodes.values()
    await this.#statement(first!, `CREATE KEYSPACE last WITH replication = ${REPLICATION}`)
  }

  async #faults(): Promise<void> {
    const { world } = this
    const { dice } = world
    while (!this.#over) {
      await world.sleep(dice.int(1500))
      const index = dice.int(world.count)
      const node = world.nodes.get(index)
      switch (dice.int(5)) {
        case 0: {
          const side = new Set(Array.from({ length: world.count }, (_, i) => i).filter(() => dice.chance(0.5)))
          const oneWay = dice.chance(0.3)
          world.isCut = (from, to) => side.has(from) !== side.has(to) && (!oneWay || side.has(from))
          break
        }
        case 1:
          world.isCut = (from, to) => from === index || to === index
          break
        case 2:
          world.isCut = () => false
          break
        case 3:
          await this.#killAndRestart(index, 4000)
          break
        case 4:
          node?.process.pause()
          await world.sleep(dice.int(3000))
          node?.process.resume()
          break
      }
    }
  }

  async #killAndRestart(index: number, awayMsMax: number): Promise<void> {
    const { world } = this
    if (!world.nodes.has(index)) return
    this.kills += 1
    world.kill(index, world.dice.pick([null, 0, 0.5]))
    await world.sleep(world.dice.int(awayMsMax))
    await this.#start(index)
  }

  async #mute(index: number): Promise<void> {
    const { world } = this
    world.muted.add(index)
    await world.sleep(world.dice.int(4000))
    world.muted.delete(index)
  }

  async #client(): Promise<void> {
    const { world } = this
    const { dice } = world
    for (let i = 0; i < 14; i++) {
      await world.sleep(dice.int(600))
      const node = world.nodes.get(dice.int(world.count))
      if (node && !node.process.isPaused) await this.#statement(node, this.#draw())
    }
  }

  #draw(): string {
    const { dice } = this.world
    const keyspace = dice.pick(['a', 'a', 'b'])
    const table = `${keyspace}.${dice.pick(['t', 'u'])}`
    const column = `c${this.#columns++}`
    const quietly = dice.chance(0.3)
    switch (dice.int(9)) {
      case 0:
      case 1:
        return `CREATE KEYSPACE ${quietly ? 'IF NOT EXISTS ' : ''}${keyspace} WITH replication = ${REPLICATION}`
      case 2:
      case 3:
      case 4:
        return `CREATE TABLE ${quietly ? 'IF NOT EXISTS ' : ''}${table} (k int PRIMARY KEY, ${column} int)`
      case 5:
      case 6:
        return `ALTER TABLE ${table} ADD ${column} int`
      case 7:
        return `DROP TABLE ${quietly ? 'IF EXISTS ' : ''}${table}`
      default:
        return dice.chance(0.3) ? `DROP KEYSPACE ${keyspace}` : `CREATE TYPE ${keyspace}.${column} (x int)`
    }
  }

  async #statement(node: WorldNode, text: string): Promise<void> {
    const { options, client, environment } = this.#schemaWorld
    const floor = this.#acknowledged
    let apply: Attempt['apply'] | null = null
    const schema: SchemaDoor = {
      get current() {
        return node.metadata.current
      },
      change(change) {
        apply = change
        return node.metadata.change(change)
      },
    }
    const compiled = compileSchemaStatement(parseStatement(text).statement as SchemaStatement, null)
    const done = (async (): Promise<Fate> => {
      try {
        const result = await compiled.execute({ ...environment, schema }, options, client)
        return { kind: result.kind === 'void' ? 'nothing' : 'applied' }
      } catch (error) {
        const { code } = error as { code?: string }
        if (code === 'UNAVAILABLE') return { kind: 'failed' }
        if (code === 'ALREADY_EXISTS' || code === 'INVALID' || code === 'CONFIG_ERROR') return { kind: 'refused', code }
        if (code !== 'WRITE_TIMEOUT') this.#violation ??= `${text}: ${(error as Error).stack}`
        return { kind: 'unknown' }
      }
    })()
    const late = this.world.sleep(CLIENT_PATIENCE_MS).then((): Fate => ({ kind: 'unknown' }))
    const told = await Promise.race([done, late])
    // Who is dead or stopped has told nobody.
    const fate: Fate = node.process.isAlive && !node.process.isPaused ? told : { kind: 'unknown' }
    const ceiling = node.metadata.state.epoch
    if (fate.kind === 'applied') this.#acknowledged = Math.max(this.#acknowledged, ceiling)
    this.attempts.push({ text, apply: apply!, floor, ceiling, fate })
  }

  async #check(): Promise<void> {
    const nodes = [...this.world.nodes.values()]
    const state = nodes[0]!.metadata.state
    this.epochs = state.epoch
    const problems = [
      ...this.world.reports,
      ...nodes.flatMap(({ metadata, store, index }) => {
        if (metadata.state.schema.version !== state.schema.version) return [`node ${index} has another schema`]
        if (metadata.state.clusterId !== state.clusterId) return [`node ${index} is of another cluster`]
        const known = new Set(store.tableIds)
        const user = [...state.schema.tablesById.values()].filter(({ keyspace }) => ['a', 'b'].includes(keyspace))
        return user.filter(({ id }) => !known.has(id)).map(({ name }) => `node ${index} has no table ${name}`)
      }),
      ...(await this.#fillStates(nodes)),
    ]
    const [problem] = problems.length > 0 ? problems : this.#checkAttempts()
    if (problem !== undefined) this.#violation ??= problem
  }

  /** Entries are the same in all logs; and states that nobody was seen in are made of them. */
  async #fillStates(nodes: readonly WorldNode[]): Promise<string[]> {
    const entries = new Map<number, string>()
    const problems: string[] = []
    for (const { store, index } of nodes)
      for (const { epoch, payload } of await readMetadata(store, 'log', 0)) {
        if ((entries.get(epoch) ?? payload) !== payload) problems.push(`node ${index} has another entry ${epoch}`)
        entries.set(epoch, payload)
      }
    this.#states.set(0, emptyMetadata(createSystemSchema()))
    for (let epoch = 1; epoch <= this.epochs; epoch++) {
      const before = this.#states.get(epoch - 1)
      const payload = entries.get(epoch)
      if (payload === undefined || !before) continue
      const made = applyEntries(before, [{ epoch, payload }])
      const seen = this.#states.get(epoch)
      if (seen && seen.schema.version !== made.schema.version) problems.push(`entry ${epoch} is not what it did`)
      this.#states.set(epoch, made)
    }
    return problems
  }

  #checkAttempts(): string[] {
    const problems: string[] = []
    /** Epochs whose change nobody accounts for yet. */
    const open = new Set<number>()
    for (let epoch = 1; epoch <= this.epochs; epoch++) {
      const [before, after] = [this.#states.get(epoch - 1), this.#states.get(epoch)]
      if (!before || !after) continue
      if (before.schema.version !== after.schema.version) open.add(epoch)
    }
    const makes = (attempt: Attempt, epoch: number): boolean => {
      const outcome = this.#outcome(attempt, epoch - 1)
      return typeof outcome === 'object' && outcome.schema.version === this.#states.get(epoch)!.schema.version
    }
    for (const attempt of this.attempts) {
      const { fate, floor, ceiling, text } = attempt
      const range = Array.from({ length: ceiling - floor + 1 }, (_, i) => floor + i)
      if (range.some((epoch) => !this.#states.has(epoch))) continue
      const tell = (what: string): void => {
        problems.push(`${text}: ${what} between epochs ${floor} and ${ceiling}`)
      }
      if (fate.kind === 'applied') {
        const epoch = range.find((candidate) => open.has(candidate) && makes(attempt, candidate))
        if (epoch === undefined) tell('was acknowledged, and is not')
        else open.delete(epoch)
      } else if (fate.kind === 'refused') {
        if (!range.some((epoch) => this.#outcome(attempt, epoch) === fate.code)) tell(`was refused with ${fate.code}`)
      } else if (fate.kind === 'nothing') {
        if (!range.some((epoch) => this.#outcome(attempt, epoch) === 'nothing')) tell('was not needed, they say')
      }
    }
    const unknown = this.attempts.filter(({ fate, apply }) => fate.kind === 'unknown' && apply)
    for (const epoch of open) {
      const index = unknown.findIndex((attempt) => makes(attempt, epoch))
      if (index < 0) problems.push(`nobody has made the change of epoch ${epoch}`)
      else unknown.splice(index, 1)
    }
    return problems
  }

  #outcome({ apply }: Attempt, epoch: number): Outcome | string {
    try {
      const outcome = apply(this.#states.get(epoch)!.schema)
      return outcome.change === null ? 'nothing' : outcome
    } catch (error) {
      return (error as { code?: string }).code ?? String(error)
    }
  }
}

const REPLICATION = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
