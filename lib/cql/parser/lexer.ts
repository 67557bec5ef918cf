/**
 * Cuts a CQL text into tokens. Source: CQL 3.4.7 "Lexical structure"; where Cassandra's lexer commits to one reading of a few characters
 * (`12345678-` begins a uuid, `-i` begins -infinity) so does this one.
 * Always: one pass, each character looked at a bounded number of times; the arrays end with END or, at the first fault, with ERROR,
 * so that a fault behind the point where the parser gives up is never reported.
 */
import { syntaxError } from '../../base/errors.ts'
import { KEYWORD_KINDS, Token } from './parser-keywords.ts'

/** More are refused: a map of 65 535 entries, the most that drivers send as text, has half as many. */
const TOKENS_MAX = 500_000

export interface TokenList {
  readonly source: string
  readonly kinds: number[]
  /** Words in lower case, quoted names and strings without quotes, all others as written. */
  readonly texts: string[]
  readonly starts: number[]
  readonly ends: number[]
  /** What is wrong where ERROR stands. */
  fault: { readonly offset: number; readonly message: string } | null
}

const LETTER = 1
const DIGIT = 2
const HEX_LETTER = 4
const UPPER = 8
const UNDERSCORE = 16
const BLANK = 32
const WORD = LETTER | DIGIT | UNDERSCORE
const HEX = DIGIT | HEX_LETTER

const CLASSES = new Uint8Array(128)
for (let i = 0; i < 26; i++) {
  CLASSES[0x41 + i] = LETTER | UPPER | (i < 6 ? HEX_LETTER : 0)
  CLASSES[0x61 + i] = LETTER | (i < 6 ? HEX_LETTER : 0)
}
for (let i = 0x30; i <= 0x39; i++) CLASSES[i] = DIGIT
CLASSES[0x5f] = UNDERSCORE
for (const blank of [0x20, 0x09, 0x0a, 0x0d]) CLASSES[blank] = BLANK

/** Zero for characters beyond ASCII and for NaN, the end of the text. */
function classOf(code: number): number {
  return code < 128 ? CLASSES[code]! : 0
}

const SINGLE = new Uint8Array(128)
SINGLE[0x28] = Token.LEFT_PAREN
SINGLE[0x29] = Token.RIGHT_PAREN
SINGLE[0x5b] = Token.LEFT_BRACKET
SINGLE[0x5d] = Token.RIGHT_BRACKET
SINGLE[0x7b] = Token.LEFT_BRACE
SINGLE[0x7d] = Token.RIGHT_BRACE
SINGLE[0x2c] = Token.COMMA
SINGLE[0x3b] = Token.SEMICOLON
SINGLE[0x3a] = Token.COLON
SINGLE[0x3f] = Token.QUESTION
SINGLE[0x3d] = Token.EQUAL
SINGLE[0x2a] = Token.STAR
SINGLE[0x25] = Token.PERCENT

export function tokenize(source: string): TokenList {
  return new Lexer(source).run()
}

class Lexer {
  readonly #source: string
  readonly #kinds: number[] = []
  readonly #texts: string[] = []
  readonly #starts: number[] = []
  readonly #ends: number[] = []
  #fault: TokenList['fault'] = null

  constructor(source: string) {
    this.#source = source
  }

  run(): TokenList {
    const source = this.#source
    const length = source.length
    let at = 0
    while (at < length && this.#fault === null) {
      const code = source.charCodeAt(at)
      const kind = classOf(code)
      if (kind & BLANK) at++
      else if (kind & LETTER) at = this.#word(at)
      else if (kind & DIGIT) at = this.#number(at, at)
      else if (code < 128 && SINGLE[code] !== 0) {
        this.#push(SINGLE[code]!, source[at]!, at, at + 1)
        at++
      } else at = this.#other(at, code)
      if (this.#kinds.length > TOKENS_MAX) throw syntaxError(`Statement has more than ${TOKENS_MAX} tokens`)
    }
    if (this.#fault !== null) this.#push(Token.ERROR, '', this.#fault.offset, this.#fault.offset)
    else this.#push(Token.END, '<EOF>', length, length)
    return {
      source,
      kinds: this.#kinds,
      texts: this.#texts,
      starts: this.#starts,
      ends: this.#ends,
      fault: this.#fault,
    }
  }

  #push(kind: number, text: string, start: number, end: number): void {
    this.#kinds.push(kind)
    this.#texts.push(text)
    this.#starts.push(start)
    this.#ends.push(end)
  }

  #take(kind: number, start: number, end: number): number {
    this.#push(kind, this.#source.slice(start, end), start, end)
    return end
  }

