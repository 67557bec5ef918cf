/** An SSTable, or a commit log, as JSON. Streams: memory does not grow with the file. Damage is told on `problem`, and what can be read is shown. */
import { uuidText } from '../../lib/base/uuid.ts'
import type { Disk } from '../../lib/runtime/runtime.ts'
import type { TableShape } from '../../lib/schema/shape.ts'
import { tokenOfPosition } from '../../lib/types/partition-key.ts'
import { replaySegment, SegmentReader } from '../../storage/commitlog/replay.ts'
import { offsetOf, segmentOf } from '../../storage/commitlog/segment.ts'
import { CorruptionError } from '../../storage/errors.ts'
import { readLogRecord } from '../../storage/log-record.ts'
import { EntryKind, MutationReader } from '../../storage/model/mutation.ts'
import { RowReader } from '../../storage/model/row.ts'
import { BlockCursor } from '../../storage/sstable/block.ts'
import { openBlockScan } from './blocks.ts'
import { quoted, RowText, type TextOptions } from './row-text.ts'
import { usedSegments } from './segments.ts'
import { readShapes, shapeOfFile } from './shapes.ts'

export interface DumpOutput {
  /** Waits when the reader is slow. */
  write(text: string): Promise<void> | undefined
  problem(error: Error): void
}

export interface DumpOptions extends TextOptions {
  /** Only the partitions' keys. */
  readonly keysOnly: boolean
  /** One partition in a line. */
  readonly lines: boolean
  /** Only this partition, its key as text. */
  readonly key: string | null
}

/** Resolves with how many places are damaged. */
export async function dumpTable(disk: Disk, path: string, options: DumpOptions, output: DumpOutput): Promise<number> {
  const shape: TableShape | null = await shapeOfFile(disk, path)
  const text = new RowText(shape, options)
  const scan = await openBlockScan(disk, path)
  const writer = new PartitionWriter(text, options, output)
  const cursor = new BlockCursor()
  try {
    for await (const { offset, block } of scan.blocks()) {
      cursor.reset(block)
      for (cursor.first(); cursor.valid; cursor.next()) {
        const wait = writer.entry(cursor.key, cursor.value, offset)
        if (wait) await wait
      }
    }
    await writer.end()
  } finally {
    await scan.close()
  }
  for (const problem of scan.problems) output.problem(problem)
  return scan.problems.length
}

class PartitionWriter {
  readonly #text: RowText
  readonly #options: DumpOptions
  readonly #output: DumpOutput
  readonly #row = new RowReader()
  #position: Buffer = Buffer.alloc(0)
  #partitions = 0
  #rows = 0
  #isOpen = false
  #isSkipped = false

  constructor(text: RowText, options: DumpOptions, output: DumpOutput) {
    this.#text = text
    this.#options = options
    this.#output = output
  }

