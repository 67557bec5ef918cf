/**
 * A replica's side of reads: answers coordinators of other nodes, and takes what they find that it lacks.
 * Always: what is answered is what this node's storage holds; a table that it does not know, or a range that is not its own any more, is looked for in
 * the metadata first, and refused as INCOMPATIBLE_SCHEMA when it is not there either. */
import { ByteWriter } from '../../lib/base/bytes.ts'
import { FailureReason, ReplicaFailure } from '../../lib/base/errors.ts'
import type { ReadCommand, ReadResult } from '../../storage/model/command.ts'
import type { Incoming, Messenger, Payload } from '../internode/messenger.ts'
import { Verb } from '../internode/verbs.ts'
import type { CoordinatorEnvironment, ReplicaSide } from './environment.ts'
import {
  decodeReadRequest,
  decodeRepair,
  digestOf,
  encodeAnswer,
  encodeDigest,
  type ReadRequest,
} from './read-codec.ts'
import { checkTombstones, type RepairSink } from './read-services.ts'
import { isReplicaFailure, reasonName } from './request-errors.ts'
import { TableIds } from './table-ids.ts'

const WRITER_BYTES_KEPT = 256 * 1024
const DONE: Payload = Buffer.alloc(0)

export class ReplicaReads implements ReplicaSide {
  readonly #environment: CoordinatorEnvironment
  readonly #repairs: RepairSink
  readonly #ids = new TableIds()
  #answer = new ByteWriter(1024)
  readonly #digest = new ByteWriter(64)
  /** Tables that were read at `#epoch`, with their keyspaces. */
  readonly #keyspaces = new Map<string, string>()
  #epoch = -1
  /** Since the start. */
  served = 0
  repaired = 0

  constructor(environment: CoordinatorEnvironment, repairs: RepairSink) {
    this.#environment = environment
    this.#repairs = repairs
  }

  register(messenger: Messenger): void {
    messenger.handle(Verb.READ, (message) => this.#read(message))
    messenger.handle(Verb.RANGE_READ, (message) => this.#read(message))
    messenger.handle(Verb.READ_REPAIR, (message) => this.#repair(message))
  }

  #read({ payload, epoch }: Incoming): Payload | Promise<Payload> {
    const request = decodeReadRequest(payload, this.#ids)
    const keyspace = this.#keyspaceOf(request.command.table)
    // Equal epochs: equal ideas of who holds what.
    if (keyspace === null || epoch !== this.#epoch)
      return this.#readWhenKnown(decodeReadRequest(Buffer.from(payload), this.#ids), epoch)
    return this.#readKnown(request)
  }

  #keyspaceOf(table: string): string | null {
    const epoch = this.#environment.epoch()
    if (epoch !== this.#epoch) {
      this.#keyspaces.clear()
      this.#epoch = epoch
    }
    let keyspace = this.#keyspaces.get(table) ?? null
    if (keyspace === null) {
      keyspace = this.#environment.keyspaceOf(this.#ids.bytes(table).toString('latin1'))
      if (keyspace !== null) this.#keyspaces.set(table, keyspace)
    }
    return keyspace
  }

  async #readWhenKnown(request: ReadRequest, epoch: number): Promise<Payload> {
    const { command } = request
    if (epoch > this.#environment.epoch()) await this.#environment.catchUp(epoch)
    const keyspace = this.#keyspaceOf(command.table)
    if (keyspace === null) throw incompatible(`table ${command.table} is unknown here`)
    if (!this.#holds(keyspace, command)) throw incompatible(`${keyspace} has other replicas for what is read`)
    const answer = this.#readKnown(request)
    // Others that waited with it make theirs before this one is sent.
    return answer instanceof Promise ? answer : Buffer.from(answer)
  }

  /** Whether this node is a replica of all that is read, as it knows the ring. */
  #holds(keyspace: string, { target }: ReadCommand): boolean {
    const placed = this.#environment.placement(keyspace)
    if (placed === null) return true
    const { hostId } = this.#environment.self()
    const { placement } = placed
    if (target.kind === 'partition')
      return placement.atPosition(target.position).natural.some((node) => node.hostId === hostId)
    return placement
      .ranges(target.start, target.end)
      .every(({ replicas }) => replicas.natural.some((node) => node.hostId === hostId))
  }

  #readKnown(request: ReadRequest): Buffer | Promise<Buffer> {
    this.served++
    try {
      const reading = this.#environment.replica.read(request.command)
      if (!(reading instanceof Promise)) return this.#encode(request, reading)
      return reading.then(
        // Another answer may be made before this one is sent.
        (result) => Buffer.from(this.#encode(request, result)),
        (cause: unknown) => this.#fail(cause),
      )
    } catch (cause) {
      return this.#fail(cause)
    }
  }

  /** A view, until the next. */
  #encode({ command, isDigest }: ReadRequest, result: ReadResult): Buffer {
    checkTombstones(command, result)
    let out = this.#answer
    if (out.buffer.length > WRITER_BYTES_KEPT) {
      out = new ByteWriter(1024)
      this.#answer = out
    }
    out.reset()
    encodeAnswer(out, result, command.whole === true)
    if (!isDigest) return out.view()
    const digest = digestOf(out.view())
    this.#digest.reset()
    encodeDigest(this.#digest, result.tombstones, digest)
    return this.#digest.view()
  }

  #repair({ payload, epoch }: Incoming): Payload | Promise<Payload> {
    const { writtenAt, mutation } = decodeRepair(payload)
    this.repaired++
    const done = this.#repairs.apply([mutation], writtenAt, epoch)
    return done === undefined ? DONE : done.then(() => DONE)
  }

  /** What is wrong with the disk is said here; the coordinator learns only that it failed. */
  #fail(cause: unknown): never {
    if (cause instanceof ReplicaFailure || !isReplicaFailure(cause)) throw cause
    this.#environment.report(cause)
    throw Object.assign(new ReplicaFailure('UNKNOWN', FailureReason.UNKNOWN, cause.message), { cause })
  }
}

function incompatible(message: string): ReplicaFailure {
  const reason = FailureReason.INCOMPATIBLE_SCHEMA
  return new ReplicaFailure(reasonName(reason), reason, message)
}
