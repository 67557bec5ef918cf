/** A data directory that was made survives a power loss with all that is synced in it. */
import t from 'tap'
import { openSimulatedDisk } from '../../lib/runtime/simulated/disk.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'
import { lockDirectory } from '../../lib/server/data-directory.ts'

t.test('its name is durable, and those of the directories made for it', async (t) => {
  const disk = openSimulatedDisk()
  await lockDirectory(disk, '/var/lib/data')
  const file = await disk.open('/var/lib/data/identity.json', 'create')
  await file.write(Buffer.from('it'), 0)
  await file.sync()
  await disk.syncDirectory('/var/lib/data')
  const found = disk.crash(0, createSeededRandom(1))
  t.equal((await found.stat('/var/lib/data/identity.json'))?.size, 2)
})

t.test('one process holds it', async (t) => {
  const disk = openSimulatedDisk()
  await lockDirectory(disk, '/data')
  await t.rejects(lockDirectory(disk, '/data'), { name: 'StartError' })
  disk.forgetProcess()
  await lockDirectory(disk, '/data')
})
