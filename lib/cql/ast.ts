/**
 * What the parser makes of a CQL text: names and terms as written, nothing looked up. Source: CQL 3.4.7 (Cassandra 5.0).
 * Identifiers are already folded: unquoted ones in lower case, quoted ones as written.
 */

export interface QualifiedName {
  readonly keyspace: string | null
  readonly name: string
}

/** Types as written; user types are looked up later. */
export type TypeNode =
  | {
      readonly kind: 'named'
      readonly keyspace: string | null
      readonly name: string /** quoted names are never native types */
      readonly quoted: boolean
    }
  | { readonly kind: 'list' | 'set'; readonly element: TypeNode }
  | { readonly kind: 'map'; readonly key: TypeNode; readonly value: TypeNode }
  | { readonly kind: 'tuple'; readonly elements: readonly TypeNode[] }
  | { readonly kind: 'vector'; readonly element: TypeNode; readonly dimension: number }
  | { readonly kind: 'frozen'; readonly inner: TypeNode }
  /** 'org.apache.…' in quotes */
  | { readonly kind: 'custom'; readonly className: string }

export type ConstantKind = 'string' | 'integer' | 'float' | 'uuid' | 'boolean' | 'hex' | 'duration'

export type Term =
  /** `text` as written: digits with sign, hex with 0x, strings unescaped, NaN and Infinity (with sign) as kind float. */
  | { readonly kind: 'constant'; readonly type: ConstantKind; readonly text: string }
  | { readonly kind: 'null' }
  /** `index`: order of appearance in the statement, from 0; named markers of one name have an index each. */
  | { readonly kind: 'marker'; readonly index: number; readonly name: string | null }
  | { readonly kind: 'list'; readonly elements: readonly Term[] }
  /** `{…}` with elements; the empty `{}` is this with none (a set or a map, by its receiver). */
  | { readonly kind: 'set'; readonly elements: readonly Term[] }
  | { readonly kind: 'map'; readonly entries: readonly (readonly [Term, Term])[] }
  | { readonly kind: 'udt'; readonly fields: readonly (readonly [string, Term])[] }
  | { readonly kind: 'tuple'; readonly elements: readonly Term[] }
  /** CAST(term AS text) is one too: system.cast_as_text(term). */
  | { readonly kind: 'function'; readonly name: QualifiedName; readonly arguments: readonly Term[] }
  /** `(type) term` */
  | { readonly kind: 'typehint'; readonly type: TypeNode; readonly term: Term }
  | {
      readonly kind: 'arithmetic'
      readonly operator: '+' | '-' | '*' | '/' | '%'
      readonly left: Term
      readonly right: Term
    }
  | { readonly kind: 'negation'; readonly term: Term }
  /** A column as an argument; only in selectors and in the arithmetic of UPDATE … SET c = c + 1. */
  | { readonly kind: 'column'; readonly name: string }

export type RelationOperator =
  | '='
  | '<'
  | '<='
  | '>'
  | '>='
  | '!='
  | 'IN'
  | 'NOT IN'
  | 'CONTAINS'
  | 'CONTAINS KEY'
  | 'NOT CONTAINS'
  | 'NOT CONTAINS KEY'
  | 'LIKE'
  | 'IS NOT'
  | 'BETWEEN'
  | ':'

/** The right side of IN: a list of terms, or one marker for the whole list. */
export type InValues =
  | { readonly kind: 'terms'; readonly terms: readonly Term[] }
  | { readonly kind: 'marker'; readonly marker: Term }

