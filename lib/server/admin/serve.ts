/** Opens the administration interface of a node that serves. */

import type { Metrics } from '../../metrics.ts'
import { isLoopback } from '../../types/inet.ts'
import { POLYXENA_VERSION } from '../../version.ts'
import type { KnownCluster } from '../cluster/known-cluster.ts'
import type { NodeParts } from '../node-parts.ts'
import type { Retirement } from '../retirement.ts'
import type { AdminNode, RingControl } from './admin-node.ts'

export interface AdministeredNode extends NodeParts {
  readonly directory: string | null
  readonly cluster: KnownCluster
  readonly retirement: Retirement
  readonly ring: RingControl | null
  readonly metrics: Metrics
  /** Where clients are served. */
  readonly address: string
  readonly port: number
}

export interface ServedAdmin extends AsyncDisposable {
  /** `address:port`, or the path of the socket. */
  readonly name: string
}

const SOURCE = 'admin.ts'

/** Null: none is wanted, or it could not be opened; the node serves all the same. It is loaded and opened after clients are served. */
export async function serveAdmin(own: AdministeredNode): Promise<ServedAdmin | null> {
  const {
    settings,
    runtime,
    store,
    metadata,
    indexes,
    views,
    identity,
    directory,
    member,
    retirement,
    ring,
    cluster,
    metrics,
    address,
    port,
  } = own
  const { admin_port: adminPort, admin_socket: socket } = settings
  if (adminPort === 0 && socket === null) return null
  const { clock, disk, log } = runtime
  const startedAtMs = clock.monotonicMs()
  try {
    const { openAdmin } = await import('../admin.ts')
    const loopback = isLoopback(settings.rpc_address) ? settings.rpc_address : '127.0.0.1'
    const adminAddress = settings.admin_address ?? loopback
    if (!isLoopback(adminAddress)) throw new Error(`${adminAddress} is not on loopback`)
    const node: AdminNode = {
      settings,
      identity,
      cluster,
      store,
      metrics,
      indexes,
      views,
      compactions: store.compactions,
      clock,
      disk,
      directory,
      startedAtMs,
      version: POLYXENA_VERSION,
      schema: () => metadata.current,
      hints: () => member?.hints ?? null,
      cql: () => (retirement.mode === 'SERVING' ? { address, port } : null),
      mode: () => retirement.mode,
      drain: () => retirement.drain(),
      ring,
    }
    const where = socket === null ? { address: adminAddress, port: adminPort } : { socket }
    const listener = await openAdmin(node, where, log)
    log.info(SOURCE, `Administration interface on ${listener.name}`)
    return {
      name: listener.name,
      [Symbol.asyncDispose]: () => listener.close(),
    }
  } catch (error) {
    log.warn(SOURCE, `There is no administration interface for polyxena-nodetool: ${(error as Error).message}`)
    return null
  }
}
