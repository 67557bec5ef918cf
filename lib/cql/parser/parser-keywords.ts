/**
 * The kinds of CQL tokens and the keywords among them. Source: CQL 3.4.7 (Cassandra 5.0), its list of reserved words.
 * Always: kinds are small integers, grouped so that each question a parser asks of a word ("may it name a column?") is a comparison
 * of ranges: identifiers < basic unreserved < native types < special unreserved < reserved < literals < punctuation.
 */

/** May name anything, user types and functions included. */
const BASIC_UNRESERVED = [
  ...['ACCESS', 'AGGREGATE', 'AGGREGATES', 'ALL', 'ANN', 'AS', 'CALLED', 'CIDRS', 'CLUSTER', 'CLUSTERING', 'COMPACT'],
  ...['CONTAINS', 'CUSTOM', 'DATACENTERS', 'DEFAULT', 'EXISTS', 'FILTERING', 'FINALFUNC', 'FROZEN', 'FUNCTION'],
  ...['FUNCTIONS', 'GROUP', 'HASHED', 'IDENTITY', 'INITCOND', 'INPUT', 'INTERNALS', 'KEYS', 'KEYSPACES', 'LANGUAGE'],
  ...['LIKE', 'LIST', 'LOGIN', 'MAP', 'MASKED', 'MBEAN', 'MBEANS', 'NOLOGIN', 'NOSUPERUSER', 'ONLY', 'OPTIONS'],
  ...['PARTITION', 'PASSWORD', 'PER', 'PERMISSION', 'PERMISSIONS', 'REPLACE', 'RETURNS', 'ROLE', 'ROLES'],
  ...['SELECT_MASKED', 'SFUNC', 'STATIC', 'STORAGE', 'STYPE', 'SUPERUSER', 'TABLES', 'TRIGGER', 'TUPLE', 'TYPE'],
  ...['TYPES', 'UNMASK', 'UNSET', 'USER', 'USERS', 'VALUES', 'VECTOR'],
] as const

/** May name anything but a user type. */
const NATIVE_TYPES = [
  ...['ASCII', 'BIGINT', 'BLOB', 'BOOLEAN', 'COUNTER', 'DATE', 'DECIMAL', 'DOUBLE', 'DURATION', 'FLOAT', 'INET', 'INT'],
  ...['SMALLINT', 'TEXT', 'TIME', 'TIMESTAMP', 'TIMEUUID', 'TINYINT', 'UUID', 'VARCHAR', 'VARINT'],
] as const

/** May name a column, a table or a keyspace, no function. */
const SPECIAL_UNRESERVED = ['CAST', 'COUNT', 'DISTINCT', 'JSON', 'KEY', 'MAXWRITETIME', 'TTL', 'WRITETIME'] as const

/** Name nothing unless quoted. COLUMNFAMILY and TABLE are one. */
const RESERVED = [
  ...['ADD', 'ALLOW', 'ALTER', 'AND', 'APPLY', 'ASC', 'AUTHORIZE', 'BATCH', 'BEGIN', 'BY', 'COLUMNFAMILY', 'CREATE'],
  ...['DELETE', 'DESC', 'DESCRIBE', 'DROP', 'ENTRIES', 'EXECUTE', 'FROM', 'FULL', 'GRANT', 'IF', 'IN', 'INDEX'],
  ...['INSERT', 'INTO', 'IS', 'KEYSPACE', 'LIMIT', 'MATERIALIZED', 'MODIFY', 'NORECURSIVE', 'NOT', 'NULL', 'OF', 'ON'],
  ...['OR', 'ORDER', 'POSITIVE_INFINITY', 'POSITIVE_NAN', 'PRIMARY', 'RENAME', 'REVOKE', 'SCHEMA', 'SELECT', 'SET'],
  ...['TO', 'TOKEN', 'TRUNCATE', 'UNLOGGED', 'UPDATE', 'USE', 'USING', 'VIEW', 'WHERE', 'WITH'],
] as const

type KeywordName =
  | (typeof BASIC_UNRESERVED)[number]
  | (typeof NATIVE_TYPES)[number]
  | (typeof SPECIAL_UNRESERVED)[number]
  | (typeof RESERVED)[number]

const FIRST_KEYWORD = 4
const NAMES: readonly KeywordName[] = [...BASIC_UNRESERVED, ...NATIVE_TYPES, ...SPECIAL_UNRESERVED, ...RESERVED]

const NATIVE_FIRST = FIRST_KEYWORD + BASIC_UNRESERVED.length
const SPECIAL_FIRST = NATIVE_FIRST + NATIVE_TYPES.length
const RESERVED_FIRST = SPECIAL_FIRST + SPECIAL_UNRESERVED.length
const FIRST_LITERAL = RESERVED_FIRST + RESERVED.length