  #character(at: number): string {
    if (at >= this.#source.length) return "'<EOF>'"
    const character = this.#source[at]!
    if (character === '\n') return "'\\n'"
    if (character === '\r') return "'\\r'"
    if (character === '\t') return "'\\t'"
    return `'${character}'`
  }

  #mismatched(at: number, expecting: string): number {
    this.#fault = { offset: at, message: `mismatched character ${this.#character(at)} expecting ${expecting}` }
    return this.#source.length
  }

  #noViable(at: number): number {
    this.#fault = { offset: at, message: `no viable alternative at character ${this.#character(at)}` }
    return this.#source.length
  }

  /** Offset behind the characters of the given class. */
  #skip(from: number, classes: number): number {
    const source = this.#source
    let at = from
    while ((classOf(source.charCodeAt(at)) & classes) !== 0) at++
    return at
  }

  /** Keywords, identifiers, and what looks like one at first: a uuid that begins with a letter, an ISO 8601 duration. */
  #word(start: number): number {
    const source = this.#source
    let classes = 0
    let at = start
    for (;;) {
      const kind = classOf(source.charCodeAt(at)) & (WORD | UPPER)
      if (kind === 0) break
      classes |= kind
      at++
    }
    const next = source.charCodeAt(at)
    if (next === 0x2d && at - start === 8 && this.#skip(start, HEX) === at) return this.#uuid(start)
    if (source.charCodeAt(start) === 0x50 && classes & DIGIT) {
      if (next === 0x2d && at - start === 5 && this.#skip(start + 1, DIGIT) === at) return this.#isoDate(start, start)
      if (isoDuration(source, start) === at) return this.#take(Token.DURATION, start, at)
    }
    const word = source.slice(start, at)
    if (next === 0x28 && word === 'expr') return this.#take(Token.EXPRESSION, start, at + 1)
    if (classes & UPPER) {
      // The map knows keywords in upper case, as most people write them: no need to fold those.
      const kind = KEYWORD_KINDS.get(word)
      const folded = word.toLowerCase()
      this.#push(kind ?? KEYWORD_KINDS.get(folded) ?? Token.IDENTIFIER, folded, start, at)
    } else this.#push(KEYWORD_KINDS.get(word) ?? Token.IDENTIFIER, word, start, at)
    return at
  }

  /** Numbers, uuids and durations; `start` is the sign's offset, or that of the first digit. */
  #number(start: number, digits: number): number {
    const source = this.#source
    if (start === digits && source.charCodeAt(start + 8) === 0x2d && this.#skip(start, HEX) === start + 8)
      return this.#uuid(start)
    const afterDigits = this.#skip(digits, DIGIT)
    const next = source.charCodeAt(afterDigits)
    if (next === 0x2e) return this.#fraction(start, afterDigits)
    let end: number
    let kind: number
    if (next === 0x65 || next === 0x45) {
      end = this.#exponent(afterDigits)
      if (end < 0) return this.#noViable(afterDigits + 1)
      kind = Token.FLOAT
    } else if ((next === 0x78 || next === 0x58) && start === digits && afterDigits - start === 1) {
      if (source.charCodeAt(start) !== 0x30) return this.#take(Token.INTEGER, start, afterDigits)
      return this.#take(Token.HEX, start, this.#skip(afterDigits + 1, HEX))
    } else if (isUnitStart(next)) {
      end = this.#duration(afterDigits)
      if (end < 0) return source.length
      kind = Token.DURATION
    } else {
      end = afterDigits
      kind = Token.INTEGER
    }
    // Eight hexadecimal digits could still become a uuid: one more hexadecimal letter, and it must.
    if (start === digits && end - start < 8) {
      const hexEnd = this.#skip(start, HEX)
      if (hexEnd > end) return this.#mismatched(Math.min(hexEnd, start + 8), hexEnd - start < 8 ? 'set null' : "'-'")
    }
    return this.#take(kind, start, end)
  }

  #fraction(start: number, dot: number): number {
    const source = this.#source
    if (source.charCodeAt(dot + 1) === 0x2e) {
      if (source.charCodeAt(dot + 2) === 0x2e) return this.#take(Token.FLOAT, start, dot + 1)
      return this.#take(Token.INTEGER, start, dot)
    }
    const end = this.#skip(dot + 1, DIGIT)
    const next = source.charCodeAt(end)
    if (next !== 0x65 && next !== 0x45) return this.#take(Token.FLOAT, start, end)
    const exponentEnd = this.#exponent(end)
    if (exponentEnd < 0) {
      this.#fault = {
        offset: end + 1,
        message: `required (...)+ loop did not match anything at character ${this.#character(end + 1)}`,
      }
      return source.length
    }
    return this.#take(Token.FLOAT, start, exponentEnd)
  }

  /** Offset behind `e[+-]digits`, or -1. */
  #exponent(at: number): number {
    const sign = this.#source.charCodeAt(at + 1)
    const digits = sign === 0x2b || sign === 0x2d ? at + 2 : at + 1
    const end = this.#skip(digits, DIGIT)
    return end > digits ? end : -1
  }

  /** Offset behind `unit (digits unit)*`, or -1 with the fault set. */
  #duration(from: number): number {
    const source = this.#source
    let at = from
    for (;;) {
      const unit = unitLength(source, at)
      if (unit === 0) {
        if (isUnitStart(source.charCodeAt(at))) this.#mismatched(at + 1, 'set null')
        else this.#noViable(at)
        return -1
      }
      at += unit
      const digits = this.#skip(at, DIGIT)
      if (digits === at) return at
      // `5d4e` could still be the beginning of a uuid: number() finds out.
      if (
        digits - at > 0 &&
        unitLength(source, digits) === 0 &&
        (classOf(source.charCodeAt(digits)) & HEX_LETTER) !== 0
      )
        return at
      at = digits
    }
  }

  #uuid(start: number): number {
    let at = start
    for (const length of [8, 4, 4, 4, 12]) {
      if (at > start) {
        if (this.#source.charCodeAt(at) !== 0x2d) return this.#mismatched(at, "'-'")
        at++
      }
      for (let i = 0; i < length; i++, at++)
        if ((classOf(this.#source.charCodeAt(at)) & HEX) === 0) return this.#mismatched(at, 'set null')
    }
    return this.#take(Token.UUID, start, at)
  }

  /** `Pyyyy-mm-ddThh:mm:ss`; `designator` is the offset of the P. */
  #isoDate(start: number, designator: number): number {
    const pattern = 'P0000-00-00T00:00:00'
    for (let i = 0; i < pattern.length; i++) {
      const code = this.#source.charCodeAt(designator + i)
      const digit = pattern.charCodeAt(i) === 0x30
      if (digit ? (classOf(code) & DIGIT) === 0 : code !== pattern.charCodeAt(i))
        return this.#mismatched(designator + i, digit ? 'set null' : `'${pattern[i]}'`)
    }
    return this.#take(Token.DURATION, start, designator + pattern.length)
  }

  #other(at: number, code: number): number {
    const source = this.#source
    const next = source.charCodeAt(at + 1)
    switch (code) {
      case 0x27:
        return this.#quoted(at, 0x27, Token.STRING)
      case 0x22:
        if (next === 0x22 && source.charCodeAt(at + 2) !== 0x22) return this.#take(Token.EMPTY_NAME, at, at + 2)
        return this.#quoted(at, 0x22, Token.QUOTED_NAME)
      case 0x24:
        return this.#dollars(at)
      case 0x2d:
        return this.#minus(at, next)
      case 0x2f:
        if (next === 0x2f) return this.#lineComment(at)
        if (next === 0x2a) return this.#blockComment(at)
        return this.#take(Token.SLASH, at, at + 1)
      case 0x2e:
        return next === 0x2e ? this.#take(Token.RANGE, at, at + 2) : this.#take(Token.DOT, at, at + 1)
      case 0x2b:
        return next === 0x3d ? this.#take(Token.PLUS_EQUAL, at, at + 2) : this.#take(Token.PLUS, at, at + 1)
      case 0x3c:
        return next === 0x3d ? this.#take(Token.LESS_EQUAL, at, at + 2) : this.#take(Token.LESS, at, at + 1)
      case 0x3e:
        return next === 0x3d ? this.#take(Token.GREATER_EQUAL, at, at + 2) : this.#take(Token.GREATER, at, at + 1)
      case 0x21:
        return next === 0x3d ? this.#take(Token.NOT_EQUAL, at, at + 2) : this.#mismatched(at + 1, "'='")
      default:
        return this.#noViable(at)
    }
  }

  #minus(at: number, next: number): number {
    const source = this.#source
    if (next === 0x2d) return this.#lineComment(at)
    if (next === 0x3d) return this.#take(Token.MINUS_EQUAL, at, at + 2)
    if ((classOf(next) & DIGIT) !== 0) return this.#number(at, at + 1)
    const letter = next | 0x20
    if (letter === 0x69) return this.#negative(at, 'infinity', Token.NEGATIVE_INFINITY)
    if (letter === 0x6e) return this.#negative(at, 'nan', Token.NEGATIVE_NAN)
    if (next === 0x50) {
      const digits = this.#skip(at + 2, DIGIT)
      if (digits - at === 6 && source.charCodeAt(digits) === 0x2d) return this.#isoDate(at, at + 1)
      const end = isoDuration(source, at + 1)
      return end < 0 ? this.#noViable(digits) : this.#take(Token.DURATION, at, end)
    }
    return this.#take(Token.MINUS, at, at + 1)
  }

  #negative(at: number, word: string, kind: number): number {
    for (let i = 0; i < word.length; i++)
      if ((this.#source.charCodeAt(at + 1 + i) | 0x20) !== word.charCodeAt(i))
        return this.#mismatched(at + 1 + i, 'set null')
    return this.#take(kind, at, at + 1 + word.length)
  }

  /** A string or a quoted name; a doubled quote stands for one. */
  #quoted(start: number, quote: number, kind: number): number {
    const source = this.#source
    const mark = quote === 0x27 ? "'" : '"'
    let text = ''
    let from = start + 1
    for (;;) {
      const end = source.indexOf(mark, from)
      if (end < 0) return this.#mismatched(source.length, `'${mark}'`)
      if (source.charCodeAt(end + 1) !== quote) {
        text = text === '' ? source.slice(from, end) : text + source.slice(from, end)
        this.#push(kind, text, start, end + 1)
        return end + 1
      }
      text += source.slice(from, end + 1)
      from = end + 2
    }
  }

  #dollars(start: number): number {
    const source = this.#source
    if (source.charCodeAt(start + 1) !== 0x24) return this.#mismatched(start + 1, "'$'")
    const end = source.indexOf('$$', start + 2)
    if (end < 0) return this.#mismatched(Math.max(source.length - 1, start + 2), "'$'")
    this.#push(Token.STRING, source.slice(start + 2, end), start, end + 2)
    return end + 2
  }

  /** Up to the end of its line; a text that ends without one is an error, as in Cassandra (cqlsh always sends one). */
  #lineComment(start: number): number {
    const source = this.#source
    for (let at = start + 2; at < source.length; at++) {
      const code = source.charCodeAt(at)
      if (code === 0x0a || code === 0x0d) return at + 1
    }
    return this.#mismatched(source.length, 'set null')
  }

  #blockComment(start: number): number {
    const end = this.#source.indexOf('*/', start + 2)
    return end < 0 ? this.#mismatched(this.#source.length, "'*'") : end + 2
  }
}

