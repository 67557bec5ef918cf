/**
 * The properties of WITH, as written: texts and maps of texts by name, read as the types that options want.
 * Source: the rules and messages of Cassandra 5.0.6 for wrong values.
 */
import { syntaxError } from '../base/errors.ts'
import { javaInt, javaParseDouble } from './java.ts'

export type PropertyMap = ReadonlyMap<string, string | ReadonlyMap<string, string>>

/** A text property; null when it was not given. */
export function textProperty(properties: PropertyMap, name: string): string | null {
  const value = properties.get(name)
  if (value === undefined) return null
  if (typeof value !== 'string') throw syntaxError(`Invalid value for property '${name}'. It should be a string`)
  return value
}

/** A map property; null when it was not given. */
export function mapProperty(properties: PropertyMap, name: string): ReadonlyMap<string, string> | null {
  const value = properties.get(name)
  if (value === undefined) return null
  if (typeof value === 'string') throw syntaxError(`Invalid value for property '${name}'. It should be a map.`)
  return value
}

export function intProperty(properties: PropertyMap, name: string, otherwise: number): number {
  const text = textProperty(properties, name)
  if (text === null) return otherwise
  const value = javaInt(text)
  if (value === null) throw syntaxError(`Invalid integer value ${text} for '${name}'`)
  return value
}

export function doubleProperty(properties: PropertyMap, name: string, otherwise: number): number {
  const text = textProperty(properties, name)
  if (text === null) return otherwise
  const value = javaParseDouble(text)
  if (value === null) throw syntaxError(`Invalid double value ${text} for '${name}'`)
  return value
}

const POSITIVE = new Set(['1', 'true', 'yes'])
const NEGATIVE = new Set(['0', 'false', 'no'])

export function booleanProperty<T>(properties: PropertyMap, name: string, otherwise: T): boolean | T {
  const text = textProperty(properties, name)
  if (text === null) return otherwise
  const word = text.toLowerCase()
  if (POSITIVE.has(word)) return true
  if (NEGATIVE.has(word)) return false
  throw syntaxError(
    `Invalid boolean value ${text} for '${name}'. Positive values can be '1', 'true' or 'yes'. ` +
      `Negative values can be '0', 'false' or 'no'.`,
  )
}

/** Throws SYNTAX_ERROR for the first property that is not among the known ones. */
export function checkNames(properties: PropertyMap, known: ReadonlySet<string>): void {
  for (const name of properties.keys()) if (!known.has(name)) throw syntaxError(`Unknown property '${name}'`)
}
