/**
 * The administration interface: HTTP and JSON on loopback or a Unix socket, what polyxena-nodetool asks. `GET /v1/<report>` reads, with parameters in the
 * query; `POST /v1/<action>` changes, with parameters as a JSON object. Wrong usage is answered 400, failure 500, both `{"kind", "error"}`.
 * Always: nothing but the data directory can be named, nothing is run; a page in a browser of this machine cannot ask (it sends an Origin, or a Host that
 * is no loopback name), so that being on loopback means being on this machine.
 */
import { type Context, Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { type HttpListener, listenHttp } from '../runtime/node/http.ts'
import type { Log } from '../runtime/runtime.ts'
import type { AdminNode } from './admin/admin-node.ts'
import { ACTIONS, REPORTS } from './admin/operations.ts'
import { AdminError, Parameters } from './admin/parameters.ts'

export type AdminPlace = { readonly address: string; readonly port: number } | { readonly socket: string }

const SOURCE = 'admin.ts'
const BODY_BYTES_MAX = 1024 * 1024
/** What a JMX client, such as Cassandra's own nodetool, begins with. */
const JMX = Buffer.from('JRMI')

export async function openAdmin(node: AdminNode, where: AdminPlace, log: Log): Promise<HttpListener> {
  const app = createAdmin(node, log)
  return listenHttp({
    fetch: (request) => app.fetch(request),
    where,
    onForeign(firstBytes) {
      if (!firstBytes.subarray(0, JMX.length).equals(JMX))
        return 'HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n'
      log.warn(SOURCE, 'A JMX client has connected: this node has no JMX; polyxena-nodetool asks it over HTTP')
      return 'This is polyxena, which has no JMX. Ask it with polyxena-nodetool.\n'
    },
  })
}

function createAdmin(node: AdminNode, log: Log): Hono {
  const app = new Hono()
  const answer = async (context: Context, operations: typeof REPORTS, values: Map<string, unknown>) => {
    const name = context.req.param('name') ?? ''
    if (!Object.hasOwn(operations, name)) throw new AdminError('usage', `${context.req.method} ${name} is not known`)
    const result = await operations[name]!(node, new Parameters(values))
    return context.json((result ?? {}) as object)
  }
  app.use('*', async (context, next) => {
    if (context.req.header('origin') !== undefined || !isLocal(context.req.header('host') ?? ''))
      return context.json({ kind: 'usage', error: 'only programs of this machine may ask' }, 403)
    return next()
  })
  app.get('/v1/:name', (context) => {
    const values = Object.entries(context.req.queries()).map(
      ([name, list]) => [name, list.length === 1 ? list[0] : list] as const,
    )
    return answer(context, REPORTS, new Map(values))
  })
  app.post('/v1/:name', bodyLimit({ maxSize: BODY_BYTES_MAX, onError: tooLarge }), async (context) =>
    answer(context, ACTIONS, new Map(Object.entries(await readObject(context)))),
  )
  app.notFound((context) => context.json({ kind: 'usage', error: `${context.req.path} is not known` }, 404))
  app.onError((error, context) => {
    if (error instanceof AdminError)
      return context.json({ kind: error.kind, error: error.message }, error.kind === 'usage' ? 400 : 500)
    if (TOLD.has(error.name)) return context.json({ kind: 'failure', error: error.message }, 500)
    log.error(SOURCE, `${context.req.method} ${context.req.path} failed`, error)
    return context.json({ kind: 'failure', error: `${error.name}: ${error.message}` }, 500)
  })
  return app
}

function tooLarge(context: Context): Response {
  return context.json({ kind: 'usage', error: `a request has ${BODY_BYTES_MAX} bytes at most` }, 413)
}

/** Errors whose words are for the operator. */
const TOLD = new Set(['SnapshotError', 'CorruptionError', 'StorageError', 'RequestError', 'CompactionStopped'])

async function readObject(context: Context): Promise<object> {
  const text = await context.req.text()
  let value: unknown = {}
  try {
    if (text !== '') value = JSON.parse(text)
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    throw new AdminError('usage', 'the body is no JSON')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new AdminError('usage', 'the body must be a JSON object')
  return value
}

/** A loopback address or name, with any port: others come from a page whose name was made to mean this machine. */
function isLocal(host: string): boolean {
  const name = host.replace(/:\d+$/, '').toLowerCase()
  return name === 'localhost' || name === '[::1]' || /^127(\.\d{1,3}){3}$/.test(name)
}
