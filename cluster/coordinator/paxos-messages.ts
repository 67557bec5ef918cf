/**
 * What proposers and acceptors of a partition say to each other, byte by byte.
 *
 * PAXOS_PREPARE := register | ballot 24 | flags u8 (1: commit, 2: read) | commit | rest: the read (read-codec.ts)
 *   answer      := outcome u8: 0 refused | by 24
 *                              1 promised | flags u8 (1: accepted, 2: committed, 4: read, 8: floor) | accepted | committed | floor 24 | rest: what was read
 * PAXOS_PROPOSE := register | ballot 24 | flags u8 (1: commit) | commit | rest: value
 *   answer      := outcome u8: 0 refused | by 24 | never u8
 *                              1 accepted
 * PAXOS_READ    := register | rest: the read
 *   answer      := flags u8 (1: accepted, 2: committed) | accepted 24 | committed 24 | rest: what was read
 * PAXOS_COMMIT  := register | ballot 24 | rest: value       answered with nothing
 * PAXOS_FORGET  := register | ballot 24                     answered with nothing
 * PAXOS_SETTLED := register | ballot 24                     answered with u8: 1 if that is its last commit, and nothing is above it
 * PAXOS_SETTLE  := nothing: for the sender, which joins         answered with u32: how many could not be settled
 * register := table id 16 | position      commit, accepted, committed := ballot 24 | length u32, value
 * `commit` is what the proposer knows to be decided: the acceptor takes it before anything else.
 */
import { ByteReader, ByteWriter } from '../../lib/base/bytes.ts'
import { uuidBytes, uuidText } from '../../lib/base/uuid.ts'
import { POSITION_HEAD_BYTES, TABLE_ID_BYTES } from '../../storage/model/mutation.ts'
import { validateMutation } from '../../storage/model/validation.ts'
import { BALLOT_BYTES, type Ballot, encodeBallot, readBallot } from '../paxos/ballot.ts'
import type { PrepareReply, Proposal, ProposeReply } from '../paxos/core.ts'
import { checkValue, mutationOf, type Register } from '../paxos/register.ts'

const Flag = { COMMIT: 1, READ: 2 } as const
const Found = { ACCEPTED: 1, COMMITTED: 2, READ: 4, FLOOR: 8 } as const

export interface PrepareMessage {
  readonly register: Register
  readonly ballot: Ballot
  readonly commit: Proposal<Buffer> | null
  /** Null: nothing is to be read. */
  readonly read: Buffer | null
}

export interface ProposeMessage {
  readonly register: Register
  readonly proposal: Proposal<Buffer>
  readonly commit: Proposal<Buffer> | null
}

export interface CommitMessage {
  readonly register: Register
  readonly decided: Proposal<Buffer>
}

/** An acceptor's answer, with what it read when it promised. */
export type PrepareAnswer = PrepareReply<Buffer> & {
  readonly read?: Buffer | null
  /** Of who knows of no decision: up to there it may have forgotten some. */
  readonly floor?: Ballot | null
}

export function encodePrepare({ register, ballot, commit, read }: PrepareMessage): Buffer {
  const out = begin(register, ballot)
  out.uint8((commit === null ? 0 : Flag.COMMIT) | (read === null ? 0 : Flag.READ))
  if (commit !== null) putProposal(out, commit)
  if (read !== null) out.bytes(read)
  return out.view()
}

export function encodePropose({ register, proposal, commit }: ProposeMessage): Buffer {
  const out = begin(register, proposal.ballot)
  out.uint8(commit === null ? 0 : Flag.COMMIT)
  if (commit !== null) putProposal(out, commit)
  out.bytes(proposal.value)
  return out.view()
}

export function encodeCommit({ register, decided }: CommitMessage): Buffer {
  const out = begin(register, decided.ballot)
  out.bytes(decided.value)
  return out.view()
}

/** What an acceptor has, without a promise. `accepted`: of something to be written that it does not know to be decided. */
export interface PeekAnswer {
  readonly accepted: Ballot | null
  readonly committed: Ballot | null
  readonly read: Buffer
}

export function encodePeek({ table, position }: Register, read: Buffer): Buffer {
  return Buffer.concat([uuidBytes(table), position, read])
}

export function decodePeek(payload: Buffer): { readonly register: Register; readonly read: Buffer } {
  const reader = new ByteReader(payload)
  return { register: readRegister(reader), read: reader.view(reader.remaining()) }
}

export function encodePeekAnswer({ accepted, committed, read }: PeekAnswer): Buffer {
  const out = new ByteWriter(64 + read.length)
  out.uint8((accepted === null ? 0 : Found.ACCEPTED) | (committed === null ? 0 : Found.COMMITTED))
  if (accepted !== null) out.bytes(encodeBallot(accepted))
  if (committed !== null) out.bytes(encodeBallot(committed))
  out.bytes(read)
  return out.view()
}

/** Copies. */
export function decodePeekAnswer(payload: Buffer): PeekAnswer {
  const reader = new ByteReader(Buffer.from(payload))
  const flags = reader.uint8()
  const accepted = (flags & Found.ACCEPTED) === 0 ? null : takeBallot(reader)
  const committed = (flags & Found.COMMITTED) === 0 ? null : takeBallot(reader)
  return { accepted, committed, read: reader.view(reader.remaining()) }
}

