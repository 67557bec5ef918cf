/** The limits and patience of links between nodes. */

export interface InternodeSettings {
  /** internode_tcp_connect_timeout, in ms. */
  readonly connectTimeoutMs: number
  /** From the connection to the end of the handshake. */
  readonly handshakeTimeoutMs: number
  /** An open link is asked this often whether somebody is still there. */
  readonly heartbeatMs: number
  /** A link over which nothing came for so long, answers to heartbeats neither, is given up: the other side is gone, or cannot be reached. */
  readonly silenceMs: number
  /** After a connection that failed the next is tried this late; twice as late each time, up to the greatest, each shortened by chance to half at most. */
  readonly backoffMinMs: number
  readonly backoffMaxMs: number
  /** What waits for one node, all lanes together. One message is always taken. */
  readonly queueBytesMax: number
  /** A greater message is not sent, and not received. */
  readonly messageBytesMax: number
  /** Connections that other nodes opened; more are closed at once. */
  readonly connectionsInMax: number
  /** Requests of others that are being worked on; more are answered with a failure. */
  readonly servingMax: number
  /** Likewise the bytes of all of them. */
  readonly servingBytesMax: number
}

export const INTERNODE_DEFAULTS: InternodeSettings = {
  connectTimeoutMs: 2_000,
  handshakeTimeoutMs: 3_000,
  heartbeatMs: 2_000,
  silenceMs: 9_000,
  backoffMinMs: 50,
  backoffMaxMs: 1_000,
  queueBytesMax: 64 * 1024 * 1024,
  messageBytesMax: 64 * 1024 * 1024,
  connectionsInMax: 4_096,
  servingMax: 65_536,
  servingBytesMax: 256 * 1024 * 1024,
}
