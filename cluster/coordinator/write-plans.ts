/**
 * The plans of writes that are in use: by keyspace, set of replicas and level. They are forgotten when a node dies or returns, or a placement
 * changes; so a write pays for none of that.
 */
import { uuidText } from '../../lib/base/uuid.ts'
import { TABLE_ID_BYTES, tableKeyOf } from '../../storage/model/mutation.ts'
import { readInt32 } from '../../storage/model/row.ts'
import type { Placement } from '../ring/placement.ts'
import { ownerIndex, type Ring, ringOf } from '../ring/replicas.ts'
import type { RingNode } from '../ring/topology.ts'
import type { CoordinatorEnvironment } from './environment.ts'
import type { Replication } from './levels.ts'
import { planWrite, type WritePlan } from './write-plan.ts'

/** Positions are tokens with their sign bit flipped. */
const SIGN = 0x80000000 | 0
/** Levels have codes below it. */
const LEVELS = 16

/** Where a keyspace's writes go. */
interface Route {
  readonly placement: Placement
  readonly replication: Replication
  /** By ReplicaSet.index × LEVELS + level. */
  readonly plans: (WritePlan | undefined)[]
  /** Those in which others may stand in. */
  readonly sloppy: (WritePlan | undefined)[]
}

/** A table by its id, found without making a string of it. */
interface TableRoute {
  readonly id: Buffer
  readonly keyspace: string
}

export type PlanEnvironment = Pick<
  CoordinatorEnvironment,
  'epoch' | 'self' | 'nodes' | 'placement' | 'keyspaceOf' | 'liveness' | 'sloppyTables'
>

const NO_TABLES: ReadonlySet<string> = new Set()

export class WritePlans {
  readonly #environment: PlanEnvironment
  /** Null: the node's own data. */
  readonly #routes = new Map<string, Route | null>()
  /** By the first four bytes of the id. */
  readonly #tables = new Map<number, TableRoute[]>()
  #epoch = -1
  #sloppyTables = NO_TABLES
  /** Made when somebody is to stand in. */
  #ring: Ring | null = null
  readonly #listening: Disposable

  constructor(environment: PlanEnvironment) {
    this.#environment = environment
    this.#listening = environment.liveness.listen(() => this.#routes.clear())
  }

  [Symbol.dispose](): void {
    this.#listening[Symbol.dispose]()
  }

  #refresh(): void {
    const epoch = this.#environment.epoch()
    if (epoch === this.#epoch) return
    this.#routes.clear()
    this.#tables.clear()
    this.#ring = null
    this.#sloppyTables = this.#environment.sloppyTables?.() ?? NO_TABLES
    this.#epoch = epoch
  }

  /** As planOf, but others may stand in for replicas that are away, if the table lets them. */
  planOfWrite(mutation: Buffer, level: number, keyspace: string): WritePlan | null {
    const plan = this.planOf(mutation, level, keyspace)
    if (this.#sloppyTables.size === 0 || plan === null || plan.dead.length === 0) return plan
    if (!this.#sloppyTables.has(tableKeyOf(mutation))) return plan
    return this.#sloppyPlan(mutation, level, keyspace)
  }

  #sloppyPlan(mutation: Buffer, level: number, keyspace: string): WritePlan {
    const route = this.#routes.get(keyspace)!
    const [high, low] = [readInt32(mutation, TABLE_ID_BYTES), readInt32(mutation, TABLE_ID_BYTES + 4)]
    const replicas = route.placement.at(high, low)
    const at = replicas.index * LEVELS + level
    let plan = route.sloppy[at]
    if (plan === undefined) {
      const { liveness } = this.#environment
      const isAlive = (hostId: string): boolean => liveness.isAlive(hostId)
      const token = BigInt.asIntN(64, (BigInt(high ^ SIGN) << 32n) | BigInt(low >>> 0))
      const held = new Set([...replicas.natural, ...replicas.pending].map(({ hostId }) => hostId))
      const standIns = this.#after(token).filter((node) => !held.has(node.hostId) && isAlive(node.hostId))
      plan = planWrite(level, route.replication, replicas, {
        self: this.#environment.self(),
        epoch: this.#epoch,
        isAlive,
        standIns,
      })
      route.sloppy[at] = plan
    }
    return plan
  }

  /** All nodes that own something, as the ring has them after a token. */
  #after(token: bigint): RingNode[] {
    this.#ring ??= ringOf([...this.#environment.nodes().values()].filter(({ status }) => status === 'normal'))
    const { owners } = this.#ring
    if (owners.length === 0) return []
    const first = ownerIndex(this.#ring, token)
    return [...new Set([...owners.slice(first), ...owners.slice(0, first)])]
  }

  /** Null: the data is the node's own. */
  planOf(mutation: Buffer, level: number, keyspace: string): WritePlan | null {
    this.#refresh()
    let route = this.#routes.get(keyspace)
    if (route === undefined) {
      const placed = this.#environment.placement(keyspace)
      route = placed === null ? null : { ...placed, plans: [], sloppy: [] }
      this.#routes.set(keyspace, route)
    }
    if (route === null) return null
    const replicas = route.placement.at(readInt32(mutation, TABLE_ID_BYTES), readInt32(mutation, TABLE_ID_BYTES + 4))
    const at = replicas.index * LEVELS + level
    let plan = route.plans[at]
    if (plan === undefined) {
      const { liveness } = this.#environment
      plan = planWrite(level, route.replication, replicas, {
        self: this.#environment.self(),
        epoch: this.#epoch,
        isAlive: (hostId) => liveness.isAlive(hostId),
      })
      route.plans[at] = plan
    }
    return plan
  }

  /** Keyspace of the table to which a mutation belongs; null: unknown here. */
  keyspaceOf(mutation: Buffer): string | null {
    this.#refresh()
    const prefix = readInt32(mutation, 0)
    const known = this.#tables.get(prefix)
    if (known !== undefined)
      for (let i = 0; i < known.length; i++) {
        const { id, keyspace } = known[i]!
        if (id.compare(mutation, 0, TABLE_ID_BYTES) === 0) return keyspace
      }
    const id = Buffer.from(mutation.subarray(0, TABLE_ID_BYTES))
    const keyspace = this.#environment.keyspaceOf(id.toString('latin1'))
    if (keyspace === null) return null
    if (known === undefined) this.#tables.set(prefix, [{ id, keyspace }])
    else known.push({ id, keyspace })
    return keyspace
  }
}

/** The table of a mutation, as people and storage name it. */
export function tableOf(mutation: Buffer): string {
  return uuidText(mutation.subarray(0, TABLE_ID_BYTES))
}
