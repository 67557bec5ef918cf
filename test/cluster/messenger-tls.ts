/** Messengers under mutual TLS: who shows the right certificate is heard, and nobody else. Certificates are made by openssl's command; without it there is no test. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { NodeMessenger } from '../../cluster/internode/node-messenger.ts'
import { Verb } from '../../cluster/internode/verbs.ts'
import { serverEncryption } from '../../lib/config/encryption.ts'
import { openNodeClock } from '../../lib/runtime/node/clock.ts'
import { openNodeDisk } from '../../lib/runtime/node/disk.ts'
import { openNodeNetwork } from '../../lib/runtime/node/network.ts'
import type { Network } from '../../lib/runtime/runtime.ts'
import { internodeNetwork } from '../../lib/server/cluster/encryption.ts'
import { StartError } from '../../lib/server/start-error.ts'
import { answerText, ask, createMemoryLog, openTestMessenger } from '../support/messengers.ts'

const clock = openNodeClock()
const plain = openNodeNetwork()
const log = createMemoryLog()
const directory = mkdtempSync(join(tmpdir(), 'polyxena-tls-'))
t.teardown(() => rmSync(directory, { recursive: true }))

function openssl(...words: string[]): void {
  execFileSync('openssl', words, { cwd: directory, stdio: 'ignore' })
}

function hasOpenssl(): boolean {
  try {
    openssl('version')
    return true
  } catch {
    return false
  }
}

const EC = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']

function makeAuthority(name: string): void {
  openssl('req', '-x509', ...EC, '-keyout', `${name}.key`, '-out', `${name}.pem`, '-days', '2', '-subj', `/CN=${name}`)
}

function makeCertificate(name: string, authority: string, address: string): void {
  writeFileSync(join(directory, `${name}.ext`), `subjectAltName=IP:${address}\n`)
  openssl('req', '-new', ...EC, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`)
  const signing = [
    '-CA',
    `${authority}.pem`,
    '-CAkey',
    `${authority}.key`,
    '-CAcreateserial',
    '-extfile',
    `${name}.ext`,
  ]
  openssl('x509', '-req', '-in', `${name}.csr`, ...signing, '-out', `${name}.pem`, '-days', '2')
}

function networkOf(name: string, more = ''): Promise<Network> {
  const path = (file: string): string => join(directory, file)
  const text = `internode_encryption=all,certificate=${path(`${name}.pem`)},private_key=${path(`${name}.key`)},trusted_certificates=${path('ours.pem')}`
  return internodeNetwork(serverEncryption.parse(text + more), { network: plain, disk: openNodeDisk(), log })
}

async function open(network: Network, address: string, seed: number): Promise<NodeMessenger> {
  const messenger = await openTestMessenger({ clock, network, endpoint: `${address}:0`, seed, log })
  messenger.handle(Verb.READ, ({ payload }) => Buffer.from(`${payload}!`))
  return messenger
}

const skip = hasOpenssl() ? false : 'there is no openssl here'

t.before(() => {
  if (skip) return
  makeAuthority('ours')
  makeAuthority('others')
  makeCertificate('one', 'ours', '127.0.12.1')
  makeCertificate('two', 'ours', '127.0.12.2')
  makeCertificate('foreign', 'others', '127.0.12.3')
})

t.test('mutual TLS', { skip }, async (t) => {
  const one = await open(await networkOf('one'), '127.0.12.1', 1)
  const opened: NodeMessenger[] = [one]
  t.teardown(() => Promise.all(opened.map((messenger) => messenger.close())))
  const join = async (network: Network, address: string): Promise<NodeMessenger> => {
    const messenger = await open(network, address, opened.length + 1)
    opened.push(messenger)
    return messenger
  }
  const asks = async (from: NodeMessenger, to = one): Promise<string> =>
    answerText(await ask(from, to.self.endpoint, Verb.READ, Buffer.from('x'), 3_000))
  /** What the log says of it, sooner or later; other lines may come late. */
  const refusal = async (expected: RegExp): Promise<void> => {
    for (let turn = 0; !log.lines.some((line) => expected.test(line)) && turn < 300; turn++)
      await new Promise((resolve) => setTimeout(resolve, 10))
    t.match(log.lines.join('\n'), expected)
    log.lines.length = 0
  }

  const two = await join(await networkOf('two'), '127.0.12.2')
  t.equal(await asks(two), 'x!')
  t.equal(await asks(one, two), 'x!')
  const large = await ask(two, one.self.endpoint, Verb.READ, Buffer.alloc(3_000_000, 'y'))
  t.equal('answer' in large && large.answer.length, 3_000_001)
  t.same(log.lines, [])

  const naked = await join(plain, '127.0.12.4')
  t.equal(await asks(naked), 'reason 5', 'who comes without TLS is not heard')
  await refusal(/WARN A connection from (127\.0\.12\.4|\?) is refused/)
  t.equal(await asks(one, naked), 'reason 5', 'nor spoken to')

  const foreign = await join(await networkOf('foreign'), '127.0.12.3')
  t.equal(await asks(foreign), 'reason 5', 'a certificate of somebody else')
  t.equal(await asks(one, foreign), 'reason 5')

  const wrongPlace = await join(await networkOf('two'), '127.0.12.5')
  t.equal(await asks(wrongPlace), 'reason 5', 'a certificate of another address')
  await refusal(/127\.0\.12\.5 is refused: .*127\.0\.12\.2/)
  t.equal(await asks(one, wrongPlace), 'reason 5')
  const trusting = await join(await networkOf('one', ',require_endpoint_verification=false'), '127.0.12.6')
  t.equal(await asks(trusting, trusting), 'x!')

  const posing = await openTestMessenger({
    clock,
    network: await networkOf('two'),
    endpoint: '127.0.12.1:0',
    seed: 9,
    more: { listenAddress: '127.0.12.2' },
  })
  opened.push(posing)
  t.equal(await asks(posing), 'reason 5', 'an address that its certificate does not name')
  await refusal(/its certificate is for another address/)

  const { port } = new URL(`http://${one.self.endpoint}`)
  const silent = net.connect(Number(port), '127.0.12.1')
  await new Promise((resolve) => silent.once('connect', resolve))
  silent.write(Buffer.from('GET / HTTP/1.1\r\n\r\n'))
  await new Promise((resolve) => silent.once('close', resolve))
  t.equal(await asks(two), 'x!', 'the next is served')
})

