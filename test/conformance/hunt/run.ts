/**
 * `npm run hunt`: the same random statements to a node of ours and to a real Cassandra, and each difference between their answers.
 *
 *     npm run hunt -- --reference 127.0.1.1 [--server 127.0.0.1] [--seeds 300] [--statements 500] [--seed N] [--shrink] [--indexes] [--keyspace hunt]
 *
 * Without --server a node is started in this process, in memory. A seed that differs is shown with its first difference; --shrink makes its list of statements
 * as short as it can be made; --indexes makes secondary indexes first. Ends with status 1 on a difference.
 */
import { startNode } from '../../../lib/index.ts'
import { ToolClient } from '../../../tools/support/client.ts'
import { readOptions } from '../../../tools/support/options.ts'
import { createDice } from '../../support/random.ts'
import { askServer, type Question } from './answer.ts'
import { drawIndexes } from './indexes.ts'
import { drawSchema, type HuntTable } from './schema.ts'
import { drawSelect } from './selects.ts'
import { drawWrite } from './writes.ts'

const flags = readOptions(
  'npm run hunt',
  'the same random statements to a node of ours and to a real Cassandra, and each difference between their answers',
  {
    reference: { type: 'string', describe: 'Address of the Cassandra' },
    server: { type: 'string', describe: 'Address of ours; default: a node in this process' },
    seeds: { type: 'number', default: 300, describe: 'How many' },
    statements: { type: 'number', default: 500, describe: 'Of each' },
    seed: { type: 'number', describe: 'This one alone' },
    shrink: { type: 'boolean', default: false, describe: 'Cuts the list of statements down to what still differs' },
    indexes: { type: 'boolean', default: false, describe: 'With secondary indexes' },
    keyspace: { type: 'string', default: 'hunt', describe: 'Where, on both' },
  },
)

/** Waits until TTLs of a second have run out. */
const WAIT = 'wait'
const WAIT_MS = 2_100
const PORT = 9042
const SHRINK_ROUNDS_MAX = 60
const LINES_SHOWN = 3
/** Where Cassandra 5.0.6 fails by itself: pages of GROUP BY and of aggregates that end within a group. */
const THEIR_DEFECT =
  /^(PREPARE: )?error (READ_FAILURE|PROTOCOL_ERROR: Invalid value for the paging state|SERVER_ERROR)/m

type Step = Question | typeof WAIT

interface Plan {
  readonly setup: readonly string[]
  readonly steps: readonly Step[]
}

interface Servers {
  readonly ours: ToolClient
  readonly theirs: ToolClient
}

interface Difference {
  readonly at: number
  readonly text: string
}

function drawPlan(seed: number, count: number): Plan {
  const dice = createDice(seed)
  const { statements, tables } = drawSchema(dice, flags.keyspace)
  const conditional = dice.chance(0.25)
  const expiring = !conditional && dice.chance(0.1)
  const steps: Step[] = []
  const ask = (text: string, pages: boolean): void => {
    // In protocol v4 Cassandra 5.0.6 loses groups between pages.
    const isPaged = pages && dice.chance(0.4) && !text.includes('GROUP BY')
    steps.push({ text, prepared: dice.chance(0.4), pageSize: isPaged ? 1 + dice.int(5) : null })
  }
  if (flags.indexes) {
    for (const table of tables) for (const text of drawIndexes(dice, table)) ask(text, false)
    steps.push(WAIT)
  }
  const writes = Math.floor(count * (0.3 + dice.int(3) * 0.15))
  const table = (): HuntTable => dice.pick(tables)
  while (steps.length < writes) ask(drawWrite(dice, table(), { conditional, expiring }), false)
  if (expiring) steps.push(WAIT)
  while (steps.length < count) {
    if (dice.chance(0.2)) ask(drawWrite(dice, table(), { conditional, expiring: false }), false)
    else ask(drawSelect(dice, table(), { writeTimes: !conditional, indexes: flags.indexes }), true)
  }
  for (const { name } of tables) ask(`SELECT * FROM ${name}`, false)
  return { setup: statements, steps }
}