export type Relation =
  | {
      readonly kind: 'single'
      readonly column: string
      readonly operator: Exclude<RelationOperator, 'IN' | 'NOT IN' | 'BETWEEN'>
      readonly value: Term
    }
  | { readonly kind: 'in'; readonly column: string; readonly negated: boolean; readonly values: InValues }
  | { readonly kind: 'between'; readonly column: string; readonly low: Term; readonly high: Term }
  /** c[term] op value */
  | {
      readonly kind: 'element'
      readonly column: string
      readonly element: Term
      readonly operator: RelationOperator
      readonly value: Term
    }
  /** (a, b) op (1, 2) or a marker */
  | {
      readonly kind: 'multi'
      readonly columns: readonly string[]
      readonly operator: '=' | '<' | '<=' | '>' | '>=' | '!='
      readonly value: Term
    }
  /** (a, b) IN ((1, 2), ?) or IN ? ; () is no terms */
  | { readonly kind: 'multi_in'; readonly columns: readonly string[]; readonly values: InValues }
  /** token(a, b) op value */
  | {
      readonly kind: 'token'
      readonly columns: readonly string[]
      readonly operator: '=' | '<' | '<=' | '>' | '>=' | 'IN' | '!=' | 'BETWEEN'
      readonly value: Term
      readonly high?: Term
    }
  /** expr(index, value): custom index expression */
  | { readonly kind: 'expression'; readonly index: QualifiedName; readonly value: Term }

export type Selector =
  | { readonly kind: 'column'; readonly name: string }
  | { readonly kind: 'count_all' }
  | { readonly kind: 'writetime' | 'maxwritetime' | 'ttl'; readonly of: Selector }
  /** Null: `vclock(*)`. */
  | { readonly kind: 'vclock'; readonly of: string | null }
  | { readonly kind: 'cast'; readonly of: Selector; readonly type: TypeNode }
  | { readonly kind: 'function'; readonly name: QualifiedName; readonly arguments: readonly Selector[] }
  | { readonly kind: 'field'; readonly of: Selector; readonly field: string }
  | { readonly kind: 'element'; readonly of: Selector; readonly element: Term }
  | { readonly kind: 'slice'; readonly of: Selector; readonly from: Term | null; readonly to: Term | null }
  | { readonly kind: 'term'; readonly term: Term }
  | { readonly kind: 'typehint'; readonly type: TypeNode; readonly of: Selector }
  | {
      readonly kind: 'arithmetic'
      readonly operator: '+' | '-' | '*' | '/' | '%'
      readonly left: Selector
      readonly right: Selector
    }
  | { readonly kind: 'negation'; readonly of: Selector }
  | { readonly kind: 'list' | 'set' | 'tuple'; readonly elements: readonly Selector[] }
  | { readonly kind: 'map'; readonly entries: readonly (readonly [Selector, Selector])[] }
  | { readonly kind: 'udt'; readonly fields: readonly (readonly [string, Selector])[] }

export interface SelectClause {
  readonly selector: Selector
  readonly alias: string | null
}

export interface SelectStatement {
  readonly kind: 'select'
  readonly json: boolean
  readonly distinct: boolean
  /** Null: `*`. */
  readonly clauses: readonly SelectClause[] | null
  readonly table: QualifiedName
  readonly where: readonly Relation[]
  readonly groupBy: readonly Selector[]
  readonly orderBy: readonly (
    | { readonly kind: 'column'; readonly column: string; readonly descending: boolean }
    | {
        readonly kind: 'ann'
        readonly column: string
        readonly vector: Term
        readonly descending: boolean
      }
  )[]
  readonly perPartitionLimit: Term | null
  readonly limit: Term | null
  readonly allowFiltering: boolean
}

export interface UsingClause {
  readonly timestamp: Term | null
  readonly timeToLive: Term | null
  /** What the writer has seen of the row: of tables with vector clocks. */
  readonly vclock: Term | null
}

/** A condition after IF: column, element, field, or a whole-column comparison. */
export type Condition =
  | {
      readonly column: string
      readonly element: Term | null
      readonly field: string | null
      readonly operator: RelationOperator
      readonly value: Term
    }
  | {
      readonly column: string
      readonly element: Term | null
      readonly field: string | null
      readonly operator: 'IN' | 'NOT IN'
      readonly values: InValues
    }

