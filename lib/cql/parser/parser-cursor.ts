/**
 * Where a parser stands in its tokens, and what every rule of the grammar needs: looking ahead, taking what must come, names, markers.
 * Always: `at` only grows, except in the few places that say that they look ahead; nesting is bounded, so is the stack.
 */
import { invalid, type RequestError, syntaxError } from '../../base/errors.ts'
import type { QualifiedName, Term } from '../ast.ts'
import { type TokenList, tokenize } from './lexer.ts'
import { parseError } from './parser-errors.ts'
import { isName, Keyword, TOKEN_KINDS, Token } from './parser-keywords.ts'

/** Depth of terms, types and relations in each other, some count twice; deeper is refused before the stack could overflow. */
export const NESTING_MAX = 256
/** The protocol counts bind variables in a [short]. */
export const MARKERS_MAX = 65_535

/** What may stand behind the name of a table somewhere; anything else is refused right there. */
const FOLLOWS_NAME = new Uint8Array(TOKEN_KINDS)
for (const kind of [
  ...[Token.END, Token.SEMICOLON, Token.LEFT_PAREN],
  ...[Keyword.ADD, Keyword.ALLOW, Keyword.ALTER, Keyword.AS, Keyword.DROP, Keyword.FROM, Keyword.GROUP, Keyword.JSON],
  ...[Keyword.LIMIT, Keyword.NORECURSIVE, Keyword.OF, Keyword.ORDER, Keyword.PER, Keyword.PRIMARY, Keyword.RENAME],
  ...[Keyword.SET, Keyword.TO, Keyword.USING, Keyword.WHERE, Keyword.WITH],
])
  FOLLOWS_NAME[kind] = 1

export class Cursor {
  readonly tokens: TokenList
  readonly kinds: readonly number[]
  /** Names of the markers so far. */
  readonly markers: (string | null)[]
  at: number
  /** Index of the last token that was looked at, for messages; never behind `at`. */
  seen: number
  #depth: number

  constructor(source: string) {
    this.tokens = tokenize(source)
    this.kinds = this.tokens.kinds
    this.markers = []
    this.at = 0
    this.seen = 0
    this.#depth = 0
  }

  get kind(): number {
    return this.kinds[this.at]!
  }

  /** The kind of the token so many places ahead; END behind the last one. */
  ahead(places: number): number {
    return this.kinds[this.at + places] ?? Token.END
  }

  get text(): string {
    return this.tokens.texts[this.at]!
  }

  /** The current token as written in the source. */
  get raw(): string {
    return this.tokens.source.slice(this.tokens.starts[this.at]!, this.tokens.ends[this.at]!)
  }

  /** Takes the token if it is of that kind. */
  accept(kind: number): boolean {
    if (this.kinds[this.at] !== kind) return false
    this.at++
    return true
  }

  /** Takes the token that must come here and returns its text. */
  expect(kind: number): string {
    const at = this.at
    if (this.kinds[at] !== kind) throw this.mismatched(kind)
    this.at = at + 1
    return this.tokens.texts[at]!
  }

  /** Takes the integer that must come here, in Java's int or long: beyond it, Cassandra's parser fails in its own way. */
  expectInteger(max: bigint): bigint {
    const text = this.expect(Token.INTEGER)
    const value = BigInt(text)
    if (value > max || value < -max - 1n) throw this.failed(`NumberFormatException For input string: "${text}"`)
    return value
  }

  /** Cassandra's parser met an exception of Java. */
  failed(reason: string): RequestError {
    return syntaxError(`Failed parsing statement: [${this.tokens.source}] reason: ${reason}`)
  }

  /** What came before was told from its like by the token behind the current one: messages show that far. */
  lookAhead(): void {
    if (this.kind !== Token.END && this.seen <= this.at) this.seen = this.at + 1
  }

  /** The token is not the only one that fits here. */
  mismatched(expecting: number): RequestError {
    return this.#error(this.at, this.at, expecting)
  }