t.test('settings', { skip }, async (t) => {
  const all = { internode_encryption: 'all', certificate: 'c', private_key: 'k', trusted_certificates: 't' }
  t.match(serverEncryption.parse(all), { internodeEncryption: 'all', requireEndpointVerification: true })
  t.match(serverEncryption.parse({ internode_encryption: 'none', keystore: 'conf/.keystore' }), {
    internodeEncryption: 'none',
  })
  t.match(serverEncryption.parse(null), { internodeEncryption: 'none' })
  for (const [options, message] of [
    [{ ...all, internode_encryption: 'rack' }, /neither none nor all/],
    [{ internode_encryption: 'all', keystore: 'x' }, /PEM files/],
    [{ ...all, optional: true }, /nobody is heard without TLS/],
    [{ ...all, require_client_auth: false }, /every node shows a certificate/],
    [{ ...all, private_key: '' }, /private_key is missing/],
    ['internode_encryption', /not name=value/],
    [['x'], /a map expected/],
  ] as const)
    t.throws(() => serverEncryption.parse(options), message)
  await t.rejects(networkOf('nobody'), StartError)
  writeFileSync(join(directory, 'broken.pem'), 'no certificate')
  writeFileSync(join(directory, 'broken.key'), readFileSync(join(directory, 'one.key')))
  await t.rejects(networkOf('broken'), StartError)
})
