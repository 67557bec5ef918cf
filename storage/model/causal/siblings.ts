/**
 * How many concurrent versions a row may have: as many as max_siblings of its table says. Always: a write is refused only if it makes more of them than
 * there were, so whoever has seen some of them can always write what takes their place.
 */
import { invalid, type RequestError } from '../../../lib/base/errors.ts'
import type { CausalWrite } from './delta.ts'
import type { CausalRow } from './state.ts'

export interface CausalTable {
  /** For people. */
  readonly name: string
  /** A write that would make more live versions of a row is refused. */
  readonly maxSiblings: number
}

/** How many live versions there are once the write is done. `before`: how many there are now. */
export function siblingsAfter(row: CausalRow, before: number, { context, version, sets }: CausalWrite): number {
  const replaces = context !== null && (version !== null || sets === null)
  return (replaces ? row.countUnseen(context) : before) + (version === null ? 0 : 1)
}

export function isRefused({ maxSiblings }: CausalTable, before: number, after: number): boolean {
  return after > maxSiblings && after > before
}

export function siblingLimit({ name, maxSiblings }: CausalTable, before: number): RequestError {
  return invalid(
    `A row of ${name} has ${before} concurrent versions, and ${NO_MORE_THAN} (${maxSiblings}) may stand: ${HOW_TO_REPLACE}`,
  )
}

const NO_MORE_THAN = 'no more than max_siblings'

/** Whether this is siblingLimit's error. From another node come the words alone. */
export function isSiblingLimit({ code, message }: RequestError): boolean {
  return code === 'INVALID' && message.includes(NO_MORE_THAN)
}

export function siblingWarning({ name, maxSiblings }: CausalTable, after: number): string {
  return `A row of ${name} has ${after} concurrent versions now (more than ${maxSiblings} are refused): ${HOW_TO_REPLACE}`
}

const HOW_TO_REPLACE = 'read it, and write what shall take their place USING VCLOCK'
