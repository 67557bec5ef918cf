/** `permission ON resource` of GRANT, REVOKE and LIST. Source: CQL 3.4.7 "GRANT PERMISSION". */
import { syntaxError } from '../../base/errors.ts'
import type { AuthResource } from '../ast.ts'
import type { Cursor } from './parser-cursor.ts'
import { parseTypeList } from './parser-functions.ts'
import { Keyword, Token } from './parser-keywords.ts'
import { parseFunctionName } from './parser-terms.ts'

/** In the order of Cassandra's own list, which LIST keeps. */
const ALL_PERMISSIONS = [
  ...['CREATE', 'ALTER', 'DROP', 'SELECT', 'MODIFY', 'AUTHORIZE', 'DESCRIBE', 'EXECUTE', 'UNMASK', 'SELECT_MASKED'],
] as const

const PERMISSIONS: ReadonlySet<number> = new Set(ALL_PERMISSIONS.map((name) => Keyword[name as 'CREATE']))

/** A permission, or ALL of them. */
export function isPermission(kind: number): boolean {
  return kind === Keyword.ALL || PERMISSIONS.has(kind)
}

/** Does a permission or ALL follow, rather than the name of a role? ALL, UNMASK and SELECT_MASKED may be either. */
export function startsPermissions(c: Cursor, places: number): boolean {
  const kind = c.ahead(places)
  const next = c.ahead(places + 1)
  if (kind === Keyword.ALL) return next === Keyword.ON || next === Keyword.PERMISSIONS
  if (!isPermission(kind)) return false
  const isNameToo = kind === Keyword.UNMASK || kind === Keyword.SELECT_MASKED
  return !isNameToo || (next !== Keyword.TO && next !== Keyword.FROM)
}

/** Names of permissions in upper case; ALL is every one. */
export function parsePermissions(c: Cursor): string[] {
  if (c.accept(Keyword.ALL)) {
    c.accept(Keyword.PERMISSIONS)
    return [...ALL_PERMISSIONS]
  }
  const permissions: string[] = []
  do {
    if (!PERMISSIONS.has(c.kind)) throw c.noViable()
    permissions.push(c.text.toUpperCase())
    c.at++
    c.accept(Keyword.PERMISSION)
  } while (c.accept(Token.COMMA))
  return permissions
}

export function parseResource(c: Cursor): AuthResource {
  switch (c.kind) {
    case Keyword.ALL:
      return parseAll(c)
    case Keyword.KEYSPACE:
      c.at++
      return { kind: 'keyspace', name: c.keyspaceName() }
    case Keyword.COLUMNFAMILY:
      c.at++
      return { kind: 'table', table: c.qualifiedName() }
    case Keyword.ROLE:
      if (endsTable(c.ahead(1))) break
      c.at++
      return { kind: 'role', name: c.roleName() }
    case Keyword.FUNCTION: {
      if (endsTable(c.ahead(1))) break
      c.at++
      const name = parseFunctionName(c)
      return { kind: 'function', name, argumentTypes: parseTypeList(c) }
    }
    case Keyword.MBEAN:
    case Keyword.MBEANS: {
      if (endsTable(c.ahead(1))) break
      const kind = c.kind === Keyword.MBEAN ? 'mbean' : 'mbeans'
      c.at++
      return { kind, name: checkObjectName(c.expect(Token.STRING), kind) }
    }
  }
  return { kind: 'table', table: c.qualifiedName() }
}

/** A word that names a kind of resource names a table if nothing of the kind follows. */
function endsTable(kind: number): boolean {
  return (
    kind === Token.END ||
    kind === Token.SEMICOLON ||
    kind === Token.DOT ||
    kind === Keyword.TO ||
    kind === Keyword.FROM ||
    kind === Keyword.OF ||
    kind === Keyword.NORECURSIVE
  )
}

function parseAll(c: Cursor): AuthResource {
  switch (c.ahead(1)) {
    case Keyword.KEYSPACES:
      c.at += 2
      return { kind: 'all_keyspaces' }
    case Keyword.ROLES:
      c.at += 2
      return { kind: 'all_roles' }
    case Keyword.MBEANS:
      c.at += 2
      return { kind: 'all_mbeans' }
    case Keyword.TABLES:
      c.at += 2
      c.expect(Keyword.IN)
      c.expect(Keyword.KEYSPACE)
      return { kind: 'all_tables', name: c.keyspaceName() }
    case Keyword.FUNCTIONS:
      c.at += 2
      if (!c.accept(Keyword.IN)) return { kind: 'all_functions' }
      c.expect(Keyword.KEYSPACE)
      return { kind: 'all_functions_in', name: c.keyspaceName() }
    default:
      if (!endsTable(c.ahead(1))) throw c.noViable(1)
      return { kind: 'table', table: c.qualifiedName() }
  }
}

/** `domain:key=value,…`, with wildcards; the plural form wants one. */
function checkObjectName(name: string, kind: 'mbean' | 'mbeans'): string {
  if (name === '') throw syntaxError('Empty JMX object name supplied')
  if (name === '*:*') throw syntaxError('Please use ALL MBEANS instead of wildcard pattern')
  const colon = name.indexOf(':')
  const properties = colon < 0 ? [] : name.slice(colon + 1).split(',')
  const keys = new Set(
    properties.map((property) => (property === '*' ? '*' : property.slice(0, property.indexOf('=')))),
  )
  if (properties.length === 0 || keys.has('') || keys.size < properties.length)
    throw syntaxError(`${name} is not a valid JMX object name`)
  if (kind === 'mbeans' && !name.includes('*') && !name.includes('?'))
    throw syntaxError(`Plural form used, but non-pattern JMX object name specified (${name})`)
  return name
}

const DATA_PERMISSIONS = ['ALTER', 'DROP', 'SELECT', 'MODIFY', 'AUTHORIZE', 'UNMASK', 'SELECT_MASKED']

/** What can be granted on a resource, and the class that messages name. */
function applicable(resource: AuthResource): { readonly className: string; readonly permissions: readonly string[] } {
  switch (resource.kind) {
    case 'all_keyspaces':
    case 'keyspace':
    case 'all_tables':
      return { className: 'DataResource', permissions: ['CREATE', ...DATA_PERMISSIONS] }
    case 'table':
      return { className: 'DataResource', permissions: DATA_PERMISSIONS }
    case 'all_roles':
      return { className: 'RoleResource', permissions: ['CREATE', 'ALTER', 'DROP', 'AUTHORIZE', 'DESCRIBE'] }
    case 'role':
      return { className: 'RoleResource', permissions: ['ALTER', 'DROP', 'AUTHORIZE', 'DESCRIBE'] }
    case 'all_functions':
    case 'all_functions_in':
      return { className: 'FunctionResource', permissions: ['CREATE', 'ALTER', 'DROP', 'AUTHORIZE', 'EXECUTE'] }
    case 'function':
      return { className: 'FunctionResource', permissions: ['ALTER', 'DROP', 'AUTHORIZE', 'EXECUTE'] }
    case 'all_mbeans':
    case 'mbean':
    case 'mbeans':
      return { className: 'JMXResource', permissions: ['AUTHORIZE', 'DESCRIBE', 'EXECUTE', 'MODIFY', 'SELECT'] }
  }
}

/** Those of the permissions that can be granted on the resource; none is an error. */
export function refusePermissions(permissions: readonly string[], resource: AuthResource): string[] {
  const { className, permissions: allowed } = applicable(resource)
  const kept = permissions.filter((name) => allowed.includes(name))
  if (kept.length === 0)
    throw syntaxError(`Resource type ${className} does not support any of the requested permissions`)
  return kept
}