export type ConditionClause =
  | { readonly kind: 'none' }
  | { readonly kind: 'exists' }
  | { readonly kind: 'not_exists' }
  | { readonly kind: 'conditions'; readonly conditions: readonly Condition[] }

export interface InsertStatement {
  readonly kind: 'insert'
  readonly table: QualifiedName
  readonly columns: readonly string[]
  readonly values: readonly Term[]
  readonly ifNotExists: boolean
  readonly ifVclock: Term | null
  readonly using: UsingClause
}

export interface InsertJsonStatement {
  readonly kind: 'insert_json'
  readonly table: QualifiedName
  readonly json: Term
  readonly defaultUnset: boolean
  readonly ifNotExists: boolean
  readonly ifVclock: Term | null
  readonly using: UsingClause
}

/** What stands after SET. `add`: c = c + term or c += term; `prepend`: c = term + c; `subtract`: c = c - term or c -= term. */
export type Assignment =
  | { readonly kind: 'set'; readonly column: string; readonly value: Term }
  | { readonly kind: 'add' | 'subtract' | 'prepend'; readonly column: string; readonly value: Term }
  | { readonly kind: 'set_element'; readonly column: string; readonly element: Term; readonly value: Term }
  | { readonly kind: 'set_field'; readonly column: string; readonly field: string; readonly value: Term }

export interface UpdateStatement {
  readonly kind: 'update'
  readonly table: QualifiedName
  readonly using: UsingClause
  readonly assignments: readonly Assignment[]
  readonly where: readonly Relation[]
  readonly condition: ConditionClause
}

export type DeleteTarget =
  | { readonly kind: 'column'; readonly column: string }
  | { readonly kind: 'element'; readonly column: string; readonly element: Term }
  | { readonly kind: 'field'; readonly column: string; readonly field: string }

export interface DeleteStatement {
  readonly kind: 'delete'
  readonly table: QualifiedName
  /** Empty: whole rows. */
  readonly targets: readonly DeleteTarget[]
  readonly using: UsingClause
  readonly where: readonly Relation[]
  readonly condition: ConditionClause
}

export type ModificationStatement = InsertStatement | InsertJsonStatement | UpdateStatement | DeleteStatement

export interface BatchStatement {
  readonly kind: 'batch'
  readonly type: 'logged' | 'unlogged' | 'counter'
  readonly using: UsingClause
  readonly statements: readonly ModificationStatement[]
}

/** WITH name = value: a literal as text, or a map of literals. */
export type PropertyValue =
  | { readonly kind: 'literal'; readonly text: string; readonly type: ConstantKind | 'identifier' }
  | { readonly kind: 'map'; readonly entries: readonly (readonly [string, string])[] }
export interface Property {
  readonly name: string
  readonly value: PropertyValue
}

export interface ColumnDefinition {
  readonly name: string
  readonly type: TypeNode
  readonly isStatic: boolean
  readonly isPrimaryKey: boolean
  /** MASKED WITH DEFAULT or with a function. */
  readonly mask: { readonly name: QualifiedName; readonly arguments: readonly Term[] } | 'default' | null
}

