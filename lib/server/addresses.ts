/** IP addresses as the bytes of [inet]. */
import { parseInet } from '../types/inet.ts'

const LOOPBACK = Buffer.from([127, 0, 0, 1])

/** 4 or 16 bytes; a name that is no address gives 127.0.0.1. */
export function addressBytes(text: string): Buffer {
  return parseInet(text) ?? LOOPBACK
}
