/**
 * A serial read that disturbs nobody: replicas are asked what they have of the partition and whether anything is in progress there. If a quorum has the
 * same last decision, and nothing is in progress, what they have, put together, is the answer.
 * Always: whatever was decided before the read began was accepted by a quorum by then, so one of those who agree says that it is in progress, or all have
 * committed it or a later one; and what was decided before that is at a quorum (paxos-acceptor.ts), so one of them has it. Of those who lag nothing is
 * taken: with theirs, a later decision could be seen without one between. Nothing is promised, so nothing is written, and no proposal is in vain.
 */
import type { ReadCommand, ReadResult } from '../../storage/model/command.ts'
import { Verb } from '../internode/verbs.ts'
import { type Ballot, compareBallots, highestBallot } from '../paxos/ballot.ts'
import type { Register } from '../paxos/register.ts'
import type { CoordinatorEnvironment } from './environment.ts'
import type { PaxosAcceptor } from './paxos-acceptor.ts'
import { ask, Failures } from './paxos-ask.ts'
import { decodePeekAnswer, encodePeek, type PeekAnswer } from './paxos-messages.ts'
import type { Parties } from './paxos-parties.ts'
import type { PaxosReads } from './paxos-transaction.ts'
import { readFailure, readTimeout } from './request-errors.ts'

export interface PeekTools {
  readonly environment: CoordinatorEnvironment
  readonly acceptor: PaxosAcceptor
  readonly reads: PaxosReads
}

/** Null: something is in progress, a limit cut too much off, or the ring has changed: it takes a transaction. Rejects with what the client is told. */
export async function readUndisturbing(
  { environment, acceptor, reads }: PeekTools,
  register: Register,
  parties: Parties,
  command: ReadCommand,
): Promise<ReadResult | null> {
  const read = reads.encode(command)
  if (read === null) return null
  const { nodes, required, level } = parties
  const payload = encodePeek(register, read)
  const answers: PeekAnswer[] = []
  const failures = new Failures()
  let heard = 0
  const verdict = await ask<PeekAnswer, 'agreed' | 'open' | 'lost'>(environment, {
    nodes,
    verb: Verb.PAXOS_READ,
    payload: () => payload,
    local: () => acceptor.peek(register, read),
    decode: decodePeekAnswer,
    timeoutMs: environment.timeouts.readMs,
    count(_, answer) {
      heard += 1
      if (answer !== null) answers.push(answer)
      const left = nodes.length - heard
      if (answers.length + left < required) return 'lost'
      const agreeing = agreed(answers)
      if (agreeing.length >= required) return agreeing.some(isOpen) ? 'open' : 'agreed'
      return answers.length >= required && agreeing.length + left < required ? 'open' : undefined
    },
    failed: (node, reason) => failures.add(node, reason),
  })
  if (verdict === 'open' || (verdict === 'lost' && failures.behind.size > 0)) return null
  if (verdict === 'agreed')
    return reads.merge(
      command,
      agreed(answers).map((answer) => answer.read),
    )
  const replies = { level, received: answers.length, blockFor: required }
  throw failures.isFailure ? readFailure(replies, failures.errors, false) : readTimeout(replies, false)
}

/** Those who have the latest decision that any of them has. */
function agreed(answers: readonly PeekAnswer[]): PeekAnswer[] {
  let last: Ballot | null = null
  for (const { committed } of answers) last = highestBallot(last, committed)
  return answers.filter(({ committed }) => compareBallots(committed, last) === 0)
}

function isOpen({ accepted, committed }: PeekAnswer): boolean {
  return compareBallots(accepted, committed) > 0
}
