/**
 * JSON text into values, and what is said of text that is no JSON.
 * Source: RFC 8259; what is taken besides (whatever follows the first value) and the messages are those of Jackson 2.15 as Cassandra 5.0.6 uses it.
 */

/** bigint: a number without fraction and exponent; number: one with either. */
export type JsonValue = null | boolean | string | bigint | number | readonly JsonValue[] | JsonObject

/** Of two members with one name the later value counts, in the place of the first. */
export type JsonObject = Map<string, JsonValue>

/** The text is no JSON, or not of the kind that was wanted. */
export class JsonError extends Error {
  override name = 'JsonError'
  /** The Java exception that messages name. */
  readonly javaName: string

  constructor(javaName: string, message: string) {
    super(message)
    this.javaName = javaName
  }
}

const PARSE = 'com.fasterxml.jackson.core.JsonParseException'
const EOF = 'com.fasterxml.jackson.core.io.JsonEOFException'
const LIMIT = 'com.fasterxml.jackson.core.exc.StreamConstraintsException'
const MISMATCH = 'com.fasterxml.jackson.databind.exc.MismatchedInputException'

const DEPTH_MAX = 1000
const NUMBER_CHARACTERS_MAX = 1000
const TOKEN_CHARACTERS_MAX = 256

const SOURCE = 'Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled)'
const ANY_VALUE = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')"

/** The first value of a text. Throws JsonError. */
export function parseJson(text: string): JsonValue {
  return new Parser(text).root()
}

/** As parseJson, of a text that must hold an object or null. Throws JsonError. */
export function parseJsonObject(text: string): JsonObject | null {
  const parser = new Parser(text)
  const value = parser.root()
  if (value === null || value instanceof Map) return value
  throw new JsonError(MISMATCH, `${mismatch(value)}${parser.where(parser.rootAt + 1)}`)
}

function mismatch(value: Exclude<JsonValue, null | JsonObject>): string {
  if (typeof value === 'string')
    return `Cannot construct instance of \`java.util.LinkedHashMap\` (although at least one Creator exists): no String-argument constructor/factory method to deserialize from String value ('${value}')`
  const found =
    typeof value === 'bigint'
      ? 'Integer value (token `JsonToken.VALUE_NUMBER_INT`)'
      : typeof value === 'number'
        ? 'Floating-point value (token `JsonToken.VALUE_NUMBER_FLOAT`)'
        : typeof value === 'boolean'
          ? `Boolean value (token \`JsonToken.VALUE_${value ? 'TRUE' : 'FALSE'}\`)`
          : 'Array value (token `JsonToken.START_ARRAY`)'
  return `Cannot deserialize value of type \`java.util.LinkedHashMap<java.lang.Object,java.lang.Object>\` from ${found}`
}

/** An array or object whose end was not seen yet. */
interface Open {
  readonly kind: 'Array' | 'Object'
  readonly at: number
}

class Parser {
  rootAt = 0
  readonly #text: string
  #at = 0
  #depth = 0

  constructor(text: string) {
    this.#text = text
  }

  root(): JsonValue {
    this.#skipBlanks()
    if (this.#at === this.#text.length)
      throw new JsonError(MISMATCH, `No content to map due to end-of-input\n at [${SOURCE}; line: 1]`)
    this.rootAt = this.#at
    return this.#value(null)
  }

  /** The tail of messages: line and column of what precedes the offset. */
  where(offset: number): string {
    return `\n at [${this.#place(offset)}]`
  }

  #place(offset: number): string {
    const before = this.#text.slice(0, offset - 1)
    const lineStart = before.lastIndexOf('\n') + 1
    return `${SOURCE}; line: ${before.split('\n').length}, column: ${offset - lineStart}`
  }

