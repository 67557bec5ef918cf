/** Commands about hinted handoff. */
import { UsageError } from './arguments.ts'
import type { Command } from './command.ts'
import { table } from './text.ts'

interface Handoff {
  readonly running: boolean
  readonly windowMs: number
}

interface Pending {
  readonly hostId: string
  readonly endpoint: string | null
  readonly rack: string | null
  readonly datacenter: string | null
  readonly isAlive: boolean
  readonly files: number
  readonly newestMs: number
  readonly oldestMs: number
}

const statushandoff: Command = {
  help: 'Status of storing future hints on the current node',
  async run({ client, print }) {
    const answer = await client.get<Handoff>('handoff')
    print(`Hinted handoff is ${answer.running ? 'running' : 'not running'}\n`)
    return answer
  },
}

const getmaxhintwindow: Command = {
  help: 'Print the max hint window in ms',
  async run({ client, print }) {
    const { windowMs } = await client.get<Handoff>('handoff')
    print(`Current max hint window: ${windowMs} ms\n`)
    return { windowMs }
  },
}

const listpendinghints: Command = {
  help: 'Print all pending hints that this node has',
  async run({ client, print, printPort }) {
    const answer = await client.get<{ pending: readonly Pending[] }>('pendinghints')
    if (answer.pending.length === 0) print('This node does not have any pending hints\n')
    else {
      const rows = answer.pending.map((host) => [
        host.hostId,
        (printPort ? host.endpoint : host.endpoint?.replace(/:\d+$/, '')) ?? 'Unknown',
        host.rack ?? 'Unknown',
        host.datacenter ?? 'Unknown',
        host.endpoint === null ? 'Unknown' : host.isAlive ? 'UP' : 'DOWN',
        String(host.files),
        time(host.newestMs),
        time(host.oldestMs),
      ])
      print(table([['Host ID', 'Address', 'Rack', 'DC', 'Status', 'Total files', 'Newest', 'Oldest'], ...rows]))
    }
    return answer
  },
}

/** `2026-11-21 14:05:07,123`, UTC. */
function time(ms: number): string {
  return new Date(ms).toISOString().replace('T', ' ').replace('.', ',').replace('Z', '')
}

function setting(help: string, values: Readonly<Record<string, boolean>>): Command {
  return { help, run: ({ client }) => client.post('handoff', values) }
}

const sethintedhandoffthrottlekb: Command = {
  help: 'Set hinted handoff throttle in KiB per second, per delivery thread.',
  arguments: '[--] <throttle_in_kb>',
  async run({ client, words }) {
    const [given] = words.arguments
    if (words.arguments.length !== 1 || !/^\d+$/.test(given!))
      throw new UsageError('Required parameters are missing: throttle_in_kb')
    return client.post('handoff', { throttleKib: Number(given) })
  },
}

const truncatehints: Command = {
  help: 'Truncate all hints on the local node, or truncate hints for the endpoint(s) specified.',
  arguments: '[--] [endpoint ... ]',
  async run({ client, words }) {
    if (words.arguments.length === 0) return client.post('truncatehints', {})
    for (const endpoint of words.arguments) await client.post('truncatehints', { endpoint })
    return {}
  },
}

export const HINT_COMMANDS: Readonly<Record<string, Command>> = {
  statushandoff,
  enablehandoff: setting('Reenable future hints storing on the current node', { enabled: true }),
  disablehandoff: setting('Disable storing hinted handoffs', { enabled: false }),
  pausehandoff: setting('Pause hints delivery process', { paused: true }),
  resumehandoff: setting('Resume hints delivery process', { paused: false }),
  getmaxhintwindow,
  listpendinghints,
  sethintedhandoffthrottlekb,
  truncatehints,
}