/** PAXOS_FORGET and PAXOS_SETTLED. */
export function encodeRegister(register: Register, ballot: Ballot): Buffer {
  return begin(register, ballot).view()
}

/** Throws BytesError, as all that follow; what it gives are views of the payload. */
export function decodePrepare(payload: Buffer): PrepareMessage {
  const reader = new ByteReader(payload)
  const register = readRegister(reader)
  const ballot = takeBallot(reader)
  const flags = reader.uint8()
  const commit = (flags & Flag.COMMIT) === 0 ? null : takeProposal(reader)
  const read = (flags & Flag.READ) === 0 ? null : reader.view(reader.remaining())
  return { register, ballot, commit, read }
}

export function decodePropose(payload: Buffer): ProposeMessage {
  const reader = new ByteReader(payload)
  const register = readRegister(reader)
  const ballot = takeBallot(reader)
  const commit = (reader.uint8() & Flag.COMMIT) === 0 ? null : takeProposal(reader)
  return { register, proposal: { ballot, value: checked(reader.view(reader.remaining())) }, commit }
}

export function decodeCommit(payload: Buffer): CommitMessage {
  const reader = new ByteReader(payload)
  const register = readRegister(reader)
  const ballot = takeBallot(reader)
  return { register, decided: { ballot, value: checked(reader.view(reader.remaining())) } }
}

export function decodeRegister(payload: Buffer): { readonly register: Register; readonly ballot: Ballot } {
  const reader = new ByteReader(payload)
  return { register: readRegister(reader), ballot: takeBallot(reader) }
}

export function encodePrepareAnswer(answer: PrepareAnswer): Buffer {
  const out = new ByteWriter(64)
  if (answer.kind === 'refused') {
    out.uint8(0)
    out.bytes(encodeBallot(answer.by))
    return out.view()
  }
  const { accepted, committed, read = null, floor = null } = answer
  out.uint8(1)
  out.uint8(
    (accepted === null ? 0 : Found.ACCEPTED) |
      (committed === null ? 0 : Found.COMMITTED) |
      (read === null ? 0 : Found.READ) |
      (floor === null ? 0 : Found.FLOOR),
  )
  if (accepted !== null) putProposal(out, accepted)
  if (committed !== null) putProposal(out, committed)
  if (floor !== null) out.bytes(encodeBallot(floor))
  if (read !== null) out.bytes(read)
  return out.view()
}

/** Copies. */
export function decodePrepareAnswer(payload: Buffer): PrepareAnswer {
  const reader = new ByteReader(Buffer.from(payload))
  if (reader.uint8() === 0) return { kind: 'refused', by: takeBallot(reader) }
  const flags = reader.uint8()
  const accepted = (flags & Found.ACCEPTED) === 0 ? null : takeProposal(reader)
  const committed = (flags & Found.COMMITTED) === 0 ? null : takeProposal(reader)
  const floor = (flags & Found.FLOOR) === 0 ? null : takeBallot(reader)
  const read = (flags & Found.READ) === 0 ? null : reader.view(reader.remaining())
  return { kind: 'promised', accepted, committed, read, floor }
}

export function encodeProposeAnswer(answer: ProposeReply): Buffer {
  if (answer.kind === 'accepted') return Buffer.of(1)
  return Buffer.concat([Buffer.of(0), encodeBallot(answer.by), Buffer.of(answer.never ? 1 : 0)])
}

export function decodeProposeAnswer(payload: Buffer): ProposeReply {
  const reader = new ByteReader(payload)
  if (reader.uint8() === 1) return { kind: 'accepted' }
  return { kind: 'refused', by: takeBallot(reader), never: reader.uint8() === 1 }
}

function begin({ table, position }: Register, ballot: Ballot): ByteWriter {
  const out = new ByteWriter(256)
  out.bytes(uuidBytes(table))
  out.bytes(position)
  out.bytes(encodeBallot(ballot))
  return out
}

function readRegister(reader: ByteReader): Register {
  const table = uuidText(reader.view(TABLE_ID_BYTES))
  const start = reader.position
  reader.skip(POSITION_HEAD_BYTES - 2)
  reader.skip(reader.uint16())
  return { table, position: reader.buffer.subarray(start, reader.position) }
}

function takeBallot(reader: ByteReader): Ballot {
  return readBallot(reader.view(BALLOT_BYTES), 0)
}

function putProposal(out: ByteWriter, { ballot, value }: Proposal<Buffer>): void {
  out.bytes(encodeBallot(ballot))
  out.int32(value.length)
  out.bytes(value)
}

function takeProposal(reader: ByteReader): Proposal<Buffer> {
  const ballot = takeBallot(reader)
  return { ballot, value: checked(reader.view(reader.uint32())) }
}

/** After it returns, cursors can trust the value. */
function checked(value: Buffer): Buffer {
  checkValue(value)
  const mutation = mutationOf(value)
  if (mutation.length > 0) validateMutation(mutation)
  return value
}
