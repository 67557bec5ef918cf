/**
 * What WHERE allows a statement to touch: relations as written become restrictions on partition key, clustering, token and values.
 * Source: CQL 3.4.7 "The WHERE clause"; the order of checks and their words are Apache Cassandra 5.0's.
 * Always: compileRestrictions refuses what can be refused without values; the functions of Restrictions refuse the rest, at execution.
 */
import type { Slice } from '../../storage/model/command.ts'
import type { TableSchema } from '../schema/table.ts'
import type { Relation } from './ast.ts'
import type { Environment, QueryOptions } from './statement.ts'
import type { TermScope, Value } from './terms.ts'

export interface RestrictionsRequest {
  readonly type: 'SELECT' | 'UPDATE' | 'DELETE'
  readonly table: TableSchema
  readonly where: readonly Relation[]
  readonly allowFiltering: boolean
  /** SELECT: nothing but static (and partition key) columns are selected. UPDATE and DELETE: nothing but static columns are changed. */
  readonly onlyStatics: boolean
  readonly scope: TermScope
}

export interface Restrictions {
  /** The terms of `pk = …` by position when every partition key column has exactly that; else null. */
  readonly partitionKeyTerms: readonly Value[] | null
  /** The terms of `c = …` by position when every clustering column has exactly that (empty without clustering columns); else null. */
  readonly clusteringTerms: readonly Value[] | null
  /** Some clustering column is restricted. */
  readonly restrictsClustering: boolean
  /** Not every clustering column has = or IN: rows are given by slices, not by their names. */
  readonly isColumnRange: boolean
  /** Serialised partition keys (as in a position, without token and length): in the order of their values, each once. */
  partitionKeys(options: QueryOptions, environment: Environment): Buffer[]
  /** Encoded clusterings, ascending, each once; only when not isColumnRange. */
  clusterings(options: QueryOptions, environment: Environment): Buffer[]
  /** Disjoint ascending intervals; one that holds all for no restriction. */
  slices(options: QueryOptions, environment: Environment): Slice[]
}

/** Throws INVALID with Cassandra's words. */
export declare function compileRestrictions(request: RestrictionsRequest): Restrictions
