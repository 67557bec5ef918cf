/** Roles, users, permissions and identities. Source: CQL 3.4.7 "Security"; identities: CEP-34. */
import { syntaxError } from '../../base/errors.ts'
import type { AuthStatement, Property, PropertyValue } from '../ast.ts'
import type { Cursor } from './parser-cursor.ts'
import { isName, Keyword, Token } from './parser-keywords.ts'
import {
  isPermission,
  parsePermissions,
  parseResource,
  refusePermissions,
  startsPermissions,
} from './parser-permissions.ts'
import { parsePropertyMap } from './parser-properties.ts'

/** A user's name keeps its case. */
function parseUserName(c: Cursor): string {
  if (c.kind === Token.QUOTED_NAME)
    throw syntaxError('Quoted strings are are not supported for user names and USER is deprecated, please use ROLE')
  return parseWord(c)
}

function parseIdentity(c: Cursor): string {
  if (c.kind === Token.QUOTED_NAME) throw syntaxError('Quoted strings are are not supported for identity')
  return parseWord(c)
}

function parseWord(c: Cursor): string {
  if (c.kind === Token.STRING) return c.expect(Token.STRING)
  if (c.kind !== Token.IDENTIFIER) throw c.noViable()
  const word = c.raw
  c.at++
  return word
}

/** `CREATE ROLE` or `CREATE USER` is known to be here. */
export function parseCreateAuth(c: Cursor): AuthStatement {
  const user = c.ahead(1) === Keyword.USER
  c.at += 2
  const ifNotExists = c.acceptIfNotExists()
  const name = user ? parseUserName(c) : c.roleName()
  const options = user ? parseUserOptions(c) : parseRoleOptions(c)
  return { kind: 'create_role', name, ifExists: false, ifNotExists, options, user }
}

/** `ALTER ROLE` or `ALTER USER` is known to be here. */
export function parseAlterAuth(c: Cursor): AuthStatement {
  const user = c.ahead(1) === Keyword.USER
  c.at += 2
  const ifExists = c.acceptIfExists()
  const name = user ? parseUserName(c) : c.roleName()
  const options = user ? parseUserOptions(c) : parseRoleOptions(c)
  return { kind: 'alter_role', name, ifExists, ifNotExists: false, options, user }
}

/** `DROP ROLE`, `DROP USER` or `DROP IDENTITY` is known to be here. */
export function parseDropAuth(c: Cursor): AuthStatement {
  const kind = c.ahead(1)
  c.at += 2
  const ifExists = c.acceptIfExists()
  if (kind === Keyword.IDENTITY) return { kind: 'drop_identity', identity: parseIdentity(c), ifExists }
  const user = kind === Keyword.USER
  return { kind: 'drop_role', name: user ? parseUserName(c) : c.roleName(), ifExists, user }
}

/** `ADD IDENTITY 'x' TO ROLE 'y'`; ADD is known to be here. */
export function parseAddIdentity(c: Cursor): AuthStatement {
  c.at++
  c.expect(Keyword.IDENTITY)
  const ifNotExists = c.acceptIfNotExists()
  const identity = parseIdentity(c)
  c.expect(Keyword.TO)
  c.expect(Keyword.ROLE)
  return { kind: 'add_identity', identity, role: parseIdentity(c), ifNotExists }
}

function literal(name: string, type: 'string' | 'boolean', text: string): Property {
  return { name, value: { kind: 'literal', text, type } }
}

/** `WITH PASSWORD 'x' SUPERUSER` of users: no equals sign, no AND. */
function parseUserOptions(c: Cursor): Property[] {
  const options: Property[] = []
  if (c.accept(Keyword.WITH)) {
    const hashed = c.accept(Keyword.HASHED)
    if (!hashed && c.kind !== Keyword.PASSWORD) throw c.noViable()
    c.expect(Keyword.PASSWORD)
    options.push(literal(hashed ? 'hashed password' : 'password', 'string', c.expect(Token.STRING)))
  }
  if (c.accept(Keyword.SUPERUSER)) options.push(literal('superuser', 'boolean', 'true'))
  else if (c.accept(Keyword.NOSUPERUSER)) options.push(literal('superuser', 'boolean', 'false'))
  return options
}

