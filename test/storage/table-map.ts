/** The map by table ids that looks at bytes. */
import t from 'tap'
import { uuidBytes } from '../../lib/base/uuid.ts'
import { TableMap } from '../../storage/model/table-map.ts'

const FIRST = '11111111-0000-1000-8000-000000000001'
/** Begins as FIRST does. */
const TWIN = '11111111-0000-1000-8000-000000000002'
const OTHER = '22222222-0000-1000-8000-000000000001'

t.test('tables whose ids begin alike are told apart', async (t) => {
  const map = new TableMap<string>()
  t.equal(map.isEmpty, true)
  map.set(FIRST, 'first')
  t.equal(map.find(uuidBytes(TWIN), 0), null)
  map.set(TWIN, 'twin')
  t.equal(map.find(uuidBytes(FIRST), 0), 'first')
  t.equal(map.find(Buffer.concat([Buffer.alloc(3), uuidBytes(TWIN)]), 3), 'twin', 'where it stands in a message')
  t.equal(map.find(uuidBytes(OTHER), 0), null)
})

t.test('a table has one value, until it is deleted or not kept', async (t) => {
  const map = new TableMap<number>()
  map.set(FIRST, 1)
  map.set(TWIN, 2)
  map.set(OTHER, 3)
  map.set(FIRST, 4)
  t.equal(map.find(uuidBytes(FIRST), 0), 4)
  map.delete(FIRST)
  t.equal(map.find(uuidBytes(FIRST), 0), null)
  t.equal(map.find(uuidBytes(TWIN), 0), 2)
  map.keep((table) => table === OTHER)
  t.equal(map.find(uuidBytes(TWIN), 0), null)
  t.equal(map.find(uuidBytes(OTHER), 0), 3)
  map.delete(OTHER)
  t.equal(map.isEmpty, true)
})
