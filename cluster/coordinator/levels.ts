/**
 * How many replicas a consistency level asks for. Source: Cassandra's ConsistencyLevel.blockFor; CQL reference, CONSISTENCY.
 * Pure: from a keyspace's replication and the level to numbers.
 */
import { Consistency } from '../../lib/types/consistency.ts'

/** Where a keyspace's replicas are. */
export interface Replication {
  /** Full Java name. */
  readonly strategy: string
  /** All replicas of a key. */
  readonly factor: number
  /** Per data centre, for NetworkTopologyStrategy; null for strategies that know none. */
  readonly datacenters: ReadonlyMap<string, number> | null
}

export interface Requirement {
  /** Acknowledgements to wait for, over all data centres that count. */
  readonly required: number
  /** Only replicas of the coordinator's data centre count. */
  readonly localOnly: boolean
  /** A quorum in each data centre, by name; null when the total is enough. */
  readonly each: ReadonlyMap<string, number> | null
}

/** The groups of replicas of each of which a level asks for a number: of each data centre where it asks for their quorums, else all that count. */
export interface LevelGroups {
  /** Acknowledgements of each group. */
  readonly needs: number[]
  /** The groups' data centres; null: there is one group. */
  readonly names: readonly string[] | null
  /** Of the data centres' quorums, by name; null when the total is enough. */
  readonly each: ReadonlyMap<string, number> | null
  /** The group of a data centre's replicas; -1: they do not count. */
  of(datacenter: string): number
}

export function quorumOf(factor: number): number {
  return Math.floor(factor / 2) + 1
}

/** `localDatacenter` is the coordinator's. SERIAL levels are those of a serial read. */
export function requirement(level: number, replication: Replication, localDatacenter: string): Requirement {
  const { factor, datacenters } = replication
  switch (level) {
    case Consistency.ANY:
    case Consistency.ONE:
      return everywhere(1)
    case Consistency.TWO:
      return everywhere(2)
    case Consistency.THREE:
      return everywhere(3)
    case Consistency.ALL:
      return everywhere(factor)
    case Consistency.QUORUM:
    case Consistency.SERIAL:
      return everywhere(quorumOf(factor))
    case Consistency.LOCAL_ONE:
      return { required: 1, localOnly: datacenters !== null, each: null }
    case Consistency.LOCAL_QUORUM:
    case Consistency.LOCAL_SERIAL:
      if (!datacenters) return everywhere(quorumOf(factor))
      return { required: quorumOf(datacenters.get(localDatacenter) ?? 0), localOnly: true, each: null }
    case Consistency.EACH_QUORUM: {
      if (!datacenters) return everywhere(quorumOf(factor))
      const each = new Map([...datacenters].map(([name, count]) => [name, quorumOf(count)]))
      let required = 0
      for (const count of each.values()) required += count
      return { required, localOnly: false, each }
    }
    default:
      return everywhere(1)
  }
}

/** `localDatacenter` is the coordinator's. */
export function groupsOf(level: number, replication: Replication, localDatacenter: string): LevelGroups {
  const { required, localOnly, each } = requirement(level, replication, localDatacenter)
  const names = each === null ? null : [...each.keys()]
  return {
    needs: each === null ? [required] : [...each.values()],
    names,
    each,
    of(datacenter) {
      if (localOnly) return datacenter === localDatacenter ? 0 : -1
      return names === null ? 0 : names.indexOf(datacenter)
    },
  }
}

function everywhere(required: number): Requirement {
  return { required, localOnly: false, each: null }
}
