/** What `npm run cluster` is asked for: which nodes, where, and with which options each. Pure. */
import { join } from 'node:path'
import { parseArgs } from 'node:util'

export interface PlannedNode {
  /** From 1. */
  readonly number: number
  readonly address: string
  readonly datacenter: string
  readonly rack: string
  readonly directory: string
  /** Of the `polyxena` command. */
  readonly flags: readonly string[]
}

export interface ClusterPlan {
  readonly nodes: readonly PlannedNode[]
  readonly ports: { readonly client: number; readonly storage: number; readonly admin: number }
  /** Seconds after which it ends by itself; Infinity: when it is told to. */
  readonly seconds: number
}

/** What was asked for cannot be; the message is meant for people. */
export class PlanError extends Error {
  override name = 'PlanError'
}

export const USAGE = `npm run cluster -- [options]: a cluster on this machine, one process and one loopback address a node

  --nodes 3              so many nodes in one data centre (default 3)
  --dc dc1:3,dc2:3       data centres and how many nodes each has, in place of --nodes
  --racks 1              racks in each data centre; its nodes take turns
  --address 127.0.0.1    of the first node; the others have those that follow
  --port 9042            for clients, of every node; --storage-port 7000 and --admin-port 7199 likewise
  --data DIRECTORY       keep the data there, a folder a node; default: a temporary one that goes with the cluster
  --set name=value       a setting of every node (as in polyxena.yaml); may be given more than once
  --seconds N            end after so long
  --no-color             as the variable NO_COLOR

Ctrl-C stops all nodes cleanly; once more kills them.
`

const NODES_MAX = 50

/** Null: help is wanted. `temporary` names the directory when none is given. */
export function planCluster(words: readonly string[], temporary: string): ClusterPlan | null {
  const flags = readFlags(words)
  if (flags.help) return null
  const datacenters =
    flags.dc === undefined ? new Map([['datacenter1', count('--nodes', flags.nodes)]]) : readDcs(flags.dc)
  const racks = count('--racks', flags.racks)
  const ports = {
    client: port('--port', flags.port),
    storage: port('--storage-port', flags['storage-port']),
    admin: port('--admin-port', flags['admin-port']),
  }
  const total = [...datacenters.values()].reduce((sum, nodes) => sum + nodes, 0)
  if (total > NODES_MAX) throw new PlanError(`${total} nodes are more than one machine should run (${NODES_MAX})`)
  const directory = flags.data ?? temporary
  const places: Omit<PlannedNode, 'flags'>[] = []
  for (const [datacenter, nodes] of datacenters)
    for (let i = 0; i < nodes; i++) {
      const number = places.length + 1
      places.push({
        number,
        address: addressAfter(flags.address, number - 1),
        datacenter,
        rack: `rack${(i % racks) + 1}`,
        directory: join(directory, `node${number}`),
      })
    }
  const seeds = seedsOf(places).join()
  const common = flags.set.flatMap(settingFlag)
  return {
    ports,
    seconds: flags.seconds === undefined ? Infinity : count('--seconds', flags.seconds),
    nodes: places.map((place) => ({
      ...place,
      flags: [
        ...['--address', place.address, '--port', String(ports.client), '--storage-port', String(ports.storage)],
        ...['--admin-port', String(ports.admin), '--admin-address', place.address, '--seeds', seeds],
        ...['--dc', place.datacenter, '--rack', place.rack, '--data', place.directory],
        ...common,
      ],
    })),
  }
}

/** Seeds found the cluster together; who comes later joins it, which takes longer. */
const SEEDS_MAX = 7

/** The first node of each data centre, and further ones until there are so many. */
function seedsOf(places: readonly { readonly address: string; readonly datacenter: string }[]): string[] {
  const firsts = places.filter(
    (place) => places.find(({ datacenter }) => datacenter === place.datacenter)!.address === place.address,
  )
  const others = places.filter((place) => !firsts.includes(place))
  return [...firsts, ...others].slice(0, SEEDS_MAX).map(({ address }) => address)
}

function readFlags(words: readonly string[]) {
  try {
    return parseArgs({
      args: [...words],
      options: {
        nodes: { type: 'string', default: '3' },
        dc: { type: 'string' },
        racks: { type: 'string', default: '1' },
        address: { type: 'string', default: '127.0.0.1' },
        port: { type: 'string', default: '9042' },
        'storage-port': { type: 'string', default: '7000' },
        'admin-port': { type: 'string', default: '7199' },
        data: { type: 'string' },
        set: { type: 'string', multiple: true, default: [] },
        seconds: { type: 'string' },
        'no-color': { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }).values
  } catch (error) {
    throw new PlanError((error as Error).message)
  }
}

function readDcs(text: string): Map<string, number> {
  const datacenters = new Map<string, number>()
  for (const part of text.split(',')) {
    const [, name, nodes] = /^([A-Za-z0-9_-]+):(\d+)$/.exec(part.trim()) ?? []
    if (name === undefined) throw new PlanError(`--dc ${text}: names and counts are expected, as in dc1:3,dc2:3`)
    if (datacenters.has(name)) throw new PlanError(`--dc ${text}: ${name} is named twice`)
    datacenters.set(name, count(`--dc ${name}`, nodes!))
  }
  return datacenters
}

function count(flag: string, text: string): number {
  const number = Number(text)
  if (!Number.isInteger(number) || number < 1)
    throw new PlanError(`${flag} ${text}: a whole number above 0 is expected`)
  return number
}

function port(flag: string, text: string): number {
  const number = count(flag, text)
  if (number > 65_535) throw new PlanError(`${flag} ${text}: there is no such port`)
  return number
}

function settingFlag(text: string): string[] {
  const at = text.indexOf('=')
  if (at < 1) throw new PlanError(`--set ${text}: name=value is expected`)
  return [`--${text.slice(0, at).replaceAll('_', '-')}`, text.slice(at + 1)]
}

/** The address `steps` after one of IPv4. */
export function addressAfter(first: string, steps: number): string {
  const parts = first.split('.').map(Number)
  if (parts.length !== 4 || !parts.every((part) => Number.isInteger(part) && part >= 0 && part < 256))
    throw new PlanError(`--address ${first}: an address of IPv4 is expected, as 127.0.0.1`)
  const number = parts.reduce((sum, part) => sum * 256 + part, 0) + steps
  return [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join('.')
}
