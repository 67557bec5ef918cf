/** `node --import` this with SIMULATION_PLANT=<index>: that bug is planted. */
import { register } from 'node:module'
import { PLANTS } from './plants.ts'

const plant = PLANTS[Number(process.env.SIMULATION_PLANT)]
if (!plant) throw new Error('SIMULATION_PLANT names no plant')
register('../../support/model/plant-hooks.js', import.meta.url, { data: plant })
