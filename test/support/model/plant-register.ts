/** `node --import` this with MODEL_PLANT=<index>: that bug is planted. */
import { register } from 'node:module'
import { PLANTS } from './plants.ts'

const plant = PLANTS[Number(process.env.MODEL_PLANT)]
if (!plant) throw new Error('MODEL_PLANT names no plant')
register('./plant-hooks.js', import.meta.url, { data: plant })