/** Kinds that are no keywords. `ERROR` stands where the lexer failed and ends the stream like `END`. */
export const Token = {
  END: 0,
  ERROR: 1,
  IDENTIFIER: 2,
  QUOTED_NAME: 3,
  STRING: FIRST_LITERAL,
  INTEGER: FIRST_LITERAL + 1,
  FLOAT: FIRST_LITERAL + 2,
  BOOLEAN: FIRST_LITERAL + 3,
  DURATION: FIRST_LITERAL + 4,
  UUID: FIRST_LITERAL + 5,
  HEX: FIRST_LITERAL + 6,
  NEGATIVE_NAN: FIRST_LITERAL + 7,
  NEGATIVE_INFINITY: FIRST_LITERAL + 8,
  /** `""`: the name of a column of old tables. */
  EMPTY_NAME: FIRST_LITERAL + 9,
  /** `expr(`, one token. */
  EXPRESSION: FIRST_LITERAL + 10,
  LEFT_PAREN: FIRST_LITERAL + 11,
  RIGHT_PAREN: FIRST_LITERAL + 12,
  LEFT_BRACKET: FIRST_LITERAL + 13,
  RIGHT_BRACKET: FIRST_LITERAL + 14,
  LEFT_BRACE: FIRST_LITERAL + 15,
  RIGHT_BRACE: FIRST_LITERAL + 16,
  COMMA: FIRST_LITERAL + 17,
  SEMICOLON: FIRST_LITERAL + 18,
  COLON: FIRST_LITERAL + 19,
  QUESTION: FIRST_LITERAL + 20,
  DOT: FIRST_LITERAL + 21,
  RANGE: FIRST_LITERAL + 22,
  EQUAL: FIRST_LITERAL + 23,
  NOT_EQUAL: FIRST_LITERAL + 24,
  LESS: FIRST_LITERAL + 25,
  LESS_EQUAL: FIRST_LITERAL + 26,
  GREATER: FIRST_LITERAL + 27,
  GREATER_EQUAL: FIRST_LITERAL + 28,
  PLUS: FIRST_LITERAL + 29,
  MINUS: FIRST_LITERAL + 30,
  STAR: FIRST_LITERAL + 31,
  SLASH: FIRST_LITERAL + 32,
  PERCENT: FIRST_LITERAL + 33,
  PLUS_EQUAL: FIRST_LITERAL + 34,
  MINUS_EQUAL: FIRST_LITERAL + 35,
} as const

export const TOKEN_KINDS = FIRST_LITERAL + 36

/** The kind of each keyword. */
export const Keyword = Object.fromEntries(NAMES.map((name, index) => [name, FIRST_KEYWORD + index])) as Readonly<
  Record<KeywordName, number>
>

/** Kinds by word, for words all in lower or all in upper case. */
export const KEYWORD_KINDS: ReadonlyMap<string, number> = new Map(
  [
    ...NAMES.filter((name) => !name.startsWith('POSITIVE_')).map((name) => [name, Keyword[name]] as const),
    ['TABLE', Keyword.COLUMNFAMILY] as const,
    ['COLUMNFAMILIES', Keyword.TABLES] as const,
    ['NAN', Keyword.POSITIVE_NAN] as const,
    ['INFINITY', Keyword.POSITIVE_INFINITY] as const,
    ['TRUE', Token.BOOLEAN] as const,
    ['FALSE', Token.BOOLEAN] as const,
  ].flatMap(([word, kind]): [string, number][] => [
    [word, kind],
    [word.toLowerCase(), kind],
  ]),
)

/** What messages call a kind: `K_FROM`, `STRING_LITERAL`, `')'`. */
const OTHER_NAMES: readonly (readonly [number, string])[] = [
  [Token.END, 'EOF'],
  [Token.IDENTIFIER, 'IDENT'],
  [Token.QUOTED_NAME, 'QUOTED_NAME'],
  [Token.STRING, 'STRING_LITERAL'],
  [Token.INTEGER, 'INTEGER'],
  [Token.BOOLEAN, 'BOOLEAN'],
  [Token.LEFT_PAREN, "'('"],
  [Token.RIGHT_PAREN, "')'"],
  [Token.LEFT_BRACKET, "'['"],
  [Token.RIGHT_BRACKET, "']'"],
  [Token.LEFT_BRACE, "'{'"],
  [Token.RIGHT_BRACE, "'}'"],
  [Token.COMMA, "','"],
  [Token.COLON, "':'"],
  [Token.DOT, "'.'"],
  [Token.RANGE, 'RANGE'],
  [Token.EQUAL, "'='"],
  [Token.LESS, "'<'"],
  [Token.GREATER, "'>'"],
  [Token.STAR, "'*'"],
]
const MESSAGE_NAMES = new Map<number, string>([
  ...NAMES.map((name): [number, string] => [Keyword[name], `K_${name}`]),
  ...OTHER_NAMES,
])

export function tokenName(kind: number): string {
  return MESSAGE_NAMES.get(kind) ?? 'set null'
}

/** Names of columns, tables, keyspaces: identifiers, quoted names and every unreserved keyword. */
export function isName(kind: number): boolean {
  return kind >= Token.IDENTIFIER && kind < RESERVED_FIRST
}

/** Names of functions after their keyspace. */
export function isFunctionName(kind: number): boolean {
  return (kind >= Token.IDENTIFIER && kind < SPECIAL_FIRST) || kind === Keyword.TOKEN || kind === Keyword.COUNT
}

/** Names of user types after their keyspace. */
export function isUserTypeName(kind: number): boolean {
  return (kind >= Token.IDENTIFIER && kind < NATIVE_FIRST) || kind === Keyword.KEY
}

export function isNativeType(kind: number): boolean {
  return kind >= NATIVE_FIRST && kind < SPECIAL_FIRST
}
