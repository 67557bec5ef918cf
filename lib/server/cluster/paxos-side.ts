/** All of a node that has to do with lightweight transactions in a cluster, put together; what it promised is in a table that no CQL name reaches. */
import type { Reads } from '../../../cluster/coordinator/coordinator.ts'
import type { CoordinatorEnvironment } from '../../../cluster/coordinator/environment.ts'
import { PaxosCoordinator } from '../../../cluster/coordinator/paxos.ts'
import { PaxosAcceptor } from '../../../cluster/coordinator/paxos-acceptor.ts'
import { PaxosCleaner } from '../../../cluster/coordinator/paxos-cleanup.ts'
import { PrepareReads, QuorumReads } from '../../../cluster/coordinator/paxos-reads.ts'
import { PaxosStore } from '../../../cluster/coordinator/paxos-state.ts'
import type { Replica } from '../../../cluster/coordinator/replica.ts'
import type { TruncationMarks } from '../../../cluster/coordinator/truncation-marks.ts'
import type { WritePlans } from '../../../cluster/coordinator/write-plans.ts'
import { Verb } from '../../../cluster/internode/verbs.ts'
import { BallotSource } from '../../../cluster/paxos/ballot.ts'
import type { Store } from '../../../storage/store.ts'
import { DEFAULT_TABLE_OPTIONS } from '../../../storage/table-options.ts'
import type { Log } from '../../runtime/runtime.ts'
import { systemTableId } from '../../schema/system-tables.ts'

const PAXOS_ID = systemTableId('system', 'polyxena_paxos')

export interface PaxosSideOptions {
  readonly environment: CoordinatorEnvironment
  readonly store: Store
  readonly log: Log
  /** With indexes and views: decisions change them, too. */
  readonly replica: Replica
  readonly marks: TruncationMarks
  readonly plans: WritePlans
  readonly reads: Pick<Reads, 'read'>
}

export interface PaxosSide {
  readonly transactions: PaxosCoordinator
  readonly cleaner: PaxosCleaner
  /** Drops what an earlier attempt to join left: of what was committed then, the data is dropped too. */
  clear(): Promise<void>
  /** Before this node counts as a replica: the others make all their decisions known to it. */
  settle(): Promise<void>
}

const SOURCE = 'paxos-side.ts'

/** For all registers that are kept: a round of messages takes a few ms each. */
const SETTLE_MS = 60_000

export async function openPaxosSide(options: PaxosSideOptions): Promise<PaxosSide> {
  const { environment, store, log, replica, marks, plans, reads } = options
  await store.registerTable(PAXOS_ID, {
    keyspace: 'system',
    name: 'polyxena_paxos',
    durableWrites: true,
    hasClustering: true,
    options: { ...DEFAULT_TABLE_OPTIONS, gcGraceSeconds: 0 },
  })
  const states = new PaxosStore(
    {
      apply: (mutations) => replica.apply(mutations),
      read: (command) => store.read(command),
    },
    PAXOS_ID,
  )
  const ballots = new BallotSource(environment.self().hostId, () => environment.timestampMicros())
  const prepareReads = new PrepareReads(replica)
  const acceptor = new PaxosAcceptor({
    environment,
    store: states,
    marks,
    read: (request) => prepareReads.answer(request),
  })
  return {
    transactions: new PaxosCoordinator({
      environment,
      acceptor,
      plans,
      reads: new QuorumReads(reads, replica),
      ballots,
    }),
    cleaner: new PaxosCleaner({ environment, acceptor, store: states, ballots }),
    clear: () => store.truncate(PAXOS_ID),
    settle: () => settleAtOthers(environment, log),
  }
}

async function settleAtOthers(environment: CoordinatorEnvironment, log: Log): Promise<void> {
  const { messenger, liveness } = environment
  const self = environment.self().hostId
  const others = [...environment.nodes().values()].filter(
    ({ hostId, status }) => hostId !== self && status !== 'joining' && liveness.isAlive(hostId),
  )
  const unsettled = await Promise.all(
    others.map(
      ({ endpoint }) =>
        new Promise<string | null>((resolve) => {
          messenger.request(endpoint, Verb.PAXOS_SETTLE, Buffer.alloc(0), SETTLE_MS, {
            replied: (_, answer) => {
              const left = answer.length === 4 ? answer.readUInt32BE(0) : 0
              resolve(left === 0 ? null : `${left} of ${endpoint}`)
            },
            failed: () => resolve(`all of ${endpoint}`),
          })
        }),
    ),
  )
  const told = unsettled.filter((one) => one !== null)
  if (told.length > 0)
    log.warn(SOURCE, `Lightweight transactions that could not be ended before this node joins: ${told.join(', ')}`)
}
