/** Handles within a budget: what is read stays open, what is not makes room, and nobody notices but the operating system. */
import t from 'tap'
import type { Disk, DiskFile } from '../../lib/runtime/runtime.ts'
import { openSimulatedDisk } from '../../lib/runtime/simulated/disk.ts'
import { OpenFiles, type PooledFile } from '../../storage/open-files.ts'
import { createDice, testSeed } from '../support/random.ts'

const FILES = 30

/** A disk that counts open handles, and has no more than so many. */
async function countedDisk(handlesMax: number): Promise<{ disk: Disk; open: () => number }> {
  const disk = openSimulatedDisk()
  await disk.mkdir('/d')
  for (let n = 0; n < FILES; n++) {
    const file = await disk.open(`/d/${n}`, 'create')
    await file.write(Buffer.from(`content of ${n}`.padEnd(20)), 0)
    await file.close()
  }
  let open = 0
  const counted: Disk = {
    ...disk,
    async open(path, mode) {
      if (open >= handlesMax) throw Object.assign(new Error('too many open files'), { code: 'EMFILE' })
      open++
      const file = await disk.open(path, mode)
      let closed = false
      const close = async (): Promise<void> => {
        if (closed) throw new Error('closed twice')
        closed = true
        open--
        await file.close()
      }
      const read: DiskFile['read'] = (target, position) => {
        if (closed) throw new Error('read after close')
        return file.read(target, position)
      }
      return { path, read, close, size: () => file.size() } as DiskFile
    },
  }
  return { disk: counted, open: () => open }
}

async function readName(file: PooledFile): Promise<string> {
  const handle = await file.acquire()
  try {
    const bytes = Buffer.alloc(20)
    await handle.read(bytes, 0)
    return bytes.toString().trim()
  } finally {
    file.release()
  }
}

t.test('many readers, few handles', async (t) => {
  const seed = testSeed()
  const dice = createDice(seed)
  const { disk, open } = await countedDisk(Number.POSITIVE_INFINITY)
  const files = new OpenFiles(disk, 4)
  const pooled: PooledFile[] = []
  for (let n = 0; n < FILES; n++) pooled.push(await files.open(`/d/${n}`))
  t.ok(open() <= 4, `${open()} are open`)
  for (let round = 0; round < 50; round++) {
    const wanted = Array.from({ length: 1 + dice.int(12) }, () => dice.int(FILES))
    const got = await Promise.all(wanted.map((n) => readName(pooled[n]!)))
    t.same(
      got,
      wanted.map((n) => `content of ${n}`),
      `TEST_SEED=${seed}`,
    )
  }
  await new Promise((resolve) => setImmediate(resolve))
  t.ok(open() <= 4, 'what is over the budget while it is read is closed after')
  t.equal(files.count, open())
  const reading = readName(pooled[1]!)
  const closing = Promise.all(pooled.map((file) => file.close()))
  t.equal(await reading, 'content of 1', 'a read that began ends')
  await closing
  for (const file of pooled) await file.close()
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(open(), 0)
  t.equal(files.count, 0)
})

t.test('others took the descriptors', async (t) => {
  const { disk, open } = await countedDisk(6)
  const files = new OpenFiles(disk, 100)
  const pooled: PooledFile[] = []
  for (let n = 0; n < FILES; n++) pooled.push(await files.open(`/d/${n}`))
  for (let n = 0; n < FILES; n++) t.equal(await readName(pooled[n]!), `content of ${n}`)
  t.ok(open() <= 6)
  const handles: DiskFile[] = []
  for (let n = 0; n < 6; n++) handles.push(await pooled[n]!.acquire())
  await t.rejects(readName(pooled[9]!), { code: 'EMFILE' }, 'all are in use: the read fails')
  for (let n = 0; n < 6; n++) pooled[n]!.release()
  t.equal(await readName(pooled[9]!), 'content of 9', 'and goes on when some are not')
  await Promise.all(pooled.map((file) => file.close()))
  t.equal(open(), 0)
})
