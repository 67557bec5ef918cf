/** Versions that we tell. */

/** Our own; equals the one in package.json (a test holds them together). */
export const POLYXENA_VERSION = '0.1.0'

/** The Cassandra whose behaviour we show: drivers choose their schema queries by it. */
export const RELEASE_VERSION = '5.0.6'

export const CQL_VERSION = '3.4.7'
