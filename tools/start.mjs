/** `npm start`: prepares the clone, then runs the node in this very process. */
import { prepare } from './prepare.mjs'

prepare()
await import('../dist/tools/node.js')
