/**
 * server_encryption_options: whether nodes speak to each other by TLS, and who they are. Names as in cassandra.yaml; keys and certificates are PEM files. A map in the file,
 * `internode_encryption=all,certificate=…` as a flag or a variable.
 */
import type { Setting } from './setting.ts'
import { SettingError } from './units.ts'

export interface ServerEncryption {
  /** all: nobody is spoken to, and nobody is heard, without TLS and a certificate that is trusted. */
  readonly internodeEncryption: 'none' | 'all'
  /** PEM files. */
  readonly certificate: string
  readonly privateKey: string
  readonly trustedCertificates: string
  /** A certificate must name the address of who shows it. */
  readonly requireEndpointVerification: boolean
}

const NONE: ServerEncryption = {
  internodeEncryption: 'none',
  certificate: '',
  privateKey: '',
  trustedCertificates: '',
  requireEndpointVerification: true,
}

export const serverEncryption: Setting<ServerEncryption> = {
  defaultValue: NONE,
  help: 'TLS between nodes, each showing a certificate: internode_encryption (none or all), certificate, private_key and trusted_certificates (PEM files), require_endpoint_verification.',
  form: 'NAME=VALUE,…',
  parse(value) {
    if (value === null) return NONE
    const options = typeof value === 'string' ? fromText(value) : fromMap(value)
    const mode = options.get('internode_encryption') ?? 'none'
    if (mode === 'none') return NONE
    if (mode !== 'all') throw new SettingError(`internode_encryption '${mode}' is neither none nor all`)
    for (const name of ['keystore', 'truststore'])
      if (options.has(name) && !options.has('certificate'))
        throw new SettingError(`${name}: give certificate, private_key and trusted_certificates, as PEM files`)
    if (options.get('optional') === 'true')
      throw new SettingError('optional: with internode_encryption all nobody is heard without TLS')
    if (options.get('require_client_auth') === 'false')
      throw new SettingError('require_client_auth: with internode_encryption all every node shows a certificate')
    return {
      internodeEncryption: 'all',
      certificate: fileOf(options, 'certificate'),
      privateKey: fileOf(options, 'private_key'),
      trustedCertificates: fileOf(options, 'trusted_certificates'),
      requireEndpointVerification: options.get('require_endpoint_verification') !== 'false',
    }
  },
  oldSpellings: [],
}

function fileOf(options: ReadonlyMap<string, string>, name: string): string {
  const path = options.get(name)
  if (path === undefined || path === '') throw new SettingError(`${name} is missing: the name of a PEM file`)
  return path
}

function fromText(text: string): Map<string, string> {
  const options = new Map<string, string>()
  for (const part of text.split(',')) {
    const equals = part.indexOf('=')
    if (equals <= 0) throw new SettingError(`'${part}' is not name=value`)
    options.set(part.slice(0, equals).trim(), part.slice(equals + 1).trim())
  }
  return options
}

function fromMap(value: unknown): Map<string, string> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new SettingError('a map expected')
  return new Map(Object.entries(value).map(([name, one]) => [name, String(one)]))
}
