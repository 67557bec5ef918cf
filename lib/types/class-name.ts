/**
 * Types as the Java class names of Cassandra, `org.apache.cassandra.db.marshal.Int32Type`: protocol v3 and v4 carry vectors and
 * durations under them, and DDL takes them in quotes. Source: the type strings that Cassandra 5.0.6 gives.
 */
import { unreachable } from '../base/assert.ts'
import { configError } from '../base/errors.ts'
import { NATIVE, someType } from './names.ts'
import type { CqlType, NativeTypeName } from './type.ts'

const MARSHAL = 'org.apache.cassandra.db.marshal.'

const NATIVE_CLASSES: Readonly<Record<NativeTypeName, string>> = {
  ascii: 'AsciiType',
  bigint: 'LongType',
  blob: 'BytesType',
  boolean: 'BooleanType',
  counter: 'CounterColumnType',
  decimal: 'DecimalType',
  double: 'DoubleType',
  float: 'FloatType',
  int: 'Int32Type',
  timestamp: 'TimestampType',
  uuid: 'UUIDType',
  text: 'UTF8Type',
  varint: 'IntegerType',
  timeuuid: 'TimeUUIDType',
  inet: 'InetAddressType',
  date: 'SimpleDateType',
  time: 'TimeType',
  smallint: 'ShortType',
  tinyint: 'ByteType',
  duration: 'DurationType',
}

const NATIVE_BY_CLASS = new Map<string, NativeTypeName>(
  Object.entries(NATIVE_CLASSES).map(([name, className]) => [className, name as NativeTypeName]),
)

// The name that timestamps had before they were compared as signed numbers.
NATIVE_BY_CLASS.set('DateType', 'timestamp')

/** Classes without a CQL name that tables may have all the same. */
const KNOWN_CLASSES: ReadonlySet<string> = new Set([
  'CompositeType',
  'DynamicCompositeType',
  'EmptyType',
  'LexicalUUIDType',
  'PartitionerDefinedOrder',
])

/** Of this type itself, whatever it holds. */
export function isUnknownClass(type: CqlType): boolean {
  if (type.kind !== 'custom') return false
  const [name] = type.className.split('(', 1)
  return !KNOWN_CLASSES.has(name!.startsWith(MARSHAL) ? name!.slice(MARSHAL.length) : name!)
}

/** The type as Cassandra's toString writes it; inside a frozen collection the inner `frozen` is left out. */
export function typeToClassName(type: CqlType): string {
  return write(type, false)
}

function write(type: CqlType, ignoreFreezing: boolean): string {
  switch (type.kind) {
    case 'native':
      return MARSHAL + NATIVE_CLASSES[type.name]
    case 'list':
      return collection('ListType', [type.element], type.frozen, ignoreFreezing)
    case 'set':
      return collection('SetType', [type.element], type.frozen, ignoreFreezing)
    case 'map':
      return collection('MapType', [type.key, type.value], type.frozen, ignoreFreezing)
    case 'tuple':
      return `${MARSHAL}TupleType(${type.elements.map((element) => write(element, true)).join(',')})`
    case 'udt': {
      const fields = type.fieldNames.map(
        (name, i) => `${hex(name)}:${write(type.fieldTypes[i]!, ignoreFreezing || type.frozen)}`,
      )
      const text = `${MARSHAL}UserType(${[type.keyspace, hex(type.name), ...fields].join(',')})`
      return type.frozen && !ignoreFreezing ? `${MARSHAL}FrozenType(${text})` : text
    }
    case 'vector':
      return `${MARSHAL}VectorType(${write(type.element, ignoreFreezing)} , ${type.dimension})`
    case 'custom':
      return type.className
    default:
      return unreachable(type)
  }
}

function collection(name: string, parameters: CqlType[], frozen: boolean, ignoreFreezing: boolean): string {
  const text = `${MARSHAL}${name}(${parameters.map((type) => write(type, ignoreFreezing || frozen)).join(',')})`
  return frozen && !ignoreFreezing ? `${MARSHAL}FrozenType(${text})` : text
}

function hex(name: string): string {
  return Buffer.from(name).toString('hex')
}

/**
 * The type of a class name, with or without its package. Unknown classes become custom types; composite ones are named as Cassandra names them,
 * whatever blanks and packages the text has. ReversedType is read as what it reverses.
 * Throws CONFIG_ERROR when parentheses or parameters are wrong.
 */
export function parseTypeClassName(text: string): CqlType {
  const parser = new ClassNameParser(text)
  const type = parser.type(false)
  parser.end()
  return type
}