  /** `column`: how many characters have been read when the error is seen. */
  #fail(message: string, column: number): JsonError {
    return new JsonError(PARSE, message + this.where(column))
  }

  #unexpected(what: string, column = this.#at + 1): JsonError {
    return this.#fail(`Unexpected character (${describe(this.#text, this.#at)})${what}`, column)
  }

  #ended(what: string): JsonError {
    return new JsonError(EOF, `Unexpected end-of-input${what}${this.where(this.#text.length + 1)}`)
  }

  #skipBlanks(): void {
    const text = this.#text
    for (;;) {
      const code = text.charCodeAt(this.#at)
      if (code !== 32 && code !== 10 && code !== 13 && code !== 9) return
      this.#at += 1
    }
  }

  #value(within: Open | null): JsonValue {
    const at = this.#at
    const character = this.#text[at]
    switch (character) {
      case '{':
        return this.#nested(() => this.#object({ kind: 'Object', at }))
      case '[':
        return this.#nested(() => this.#array({ kind: 'Array', at }))
      case '"':
        return this.#string(': was expecting closing quote for a string value')
      case undefined:
        throw this.#ended(` within/between ${within?.kind ?? 'root'} entries`)
      case '+':
        throw this.#unexpected(
          ' in numeric value: JSON spec does not allow numbers to have plus signs: enable `JsonReadFeature.ALLOW_LEADING_PLUS_SIGN_FOR_NUMBERS` to allow',
          at + 2,
        )
      case '/':
        throw this.#unexpected(
          ": maybe a (non-standard) comment? (not recognized as one since Feature 'ALLOW_COMMENTS' not enabled for parser)",
        )
      default:
    }
    if (character === '-' || isDigit(this.#text.charCodeAt(at))) return this.#number()
    if (within === null && (character === ']' || character === '}'))
      throw this.#fail(
        `Unexpected close marker '${character}': no open ${character === ']' ? 'Array' : 'Object'} to close`,
        at + 1,
      )
    return this.#word()
  }

  #nested(parse: () => JsonValue): JsonValue {
    this.#depth += 1
    if (this.#depth > DEPTH_MAX)
      throw new JsonError(
        LIMIT,
        `Document nesting depth (${this.#depth}) exceeds the maximum allowed (${DEPTH_MAX}, from \`StreamReadConstraints.getMaxNestingDepth()\`)`,
      )
    const value = parse()
    this.#depth -= 1
    return value
  }

  #array(open: Open): JsonValue {
    const elements: JsonValue[] = []
    this.#at += 1
    if (this.#closes(open, ']')) return elements
    for (;;) {
      elements.push(this.#value(open))
      if (this.#closes(open, ']')) return elements
      this.#comma(open)
    }
  }

  #object(open: Open): JsonValue {
    const members: JsonObject = new Map()
    this.#at += 1
    if (this.#closes(open, '}')) return members
    for (;;) {
      if (this.#text[this.#at] !== '"') throw this.#unexpected(': was expecting double-quote to start field name')
      const name = this.#string(' in field name')
      this.#skipBlanks()
      if (this.#at === this.#text.length) throw this.#ended(' within/between Object entries')
      if (this.#text[this.#at] !== ':')
        throw this.#unexpected(': was expecting a colon to separate field name and value')
      this.#at += 1
      this.#skipBlanks()
      members.set(name, this.#value(open))
      if (this.#closes(open, '}')) return members
      this.#comma(open)
    }
  }

  /** Past blanks and the end of the array or object, if it is there. */
  #closes(open: Open, marker: string): boolean {
    this.#skipBlanks()
    const character = this.#text[this.#at]
    if (character === undefined)
      throw this.#ended(`: expected close marker for ${open.kind} (start marker at [${this.#place(open.at + 1)}])`)
    if (character === marker) {
      this.#at += 1
      return true
    }
    if (character === ']' || character === '}')
      throw this.#fail(
        `Unexpected close marker '${character}': expected '${marker}' (for ${open.kind} starting at [${this.#place(open.at + 1)}])`,
        this.#at + 1,
      )
    return false
  }

  #comma(open: Open): void {
    if (this.#text[this.#at] !== ',') throw this.#unexpected(`: was expecting comma to separate ${open.kind} entries`)
    this.#at += 1
    this.#skipBlanks()
    if (this.#at === this.#text.length) throw this.#ended(` within/between ${open.kind} entries`)
  }

  #string(whenEnded: string): string {
    const text = this.#text
    let result = ''
    let from = this.#at + 1
    for (let at = from; ; at++) {
      const code = text.charCodeAt(at)
      if (code === 34) {
        this.#at = at + 1
        return result + text.slice(from, at)
      }
      if (code === 92) {
        result += text.slice(from, at)
        this.#at = at + 1
        result += this.#escape(whenEnded)
        from = this.#at
        at = from - 1
      } else if (code < 32) {
        this.#at = at
        throw this.#fail(
          `Illegal unquoted character (${describe(text, at)}): has to be escaped using backslash to be included in ${whenEnded.startsWith(':') ? 'string value' : 'name'}`,
          at + 1,
        )
      } else if (Number.isNaN(code)) throw this.#ended(whenEnded)
    }
  }

  #escape(whenEnded: string): string {
    const character = this.#text[this.#at]
    if (character === undefined) throw this.#ended(whenEnded)
    const plain = ESCAPES.get(character)
    if (plain !== undefined) {
      this.#at += 1
      return plain
    }
    if (character !== 'u')
      throw this.#fail(`Unrecognized character escape ${describe(this.#text, this.#at)}`, this.#at + 1)
    let code = 0
    for (let i = 0; i < 4; i++) {
      this.#at += 1
      if (this.#at === this.#text.length) throw this.#ended(' in character escape sequence')
      const digit = hexDigit(this.#text.charCodeAt(this.#at))
      if (digit < 0) throw this.#unexpected(': expected a hex-digit for character escape sequence')
      code = code * 16 + digit
    }
    this.#at += 1
    return String.fromCharCode(code)
  }

  #number(): JsonValue {
    const text = this.#text
    const start = this.#at
    if (text[start] === '-') {
      this.#at += 1
      if (this.#at === text.length) throw this.#ended(' in a Number value')
      if (text[this.#at] === 'I') return this.#word(start)
      if (!this.#isDigitHere())
        throw this.#unexpected(' in numeric value: expected digit (0-9) to follow minus sign, for valid numeric value')
    }
    const whole = this.#at
    this.#skipDigits()
    if (text[whole] === '0' && this.#at > whole + 1)
      throw this.#fail('Invalid numeric value: Leading zeroes not allowed', whole + 2)
    let isWhole = true
    if (text[this.#at] === '.') {
      isWhole = false
      this.#at += 1
      this.#fraction('Decimal point not followed by a digit')
    }
    if (text[this.#at] === 'e' || text[this.#at] === 'E') {
      isWhole = false
      this.#at += 1
      if (text[this.#at] === '+' || text[this.#at] === '-') this.#at += 1
      this.#fraction('Exponent indicator not followed by a digit')
    }
    const length = this.#at - start
    if (length > NUMBER_CHARACTERS_MAX)
      throw new JsonError(
        LIMIT,
        `Number value length (${length}) exceeds the maximum allowed (${NUMBER_CHARACTERS_MAX}, from \`StreamReadConstraints.getMaxNumberLength()\`)`,
      )
    const digits = text.slice(start, this.#at)
    return isWhole ? BigInt(digits) : Number(digits)
  }

  /** Digits after a point or an exponent: at least one. */
  #fraction(message: string): void {
    if (this.#at === this.#text.length) throw this.#ended(' in a Number value')
    if (!this.#isDigitHere()) throw this.#unexpected(` in numeric value: ${message}`, this.#at)
    this.#skipDigits()
  }

  #isDigitHere(): boolean {
    return isDigit(this.#text.charCodeAt(this.#at))
  }

  #skipDigits(): void {
    while (this.#isDigitHere()) this.#at += 1
  }

  #word(start = this.#at): JsonValue {
    const text = this.#text
    let end = this.#at
    while (end < text.length && isIdentifierPart(text[end]!)) end += 1
    const token = text.slice(start, end)
    this.#at = end
    switch (token) {
      case 'true':
        return true
      case 'false':
        return false
      case 'null':
        return null
      case '':
        throw this.#unexpected(`: expected a valid value ${ANY_VALUE}`)
      case 'NaN':
      case 'Infinity':
      case '-Infinity':
      case '-INF':
        throw this.#fail(
          `Non-standard token '${token}': enable \`JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS\` to allow`,
          end + 1,
        )
      default: {
        const shown = token.length > TOKEN_CHARACTERS_MAX ? `${token.slice(0, TOKEN_CHARACTERS_MAX)}...` : token
        throw this.#fail(`Unrecognized token '${shown}': was expecting ${ANY_VALUE}`, end + 1)
      }
    }
  }
}

const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['"', '"'],
  ['\\', '\\'],
  ['/', '/'],
  ['b', '\b'],
  ['f', '\f'],
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
])

function isDigit(code: number): boolean {
  return code >= 48 && code <= 57
}

function hexDigit(code: number): number {
  if (isDigit(code)) return code - 48
  const lower = code | 32
  return lower >= 97 && lower <= 102 ? lower - 87 : -1
}

function isIdentifierPart(character: string): boolean {
  const code = character.charCodeAt(0)
  if (code >= 0x80) return /[\p{L}\p{Nl}\p{Nd}\p{Mn}\p{Mc}\p{Pc}\p{Sc}]/u.test(character)
  return isDigit(code) || code === 36 || code === 95 || ((code | 32) >= 97 && (code | 32) <= 122)
}

function describe(text: string, at: number): string {
  const code = text.charCodeAt(at)
  if (code < 32) return `(CTRL-CHAR, code ${code})`
  return code > 255 ? `'${text[at]}' (code ${code} / 0x${code.toString(16)})` : `'${text[at]}' (code ${code})`
}
