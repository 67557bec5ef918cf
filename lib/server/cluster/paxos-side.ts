/** All of a node that has to do with lightweight transactions in a cluster, put together; what it promised is in a table that no CQL name reaches. */
import type { Reads } from '../../../cluster/coordinator/coordinator.ts'
import type { CoordinatorEnvironment } from '../../../cluster/coordinator/environment.ts'
import type { Replica } from '../../../cluster/coordinator/local.ts'
import { PaxosCoordinator } from '../../../cluster/coordinator/paxos.ts'
import { PaxosAcceptor } from '../../../cluster/coordinator/paxos-acceptor.ts'
import { PaxosCleaner } from '../../../cluster/coordinator/paxos-cleanup.ts'
import { PrepareReads, QuorumReads } from '../../../cluster/coordinator/paxos-reads.ts'
import { PaxosStore } from '../../../cluster/coordinator/paxos-state.ts'
import type { TruncationMarks } from '../../../cluster/coordinator/truncation-marks.ts'
import type { WritePlans } from '../../../cluster/coordinator/write-plans.ts'
import { BallotSource } from '../../../cluster/paxos/ballot.ts'
import type { Store } from '../../../storage/store.ts'
import { DEFAULT_TABLE_OPTIONS } from '../../../storage/table-options.ts'
import { systemTableId } from '../../schema/system-tables.ts'

export const PAXOS_ID = systemTableId('system', 'polyxena_paxos')

export interface PaxosSideOptions {
  readonly environment: CoordinatorEnvironment
  readonly store: Store
  /** With indexes and views: decisions change them, too. */
  readonly replica: Replica
  readonly marks: TruncationMarks
  readonly plans: WritePlans
  readonly reads: Pick<Reads, 'read'>
}

export interface PaxosSide {
  readonly transactions: PaxosCoordinator
  readonly cleaner: PaxosCleaner
}

export async function openPaxosSide(options: PaxosSideOptions): Promise<PaxosSide> {
  const { environment, store, replica, marks, plans, reads } = options
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
    transactions: new PaxosCoordinator({ environment, acceptor, plans, reads: new QuorumReads(reads), ballots }),
    cleaner: new PaxosCleaner({ environment, acceptor, store: states, ballots }),
  }
}
