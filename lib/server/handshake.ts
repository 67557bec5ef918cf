/**
 * What STARTUP asks for, and which messages may come when. Source: native_protocol_v5.spec §4.1.1; the words of refusals, Cassandra 5.
 */

import { type Compression, type CompressionName, loadCompression } from '../../protocol/compression.ts'
import { protocolError } from '../../protocol/notation.ts'
import { Opcode, opcodeName, VERSION_NAMES } from '../../protocol/opcodes.ts'
import type { MaybePromise } from '../cql/statement.ts'

/** What we answer to OPTIONS; an option that drivers know to look for is there even if there is nothing to say. */
export const SUPPORTED: ReadonlyMap<string, readonly string[]> = new Map([
  ['PROTOCOL_VERSIONS', [...VERSION_NAMES.values()]],
  ['COMPRESSION', ['snappy', 'lz4']],
  ['CQL_VERSION', ['3.4.7']],
])

export interface StartupChoices {
  readonly compression: CompressionName | null
  /** Too much at once is to be answered with OVERLOADED rather than not to be read. */
  readonly throwOnOverload: boolean
}

/** Major and minor, then whatever follows. */
const VERSION_PATTERN = /^(\d{1,9})\.(\d{1,9})(?:[.+-][\w.+-]*)?$/

/** Throws a PROTOCOL_ERROR where Cassandra does; options that we do not know are taken. */
export function readStartup(options: ReadonlyMap<string, string>, version: number): StartupChoices {
  const cqlVersion = options.get('CQL_VERSION')
  if (cqlVersion === undefined) throw protocolError('Missing value CQL_VERSION in STARTUP message')
  const match = VERSION_PATTERN.exec(cqlVersion)
  if (match === null) throw protocolError(`Invalid version value: ${cqlVersion}`)
  const major = Number(match[1])
  if (major < 2 || (major === 2 && Number(match[2]) < 99))
    throw protocolError(
      `CQL version ${cqlVersion} is not supported by the binary protocol (supported version are >= 3.0.0)`,
    )
  const throwOnOverload = options.get('THROW_ON_OVERLOAD') === '1'
  const compression = options.get('COMPRESSION')?.toLowerCase()
  if (compression === undefined) return { compression: null, throwOnOverload }
  if (compression === 'snappy' && version >= 5)
    throw protocolError('Snappy compression is not supported in protocol V5')
  if (compression !== 'snappy' && compression !== 'lz4')
    throw protocolError(`Unknown compression algorithm: ${compression}`)
  return { compression, throwOnOverload }
}

export function checkFirstMessage(opcode: number): void {
  if (opcode !== Opcode.STARTUP && opcode !== Opcode.OPTIONS)
    throw protocolError(`Unexpected message ${opcodeName(opcode)}, expecting STARTUP or OPTIONS`)
}

export function checkAuthMessage(opcode: number): void {
  if (opcode !== Opcode.AUTH_RESPONSE)
    throw protocolError(`Unexpected message ${opcodeName(opcode)}, expecting SASL_RESPONSE`)
}

export function checkReadyMessage(opcode: number): void {
  if (opcode === Opcode.STARTUP)
    throw protocolError('Unexpected message STARTUP, the connection is already initialized')
  if (opcode === Opcode.AUTH_RESPONSE)
    throw protocolError('Unexpected message AUTH_RESPONSE, the connection is already authenticated')
}

/** A connection keeps the version of its STARTUP. Drivers look for these very words, the missing blank included. */
export function checkVersion(version: number, startedWith: number): void {
  if (version === startedWith) return
  const blank = startedWith >= 5 ? '' : ' '
  const [got, had] = [VERSION_NAMES.get(version), VERSION_NAMES.get(startedWith)]
  throw protocolError(
    `Invalid message version. Got ${got} but previous${blank}messages on this connection had version ${had}`,
  )
}

/** Compression libraries, each loaded for the first client that asks for it. */
export class Compressions {
  readonly #loaded = new Map<CompressionName, Compression>()

  get(name: CompressionName): MaybePromise<Compression> {
    const loaded = this.#loaded.get(name)
    if (loaded !== undefined) return loaded
    return loadCompression(name).then((compression) => {
      this.#loaded.set(name, compression)
      return compression
    })
  }
}
