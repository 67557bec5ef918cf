/**
 * What this node's acceptors know, in a table of its own storage that no CQL name reaches (docs/formats.md, "Paxos of partitions"):
 *
 *   position of the partition, clustering = the table's id, columns 0 promised (ballot), 1 accepted and 2 committed (ballot, value)
 *   position FLOOR, no clustering,                          column  3 floor (µs, u64)
 *
 * Always: what `save` was given is on disk when it resolves, before anybody is answered. Each column only ever rises: its cells have the µs of their
 * ballots as timestamps, so the order of writes does not matter. Every register of which nothing is kept counts as having promised the floor:
 * so a register may be forgotten when its ballots are below the floor and nothing in it is unfinished anywhere.
 */
import { ByteReader } from '../../lib/base/bytes.ts'
import { uuidBytes } from '../../lib/base/uuid.ts'
import { END_OF_PARTITION, type ReadCommand, type RowData } from '../../storage/model/command.ts'
import { MutationWriter, POSITION_HEAD_BYTES, TABLE_ID_BYTES } from '../../storage/model/mutation.ts'
import { RowReader } from '../../storage/model/row.ts'
import { BALLOT_BYTES, type Ballot, compareBallots, encodeBallot, highestBallot, readBallot } from '../paxos/ballot.ts'
import type { AcceptorState, Proposal } from '../paxos/core.ts'
import type { Register } from '../paxos/register.ts'
import type { Replica } from './replica.ts'

export type RegisterState = AcceptorState<Buffer>

/** A register and what is known of it, as a walk over all of them finds it. */
export interface KeptRegister {
  readonly register: Register
  readonly state: RegisterState
}

export interface KeptRegisters {
  readonly registers: readonly KeptRegister[]
  /** Where the next walk goes on; null: that was all. */
  readonly next: Buffer | null
}

const Column = { PROMISED: 0, ACCEPTED: 1, COMMITTED: 2, FLOOR: 3 } as const

const TWO_32 = 4294967296
/** No partition has an empty key. */
const FLOOR_POSITION = Buffer.alloc(POSITION_HEAD_BYTES)
const NO_CLUSTERING = Buffer.alloc(0)
const REGISTERS_AT_ONCE = 100

export class PaxosStore {
  readonly #replica: Pick<Replica, 'apply' | 'read'>
  readonly #tableId: Buffer
  readonly #table: string
  readonly #writer = new MutationWriter()
  readonly #rows = new RowReader()
  #floor: Ballot | null = null
  #floorRead: Promise<void> | null = null

  /** `table`: the id under which storage knows the table. */
  constructor(replica: Pick<Replica, 'apply' | 'read'>, table: string) {
    this.#replica = replica
    this.#table = table
    this.#tableId = uuidBytes(table)
  }

  /** Known once something was loaded. Null: nothing was forgotten yet. */
  get floor(): Ballot | null {
    return this.#floor
  }

