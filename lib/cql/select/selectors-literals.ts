/** Collections, tuples and user types written in a selection. Source: CQL 3.4.7 "Selection clause"; how their types are inferred as in Cassandra 5.0. */
import { invalid } from '../../base/errors.ts'
import {
  type Assemble,
  assembleList,
  assembleListWithNulls,
  assembleMap,
  assembleMapWithNulls,
  assembleSet,
  assembleTuple,
  assembleVector,
} from '../../types/assemble.ts'
import { compare } from '../../types/compare.ts'
import { typeToCql } from '../../types/names.ts'
import type { CqlType } from '../../types/type.ts'
import type { Selector } from '../ast.ts'
import type { Assignability } from '../functions/function.ts'
import { ConstantValue } from '../terms/terms.ts'
import type { Selectable } from './selectors.ts'
import { type Expression, LiteralExpression, TermExpression } from './selectors-expressions.ts'

export type LiteralSelector = Selector & { kind: 'list' | 'set' | 'tuple' | 'map' | 'udt' }

/** Elements; keys and values of a map in turn; values of a user type's fields. */
export function partsOf(selector: LiteralSelector): readonly Selector[] {
  if (selector.kind === 'map') return selector.entries.flat()
  return selector.kind === 'udt' ? selector.fields.map(([, value]) => value) : selector.elements
}

export function literalText(selector: LiteralSelector, texts: readonly string[]): string {
  switch (selector.kind) {
    case 'list':
      return `[${texts.join(', ')}]`
    case 'tuple':
      return `(${texts.join(', ')})`
    case 'set':
      return `{${texts.join(', ')}}`
    case 'map':
      return `{${selector.entries.map((_, i) => `${texts[2 * i]}: ${texts[2 * i + 1]}`).join(', ')}}`
    case 'udt':
      return `{${selector.fields.map(([field], i) => `${field}: ${texts[i]}`).join(', ')}}`
  }
}

/** The type that a literal has by itself; null where it could be several. */
/** `typeOf`: what is taken for the type of a part. */
export function literalType(
  selector: LiteralSelector,
  parts: readonly Selectable[],
  typeOf: (part: Selectable) => CqlType | null,
): CqlType | null {
  switch (selector.kind) {
    case 'list':
    case 'set': {
      const element = firstType(parts, typeOf)
      return element && { kind: selector.kind, element, frozen: true }
    }
    case 'map': {
      const key = firstType(
        parts.filter((_, i) => i % 2 === 0),
        certainType,
      )
      const value = firstType(
        parts.filter((_, i) => i % 2 === 1),
        certainType,
      )
      return key && value && { kind: 'map', key, value, frozen: true }
    }
    case 'tuple': {
      // One element may just as well stand in parentheses.
      if (parts.length === 1) return null
      const elements = parts.map(typeOf)
      return elements.every((type) => type !== null) ? { kind: 'tuple', elements } : null
    }
    case 'udt':
      return null
  }
}

export function certainType(part: Selectable): CqlType | null {
  return part.type
}

export function likelyType(part: Selectable): CqlType | null {
  return part.likelyType
}

function firstType(parts: readonly Selectable[], typeOf: (part: Selectable) => CqlType | null): CqlType | null {
  for (const part of parts) {
    const type = typeOf(part)
    if (type !== null) return type
  }
  return null
}

export function literalAssignment(
  selector: LiteralSelector,
  parts: readonly Selectable[],
  wanted: CqlType,
): Assignability {
  if (selector.kind === 'tuple' && parts.length === 1 && wanted.kind !== 'tuple')
    return parts[0]!.testAssignment(wanted)
  const types = partTypes(selector, parts, wanted)
  if (types === null) return 'not'
  return parts.every((part, i) => part.testAssignment(types[i]!) !== 'not') ? 'weak' : 'not'
}

/** The types that the parts have to have where the literal is of a type; null when it cannot be. */
function partTypes(selector: LiteralSelector, parts: readonly Selectable[], type: CqlType): CqlType[] | null {
  switch (selector.kind) {
    case 'list':
      if (type.kind === 'vector' && type.dimension !== parts.length) return null
      return type.kind === 'list' || type.kind === 'vector' ? parts.map(() => type.element) : null
    case 'set':
      if (type.kind === 'map' && parts.length === 0) return []
      return type.kind === 'set' ? parts.map(() => type.element) : null
    case 'map':
      return type.kind === 'map' ? parts.map((_, i) => (i % 2 === 0 ? type.key : type.value)) : null
    case 'tuple': {
      const elements = type.kind === 'tuple' ? type.elements : type.kind === 'udt' ? type.fieldTypes : []
      return parts.length <= elements.length ? parts.map((_, i) => elements[i]!) : null
    }
    case 'udt': {
      // A map with names of columns for keys looks like a user type.
      if (type.kind !== 'udt') return null
      const indexes = selector.fields.map(([field]) => type.fieldNames.indexOf(field))
      return indexes.includes(-1) ? null : indexes.map((index) => type.fieldTypes[index]!)
    }
  }
}

/** Throws INVALID when the literal cannot be of the type. */
export function compileLiteral(
  selector: LiteralSelector,
  parts: readonly Selectable[],
  type: CqlType,
  text: string,
): Expression {
  if (selector.kind === 'tuple' && parts.length === 1 && type.kind !== 'tuple') return parts[0]!.compile(type)
  const types = partTypes(selector, parts, type)
  if (types === null) throw invalid(`Invalid literal ${text} for type ${typeToCql(type)}`)
  const compiled = parts.map((part, i) => part.compile(types[i]!))
  if (selector.kind !== 'udt' || type.kind !== 'udt')
    return new LiteralExpression(type, compiled, assembleFor(type, selector), assembleResultFor(type, selector))
  const fields = type.fieldNames.map((name, i) => {
    const at = selector.fields.findIndex(([field]) => field === name)
    const fieldType = type.fieldTypes[i]!
    return at < 0 ? new TermExpression(new ConstantValue(fieldType, null), fieldType) : compiled[at]!
  })
  return new LiteralExpression(type, fields, assembleTuple)
}

function assembleFor(type: CqlType, selector: LiteralSelector): Assemble {
  switch (type.kind) {
    case 'set':
      return assembleSet((a, b) => compare(type.element, a, b))
    case 'map':
      return selector.kind === 'map' ? assembleMap((a, b) => compare(type.key, a, b)) : assembleList
    case 'vector':
      return assembleVector(type)
    case 'list':
      return assembleList
    default:
      return assembleTuple
  }
}

function assembleResultFor(type: CqlType, selector: LiteralSelector): Assemble {
  if (type.kind === 'list') return assembleListWithNulls
  if (type.kind === 'map' && selector.kind === 'map') return assembleMapWithNulls((a, b) => compare(type.key, a, b))
  return assembleFor(type, selector)
}