  /** No alternative fits: `failed` is the token that decided it (default: this one), counted from here. */
  noViable(failed = 0): RequestError {
    return this.#error(this.at, Math.min(this.at + failed, this.kinds.length - 1), null)
  }

  #error(decision: number, failed: number, expecting: number | null): RequestError {
    const last = this.kinds.length - 1
    // What the lexer could not read is reported as soon as it was looked at.
    const seen = Math.min(Math.max(this.seen, failed), last)
    if (this.kinds[seen] === Token.ERROR) return parseError(this.tokens, { failed: seen, decision, seen, expecting })
    return parseError(this.tokens, { failed, decision, seen, expecting })
  }

  /** Every rule that contains itself enters and leaves. */
  enter(): void {
    if (++this.#depth > NESTING_MAX) throw syntaxError(`Statement is nested more than ${NESTING_MAX} levels deep`)
  }

  leave(): void {
    this.#depth--
  }

  /** An unquoted name in lower case, a quoted one as written. */
  name(): string {
    const at = this.at
    if (!isName(this.kinds[at]!)) throw this.noViable()
    this.at = at + 1
    return this.tokens.texts[at]!
  }

  /** A column where old tables may have one named "". */
  columnName(): string {
    if (this.kinds[this.at] === Token.EMPTY_NAME) {
      this.at++
      return ''
    }
    return this.name()
  }

  isColumnName(places = 0): boolean {
    const kind = this.ahead(places)
    return isName(kind) || kind === Token.EMPTY_NAME
  }

  /** `[keyspace.]name` of a table, view, index. */
  qualifiedName(what: 'table' | 'index' = 'table'): QualifiedName {
    const hasKeyspace = this.ahead(1) === Token.DOT
    const keyspace = hasKeyspace ? this.keyspaceName() : null
    if (hasKeyspace) this.at++
    this.#noMarkerAsName(what)
    if (!hasKeyspace && isName(this.kind) && FOLLOWS_NAME[this.ahead(1)] === 0) throw this.noViable(1)
    const name = this.name()
    if (!hasKeyspace) this.lookAhead()
    return { keyspace, name }
  }

  keyspaceName(): string {
    this.#noMarkerAsName('keyspace')
    return this.name()
  }

  /** The name of an index where no keyspace may be given. */
  indexName(): string {
    this.#noMarkerAsName('index')
    return this.name()
  }

  #noMarkerAsName(what: string): void {
    if (this.kind === Token.QUESTION) throw syntaxError(`Bind variables cannot be used for ${what} names`)
  }

  /** The name of a role: a name or a string. */
  roleName(): string {
    if (this.kind === Token.STRING) return this.expect(Token.STRING)
    this.#noMarkerAsName('role')
    return this.name()
  }

  /** `IF EXISTS`, if IF is here. */
  acceptIfExists(): boolean {
    if (!this.accept(Keyword.IF)) return false
    this.expect(Keyword.EXISTS)
    return true
  }

  /** `IF NOT EXISTS`, if IF is here. */
  acceptIfNotExists(): boolean {
    if (!this.accept(Keyword.IF)) return false
    this.expect(Keyword.NOT)
    this.expect(Keyword.EXISTS)
    return true
  }

  /** `?` or `:name`; null if neither is here. */
  marker(): Term | null {
    const kind = this.kinds[this.at]
    if (kind === Token.QUESTION) {
      this.at++
      return this.#bind(null)
    }
    if (kind !== Token.COLON) return null
    this.at++
    return this.#bind(this.name())
  }

  #bind(name: string | null): Term {
    const index = this.markers.push(name) - 1
    return { kind: 'marker', index, name }
  }

  /** Called at the end: too many markers are found by counting them all. */
  checkMarkers(): void {
    const count = this.markers.length
    if (count > MARKERS_MAX)
      throw invalid(`Too many markers(?). ${count} markers exceed the allowed maximum of ${MARKERS_MAX}`)
  }
}