export type SchemaStatement =
  | {
      readonly kind: 'create_keyspace'
      readonly name: string
      readonly ifNotExists: boolean
      readonly properties: readonly Property[]
    }
  | {
      readonly kind: 'alter_keyspace'
      readonly name: string
      readonly ifExists: boolean
      readonly properties: readonly Property[]
    }
  | { readonly kind: 'drop_keyspace'; readonly name: string; readonly ifExists: boolean }
  | {
      readonly kind: 'create_table'
      readonly table: QualifiedName
      readonly ifNotExists: boolean
      readonly columns: readonly ColumnDefinition[]
      /** One for each PRIMARY KEY (…) clause of the text (more than one is an error found later). */
      readonly primaryKeys: readonly {
        readonly partitionKey: readonly string[]
        readonly clustering: readonly string[]
      }[]
      readonly clusteringOrder: readonly { readonly column: string; readonly descending: boolean }[]
      readonly compactStorage: boolean
      readonly properties: readonly Property[]
    }
  | {
      readonly kind: 'create_table_like'
      readonly table: QualifiedName
      readonly source: QualifiedName
      readonly ifNotExists: boolean
      readonly properties: readonly Property[]
    }
  | {
      readonly kind: 'alter_table'
      readonly table: QualifiedName
      readonly ifExists: boolean
      readonly action: AlterTableAction
    }
  | { readonly kind: 'drop_table'; readonly table: QualifiedName; readonly ifExists: boolean }
  | {
      readonly kind: 'create_type'
      readonly type: QualifiedName
      readonly ifNotExists: boolean
      readonly fields: readonly { readonly name: string; readonly type: TypeNode }[]
    }
  | {
      readonly kind: 'alter_type'
      readonly type: QualifiedName
      readonly ifExists: boolean
      readonly action:
        | { readonly kind: 'add'; readonly ifNotExists: boolean; readonly field: string; readonly type: TypeNode }
        | { readonly kind: 'alter'; readonly field: string; readonly type: TypeNode }
        | {
            readonly kind: 'rename'
            readonly ifExists: boolean
            readonly renames: readonly { readonly from: string; readonly to: string }[]
          }
    }
  | { readonly kind: 'drop_type'; readonly type: QualifiedName; readonly ifExists: boolean }
  | {
      readonly kind: 'create_index'
      readonly custom: boolean
      readonly name: QualifiedName | null
      readonly ifNotExists: boolean
      readonly table: QualifiedName
      readonly targets: readonly {
        readonly kind: 'simple' | 'keys' | 'values' | 'entries' | 'full'
        readonly column: string
      }[]
      readonly using: string | null
      readonly properties: readonly Property[]
    }
  | { readonly kind: 'drop_index'; readonly index: QualifiedName; readonly ifExists: boolean }
  | {
      readonly kind: 'create_view'
      readonly view: QualifiedName
      readonly ifNotExists: boolean
      readonly select: SelectStatement
      readonly primaryKeys: readonly {
        readonly partitionKey: readonly string[]
        readonly clustering: readonly string[]
      }[]
      readonly clusteringOrder: readonly { readonly column: string; readonly descending: boolean }[]
      readonly properties: readonly Property[]
    }
  | {
      readonly kind: 'alter_view'
      readonly view: QualifiedName
      readonly ifExists: boolean
      readonly properties: readonly Property[]
    }
  | { readonly kind: 'drop_view'; readonly view: QualifiedName; readonly ifExists: boolean }
  | {
      readonly kind: 'create_function'
      readonly name: QualifiedName
      readonly orReplace: boolean
      readonly ifNotExists: boolean
      readonly arguments: readonly { readonly name: string; readonly type: TypeNode }[]
      readonly calledOnNull: boolean
      readonly returns: TypeNode
      readonly language: string
      readonly body: string
    }
  | {
      readonly kind: 'drop_function'
      readonly name: QualifiedName
      readonly ifExists: boolean
      readonly argumentTypes: readonly TypeNode[] | null
    }
  | {
      readonly kind: 'create_aggregate'
      readonly name: QualifiedName
      readonly orReplace: boolean
      readonly ifNotExists: boolean
      readonly argumentTypes: readonly TypeNode[]
      readonly stateFunction: string
      readonly stateType: TypeNode
      readonly finalFunction: string | null
      readonly initialCondition: Term | null
    }
  | {
      readonly kind: 'drop_aggregate'
      readonly name: QualifiedName
      readonly ifExists: boolean
      readonly argumentTypes: readonly TypeNode[] | null
    }
  | {
      readonly kind: 'create_trigger'
      readonly name: string
      readonly ifNotExists: boolean
      readonly table: QualifiedName
      readonly className: string
    }
  | { readonly kind: 'drop_trigger'; readonly name: string; readonly ifExists: boolean; readonly table: QualifiedName }

