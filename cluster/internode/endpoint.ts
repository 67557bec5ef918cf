/** 'address:port' in two parts, and together again. Addresses of IPv6 stand in brackets. */

/** No greater than a name of DNS with its port; nothing that could pass for something else in a log. */
const ENDPOINT = /^(?:\[([0-9a-fA-F:.%]{2,64})\]|([A-Za-z0-9._-]{1,240})):(\d{1,5})$/

export function isEndpoint(text: string): boolean {
  const match = ENDPOINT.exec(text)
  return match !== null && Number(match[3]) <= 65_535
}

/** Throws on what is none. */
export function parseEndpoint(endpoint: string): { readonly address: string; readonly port: number } {
  const match = ENDPOINT.exec(endpoint)
  if (!match || Number(match[3]) > 65_535) throw new Error(`'${endpoint}' is not address:port`)
  return { address: match[1] ?? match[2]!, port: Number(match[3]) }
}

export function formatEndpoint(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}
