/** A bound value that was not set (native_protocol_v4.spec §4.1.4: length -2): the column is left as it is. */
export const UNSET: unique symbol = Symbol('unset')