function isUnitStart(code: number): boolean {
  switch (code | 0x20) {
    case 0x79: // y
    case 0x6d: // m mo ms
    case 0x77: // w
    case 0x64: // d
    case 0x68: // h
    case 0x73: // s
    case 0x75: // us
    case 0x6e: // ns
      return code < 128
    default:
      return code === 0xb5
  }
}

/** Length of the duration unit at the offset, 0 if there is none. */
function unitLength(source: string, at: number): number {
  const code = source.charCodeAt(at)
  if (!isUnitStart(code)) return 0
  const next = source.charCodeAt(at + 1) | 0x20
  switch (code === 0xb5 ? code : code | 0x20) {
    case 0x6d:
      return next === 0x6f || next === 0x73 ? 2 : 1
    case 0x75:
    case 0x6e:
    case 0xb5:
      return next === 0x73 ? 2 : 0
    default:
      return 1
  }
}

/** Offset behind the ISO 8601 duration whose P is at the offset (`P1Y2M3DT4H5M6S`, `P1W`, parts in that order), -1 if there is none. */
function isoDuration(source: string, designator: number): number {
  let at = designator + 1
  let end = -1
  let time = false
  let units = 'YMDW'
  for (;;) {
    if (!time && source.charCodeAt(at) === 0x54) {
      time = true
      units = 'HMS'
      at++
    }
    const digits = at
    while ((classOf(source.charCodeAt(at)) & DIGIT) !== 0) at++
    const unit = at === digits || at >= source.length ? -1 : units.indexOf(source[at]!)
    if (unit < 0) return end
    at++
    end = at
    if (units[unit] === 'W') return end
    // Only the smaller units may follow, and weeks stand alone.
    units = units.slice(unit + 1).replace('W', '')
  }
}
