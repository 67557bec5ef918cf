/**
 * Values of CompositeType and DynamicCompositeType from the text that a statement has: components between colons, `\:` for a colon in one. A last component
 * `!` or `_` makes the end of the one before it that of a slice. Each becomes `length u16 | bytes | end u8`; a dynamic one names its type before that.
 * Source: what Cassandra 5.0.6 makes of such texts.
 */
import { invalid } from '../base/errors.ts'
import { parseTypeClassName } from './class-name.ts'
import type { CqlType } from './type.ts'

const MARSHAL = 'org.apache.cassandra.db.marshal.'
const COMPOSITE = `${MARSHAL}CompositeType(`
const DYNAMIC = `${MARSHAL}DynamicCompositeType(`

/** Text of one component as bytes of its type. */
type ParseComponent = (type: CqlType, text: string) => Buffer

/** Null: the class is no composite one. `className` is one that parseTypeClassName gave. */
export function parseComposite(className: string, text: string, parse: ParseComponent): Buffer | null {
  const isDynamic = className.startsWith(DYNAMIC)
  if (!isDynamic && !className.startsWith(COMPOSITE)) return null
  if (text === '') return Buffer.alloc(0)
  const parameters = parametersOf(className)
  const written: Buffer[] = []
  for (const [index, part] of text.split(/(?<!\\):/).entries()) {
    if (part === '!' || part === '_') {
      const last = written.at(-1)
      if (!last) throw invalid(`Invalid composite literal '${text}': no component before ${part}`)
      last[last.length - 1] = part === '!' ? 1 : 0xff
      break
    }
    written.push(isDynamic ? dynamicComponent(parameters, part, parse) : component(parameters[index], part, parse))
  }
  return Buffer.concat(written)
}

function component(className: string | undefined, part: string, parse: ParseComponent): Buffer {
  if (className === undefined) throw invalid(`Invalid composite literal: too many components at '${part}'`)
  return encode(parse(parseTypeClassName(className), plain(part)))
}

/** `alias@text` or `class@text`. */
function dynamicComponent(parameters: readonly string[], part: string, parse: ParseComponent): Buffer {
  const pieces = part.split('@')
  if (pieces.length !== 2) throw invalid(`Invalid component representation: ${part}`)
  const [name, text] = pieces as [string, string]
  const className = parameters.find((parameter) => parameter.startsWith(`${name}=>`))?.slice(name.length + 2)
  const bytes = encode(parse(typeOf(className ?? name), plain(text)))
  if (className === undefined) return Buffer.concat([short(Buffer.byteLength(name)), Buffer.from(name), bytes])
  return Buffer.concat([Buffer.of(0x80, name.charCodeAt(0)), bytes])
}

function typeOf(className: string): CqlType {
  const type = parseTypeClassName(className)
  if (type.kind === 'custom') throw invalid(`Unable to find abstract-type class '${className}'`)
  return type
}

function encode(value: Buffer): Buffer {
  if (value.length > 0xffff) throw invalid(`A component of ${value.length} bytes is too long for a composite value`)
  return Buffer.concat([short(value.length), value, Buffer.of(0)])
}

function short(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(2)
  bytes.writeUInt16BE(value)
  return bytes
}

/** A `!` at the end keeps a component that ends with a backslash or is `!` from being taken for something else. */
function plain(part: string): string {
  const text = part.replaceAll('\\:', ':')
  return text.endsWith('!') ? text.slice(0, -1) : text
}

/** What stands between the outermost parentheses, at its commas. */
function parametersOf(className: string): string[] {
  const parameters: string[] = []
  let depth = 0
  let start = className.indexOf('(') + 1
  for (let at = start; at < className.length; at++) {
    const character = className[at]
    if (character === '(') depth++
    else if (character === ')' && depth > 0) depth--
    else if ((character === ',' || character === ')') && depth === 0) {
      if (at > start) parameters.push(className.slice(start, at))
      start = at + 1
    }
  }
  return parameters
}
