/**
 * Who this node is, for as long as its data lives: written once, before anything else, and held against the configuration at each start.
 * File `identity.json` in the data directory: published by rename, so it is whole or absent.
 */

import { join } from 'node:path'
import { stampUuid, uuidText } from '../base/uuid.ts'
import type { Settings } from '../config/settings.ts'
import type { Disk, Random } from '../runtime/runtime.ts'
import { StartError } from './start-error.ts'

export interface Identity {
  /** Lower-case UUID, version 4. */
  readonly hostId: string
  /** Signed 64-bit tokens as decimal text. */
  readonly tokens: readonly string[]
  readonly clusterName: string
  readonly datacenter: string
  readonly rack: string
  /** Seconds since 1970 of the last start, as gossip will tell it. */
  readonly generation: number
}

const FILE = 'identity.json'

export function createIdentity(settings: Settings, random: Random, generation: number): Identity {
  return {
    hostId: randomUuid(random),
    tokens: settings.initial_token.length > 0 ? settings.initial_token : randomTokens(random, settings.num_tokens),
    clusterName: settings.cluster_name,
    datacenter: settings.dc,
    rack: settings.rack,
    generation,
  }
}

/** Reads the identity, or makes one for an empty directory; either way it is durable when this resolves. Throws StartError. */
export async function loadIdentity(disk: Disk, directory: string, fresh: Identity): Promise<Identity> {
  const path = join(directory, FILE)
  const found = await readFile(disk, path)
  const identity = found ? restarted(parse(found, path), fresh) : fresh
  if (found) check(identity, fresh)
  try {
    await writeFile(disk, directory, path, Buffer.from(`${JSON.stringify(identity, null, 2)}\n`))
  } catch (error) {
    // Only the time of this start stays unwritten: a node starts on a full disk.
    if (!found || !FULL.has((error as { code?: unknown }).code)) throw error
  }
  return identity
}

/** Its generation is greater than that of the start before, whatever the clock says: others believe the later one. */
function restarted(saved: Identity, { generation }: Identity): Identity {
  return { ...saved, generation: Math.max(generation, (saved.generation || 0) + 1) }
}

const FULL: ReadonlySet<unknown> = new Set(['ENOSPC', 'EDQUOT'])

function parse(text: Buffer, path: string): Identity {
  try {
    const identity = JSON.parse(text.toString()) as Identity
    if (typeof identity.hostId === 'string' && Array.isArray(identity.tokens)) return identity
  } catch {}
  throw new StartError(`${path} is damaged: it does not say who this node is`)
}

function check(saved: Identity, configured: Identity): void {
  if (saved.clusterName !== configured.clusterName) {
    throw new StartError(`Saved cluster name ${saved.clusterName} != configured name ${configured.clusterName}`)
  }
  if (saved.datacenter !== configured.datacenter) {
    throw new StartError(
      `This node was in data centre ${saved.datacenter}; it cannot start in ${configured.datacenter} with the same data`,
    )
  }
  if (saved.rack !== configured.rack) {
    throw new StartError(
      `This node was in rack ${saved.rack}; it cannot start in ${configured.rack} with the same data`,
    )
  }
}

async function readFile(disk: Disk, path: string): Promise<Buffer | null> {
  const stat = await disk.stat(path)
  if (!stat) return null
  const file = await disk.open(path, 'read')
  const text = Buffer.alloc(stat.size)
  await file.read(text, 0)
  await file.close()
  return text
}

async function writeFile(disk: Disk, directory: string, path: string, text: Buffer): Promise<void> {
  const draft = `${path}.new`
  if (await disk.stat(draft)) await disk.remove(draft)
  const file = await disk.open(draft, 'create')
  await file.write(text, 0)
  await file.sync()
  await file.close()
  await disk.rename(draft, path)
  await disk.syncDirectory(directory)
}

function randomUuid(random: Random): string {
  return uuidText(stampUuid(random.stream('host id').fill(Buffer.alloc(16)), 4))
}

/** One token at random in each of `count` equal parts of the ring: no part is ever left to few. */
function randomTokens(random: Random, count: number): string[] {
  const stream = random.stream('tokens')
  const width = 2n ** 64n / BigInt(count)
  const tokens: string[] = []
  for (let i = 0; i < count; i++) {
    const offset = stream.fill(Buffer.alloc(8)).readBigUInt64BE() % width
    tokens.push(String(-(2n ** 63n) + 1n + BigInt(i) * width + offset))
  }
  return tokens
}
