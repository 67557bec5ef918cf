/**
 * How a node stops serving: by an operator's hand (drain, decommission) or because its process ends. One way for all.
 * Source: Cassandra's StorageService.drain and decommission.
 * Always: others are told before any door closes; what is in flight is answered; then all is in files, and nothing is written any more.
 * An administrator may ask the node until its process ends.
 */
import type { Store } from '../../storage/store.ts'
import type { Log } from '../runtime/runtime.ts'
import { addressBytes } from './addresses.ts'
import type { ClusterMember } from './cluster/member.ts'
import type { ClientListener } from './listener.ts'

const SOURCE = 'node.ts'

/** Cassandra's words; what is before and between says the ring. */
export type Mode = 'SERVING' | 'DRAINING' | 'DRAINED' | 'DECOMMISSIONED'

export interface RetirementOptions {
  readonly log: Log
  /** Null: the node is alone. */
  readonly member: ClusterMember | null
  /** What serves clients and other nodes. */
  readonly serving: AsyncDisposable
  readonly store: Store
  readonly clients: ClientListener
  /** Where clients are served. */
  readonly address: string
  readonly port: number
  /** Takes nothing new of clients, and answers what has begun. */
  stopServing(): Promise<void>
}

export class Retirement {
  readonly #options: RetirementOptions
  #mode: Mode = 'SERVING'
  #draining: Promise<void> | null = null
  #leaving: Promise<void> | null = null

  constructor(options: RetirementOptions) {
    this.#options = options
  }

  get mode(): Mode {
    return this.#mode
  }

  /** May be called twice. */
  drain(): Promise<void> {
    this.#draining ??= this.#drain()
    return this.#draining
  }

  /**
   * Gives its place in the ring to others. `force`: also when fewer replicas remain than a keyspace asks for. What cannot be is said by a RequestError
   * or TopologyError, and the node serves on.
   */
  decommission(member: ClusterMember, force: boolean): Promise<void> {
    const leaving = this.#leaving ?? this.#leave(member, force)
    this.#leaving = leaving
    return leaving
  }

  async #leave(member: ClusterMember, force: boolean): Promise<void> {
    try {
      await member.decommission(force, () => this.#stopClients())
    } catch (error) {
      this.#leaving = null
      throw error
    }
    await this.drain()
    this.#mode = 'DECOMMISSIONED'
  }

  async #drain(): Promise<void> {
    const { log, member, serving, store } = this.#options
    log.info(SOURCE, 'DRAINING: no new requests are taken')
    this.#sayDown()
    member?.announceShutdown()
    await serving[Symbol.asyncDispose]()
    await store.close()
    this.#mode = 'DRAINED'
    log.info(SOURCE, 'DRAINED')
  }

  async #stopClients(): Promise<void> {
    this.#sayDown()
    await this.#options.stopServing()
  }

  #sayDown(): void {
    if (this.#mode !== 'SERVING') return
    this.#mode = 'DRAINING'
    const { clients, address, port } = this.#options
    clients.events.broadcast({ kind: 'STATUS_CHANGE', change: 'DOWN', address: addressBytes(address), port })
  }
}
