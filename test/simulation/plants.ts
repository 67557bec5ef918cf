/** The bugs that the simulation is to find have their places in the modules as they are built. */
import { readFile } from 'node:fs/promises'
import t from 'tap'
import { placeOf } from '../support/model/plant-hooks.ts'
import { PLANTS } from './world/plants.ts'

const DIST = new URL('../../', import.meta.url)

t.test('each occurs once', async (t) => {
  for (const plant of PLANTS) {
    const source = await readFile(new URL(plant.file, DIST), 'utf8')
    t.equal(source.match(placeOf(plant))?.length, 1, `${plant.name}: ${plant.file}`)
  }
})