async function runPlan({ ours, theirs }: Servers, plan: Plan): Promise<Difference | null> {
  for (const [at, text] of plan.setup.entries()) {
    const question = { text, prepared: false, pageSize: null }
    const [mine, real] = await Promise.all([askServer(ours, question), askServer(theirs, question)])
    if (isError(mine) !== isError(real)) return { at: -1, text: show(`setup ${at}`, question, mine, real) }
    if (isError(real)) return null
  }
  for (const [at, step] of plan.steps.entries()) {
    if (step === WAIT) {
      await new Promise((resolve) => setTimeout(resolve, WAIT_MS))
      continue
    }
    const [mine, real] = await Promise.all([askServer(ours, step), askServer(theirs, step)])
    if (comparable(mine) !== comparable(real) && !THEIR_DEFECT.test(real))
      return { at, text: show(`statement ${at}`, step, mine, real) }
  }
  return null
}

/** Failures name the replica in each server's own way. */
function comparable(answer: string): string {
  return answer.replace(/(1 failures: \w+) from .*/, '$1')
}

function isError(answer: string): boolean {
  return answer.startsWith('error')
}

function show(place: string, { text, prepared, pageSize }: Question, mine: string, real: string): string {
  const how = `${prepared ? 'prepared' : 'simple'}${pageSize === null ? '' : `, pages of ${pageSize}`}`
  const [theirs, ours] = [real.split('\n'), mine.split('\n')]
  let same = 0
  while (same < theirs.length && theirs[same] === ours[same]) same++
  const rest = (lines: string[]): string => indent(lines.slice(same, same + LINES_SHOWN).join('\n'))
  const head = same > 0 ? `  after ${same} equal lines: ${theirs[0]}\n` : ''
  return `${place} (${how}): ${text}\n${head}  Cassandra:\n${rest(theirs)}\n  here:\n${rest(ours)}\n`
}

function indent(text: string): string {
  return text.replace(/^/gm, '    ')
}

/** Leaves out halves, quarters … of what comes before the difference, as long as there is one at the end. */
async function shrink(servers: Servers, plan: Plan, found: Difference): Promise<Plan> {
  let steps = plan.steps.slice(0, found.at + 1)
  let chunk = Math.ceil((steps.length - 1) / 2)
  for (let round = 0; chunk >= 1 && round < SHRINK_ROUNDS_MAX; ) {
    let isShorter = false
    for (let from = 0; from < steps.length - 1 && round < SHRINK_ROUNDS_MAX; round++) {
      const fewer = [...steps.slice(0, from), ...steps.slice(Math.min(from + chunk, steps.length - 1))]
      const left = await runPlan(servers, { ...plan, steps: fewer })
      if (left !== null && left.at === fewer.length - 1) {
        steps = fewer
        isShorter = true
      } else from += chunk
    }
    if (!isShorter || chunk > 1) chunk = chunk === 1 ? 0 : Math.ceil(chunk / 2)
  }
  return { ...plan, steps }
}

async function hunt(servers: Servers, seed: number): Promise<boolean> {
  const plan = drawPlan(seed, flags.statements)
  const found = await runPlan(servers, plan)
  if (found === null) return true
  process.stdout.write(`\nseed ${seed} differs, ${found.text}`)
  if (flags.shrink && found.at >= 0) {
    const short = await shrink(servers, plan, found)
    const lines = [...short.setup, ...short.steps.map((step) => (step === WAIT ? '(wait)' : step.text))]
    process.stdout.write(`  as short as it gets:\n${indent(lines.map((line) => `${line};`).join('\n'))}\n`)
  }
  return false
}

if (!flags.reference) {
  process.stderr.write('--reference: the address of a Cassandra to compare with\n')
  process.exit(2)
}
const node = flags.server ? null : await startNode({ memory: true, port: 0, settings: { dc: 'dc1' } })
const servers: Servers = {
  ours: await ToolClient.connect(flags.server ?? node!.address, node?.port ?? PORT),
  theirs: await ToolClient.connect(flags.reference, PORT),
}
const first = flags.seed ? flags.seed : 1
const seeds = flags.seed ? 1 : flags.seeds
let different = 0
for (let seed = first; seed < first + seeds; seed++) if (!(await hunt(servers, seed))) different++
process.stdout.write(`${seeds - different} seeds without a difference, ${different} with\n`)
servers.ours.close()
servers.theirs.close()
await node?.close()
process.exitCode = different === 0 ? 0 : 1