  async load(register: Register): Promise<RegisterState> {
    if (this.#floorRead === null) this.#floorRead = this.#readFloor()
    await this.#floorRead
    const start = uuidBytes(register.table)
    const slices = [{ start, end: Buffer.concat([start, END_OF_PARTITION]), single: true }]
    const found = this.#replica.read(this.#command({ kind: 'partition', position: register.position }, slices))
    const { partitions } = found instanceof Promise ? await found : found
    return this.#state(partitions[0]?.rows[0] ?? null)
  }

  /** Writes what changed, and with it `also`, as one record of the log. */
  async save(
    register: Register,
    state: RegisterState,
    changed: 'promised' | 'accepted' | 'committed',
    also: Buffer | null = null,
  ): Promise<void> {
    const writer = this.#writer
    this.#begin(register.position)
    writer.beginRow(uuidBytes(register.table))
    if (changed === 'promised') this.#cell(Column.PROMISED, state.promised!, encodeBallot(state.promised!))
    else {
      const proposal = changed === 'accepted' ? state.accepted! : state.committed!
      this.#cell(changed === 'accepted' ? Column.ACCEPTED : Column.COMMITTED, proposal.ballot, encodeProposal(proposal))
    }
    writer.endRow()
    const record = writer.finish()
    await this.#replica.apply(also === null ? [record] : [also, record])
  }

  /** Forgets the register: from then on all of which nothing is kept have promised at least its ballots. */
  async forget(
    register: Register,
    { promised, accepted, committed }: RegisterState,
    nowSeconds: number,
  ): Promise<void> {
    const last = highestBallot(promised, highestBallot(accepted?.ballot ?? null, committed?.ballot ?? null))
    if (last === null) return
    const { micros } = last
    const writer = this.#writer
    const mutations: Buffer[] = []
    if (compareBallots(last, this.#floor) > 0) {
      this.#begin(FLOOR_POSITION)
      writer.beginRow(NO_CLUSTERING)
      const value = Buffer.allocUnsafe(8)
      value.writeUInt32BE(Math.floor(micros / TWO_32), 0)
      value.writeUInt32BE(micros % TWO_32, 4)
      writer.row.cell(Column.FLOOR, Math.floor(micros / TWO_32), micros | 0, value)
      writer.endRow()
      mutations.push(Buffer.from(writer.finish()))
      // Before it is on disk: who is refused needlessly only tries again.
      this.#floor = { micros, node: HIGHEST_NODE }
    }
    this.#begin(register.position)
    writer.beginRow(uuidBytes(register.table))
    writer.row.deletion(Math.floor(micros / TWO_32), micros | 0, nowSeconds)
    writer.endRow()
    mutations.push(writer.finish())
    await this.#replica.apply(mutations)
  }

  /** Registers from a position on (null: from the first). */
  async walk(from: Buffer | null): Promise<KeptRegisters> {
    const command = { ...this.#command({ kind: 'range', start: from, end: null }, null), limit: REGISTERS_AT_ONCE }
    const { partitions, more } = await this.#replica.read(command)
    const registers: KeptRegister[] = []
    let last: Buffer | null = null
    for (const { position, rows } of partitions) {
      last = Buffer.from(position)
      for (const row of rows) {
        if (row.clustering.length !== TABLE_ID_BYTES) continue
        const table = uuidOf(row.clustering)
        registers.push({ register: { table, position: last }, state: this.#state(row) })
      }
    }
    // A position that is greater than all that begin with the last one: those of its partition that were cut off come with the next round.
    return { registers, next: more && last !== null ? Buffer.concat([last, Buffer.of(0)]) : null }
  }

  async #readFloor(): Promise<void> {
    const { partitions } = await this.#replica.read(
      this.#command({ kind: 'partition', position: FLOOR_POSITION }, null),
    )
    const row = partitions[0]?.rows[0]
    if (row === undefined) return
    const rows = this.#rows.reset(row.row)
    while (rows.next()) {
      if (rows.columnId !== Column.FLOOR) continue
      const micros = rows.buffer.readUInt32BE(rows.valueStart) * TWO_32 + rows.buffer.readUInt32BE(rows.valueStart + 4)
      this.#floor = highestBallot(this.#floor, { micros, node: HIGHEST_NODE })
    }
  }

  #state(row: RowData | null): RegisterState {
    let promised: Ballot | null = null
    let accepted: Proposal<Buffer> | null = null
    let committed: Proposal<Buffer> | null = null
    if (row !== null) {
      const rows = this.#rows.reset(row.row)
      while (rows.next()) {
        if (rows.columnId === Column.PROMISED) promised = readBallot(rows.buffer, rows.valueStart)
        else if (rows.columnId === Column.ACCEPTED)
          accepted = decodeProposal(rows.buffer, rows.valueStart, rows.valueEnd)
        else if (rows.columnId === Column.COMMITTED)
          committed = decodeProposal(rows.buffer, rows.valueStart, rows.valueEnd)
      }
    } else promised = this.#floor
    promised = highestBallot(promised, accepted?.ballot ?? null)
    if (accepted !== null && compareBallots(accepted.ballot, committed?.ballot ?? null) <= 0) accepted = null
    return { promised, accepted, committed }
  }

  #begin(position: Buffer): void {
    this.#writer.begin(
      this.#tableId,
      position.readInt32BE(0) ^ 0x80000000,
      position.readInt32BE(4),
      position.subarray(POSITION_HEAD_BYTES),
    )
  }

  #cell(column: number, { micros }: Ballot, value: Buffer): void {
    this.#writer.row.cell(column, Math.floor(micros / TWO_32), micros | 0, value)
  }

  #command(target: ReadCommand['target'], slices: ReadCommand['slices']): ReadCommand {
    return {
      table: this.#table,
      target,
      slices,
      reversed: false,
      wantStatic: false,
      staticCounts: false,
      limit: Number.POSITIVE_INFINITY,
      perPartitionLimit: Number.POSITIVE_INFINITY,
      byteLimit: Number.POSITIVE_INFINITY,
      nowSeconds: 0,
      after: null,
    }
  }
}

/** A ballot of the floor refuses all of its µs. */
const HIGHEST_NODE = 'ffffffff-ffff-ffff-ffff-ffffffffffff'

function uuidOf(clustering: Buffer): string {
  const hex = clustering.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

function encodeProposal({ ballot, value }: Proposal<Buffer>): Buffer {
  return Buffer.concat([encodeBallot(ballot), value])
}

/** Copies: what storage gives is valid for this turn only. */
function decodeProposal(bytes: Buffer, start: number, end: number): Proposal<Buffer> {
  const reader = new ByteReader(bytes, start + BALLOT_BYTES, end)
  return { ballot: readBallot(bytes, start), value: Buffer.from(reader.view(reader.remaining())) }
}