export type AlterTableAction =
  | { readonly kind: 'add'; readonly ifNotExists: boolean; readonly columns: readonly ColumnDefinition[] }
  | {
      readonly kind: 'drop'
      readonly ifExists: boolean
      readonly columns: readonly string[]
      readonly timestamp: Term | null
    }
  | { readonly kind: 'alter_type'; readonly ifExists: boolean; readonly column: string; readonly type: TypeNode }
  | {
      readonly kind: 'alter_mask'
      readonly ifExists: boolean
      readonly column: string
      readonly mask: ColumnDefinition['mask']
    }
  | {
      readonly kind: 'rename'
      readonly ifExists: boolean
      readonly renames: readonly { readonly from: string; readonly to: string }[]
    }
  | { readonly kind: 'drop_compact_storage' }
  | { readonly kind: 'with'; readonly properties: readonly Property[] }

export type DescribeStatement = {
  readonly kind: 'describe'
  readonly internals: boolean
  readonly target:
    | { readonly kind: 'cluster' }
    | { readonly kind: 'schema'; readonly full: boolean }
    | { readonly kind: 'keyspaces' | 'tables' | 'types' | 'functions' | 'aggregates' }
    | { readonly kind: 'keyspace'; readonly only: boolean; readonly name: string | null }
    | { readonly kind: 'table' | 'type' | 'function' | 'aggregate' | 'index' | 'view'; readonly name: QualifiedName }
    /** DESCRIBE x.y: keyspace, table, index or view, whichever there is. */
    | { readonly kind: 'generic'; readonly name: QualifiedName }
}

/** Roles, permissions, identities: kept whole for a later executor. */
export type AuthStatement =
  | {
      readonly kind: 'create_role' | 'alter_role'
      readonly name: string
      readonly ifExists: boolean
      readonly ifNotExists: boolean
      readonly options: readonly Property[]
      readonly user: boolean
    }
  | { readonly kind: 'drop_role'; readonly name: string; readonly ifExists: boolean; readonly user: boolean }
  | { readonly kind: 'grant_role' | 'revoke_role'; readonly role: string; readonly grantee: string }
  | {
      readonly kind: 'grant' | 'revoke'
      readonly permissions: readonly string[]
      readonly resource: AuthResource
      readonly grantee: string
    }
  | { readonly kind: 'list_roles'; readonly of: string | null; readonly recursive: boolean }
  | { readonly kind: 'list_users' }
  | { readonly kind: 'list_superusers' }
  | {
      readonly kind: 'list_permissions'
      readonly permissions: readonly string[]
      readonly resource: AuthResource | null
      readonly of: string | null
      readonly recursive: boolean
    }
  | { readonly kind: 'add_identity'; readonly identity: string; readonly role: string; readonly ifNotExists: boolean }
  | { readonly kind: 'drop_identity'; readonly identity: string; readonly ifExists: boolean }

export type AuthResource =
  | { readonly kind: 'all_keyspaces' | 'all_roles' | 'all_functions' | 'all_mbeans' }
  | {
      readonly kind: 'keyspace' | 'all_tables' | 'all_functions_in' | 'role' | 'mbean' | 'mbeans'
      readonly name: string
    }
  | { readonly kind: 'table'; readonly table: QualifiedName }
  | { readonly kind: 'function'; readonly name: QualifiedName; readonly argumentTypes: readonly TypeNode[] }

export type Statement =
  | SelectStatement
  | ModificationStatement
  | BatchStatement
  | SchemaStatement
  | DescribeStatement
  | AuthStatement
  | { readonly kind: 'use'; readonly keyspace: string }
  | { readonly kind: 'truncate'; readonly table: QualifiedName }

export interface ParsedStatement {
  readonly statement: Statement
  /** Names of the markers by index; null for `?`. */
  readonly markers: readonly (string | null)[]
}