  entry(key: Buffer, value: Buffer, offset: number): Promise<void> | undefined {
    const end = 10 + key.readUInt16BE(8)
    const position = key.subarray(0, end)
    let out = ''
    const kind = key[end]
    if (!position.equals(this.#position)) {
      out += this.#close()
      this.#position = Buffer.from(position)
      const deletion = kind === EntryKind.PARTITION_DELETION ? value : null
      out += this.#open(offset, deletion)
    }
    if (!this.#isSkipped && !this.#options.keysOnly) {
      const bound = key.subarray(end + 1)
      if (kind === EntryKind.RANGE_TOMBSTONE)
        for (const one of this.#text.range(bound, value.subarray(12), value)) out += this.#element(one)
      else if (kind === EntryKind.ROW || kind === EntryKind.STATIC_ROW)
        out += this.#element(this.#text.row(this.#row.reset(value), kind === EntryKind.ROW ? bound : null))
    }
    return out === '' ? undefined : this.#output.write(out)
  }

  #open(offset: number, deletion: Buffer | null): string {
    const key = this.#text.key(this.#position)
    const { key: wanted, keysOnly, lines } = this.#options
    this.#isSkipped =
      wanted !== null && key !== `[ ${quoted(wanted)} ]` && key !== `[ ${wanted.split(':').map(quoted).join(', ')} ]`
    if (this.#isSkipped) return ''
    const before = lines ? '' : this.#partitions === 0 ? '[\n' : ',\n'
    this.#partitions += 1
    this.#rows = 0
    if (keysOnly) return lines ? `${key}\n` : `${before}  ${key}`
    this.#isOpen = true
    const deleted = deletion ? `, ${this.#text.deletion(deletion)}` : ''
    const token = String(tokenOfPosition(this.#position))
    const partition = `"partition" : { "key" : ${key}, "token" : "${token}", "position" : ${offset}${deleted} }`
    return lines
      ? `{ "table kind" : "REGULAR", ${partition}, "rows" : [`
      : `${before}  {\n    "table kind" : "REGULAR",\n    ${partition},\n    "rows" : [`
  }

  #element(text: string): string {
    const comma = this.#rows++ === 0 ? '' : ','
    return this.#options.lines ? `${comma} ${text}` : `${comma}\n      ${text}`
  }

  #close(): string {
    if (!this.#isOpen) return ''
    this.#isOpen = false
    if (this.#options.lines) return ' ] }\n'
    return this.#rows === 0 ? ' ]\n  }' : '\n    ]\n  }'
  }

  async end(): Promise<void> {
    let out = this.#close()
    if (!this.#options.lines) out += this.#partitions === 0 ? '[ ]\n' : '\n]\n'
    await this.#output.write(out)
  }
}

/** A line for each mutation of each record of the segments in a directory, or of one segment. */
export async function dumpLog(disk: Disk, path: string, options: TextOptions, output: DumpOutput): Promise<number> {
  const inside = (await disk.stat(`${path}/commitlog`).catch(() => null)) ? `${path}/commitlog` : path
  const folder = (await disk.stat(inside))?.directory ? inside : parentOf(inside)
  const shapes = await readShapes(disk, parentOf(folder))
  const texts = new Map<string, RowText>()
  const reader = new SegmentReader(disk)
  let problems = 0
  for (const file of await usedSegments(disk, inside)) {
    const handler = async (payload: Buffer, position: number): Promise<null> => {
      for (const mutation of readLogRecord(payload)) {
        const table = uuidText(mutation.subarray(0, 16))
        let text = texts.get(table)
        if (!text) {
          text = new RowText(shapes.get(table) ?? null, options)
          texts.set(table, text)
        }
        const shape = shapes.get(table)
        const name = shape ? `"keyspace" : ${quoted(shape.keyspace)}, "table" : ${quoted(shape.name)}, ` : ''
        const place = `"segment" : ${segmentOf(position)}, "offset" : ${offsetOf(position)}`
        await output.write(`{ ${place}, ${name}"id" : "${table}", ${mutationText(text, mutation)} }\n`)
      }
      return null
    }
    try {
      const bytes = await reader.load(file)
      const { tornBytes } = await replaySegment(bytes, file, { last: file.last, handler })
      if (tornBytes > 0)
        output.problem(new Error(`${file.path}: ${tornBytes} bytes at its end were never acknowledged`))
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error
      problems += 1
      output.problem(error)
    }
  }
  return problems
}

function mutationText(text: RowText, mutation: Buffer): string {
  const reader = new MutationReader().reset(mutation)
  const row = new RowReader()
  const changes: string[] = []
  while (reader.next()) {
    const bound = mutation.subarray(reader.boundStart, reader.boundEnd)
    const value = mutation.subarray(reader.valueStart, reader.valueEnd)
    if (reader.kind === EntryKind.PARTITION_DELETION)
      changes.push(`{ "type" : "partition_deletion", ${text.deletion(value)} }`)
    else if (reader.kind === EntryKind.RANGE_TOMBSTONE)
      changes.push(...text.range(bound, mutation.subarray(reader.rangeEndStart, reader.rangeEndEnd), value))
    else changes.push(text.row(row.reset(value), reader.kind === EntryKind.ROW ? bound : null))
  }
  return `"key" : ${text.key(mutation.subarray(reader.positionStart, reader.positionEnd))}, "rows" : [ ${changes.join(', ')} ]`
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/'))) || '.'
}
