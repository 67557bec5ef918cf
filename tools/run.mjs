/** Prepares the clone, then runs a built program: the first argument is its path under dist. */
import { prepare } from './prepare.mjs'

prepare()
const [program] = process.argv.splice(2, 1)
await import(new URL(`../dist/${program}`, import.meta.url).href)
