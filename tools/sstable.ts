#!/usr/bin/env node
/**
 * The `polyxena-sstable` command: looks at the files of a data directory, a snapshot or a backup without a node. It writes nothing, and needs no lock.
 * Exit status: 0 all is well, 1 wrong usage, 2 something is damaged or cannot be read (what can be read is shown).
 */
import { once } from 'node:events'
import { resolve } from 'node:path'
import yargs from 'yargs'
import { hideBin } from 'yargs/helpers'
import { openNodeDisk } from '../lib/runtime/node/disk.ts'
import { type DumpOutput, dumpLog, dumpTable } from './offline/dump.ts'
import { describeTable, metadataText } from './offline/metadata.ts'
import { verifyPath } from './offline/verify.ts'

const DAMAGED = 2
const disk = openNodeDisk()

/** Somebody who reads only the beginning (head) is no error. */
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit(0)
})

const output: DumpOutput = {
  write(text) {
    if (process.stdout.write(text)) return undefined
    return once(process.stdout, 'drain').then(() => undefined)
  },
  problem(error) {
    process.stderr.write(`polyxena-sstable: ${error.message}\n`)
  },
}

function now(): number {
  return Math.floor(Date.now() / 1000)
}

async function run(work: () => Promise<number>): Promise<void> {
  try {
    if ((await work()) > 0) process.exitCode = DAMAGED
  } catch (error) {
    output.problem(error as Error)
    process.exitCode = DAMAGED
  }
}

const RAW = { alias: 't', type: 'boolean', default: false, describe: 'Times as microseconds and seconds' } as const

await yargs(hideBin(process.argv))
  .scriptName('polyxena-sstable')
  .command(
    'dump <file>',
    'Print an SSTable as JSON, in the shape of sstabledump',
    (options) =>
      options
        .positional('file', { type: 'string', demandOption: true })
        .option('raw-timestamps', RAW)
        .option('lines', { alias: 'l', type: 'boolean', default: false, describe: 'One partition in a line' })
        .option('keys', { alias: 'e', type: 'boolean', default: false, describe: 'Only the keys of partitions' })
        .option('key', { alias: 'k', type: 'string', describe: 'Only this partition: 1, or a:b' }),
    ({ file, rawTimestamps, lines, keys, key }) =>
      run(() =>
        dumpTable(
          disk,
          resolve(file),
          { raw: rawTimestamps, nowSeconds: now(), keysOnly: keys, lines, key: key ?? null },
          output,
        ),
      ),
  )
  .command(
    'dump-log <path>',
    'Print the mutations of a commit log (a data directory, its commitlog, or one segment) as JSON, one in a line',
    (options) => options.positional('path', { type: 'string', demandOption: true }).option('raw-timestamps', RAW),
    ({ path, rawTimestamps }) =>
      run(() => dumpLog(disk, resolve(path), { raw: rawTimestamps, nowSeconds: now() }, output)),
  )
  .command(
    'verify <path..>',
    'Check SSTables, folders of them, or a whole data directory: every checksum, the order, the manifest',
    (options) =>
      options
        .positional('path', { type: 'string', array: true, demandOption: true })
        .option('quiet', { alias: 'q', type: 'boolean', default: false, describe: 'Print only what is damaged' }),
    ({ path, quiet }) =>
      run(async () => {
        let bad = 0
        for (const each of path)
          await verifyPath(disk, resolve(each), {
            good(file, what) {
              if (!quiet) process.stdout.write(`ok       ${file}: ${what}\n`)
            },
            bad(file, error) {
              bad += 1
              process.stdout.write(
                `damaged  ${error.message.startsWith(file) ? error.message : `${file}: ${error.message}`}\n`,
              )
            },
          })
        return bad
      }),
  )
  .command(
    'metadata <file..>',
    'Print what SSTables tell of themselves, as sstablemetadata',
    (options) =>
      options
        .positional('file', { type: 'string', array: true, demandOption: true })
        .option('gc-grace-seconds', {
          alias: 'g',
          type: 'number',
          default: 0,
          describe: 'For the droppable tombstones',
        })
        .option('format', { choices: ['text', 'json'] as const, default: 'text' as const }),
    ({ file, gcGraceSeconds, format }) =>
      run(async () => {
        let bad = 0
        for (const each of file) {
          try {
            const described = await describeTable(disk, resolve(each), { nowSeconds: now(), gcGraceSeconds })
            await output.write(format === 'json' ? `${JSON.stringify(described)}\n` : metadataText(described))
          } catch (error) {
            bad += 1
            output.problem(error as Error)
          }
        }
        return bad
      }),
  )
  .demandCommand(1, 'Name a command')
  .strict()
  .help('help')
  .version(false)
  .parseAsync()
