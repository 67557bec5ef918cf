/** Consistency levels: codes of native_protocol_v5.spec §3 [consistency]. */

export const Consistency = {
  ANY: 0x0000,
  ONE: 0x0001,
  TWO: 0x0002,
  THREE: 0x0003,
  QUORUM: 0x0004,
  ALL: 0x0005,
  LOCAL_QUORUM: 0x0006,
  EACH_QUORUM: 0x0007,
  SERIAL: 0x0008,
  LOCAL_SERIAL: 0x0009,
  LOCAL_ONE: 0x000a,
} as const

export type ConsistencyName = keyof typeof Consistency

const NAMES = new Map<number, ConsistencyName>(
  Object.entries(Consistency).map(([name, code]) => [code, name as ConsistencyName]),
)

/** The name of a code, or null when there is no such level. */
export function consistencyName(code: number): ConsistencyName | null {
  return NAMES.get(code) ?? null
}
