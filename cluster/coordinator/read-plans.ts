/** The plans of reads that are in use, by keyspace, set of replicas and level; forgotten when something of what they were made from changes. */
import { readInt32 } from '../../storage/model/row.ts'
import type { PlacedRange, Placement, ReplicaSet } from '../ring/placement.ts'
import type { RingNode } from '../ring/topology.ts'
import type { CoordinatorEnvironment } from './environment.ts'
import type { Replication } from './levels.ts'
import type { Nearness } from './nearness.ts'
import type { RangePiece } from './read-plan.ts'
import { planRead, type ReadPlan } from './read-plan.ts'

/** Levels have codes below it. */
const LEVELS = 16

/** Where a keyspace's data is. */
export interface ReadRoute {
  /** The metadata that say so. */
  readonly epoch: number
  readonly placement: Placement
  readonly replication: Replication
  /** By ReplicaSet.index × LEVELS + level. */
  readonly plans: (ReadPlan | undefined)[]
  /** Of the whole ring, by level. */
  readonly pieces: (readonly RangePiece[] | undefined)[]
}

export type ReadPlanEnvironment = Pick<CoordinatorEnvironment, 'epoch' | 'self' | 'placement' | 'liveness'>

export class ReadPlans {
  readonly #environment: ReadPlanEnvironment
  readonly #nearness: Nearness
  /** Null: the node's own data. */
  readonly #routes = new Map<string, ReadRoute | null>()
  #epoch = -1
  #nearnessVersion = -1
  readonly #listening: Disposable
  /** The ranges of rings that did not change. */
  readonly #rings = new WeakMap<Placement, readonly PlacedRange[]>()

  constructor(environment: ReadPlanEnvironment, nearness: Nearness) {
    this.#environment = environment
    this.#nearness = nearness
    this.#listening = environment.liveness.listen(() => this.#routes.clear())
  }

  [Symbol.dispose](): void {
    this.#listening[Symbol.dispose]()
  }

  /** Null: the data is the node's own. */
  route(keyspace: string): ReadRoute | null {
    const epoch = this.#environment.epoch()
    const { version } = this.#nearness
    if (epoch !== this.#epoch || version !== this.#nearnessVersion) {
      this.#routes.clear()
      this.#epoch = epoch
      this.#nearnessVersion = version
    }
    let route = this.#routes.get(keyspace)
    if (route === undefined) {
      const placed = this.#environment.placement(keyspace)
      route = placed === null ? null : { ...placed, epoch, plans: [], pieces: [] }
      this.#routes.set(keyspace, route)
    }
    return route
  }

  /** For a key. */
  planAt(route: ReadRoute, position: Buffer, level: number): ReadPlan {
    return this.planOf(route, route.placement.at(readInt32(position, 0), readInt32(position, 4)), level)
  }

  planOf(route: ReadRoute, replicas: ReplicaSet, level: number): ReadPlan {
    const at = replicas.index * LEVELS + level
    let plan = route.plans[at]
    if (plan === undefined) {
      plan = this.planFor(route, replicas.natural, level)
      route.plans[at] = plan
    }
    return plan
  }

  ringOf(placement: Placement): readonly PlacedRange[] {
    let ring = this.#rings.get(placement)
    if (ring === undefined) {
      ring = placement.ranges(null, null)
      this.#rings.set(placement, ring)
    }
    return ring
  }

  planFor({ replication, epoch }: ReadRoute, natural: readonly RingNode[], level: number): ReadPlan {
    const { liveness } = this.#environment
    const self = this.#environment.self()
    return planRead(level, replication, natural, {
      self,
      epoch,
      isAlive: (hostId) => liveness.isAlive(hostId),
      sort: (nodes) => this.#nearness.sort(nodes, self),
    })
  }
}
