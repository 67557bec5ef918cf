/**
 * Internet addresses as text. Source: RFC 4291 §2.2; IPv4 in one to four parts as Java's InetAddress takes it; an IPv4 address in
 * an IPv6 one (::ffff:1.2.3.4) is kept as IPv4. Host names are not looked up: only `localhost` is known.
 */

/** 4 or 16 bytes; null when the text is no address. */
export function parseInet(text: string): Buffer | null {
  if (text === 'localhost') return Buffer.from([127, 0, 0, 1])
  const bracketed = text.startsWith('[') && text.endsWith(']')
  const address = bracketed ? text.slice(1, -1) : text
  if (!address.includes(':')) return bracketed ? null : parseIpv4(address, false)
  const percent = address.indexOf('%')
  if (percent >= 0 && percent === address.length - 1) return null
  const bytes = parseIpv6(percent < 0 ? address : address.slice(0, percent))
  if (bytes === null) return null
  return isMapped(bytes) ? bytes.subarray(12) : bytes
}

/** Whether the text is an address that no other machine reaches. A name that only begins like one is none. */
export function isLoopback(text: string): boolean {
  return text === 'localhost' || text === '::1' || /^127(\.\d{1,3}){3}$/.test(text)
}

function isMapped(bytes: Buffer): boolean {
  for (let i = 0; i < 10; i++) if (bytes[i] !== 0) return false
  return bytes[10] === 0xff && bytes[11] === 0xff
}

/** The last of fewer than four parts fills the bytes that are left. */
function parseIpv4(text: string, fourParts: boolean): Buffer | null {
  const parts = text.split('.')
  if (parts.length > 4 || (fourParts && parts.length !== 4)) return null
  const bytes = Buffer.alloc(4)
  for (let i = 0; i < parts.length; i++) {
    const value = decimal(parts[i]!)
    const last = i === parts.length - 1
    if (value === null || value >= (last ? 2 ** (8 * (4 - i)) : 256)) return null
    if (last) bytes.writeUIntBE(value, i, 4 - i)
    else bytes[i] = value
  }
  return bytes
}

function decimal(text: string): number | null {
  if (text.length === 0 || text.length > 15) return null
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) < 0x30 || text.charCodeAt(i) > 0x39) return null
  return Number(text)
}

function parseIpv6(text: string): Buffer | null {
  const gap = text.indexOf('::')
  if (gap < 0) {
    const bytes = parseGroups(text)
    return bytes !== null && bytes.length === 16 ? Buffer.from(bytes) : null
  }
  const head = gap === 0 ? [] : parseGroups(text.slice(0, gap))
  const tail = gap + 2 === text.length ? [] : parseGroups(text.slice(gap + 2))
  if (head === null || tail === null || head.length + tail.length > 14) return null
  return Buffer.from([...head, ...new Array<number>(16 - head.length - tail.length).fill(0), ...tail])
}

/** Groups of hexadecimal digits; the last may be an IPv4 address. */
function parseGroups(text: string): number[] | null {
  const bytes: number[] = []
  const groups = text.split(':')
  for (let i = 0; i < groups.length; i++) {
    const group = groups[i]!
    if (i === groups.length - 1 && group.includes('.')) {
      const v4 = parseIpv4(group, true)
      if (v4 === null) return null
      bytes.push(...v4)
      continue
    }
    const value = hexadecimal(group)
    if (value === null) return null
    bytes.push(value >> 8, value & 0xff)
  }
  return bytes.length > 16 ? null : bytes
}

function hexadecimal(text: string): number | null {
  if (text.length === 0 || text.length > 8) return null
  let value = 0
  for (let i = 0; i < text.length; i++) {
    const digit = '0123456789abcdef'.indexOf(text[i]!.toLowerCase())
    if (digit < 0) return null
    value = value * 16 + digit
  }
  return value > 0xffff ? null : value
}

/** `1.2.3.4`, or eight groups without leading zeros and with nothing left out, as Java writes them. */
export function inetText(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join('.')
  const groups: string[] = []
  for (let i = 0; i < 16; i += 2) groups.push(bytes.readUInt16BE(i).toString(16))
  return groups.join(':')
}
