/**
 * Types back from the text that typeToCql makes of them: how they are kept in the schema's log and in the list of system tables.
 * Always: parseTypeText(typeToCql(type)) equals type, given the user types of its keyspace.
 */
import { assert } from '../base/assert.ts'
import { EMPTY_TYPE_CLASS, freeze, nativeType } from '../types/names.ts'
import type { CqlType, UserType } from '../types/type.ts'

/** Bugs only: the text is our own. */
export function parseTypeText(text: string, userTypes: ReadonlyMap<string, UserType>): CqlType {
  const simple = nativeType(text)
  if (simple) return simple
  const parser = new TypeTextParser(text, userTypes)
  const type = parser.type()
  assert(parser.atEnd, `text after the type in ${text}`)
  return type
}

class TypeTextParser {
  readonly #text: string
  readonly #userTypes: ReadonlyMap<string, UserType>
  #at = 0

  constructor(text: string, userTypes: ReadonlyMap<string, UserType>) {
    this.#text = text
    this.#userTypes = userTypes
  }

  get atEnd(): boolean {
    return this.#at === this.#text.length
  }

  type(): CqlType {
    const first = this.#text[this.#at]
    if (first === "'") return { kind: 'custom', className: this.#quoted("'") }
    if (first === '"') return this.#userType(this.#quoted('"'))
    const start = this.#at
    while (this.#at < this.#text.length && !'<>,'.includes(this.#text[this.#at]!)) this.#at += 1
    const name = this.#text.slice(start, this.#at)
    if (this.#text[this.#at] !== '<') return nativeType(name) ?? this.#named(name)
    this.#at += 1
    const type = this.#parametrised(name)
    this.#expect('>')
    return type
  }

  #parametrised(name: string): CqlType {
    switch (name) {
      case 'frozen':
        return freeze(this.type())
      case 'list':
      case 'set':
        return { kind: name, element: this.type(), frozen: false }
      case 'map': {
        const key = this.type()
        this.#expect(', ')
        return { kind: 'map', key, value: this.type(), frozen: false }
      }
      case 'tuple': {
        const elements = [this.type()]
        while (this.#text[this.#at] === ',') {
          this.#expect(', ')
          elements.push(this.type())
        }
        return { kind: 'tuple', elements }
      }
      default: {
        assert(name === 'vector', `type ${name}<…> in ${this.#text}`)
        const element = this.type()
        this.#expect(', ')
        const start = this.#at
        while (this.#text[this.#at] !== '>') this.#at += 1
        return { kind: 'vector', element, dimension: Number(this.#text.slice(start, this.#at)) }
      }
    }
  }

  /** A user type, or the class that is shown by a name that no statement can give. */
  #named(name: string): CqlType {
    if (name === 'empty' && !this.#userTypes.has(name)) return { kind: 'custom', className: EMPTY_TYPE_CLASS }
    return this.#userType(name)
  }

  #userType(name: string): UserType {
    const type = this.#userTypes.get(name)
    assert(type !== undefined, `user type ${name} in ${this.#text}`)
    return type
  }

  #quoted(quote: string): string {
    let text = ''
    for (;;) {
      const end = this.#text.indexOf(quote, this.#at + 1)
      assert(end > 0, `open quote in ${this.#text}`)
      text += this.#text.slice(this.#at + 1, end)
      this.#at = end + 1
      if (this.#text[this.#at] !== quote) return text
      text += quote
    }
  }

  #expect(text: string): void {
    assert(this.#text.startsWith(text, this.#at), `${text} expected at ${this.#at} of ${this.#text}`)
    this.#at += text.length
  }
}

/** The type with every use of a user type replaced by its new definition; the same object where it is not used. */
export function replaceUserType(type: CqlType, replacement: UserType): CqlType {
  const again = (inner: CqlType) => replaceUserType(inner, replacement)
  switch (type.kind) {
    case 'list':
    case 'set':
    case 'vector': {
      const element = again(type.element)
      return element === type.element ? type : { ...type, element }
    }
    case 'map': {
      const key = again(type.key)
      const value = again(type.value)
      return key === type.key && value === type.value ? type : { ...type, key, value }
    }
    case 'tuple': {
      const elements = type.elements.map(again)
      return elements.every((element, i) => element === type.elements[i]) ? type : { ...type, elements }
    }
    case 'udt': {
      if (type.name === replacement.name && type.keyspace === replacement.keyspace)
        return type.frozen ? freeze(replacement) : replacement
      const fieldTypes = type.fieldTypes.map(again)
      return fieldTypes.every((field, i) => field === type.fieldTypes[i]) ? type : { ...type, fieldTypes }
    }
    default:
      return type
  }
}

/** The type with user types written out as tuples: what is kept of a dropped column, so that the user type may go too. */
export function expandUserTypes(type: CqlType): CqlType {
  switch (type.kind) {
    case 'list':
    case 'set':
    case 'vector':
      return { ...type, element: expandUserTypes(type.element) }
    case 'map':
      return { ...type, key: expandUserTypes(type.key), value: expandUserTypes(type.value) }
    case 'tuple':
      return { ...type, elements: type.elements.map(expandUserTypes) }
    case 'udt':
      return { kind: 'tuple', elements: type.fieldTypes.map((field) => freeze(expandUserTypes(field))) }
    default:
      return type
  }
}
