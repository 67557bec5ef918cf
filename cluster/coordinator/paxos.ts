/**
 * Lightweight transactions and serial reads of a node in a cluster: who takes part, whether they are enough, and one after another for each
 * partition among those of this node, so that they do not contend with each other.
 * Always: what cannot be decided, or not be made known at the level asked for, is refused before anything is sent.
 */

import { RequestError } from '../../lib/base/errors.ts'
import { SerialLocks } from '../../lib/base/serial-locks.ts'
import { uuidBytes } from '../../lib/base/uuid.ts'
import { Consistency, consistencyName } from '../../lib/types/consistency.ts'
import type { ReadCommand, ReadResult } from '../../storage/model/command.ts'
import type { Messenger } from '../internode/messenger.ts'
import type { BallotSource } from '../paxos/ballot.ts'
import { type Register, registerName } from '../paxos/register.ts'
import type { CasRequest } from './cas.ts'
import type { LightweightTransactions } from './coordinator.ts'
import type { CoordinatorEnvironment } from './environment.ts'
import type { PaxosAcceptor } from './paxos-acceptor.ts'
import { PaxosCommits } from './paxos-commit.ts'
import { type Parties, partiesOf } from './paxos-parties.ts'
import { readUndisturbing } from './paxos-read.ts'
import { type PaxosReads, Transaction, type TransactionRequest, type TransactionTools } from './paxos-transaction.ts'
import { unavailable } from './request-errors.ts'
import type { WritePlan } from './write-plan.ts'
import type { WritePlans } from './write-plans.ts'

export interface PaxosCoordinatorOptions {
  readonly environment: CoordinatorEnvironment
  readonly acceptor: PaxosAcceptor
  readonly plans: WritePlans
  readonly reads: PaxosReads
  /** The only one of the node. */
  readonly ballots: BallotSource
}

export class PaxosCoordinator implements LightweightTransactions {
  readonly #environment: CoordinatorEnvironment
  readonly #acceptor: PaxosAcceptor
  readonly #plans: WritePlans
  readonly #reads: PaxosReads
  readonly #commits: PaxosCommits
  readonly #ballots: BallotSource
  readonly #locks = new SerialLocks()

  constructor({ environment, acceptor, plans, reads, ballots }: PaxosCoordinatorOptions) {
    this.#environment = environment
    this.#acceptor = acceptor
    this.#plans = plans
    this.#reads = reads
    this.#commits = new PaxosCommits({ environment, acceptor })
    this.#ballots = ballots
  }

  register(messenger: Messenger): void {
    this.#acceptor.register(messenger)
  }

  async cas({ table, keyspace, position, serial, commit, read, decide }: CasRequest): Promise<boolean> {
    const register = { table, position }
    const parties = this.#parties(serial, register, keyspace)
    if (parties === null) return await this.#casAlone({ table, keyspace, position, serial, commit, read, decide })
    this.#plan(register, commit, keyspace, true)
    const startedMs = this.#environment.clock.monotonicMs()
    return await this.#run(register, keyspace, commit, { parties, isRead: false, read, decide, startedMs })
  }

  async readSerially(command: ReadCommand, consistency: number, keyspace: string): Promise<ReadResult> {
    if (command.target.kind !== 'partition') throw new Error('a serial read is one of a partition')
    const register = { table: command.table, position: command.target.position }
    const parties = this.#parties(consistency, register, keyspace)
    if (parties === null) return await this.#reads.read(command, Consistency.ONE, keyspace)
    const startedMs = this.#environment.clock.monotonicMs()
    const tools = { environment: this.#environment, acceptor: this.#acceptor, reads: this.#reads }
    let found = await readUndisturbing(tools, register, parties, command)
    if (found !== null) return found
    await this.#run(register, keyspace, Consistency.ANY, {
      parties,
      isRead: true,
      read: command,
      decide(result) {
        found = result
        return null
      },
      startedMs,
    })
    return found!
  }

  async #run(
    register: Register,
    keyspace: string,
    commit: number,
    request: Omit<TransactionRequest, 'keyspace' | 'register'>,
  ): Promise<boolean> {
    const commits = this.#commits
    const tools: TransactionTools = {
      environment: this.#environment,
      acceptor: this.#acceptor,
      ballots: this.#ballots,
      reads: this.#reads,
      parties: () => this.#parties(request.parties.level, register, keyspace)!,
      commit: (decided, contentions) =>
        commits.spread(() => this.#plan(register, commit, keyspace, false), register, decided, contentions),
      commitLater: (decided) => {
        void commits
          .spread(() => this.#plan(register, Consistency.ANY, keyspace, false), register, decided, 0)
          .catch(this.#environment.report)
      },
    }
    const transaction = new Transaction(tools, { ...request, keyspace, register })
    return await this.#locks.run(registerName(register), () => transaction.run())
  }

  /** Null: the data is the node's own, and so is the order. */
  #parties(level: number, { position }: Register, keyspace: string): Parties | null {
    const { liveness } = this.#environment
    const placed = this.#environment.placement(keyspace)
    if (placed === null) return null
    const self = this.#environment.self()
    const replicas = placed.placement.at(position.readInt32BE(0), position.readInt32BE(4))
    const datacenter = placed.replication.datacenters === null ? null : self.datacenter
    const parties = partiesOf(
      level,
      replicas,
      datacenter,
      ({ hostId }) => hostId === self.hostId || liveness.isAlive(hostId),
      this.#environment.epoch(),
    )
    if (parties.shortage === null) return parties
    const { required, alive } = parties.shortage
    throw new RequestError('UNAVAILABLE', `Cannot achieve consistency level ${consistencyName(level)}`, {
      consistency: level,
      required,
      alive,
    })
  }

  #plan({ table, position }: Register, level: number, keyspace: string, isChecked: boolean): WritePlan {
    const plan = this.#plans.planOf(Buffer.concat([uuidBytes(table), position]), level, keyspace)!
    if (!isChecked || plan.unavailable === null || plan.hintCounts) return plan
    const { required, alive, datacenter } = plan.unavailable
    throw unavailable(level, required, alive, datacenter)
  }

  async #casAlone({ table, keyspace, position, read, decide }: CasRequest): Promise<boolean> {
    const { replica } = this.#environment
    return await this.#locks.run(registerName({ table, position }), async () => {
      const scene = {
        timestamp: null,
        read: (command: ReadCommand) => this.#reads.read(command, Consistency.ONE, keyspace),
      }
      const mutations = await decide(await scene.read(read), scene)
      if (mutations === null) return false
      if (mutations.length > 0) await replica.apply(mutations)
      return true
    })
  }
}
