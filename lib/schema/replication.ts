/**
 * A keyspace's replication: SimpleStrategy and NetworkTopologyStrategy (LocalStrategy is ours alone), from what was typed to what is kept.
 * Source: the answers of Cassandra 5.0.6. Class names may be short; they are kept long, the class first.
 */
import { configError, invalid } from '../base/errors.ts'
import { hashMapOrder, javaInt } from './java.ts'

const PACKAGE = 'org.apache.cassandra.locator.'
export const SIMPLE_STRATEGY = `${PACKAGE}SimpleStrategy`
export const NETWORK_TOPOLOGY_STRATEGY = `${PACKAGE}NetworkTopologyStrategy`
export const LOCAL_STRATEGY = `${PACKAGE}LocalStrategy`
const FACTOR = 'replication_factor'
/** default_keyspace_rf of cassandra.yaml. */
const FACTOR_DEFAULT = '1'

export type Replication = ReadonlyMap<string, string>

/** The data centres of the cluster and how many nodes each has. */
export type Datacenters = ReadonlyMap<string, number>

/**
 * What is kept of `given`; `previous` is the keyspace's replication before an ALTER. Throws CONFIG_ERROR or INVALID.
 * `given` has a class: a map without one was refused before.
 */
export function parseReplication(
  keyspace: string,
  given: Replication,
  previous: Replication | null,
  datacenters: Datacenters,
): Replication {
  const name = given.get('class')!
  const strategy: string = name.includes('.') ? name : PACKAGE + name
  if (strategy === `${PACKAGE}OldNetworkTopologyStrategy`)
    throw configError(
      'The support for the OldNetworkTopologyStrategy has been removed in C* version 4.0. ' +
        'The keyspace strategy should be switch to NetworkTopologyStrategy',
    )
  const options = new Map(given)
  options.delete('class')
  switch (strategy) {
    case LOCAL_STRATEGY:
      throw invalid('Unable to use given strategy class: LocalStrategy is reserved for internal use.')
    case SIMPLE_STRATEGY:
      if (!options.has(FACTOR)) options.set(FACTOR, FACTOR_DEFAULT)
      checkFactor(options.get(FACTOR)!)
      checkNames(keyspace, strategy, options, (option) => option === FACTOR)
      break
    case NETWORK_TOPOLOGY_STRATEGY:
      expandDatacenters(options, previous, datacenters)
      for (const factor of options.values()) checkFactor(factor)
      if (options.size === 0) throw configError('Configuration for at least one datacenter must be present')
      checkNames(keyspace, strategy, options, (option) => datacenters.has(option))
      break
    default:
      throw configError(`Unable to find replication strategy class '${strategy}'`)
  }
  const kept = new Map<string, string>([['class', strategy]])
  for (const option of hashMapOrder(options.keys())) kept.set(option, options.get(option)!)
  return kept
}

/** `replication_factor` stands for every data centre that is not named; data centres with 0 are left out. */
function expandDatacenters(options: Map<string, string>, previous: Replication | null, datacenters: Datacenters): void {
  let factor = options.get(FACTOR)
  options.delete(FACTOR)
  if (factor === undefined && options.size === 0) factor = previous?.get(FACTOR) ?? FACTOR_DEFAULT
  else if (factor !== undefined && previous)
    for (const [option, value] of previous)
      if (option !== 'class' && option !== FACTOR && !options.has(option)) options.set(option, value)
  if (factor !== undefined)
    for (const datacenter of datacenters.keys()) if (!options.has(datacenter)) options.set(datacenter, factor)
  for (const [option, value] of options) if (value === '0') options.delete(option)
}

function checkFactor(text: string): void {
  const parts = text.split('/')
  for (const part of parts) {
    const value = javaInt(part)
    if (value === null) throw configError(`For input string: "${part}"`)
    if (value < 0) throw configError(`Replication factor must be non-negative, found ${value}`)
  }
  if (parts.length > 1) throw configError('Transient replication is not enabled on this node')
}

function checkNames(
  keyspace: string,
  strategy: string,
  options: ReadonlyMap<string, string>,
  known: (option: string) => boolean,
): void {
  for (const option of hashMapOrder(options.keys()))
    if (!known(option))
      throw configError(
        `Unrecognized strategy option {${option}} passed to ${strategy.slice(PACKAGE.length)} for keyspace ${keyspace}`,
      )
}

/** Replicas of a key, over all data centres. */
export function replicationFactor(replication: Replication): number {
  let sum = 0
  for (const [option, value] of replication) if (option !== 'class') sum += Number(value)
  return replication.get('class') === LOCAL_STRATEGY ? 1 : sum
}

/** What Cassandra warns of: factors that the cluster's nodes cannot satisfy. */
export function replicationWarnings(keyspace: string, replication: Replication, datacenters: Datacenters): string[] {
  const warnings: string[] = []
  const warn = (factor: number, nodes: number, where: string) => {
    if (factor > nodes)
      warnings.push(
        `Your replication factor ${factor} for keyspace ${keyspace} is higher than the number of nodes ${nodes}${where}`,
      )
  }
  if (replication.get('class') === SIMPLE_STRATEGY) {
    let nodes = 0
    for (const count of datacenters.values()) nodes += count
    warn(Number(replication.get(FACTOR)), nodes, '')
  } else if (replication.get('class') === NETWORK_TOPOLOGY_STRATEGY) {
    for (const [option, value] of replication)
      if (option !== 'class') warn(Number(value), datacenters.get(option) ?? 0, ` for datacenter ${option}`)
  }
  return warnings
}