/** Whether the class reverses the order of another one: a clustering column of it is descending. */
export function isReversedClassName(text: string): boolean {
  return /^ *(FrozenType *\( *)*(org\.apache\.cassandra\.db\.marshal\.)?ReversedType *\(/.test(text)
}

/** Nesting beyond this is refused rather than answered with a stack overflow. */
const DEPTH_MAX = 64

class ClassNameParser {
  readonly #text: string
  #at = 0
  #depth = 0

  constructor(text: string) {
    this.#text = text
  }

  end(): void {
    this.#blanks()
    if (this.#at < this.#text.length) throw this.#wrong('end of text')
  }

  type(frozen: boolean): CqlType {
    this.#depth += 1
    if (this.#depth > DEPTH_MAX) throw configError(`Type nested too deeply: ${this.#text.slice(0, 100)}`)
    const start = this.#at
    const name = this.#word()
    const short = name.startsWith(MARSHAL) ? name.slice(MARSHAL.length) : name
    const type = this.#parameters(short, name, frozen, start)
    this.#depth -= 1
    return type
  }

  #parameters(short: string, name: string, frozen: boolean, start: number): CqlType {
    switch (short) {
      case 'FrozenType':
        return this.#one(true)
      case 'ReversedType':
        return this.#one(frozen)
      case 'ListType':
        return { kind: 'list', element: this.#one(frozen), frozen }
      case 'SetType':
        return { kind: 'set', element: this.#one(frozen), frozen }
      case 'MapType': {
        this.#expect('(')
        const key = this.type(frozen)
        this.#expect(',')
        const value = this.type(frozen)
        this.#expect(')')
        return { kind: 'map', key, value, frozen }
      }
      case 'TupleType': {
        const elements: CqlType[] = []
        this.#expect('(')
        do elements.push(this.type(true))
        while (this.#accept(','))
        this.#expect(')')
        return { kind: 'tuple', elements }
      }
      case 'UserType':
        return this.#userType(frozen)
      case 'VectorType': {
        this.#expect('(')
        const element = this.type(frozen)
        this.#expect(',')
        const dimension = Number(this.#word())
        if (!Number.isInteger(dimension) || dimension < 1) throw this.#wrong('a dimension')
        this.#expect(')')
        return { kind: 'vector', element, dimension }
      }
      case 'CompositeType':
        return { kind: 'custom', className: `${MARSHAL}CompositeType(${this.#components().join(',')})` }
      case 'DynamicCompositeType':
        return { kind: 'custom', className: `${MARSHAL}DynamicCompositeType(${this.#aliases().join(',')})` }
      default: {
        const native = NATIVE_BY_CLASS.get(short)
        if (native) return NATIVE[native]
        this.#skipParameters()
        const className = name.includes('.')
          ? this.#text.slice(start, this.#at).trim()
          : MARSHAL + this.#text.slice(start, this.#at).trim()
        return { kind: 'custom', className }
      }
    }
  }

  #userType(frozen: boolean): CqlType {
    this.#expect('(')
    const keyspace = this.#word()
    this.#expect(',')
    const name = Buffer.from(this.#word(), 'hex').toString()
    const fieldNames: string[] = []
    const fieldTypes: CqlType[] = []
    while (this.#accept(',')) {
      fieldNames.push(Buffer.from(this.#word(), 'hex').toString())
      this.#expect(':')
      fieldTypes.push(this.type(frozen))
    }
    this.#expect(')')
    return { kind: 'udt', keyspace, name, fieldNames, fieldTypes, frozen }
  }

  #one(frozen: boolean): CqlType {
    this.#expect('(')
    const type = this.type(frozen)
    this.#expect(')')
    return type
  }

  #components(): string[] {
    const components: string[] = []
    if (!this.#accept('(') || this.#accept(')')) return components
    do components.push(this.#component())
    while (this.#accept(','))
    this.#expect(')')
    return components
  }

  /** `s=>UTF8Type` and so on, in the order in which a Java HashMap of bytes gives them. The last one of a name counts. */
  #aliases(): string[] {
    const aliases = new Map<number, string>()
    if (this.#accept('(') && !this.#accept(')')) {
      do {
        this.#blanks()
        const alias = this.#text.charCodeAt(this.#at)
        this.#at += 1
        this.#expect('=')
        this.#expect('>')
        aliases.set(alias, this.#component())
      } while (this.#accept(','))
      this.#expect(')')
    }
    let buckets = 16
    while (aliases.size > buckets * 0.75) buckets *= 2
    return [...aliases]
      .sort(([a], [b]) => (a % buckets) - (b % buckets))
      .map(([alias, className]) => `${String.fromCharCode(alias)}=>${className}`)
  }

  /** A class inside a composite one: its order is a part of it. */
  #component(): string {
    const start = this.#at
    const name = this.#word()
    const short = name.startsWith(MARSHAL) ? name.slice(MARSHAL.length) : name
    if (short === 'DateType') return MARSHAL + short
    if (short === 'ReversedType') {
      this.#expect('(')
      const reversed = this.#component()
      this.#expect(')')
      return `${MARSHAL}ReversedType(${reversed})`
    }
    this.#at = start
    const type = this.type(false)
    if (someType(type, isUnknownClass)) throw this.#wrong('a known class')
    return typeToClassName(type)
  }

  /** Parameters of a class that we only carry: balanced parentheses. */
  #skipParameters(): void {
    if (this.#text[this.#at] !== '(') return
    let open = 0
    do {
      const character = this.#text[this.#at]
      if (character === undefined) throw this.#wrong(')')
      if (character === '(') open += 1
      if (character === ')') open -= 1
      this.#at += 1
    } while (open > 0)
  }

  #word(): string {
    this.#blanks()
    const start = this.#at
    while (this.#at < this.#text.length && !' (),:'.includes(this.#text[this.#at]!)) this.#at += 1
    if (this.#at === start) throw this.#wrong('a name')
    const word = this.#text.slice(start, this.#at)
    return word
  }

  #accept(character: string): boolean {
    this.#blanks()
    if (this.#text[this.#at] !== character) return false
    this.#at += 1
    return true
  }

  #expect(character: string): void {
    if (!this.#accept(character)) throw this.#wrong(`'${character}'`)
  }

  #blanks(): void {
    while (this.#text[this.#at] === ' ') this.#at += 1
  }

  #wrong(expected: string): Error {
    return configError(`Syntax error parsing '${this.#text}': ${expected} expected at ${this.#at}`)
  }
}
