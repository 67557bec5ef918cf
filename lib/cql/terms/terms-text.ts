/** Terms as error messages show them: close to what was written, in Cassandra's spelling. */
import { unreachable } from '../../base/assert.ts'
import { quoteIdentifier } from '../../types/identifier.ts'
import type { QualifiedName, Term, TypeNode } from '../ast.ts'

const OPERATION_NAMES = { '+': '_add', '-': '_substract', '*': '_multiply', '/': '_divide', '%': '_modulo' } as const

export function termText(term: Term): string {
  switch (term.kind) {
    case 'constant':
      return term.type === 'string' ? `'${term.text}'` : term.text
    case 'null':
      return 'NULL'
    case 'marker':
      return '?'
    case 'list':
      return `[${termTexts(term.elements)}]`
    case 'set':
      return `{${termTexts(term.elements)}}`
    case 'tuple':
      return `(${termTexts(term.elements)})`
    case 'map':
      return `{${term.entries.map(([key, value]) => `${termText(key)}: ${termText(value)}`).join(', ')}}`
    case 'udt':
      return `{${term.fields.map(([field, value]) => `${quoteIdentifier(field)}: ${termText(value)}`).join(', ')}}`
    case 'function':
      return `${functionNameText(term.name)}(${termTexts(term.arguments)})`
    case 'typehint':
      return `(${typeNodeText(term.type)})${termText(term.term)}`
    case 'arithmetic':
      return `system.${quoteIdentifier(OPERATION_NAMES[term.operator])}(${termText(term.left)}, ${termText(term.right)})`
    case 'negation':
      return `system."_negate"(${termText(term.term)})`
    case 'column':
      return quoteIdentifier(term.name)
    default:
      return unreachable(term)
  }
}

function termTexts(terms: readonly Term[]): string {
  return terms.map(termText).join(', ')
}

export function functionNameText(name: QualifiedName): string {
  const own = quoteIdentifier(name.name)
  return name.keyspace === null ? own : `${quoteIdentifier(name.keyspace)}.${own}`
}

export function typeNodeText(type: TypeNode): string {
  switch (type.kind) {
    case 'named':
      return type.keyspace === null ? type.name : `${type.keyspace}.${type.name}`
    case 'list':
    case 'set':
      return `${type.kind}<${typeNodeText(type.element)}>`
    case 'map':
      return `map<${typeNodeText(type.key)}, ${typeNodeText(type.value)}>`
    case 'tuple':
      return `tuple<${type.elements.map(typeNodeText).join(', ')}>`
    case 'vector':
      return `vector<${typeNodeText(type.element)}, ${type.dimension}>`
    case 'frozen':
      return `frozen<${typeNodeText(type.inner)}>`
    case 'custom':
      return `'${type.className}'`
    default:
      return unreachable(type)
  }
}
