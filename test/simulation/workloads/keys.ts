/**
 * Keys and values over HTTP: clients that hand back ETags of what they read or wrote, clients that write blindly, conditions, and deletions. What is there
 * must be what was acknowledged and not replaced by somebody who had seen it; an answer that does not say that its write's fate is unknown is believed:
 * what was refused is never there. See versions.ts for the same by CQL.
 */
import { History, type Operation, type Violation } from '../oracles/history.ts'
import { checkVersions, type VersionInput, type VersionOutput } from '../oracles/versions.ts'
import { text } from '../world/client.ts'
import type { HttpAnswer } from '../world/http.ts'
import type { Plan } from '../world/plan.ts'
import type { Workload, WorkloadContext } from './index.ts'

const KEYS = 4
/** Of these, that on which conditions are tried. */
const CONDITIONAL = 1
/** And that on which deletions see what they find: there the oracle knows less. */
const DELETED = 0

/** What somebody knows of a key, and what he hands back to say so; null: nothing is there. */
interface Found {
  readonly values: readonly string[]
  readonly tag: string | null
}

interface Told {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly json: Readonly<Record<string, unknown>>
}

export function keys({ levels }: Plan): Workload {
  const history = new History<VersionInput, VersionOutput>()
  const violations: Violation[] = []
  let last = 0

  const pathOf = (key: number): string => `/kv/key%2F${key}`
  const nameOf = (key: number): string => `key/${key}`

  const complain = (key: number, what: string): void => {
    violations.push({ key: nameOf(key), what })
  }

  /** What the answer says of its request; null: nobody answered. */
  const read = async (client: WorkloadContext, key: number, level: string = levels.read): Promise<Found | null> => {
    const operation = history.invoke(client.process, nameOf(key), { kind: 'read' }, client.now())
    const answer = await client.http({ method: 'GET', path: pathOf(key), headers: { 'x-consistency': level } })
    if (answer.kind === 'lost') return null
    const values = valuesOf(answer)
    if (values === null) {
      if (![500, 503, 504].includes(answer.status)) complain(key, `GET is answered ${answer.status} ${answer.body}`)
      return null
    }
    history.complete(operation, { kind: 'read', values }, client.now())
    return { values, tag: answer.headers.etag ?? null }
  }

  /** The fate of a write, as the answer tells it. */
  const end = (
    client: WorkloadContext,
    key: number,
    operation: Operation<VersionInput, VersionOutput>,
    answer: HttpAnswer,
  ): Told | null => {
    if (answer.kind === 'lost') {
      if (!answer.sent) history.fail(operation, client.now())
      return null
    }
    const { status, headers } = answer
    const json = headers['content-type'] === 'application/json' ? JSON.parse(answer.body.toString()) : {}
    const told = { status, headers, json }
    if (!STATUSES.has(status)) complain(key, `a write is answered ${status} ${answer.body}`)
    if (status === 503 && headers['retry-after'] === undefined) complain(key, '503 without Retry-After')
    if (status === 504 && json.error === 'WRITE_TIMEOUT' && json.fate !== 'unknown')
      complain(key, 'WRITE_TIMEOUT, and the fate is not unknown')
    if (status < 300 || json.stored === true) history.complete(operation, { kind: 'written' }, client.now())
    else if (json.fate !== 'unknown') history.fail(operation, client.now())
    return told
  }

  const write = async (
    client: WorkloadContext,
    key: number,
    value: string | null,
    found: Found | null,
    headers: Record<string, string> = {},
  ): Promise<Told | null> => {
    const conditional = headers['if-none-match'] !== undefined || headers['x-if-unmodified'] !== undefined
    const seen = found?.values ?? []
    const input = { kind: 'write', value, seen, conditional } as const
    const operation = history.invoke(client.process, nameOf(key), input, client.now())
    const answer = await client.http({
      method: value === null ? 'DELETE' : 'PUT',
      path: pathOf(key),
      headers: {
        'x-consistency': levels.write,
        ...(found?.tag && { 'if-match': found.tag }),
        ...(client.dice.chance(0.2) && { prefer: 'return=minimal' }),
        ...headers,
      },
      ...(value !== null && { body: text(value.padEnd(client.dice.pick([0, 0, 500, 3000]))) }),
    })
    return end(client, key, operation, answer)
  }

  const next = (client: WorkloadContext): string => `${client.process}:${++last}`

  /** Writes what has seen what was found; now and then again, with what the answer said. */
  const replace = async (client: WorkloadContext, key: number, found: Found): Promise<void> => {
    const isOnlyIf = key === CONDITIONAL && client.dice.chance(0.5)
    const deletes = client.dice.chance(0.1)
    const value = deletes ? null : next(client)
    const told = await write(client, key, value, found, isOnlyIf ? { 'x-if-unmodified': 'true' } : {})
    if (told === null || value === null) return
    if (told.status === 204 && told.headers.etag !== undefined && client.dice.chance(0.3))
      await write(client, key, next(client), { values: [value], tag: told.headers.etag })
    // All that stands there, with what covers it; without that it could not be read.
    else if (told.status === 409 && told.headers.etag !== undefined && client.dice.chance(0.5)) {
      const values = siblingsOf(told.json)
      if (told.json.stored === true && !values.includes(value) && values.length < 2)
        complain(key, `409, and nothing stands beside: ${JSON.stringify(told.json)}`)
      await write(client, key, next(client), { values, tag: told.headers.etag })
    }
  }

  const blindDelete = async (client: WorkloadContext): Promise<void> => {
    const operation = history.invoke(client.process, nameOf(DELETED), { kind: 'blind delete' }, client.now())
    const level = levels.read === 'ALL' ? 'ALL' : 'QUORUM'
    const headers = { 'x-consistency': level }
    end(client, DELETED, operation, await client.http({ method: 'DELETE', path: pathOf(DELETED), headers }))
  }

  return {
    tables: [],
    async step(client) {
      const { dice } = client
      const key = dice.int(KEYS)
      if (dice.chance(0.1)) {
        await write(client, key, next(client), null)
        return
      }
      if (key === CONDITIONAL && dice.chance(0.2)) {
        await write(client, key, next(client), null, { 'if-none-match': '*' })
        return
      }
      if (key === DELETED && dice.chance(0.05)) return await blindDelete(client)
      const found = await read(client, key)
      if (found === null || dice.chance(0.2)) return
      if (dice.chance(0.3)) await client.sleep(dice.int(500))
      if (found.tag === null) await write(client, key, next(client), null)
      else await replace(client, key, found)
    },
    async readAll(client) {
      const there: string[] = []
      for (let key = 0; key < KEYS; key++)
        for (const level of ['ALL', 'ONE']) {
          let found = await read(client, key, level)
          for (; found === null; found = await read(client, key, level)) await client.sleep(500)
          if (level === 'ALL' && found.values.length > 0) there.push(nameOf(key))
        }
      for (;;) {
        const answer = await client.http({
          method: 'GET',
          path: '/kv?prefix=key%2F',
          headers: { 'x-consistency': 'ALL' },
        })
        if (answer.kind === 'answer' && answer.status === 200) {
          const listed = (JSON.parse(answer.body.toString()) as { keys: string[] }).keys.sort()
          if (listed.join() !== there.join()) complain(0, `${there} are there, ${listed} are listed`)
          return
        }
        await client.sleep(500)
      }
    },
    check: () => [...violations, ...checkVersions(history)],
  }
}

const STATUSES = new Set([201, 204, 409, 412, 500, 503, 504])

/** Of what a GET is answered; null: that is no answer. */
function valuesOf({ status, body }: Extract<HttpAnswer, { kind: 'answer' }>): string[] | null {
  if (status === 404) return []
  if (status === 200) return [body.toString().trimEnd()]
  return status === 300 ? siblingsOf(JSON.parse(body.toString())) : null
}

function siblingsOf(json: Readonly<Record<string, unknown>>): string[] {
  return (json.siblings as { value: string }[]).map(({ value }) => value.trimEnd())
}
