/** A disk whose operations take turns of the world, so that what runs beside each other is told apart, and a crash can fall between any two. */
import type { Clock, Disk, DiskFile } from '../../../lib/runtime/runtime.ts'
import type { Dice } from '../random.ts'

/** `chance`: of an operation to take a turn before it is done, and another before its answer comes. */
export function slowed(disk: Disk, clock: Clock, dice: Dice, chance: number): Disk {
  const turn = (): Promise<void> | undefined => {
    if (!dice.chance(chance)) return undefined
    return new Promise((resolve) => {
      clock.soon(resolve)
    })
  }
  const slow = async <T>(run: () => Promise<T>): Promise<T> => {
    await turn()
    const result = await run()
    await turn()
    return result
  }
  const slowFile = (file: DiskFile): DiskFile => ({
    path: file.path,
    read: (target, position) => slow(() => file.read(target, position)),
    write(source, position) {
      const bytes = Buffer.from(source)
      return slow(() => file.write(bytes, position))
    },
    sync: () => slow(() => file.sync()),
    truncate: (size) => slow(() => file.truncate(size)),
    size: () => file.size(),
    close: () => slow(() => file.close()),
  })
  return {
    open: async (path, mode) => slowFile(await slow(() => disk.open(path, mode))),
    mkdir: (path) => slow(() => disk.mkdir(path)),
    list: (path) => slow(() => disk.list(path)),
    stat: (path) => slow(() => disk.stat(path)),
    rename: (from, to) => slow(() => disk.rename(from, to)),
    link: (from, to) => slow(() => disk.link(from, to)),
    remove: (path) => slow(() => disk.remove(path)),
    removeTree: (path) => slow(() => disk.removeTree(path)),
    syncDirectory: (path) => slow(() => disk.syncDirectory(path)),
    space: (path) => disk.space(path),
    freeBytes: (path) => disk.freeBytes(path),
    lock: (path) => disk.lock(path),
  }
}
