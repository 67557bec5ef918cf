/**
 * Which types' values may stand where a type is expected. Source: the rules of Cassandra 5.0.6 (a type reads the bytes of another).
 */
import { freeze, isMultiCell, LEGACY_TIMEUUID_CLASS, NATIVE, typeEquals } from './names.ts'
import type { CqlType, ListType, MapType, NativeTypeName, SetType } from './type.ts'

/** Native types whose bytes a type reads as its own values; blob reads all. */
const READS: ReadonlyMap<NativeTypeName, readonly NativeTypeName[]> = new Map<NativeTypeName, NativeTypeName[]>([
  ['text', ['ascii']],
  ['bigint', ['timestamp']],
  ['timestamp', ['bigint']],
  ['uuid', ['timeuuid']],
  ['varint', ['bigint', 'int', 'timestamp']],
  ['date', ['int']],
  ['time', ['bigint']],
])

/** Are bytes of type `from` values of type `to` as well? */
function isValueCompatible(to: CqlType, from: CqlType): boolean {
  if (to === NATIVE.blob || typeEquals(to, from)) return true
  switch (to.kind) {
    case 'native':
      if (from.kind === 'custom') return to === NATIVE.timeuuid && from.className === LEGACY_TIMEUUID_CLASS
      return from.kind === 'native' && (READS.get(to.name)?.includes(from.name) ?? false)
    case 'list':
    case 'set':
      return from.kind === to.kind && to.frozen === from.frozen && isValueCompatible(to.element, from.element)
    case 'map':
      return (
        from.kind === 'map' &&
        to.frozen === from.frozen &&
        typeEquals(to.key, from.key) &&
        isValueCompatible(to.value, from.value)
      )
    case 'tuple':
      return from.kind === 'tuple' && allCompatible(to.elements, from.elements)
    case 'udt':
      return from.kind === 'udt' && to.frozen === from.frozen && allCompatible(to.fieldTypes, from.fieldTypes)
    default:
      return false
  }
}

function allCompatible(to: readonly CqlType[], from: readonly CqlType[]): boolean {
  return to.length >= from.length && from.every((type, i) => isValueCompatible(to[i]!, type))
}

/** How well a value of type `provided` fits where `receiver` is expected; whether the receiver is frozen makes no difference to one that is. */
export function testTypeAssignment(receiver: CqlType, provided: CqlType): 'exact' | 'weak' | 'not' {
  const to = isFreezable(provided) && !isMultiCell(provided) ? freeze(receiver) : receiver
  if (typeEquals(to, provided)) return 'exact'
  return isValueCompatible(to, provided) ? 'weak' : 'not'
}

function isFreezable(type: CqlType): type is ListType | SetType | MapType {
  return type.kind === 'list' || type.kind === 'set' || type.kind === 'map' || type.kind === 'udt'
}
