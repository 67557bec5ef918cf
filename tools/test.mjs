/** `npm test`: prepares the clone, then runs the tests. */
import { prepare } from './prepare.mjs'

prepare()
await import('../dist/tools/test.js')
