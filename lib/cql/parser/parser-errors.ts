/**
 * Syntax errors in the words of Cassandra's parser: position, offending token, and a piece of the text around it.
 * Source: seen answers of Apache Cassandra 5.0; the piece begins ten tokens (blanks count) before the decision that failed
 * and ends with the last token that was looked at.
 */
import { type RequestError, syntaxError } from '../../base/errors.ts'
import type { TokenList } from './lexer.ts'
import { Token, tokenName } from './parser-keywords.ts'

const TOKENS_BEFORE = 10
const TOKENS_AFTER = 2

interface Position {
  /** From 1. */
  readonly line: number
  /** From 0, in UTF-16 units. */
  readonly column: number
}

/**
 * `failed`: index of the token that fits nowhere; `decision`: of the token where the parser stood; `seen`: of the last one it looked at.
 * `expecting` null: no alternative fits.
 */
export function parseError(
  tokens: TokenList,
  at: { readonly failed: number; readonly decision: number; readonly seen: number; readonly expecting: number | null },
): RequestError {
  const { failed, expecting } = at
  const kind = tokens.kinds[failed]!
  if (kind === Token.ERROR) return lexicalError(tokens)
  const text = tokens.texts[failed]!
  const raw = isRawText(kind) ? tokens.source.slice(tokens.starts[failed]!, tokens.ends[failed]!) : text
  const what =
    expecting === null
      ? `no viable alternative at input '${raw}'`
      : `mismatched input '${raw}' expecting ${tokenName(expecting)}`
  // The end of the text has no position.
  const position = kind === Token.END ? { line: 0, column: -1 } : positionOf(tokens.source, tokens.starts[failed]!)
  return syntaxError(`line ${position.line}:${position.column} ${what}${snippet(tokens, at.decision, at.seen)}`)
}

function lexicalError(tokens: TokenList): RequestError {
  const fault = tokens.fault!
  const position = positionOf(tokens.source, fault.offset)
  return syntaxError(`line ${position.line}:${position.column} ${fault.message}`)
}

/** Strings and quoted names are shown without their quotes, words as written. */
function isRawText(kind: number): boolean {
  return kind !== Token.STRING && kind !== Token.QUOTED_NAME && kind !== Token.END
}

function positionOf(source: string, offset: number): Position {
  let line = 1
  let start = 0
  for (;;) {
    const end = source.indexOf('\n', start)
    if (end < 0 || end >= offset) return { line, column: offset - start }
    line++
    start = end + 1
  }
}

/** Where the piece of text begins: blanks and comments between tokens count as tokens. */
function snippetStart(tokens: TokenList, decision: number): number {
  let left = TOKENS_BEFORE
  let index = decision
  while (index > 0 && left > 0) {
    const pieces = hiddenPieces(tokens.source, tokens.ends[index - 1]!, tokens.starts[index]!)
    if (pieces.length >= left) return pieces[pieces.length - left]!
    left -= pieces.length + 1
    index--
  }
  return index === 0 && left > 0 ? 0 : tokens.starts[index]!
}

/** Offsets of the runs of blanks and of the comments between two tokens. */
function hiddenPieces(source: string, from: number, to: number): number[] {
  const offsets: number[] = []
  let at = from
  while (at < to) {
    offsets.push(at)
    const code = source.charCodeAt(at)
    if (code === 0x2f && source.charCodeAt(at + 1) === 0x2a) at = source.indexOf('*/', at + 2) + 2
    else if (code === 0x2f || code === 0x2d) {
      while (at < to && source.charCodeAt(at) !== 0x0a && source.charCodeAt(at) !== 0x0d) at++
      at++
    } else while (at < to && ' \t\n\r'.includes(source[at]!)) at++
  }
  return offsets
}

function snippet(tokens: TokenList, decision: number, seen: number): string {
  const { source, starts, texts } = tokens
  const last = lastShown(tokens, decision, seen)
  if (tokens.kinds[last] === Token.END || tokens.kinds[last] === Token.ERROR) return ''
  const from = snippetStart(tokens, decision)
  const offending = starts[decision]!
  // A token's end is reckoned from its text, which for a string has lost its quotes.
  const offendingEnd = offending + texts[decision]!.length
  const to = Math.max(starts[last]! + texts[last]!.length, offendingEnd)
  const shown = `${source.slice(from, offending)}[${source.slice(offending, offendingEnd)}]${source.slice(offendingEnd, to)}`
  return ` (${from === 0 ? '' : '...'}${shown.replaceAll('\n', '')}${to >= source.length ? '' : '...'})`
}

function lastShown(tokens: TokenList, decision: number, seen: number): number {
  let left = TOKENS_AFTER
  let index = decision
  while (index < seen) {
    left -= 1 + hiddenPieces(tokens.source, tokens.ends[index]!, tokens.starts[index + 1]!).length
    if (left < 0) break
    index++
  }
  return index
}