function parseRoleOptions(c: Cursor): Property[] {
  const options: Property[] = []
  if (!c.accept(Keyword.WITH)) return options
  const names = new Set<string>()
  do {
    const option = parseRoleOption(c)
    if (names.has(option.name) && !option.name.startsWith('access'))
      throw syntaxError(`Multiple definition for property '${option.name.toUpperCase().replace(' ', '_')}'`)
    names.add(option.name)
    options.push(option)
  } while (c.accept(Keyword.AND))
  if (names.has('password') && names.has('hashed password'))
    throw syntaxError("Options 'password' and 'hashed password' are mutually exclusive")
  return options
}

function parseRoleOption(c: Cursor): Property {
  switch (c.kind) {
    case Keyword.PASSWORD:
      c.at++
      c.expect(Token.EQUAL)
      return literal('password', 'string', c.expect(Token.STRING))
    case Keyword.HASHED:
      c.at++
      c.expect(Keyword.PASSWORD)
      c.expect(Token.EQUAL)
      return literal('hashed password', 'string', c.expect(Token.STRING))
    case Keyword.OPTIONS:
      c.at++
      c.expect(Token.EQUAL)
      if (c.kind !== Token.LEFT_BRACE) throw c.mismatched(Token.LEFT_BRACE)
      return { name: 'options', value: parsePropertyMap(c) }
    case Keyword.SUPERUSER:
    case Keyword.LOGIN: {
      const name = c.text
      c.at++
      c.expect(Token.EQUAL)
      return literal(name, 'boolean', c.expect(Token.BOOLEAN))
    }
    case Keyword.ACCESS:
      return parseAccess(c)
    default:
      throw c.noViable()
  }
}

/** `ACCESS TO [ALL] DATACENTERS …`, `ACCESS FROM [ALL] CIDRS …`: a map whose keys are the allowed ones, or the word ALL. */
function parseAccess(c: Cursor): Property {
  const isTo = c.ahead(1) === Keyword.TO
  if (!isTo && c.ahead(1) !== Keyword.FROM) throw c.noViable(1)
  c.at += 2
  const name = isTo ? 'access to datacenters' : 'access from cidrs'
  const what = isTo ? Keyword.DATACENTERS : Keyword.CIDRS
  if (c.accept(Keyword.ALL)) {
    c.expect(what)
    return { name, value: { kind: 'literal', text: 'all', type: 'identifier' } }
  }
  c.expect(what)
  return { name, value: parseStringSet(c) }
}

function parseStringSet(c: Cursor): PropertyValue {
  const entries: [string, string][] = []
  c.expect(Token.LEFT_BRACE)
  do {
    const text = c.expect(Token.STRING)
    entries.push([text, text])
  } while (c.accept(Token.COMMA))
  c.expect(Token.RIGHT_BRACE)
  return { kind: 'map', entries }
}

function startsRoleName(kind: number): boolean {
  return isName(kind) || kind === Token.STRING || kind === Token.QUESTION
}

/** GRANT and REVOKE, of permissions and of roles; which one of the two is here is known. */
export function parseGrant(c: Cursor): AuthStatement {
  const isGrant = c.kind === Keyword.GRANT
  const joint = isGrant ? Keyword.TO : Keyword.FROM
  if (!startsPermissions(c, 1) && !startsRoleName(c.ahead(1))) throw c.noViable(1)
  c.at++
  if (!startsPermissions(c, 0)) {
    const role = c.roleName()
    c.expect(joint)
    return { kind: isGrant ? 'grant_role' : 'revoke_role', role, grantee: c.roleName() }
  }
  const permissions = parsePermissions(c)
  c.expect(Keyword.ON)
  const resource = parseResource(c)
  c.expect(joint)
  const grantee = c.roleName()
  return {
    kind: isGrant ? 'grant' : 'revoke',
    permissions: refusePermissions(permissions, resource),
    resource,
    grantee,
  }
}

/** LIST is known to be here. */
export function parseList(c: Cursor): AuthStatement {
  const kind = c.ahead(1)
  if (kind !== Keyword.USERS && kind !== Keyword.ROLES && !isPermission(kind)) throw c.noViable(1)
  c.at++
  if (c.accept(Keyword.USERS)) return { kind: 'list_users' }
  if (c.accept(Keyword.ROLES)) {
    const of = c.accept(Keyword.OF) ? c.roleName() : null
    return { kind: 'list_roles', of, recursive: !c.accept(Keyword.NORECURSIVE) }
  }
  const permissions = parsePermissions(c)
  const resource = c.accept(Keyword.ON) ? parseResource(c) : null
  const of = c.accept(Keyword.OF) ? c.roleName() : null
  return { kind: 'list_permissions', permissions, resource, of, recursive: !c.accept(Keyword.NORECURSIVE) }
}
