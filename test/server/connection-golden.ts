/** Connections against recorded conversations: what protocol errors are answered with, on which stream, and whether the connection stays open. */
import t from 'tap'
import { RequestError } from '../../lib/base/errors.ts'
import type { Authenticator } from '../../lib/server/authenticator.ts'
import { createTestServer, TestClient } from '../support/client.ts'
import { framesOf, type GoldenCase, goldenCases } from '../support/frames.ts'

/** SASL PLAIN for one user, in Cassandra's words. */
const PLAIN: Authenticator = {
  className: 'org.apache.cassandra.auth.PasswordAuthenticator',
  begin: () => ({
    answer(token) {
      const [, user, password] = (token ?? Buffer.alloc(0)).toString('utf8').split('\0')
      if (user === undefined || password === undefined)
        throw new RequestError('BAD_CREDENTIALS', 'Password must not be null')
      if (user !== 'cassandra' || password !== 'cassandra')
        throw new RequestError('BAD_CREDENTIALS', `Provided username ${user} and/or password are incorrect`)
      return { done: true, user, token: null }
    },
  }),
}

/** Cases that are about the connection itself, on one that nothing was said on before. */
const FRESH = [
  /^error-startup-/,
  /^error-v5-snappy$/,
  /^error-version-/,
  /^error-v\d-query-before-startup$/,
  /^v\d-options-supported$/,
  /^v\d-startup-ready$/,
  /^v6-beta-startup$/,
  /^v5-options-with-beta-flag$/,
]
const STARTED = [
  /^error-not-cql$/,
  /^error-second-startup$/,
  /^error-v3-custom-payload$/,
  /^error-v\d-(opcode|register|response-opcode|short-body|version-switch|unprepared|crc-header|crc-payload)$/,
  /^v\d-(register-ready|heartbeat)$/,
]
const WITH_PASSWORD = [/^error-v\d-(auth-token|bad-credentials|query-before-auth)$/, /^v\d-auth$/]

function isOneOf(names: RegExp[], golden: GoldenCase): boolean {
  return names.some((name) => name.test(golden.name))
}

/** The id of the connection before a broken sum is Cassandra's own. */
function withoutConnectionId(bytes: Buffer): string {
  return bytes.toString('latin1').replace(/^.*[0-9a-f]{8} (invalid, .*\d{6}).*$/s, '$1')
}

for (const golden of goldenCases()) {
  const needsPassword = isOneOf(WITH_PASSWORD, golden)
  if (!needsPassword && !isOneOf(FRESH, golden) && !isOneOf(STARTED, golden)) continue
  t.test(golden.name, (t) => {
    const server = createTestServer(needsPassword ? { authenticator: PLAIN } : {})
    const client = new TestClient(server, golden.version)
    if (isOneOf(STARTED, golden)) t.equal(client.startup().response.kind, 'ready')
    if (golden.name === 'error-not-cql') client.socket.receive(Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'))
    for (const message of framesOf(golden)) {
      if (message.from === 'client') client.socket.receive(Buffer.from(message.wire, 'hex'))
      else if (golden.name.includes('crc'))
        t.equal(withoutConnectionId(client.socket.taken()), withoutConnectionId(Buffer.from(message.wire, 'hex')))
      else t.equal(client.socket.taken().toString('hex'), message.wire)
    }
    const closed = golden.messages.find((message) => message.closed !== undefined)?.closed
    if (closed !== undefined) t.equal(client.socket.isEnded, closed)
    t.end()
  })
}
