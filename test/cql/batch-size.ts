/** How large batches are: what Cassandra 5.0.6 said of each of these, as the statements of a second partition beside one of 6 000 bytes. */
import t from 'tap'
import { createNode, type TestNode } from '../support/recording-node.ts'

const TABLES = [
  'create type ks.ty (a int, b text)',
  'create table ks.t (k int,c int,v blob,w blob,st blob static,ss set<int> static,s set<int>,m map<text,int>,l list<int>,f frozen<list<int>>,u ty,primary key(k,c))',
  'create table ks.t2 (k int,c int,d timestamp,v blob,primary key(k,c,d))',
  'create table ks.t3 (k int,c text,v blob,primary key(k,c))',
  'create table ks.t4 (k int,c text,d int,v blob,primary key(k,c,d)) with clustering order by (c desc,d desc)',
  'create table ks.t5 (k int,c blob,v blob,primary key(k,c))',
  'create table ks.t6 (k text,c int,v blob,primary key(k,c))',
  'create table ks.t7 (k int,j text,c int,v blob,primary key((k,j),c))',
  'create table ks.t8 (k int primary key,v blob)',
  'create table ks.counts (k int primary key, n counter)',
]

const SIZES: readonly (readonly [number, string])[] = [
  [6149, `insert into ks.t(k,c,v) values (1,1,0x00);`],
  [6157, `insert into ks.t2(k,c,d,v) values (1,1,'2020-01-01',0x00);`],
  [6150, `insert into ks.t3(k,c,v) values (1,'abc\0d',0x00);`],
  [6153, `insert into ks.t4(k,c,d,v) values (1,'abcd',7,0x00);`],
  [6145, `insert into ks.t3(k,c,v) values (1,'',0x00);`],
  [6150, `insert into ks.t5(k,c,v) values (1,0x0000000000,0x00);`],
  [6149, `update ks.t set v=0x00 where k=1 and c=1;`],
  [6161, `insert into ks.t(k,c,v) values (1,1,0x00) using ttl 100;`],
  [6149, `update ks.t using ttl 100 set v=0x00 where k=1 and c=1;`],
  [6125, `update ks.t set st=0x0000 where k=1;`],
  [6125, `update ks.t set st=0x0000 where k=1; update ks.t set st=0x00 where k=1;`],
  [6171, `update ks.t set st=0x0000, v=0x00 where k=1 and c=1;`],
  [
    6263,
    `update ks.t set st=0x0000, v=0x00 where k=1 and c=1; update ks.t set st=0x0000, v=0x00 where k=1 and c=2; update ks.t set st=0x0000, v=0x00 where k=1 and c=3;`,
  ],
  [6171, `update ks.t set v=0x00 where k=1 and c=1; update ks.t set w=0x0000 where k=1 and c=1;`],
  [6150, `update ks.t set v=0x00 where k=1 and c=1; update ks.t set v=0x0000 where k=1 and c=1;`],
  [6196, `update ks.t set v=0x00 where k=1 and c=1; update ks.t set v=0x0000 where k=1 and c=2;`],
  [6188, `update ks.t set s = s + {1,2} where k=1 and c=1;`],
  [6188, `update ks.t set s = {1,2} where k=1 and c=1;`],
  [6140, `update ks.t set s = {} where k=1 and c=1;`],
  [6165, `update ks.t set m['a']=1 where k=1 and c=1;`],
  [6161, `delete m['a'] from ks.t where k=1 and c=1;`],
  [6220, `update ks.t set l = l + [1,2] where k=1 and c=1;`],
  [6180, `update ks.t set l = [1] where k=1 and c=1;`],
  [6160, `update ks.t set f = [1] where k=1 and c=1;`],
  [6189, `update ks.t set u = {a:1,b:'x'} where k=1 and c=1;`],
  [6148, `delete v from ks.t where k=1 and c=1;`],
  [6128, `delete from ks.t where k=1 and c=1;`],
  [6103, `delete from ks.t where k=1;`],
  [6123, `delete from ks.t where k=1 and c>1;`],
  [6127, `delete from ks.t where k=1 and c>1 and c<=5;`],
  [6127, `delete from ks.t2 where k=1 and c=1;`],
  [6120, `delete from ks.t3 where k=1 and c>'a';`],
  [6149, `insert into ks.t6(k,c,v) values ('aaaaaaaaaaaaaaaaaaaaaa',1,0x00);`],
  [6149, `insert into ks.t7(k,j,c,v) values (1,'aa',1,0x00);`],
  [6128, `insert into ks.t(k,c) values (1,1);`],
  [6145, `insert into ks.t8(k,v) values (1,0x00);`],
  [6168, `insert into ks.t(k,c,v,w) values (1,1,null,null);`],
  [6147, `delete from ks.t where k=1 and c>1 and c<=5; delete from ks.t where k=1 and c>10 and c<=15;`],
  [6173, `delete from ks.t where k=1 and c>1 and c<=5; update ks.t set v=0x00 where k=1 and c=1;`],
  [6212, `update ks.t set s = s + {1,2} where k=1 and c=1; update ks.t set s = s + {2,3} where k=1 and c=1;`],
  [6227, `update ks.t set s = s + {1,2}, m = m + {'abc':1} where k=1 and c=1;`],
  [6164, `update ks.t set s = s - {1} where k=1 and c=1;`],
  [6188, `update ks.t using ttl 9 set s = s + {1,2} where k=1 and c=1;`],
  [6166, `update ks.t set u.a = 1 where k=1 and c=1;`],
  [6163, `update ks.t set ss = ss + {1,2} where k=1;`],
  [6128, `delete from ks.t where k=1 and c=1; update ks.t set v=0x00 where k=1 and c=1;`],
  [6149, `delete from ks.t where k=1; update ks.t set v=0x00 where k=1 and c=1;`],
  [6224, `insert into ks.t(k,c,v) values (1,1,0x00); insert into ks.t6(k,c,v) values ('1',1,0x00);`],
]

async function nodeWithTables(): Promise<TestNode> {
  const node = createNode()
  await node.run("CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
  for (const table of TABLES) await node.run(table)
  return node
}

async function sizeOf(node: TestNode, statements: string, type = ''): Promise<number | null> {
  const { warnings } = await node.run(`begin ${type} batch ${statements} apply batch`)
  const size = / is of size (\d+), /.exec(warnings?.[0] ?? '')?.[1]
  return size === undefined ? null : Number(size)
}

t.test('partitions, rows, cells, collections and deletions', async (t) => {
  const node = await nodeWithTables()
  const large = `insert into ks.t (k, c, v) values (99, 1, 0x${'00'.repeat(6000)});`
  for (const [size, statements] of SIZES) t.equal(await sizeOf(node, `${large} ${statements}`), size, statements)
})

t.test('rows of one partition that do not follow each other', async (t) => {
  const node = await nodeWithTables()
  const insert = (k: number, bytes: number): string =>
    `insert into ks.t8 (k, v) values (${k}, 0x${'00'.repeat(bytes)});`
  t.equal(await sizeOf(node, insert(1, 6000) + insert(2, 1) + insert(1, 6000)), 2 * (29 + 21 + 20) + 6001)
})

t.test('counters', async (t) => {
  const node = await nodeWithTables()
  const add = Array.from({ length: 200 }, (_, k) => `update ks.counts set n = n + 1 where k = ${k};`)
  t.equal(await sizeOf(node, add.join(' '), 'counter'), 21200)
})

t.test('at the threshold', async (t) => {
  const node = await nodeWithTables()
  const insert = (k: number, bytes: number): string =>
    `insert into ks.t8 (k, v) values (${k}, 0x${'00'.repeat(bytes)});`
  const heads = 2 * (29 + 21 + 20)
  t.equal(await sizeOf(node, insert(1, 5120 - heads) + insert(2, 0)), null)
  t.equal(await sizeOf(node, insert(1, 5121 - heads) + insert(2, 0)), 5121)
  t.equal(await sizeOf(node, insert(1, 50 * 1024 - heads) + insert(2, 0)), 50 * 1024)
  await t.rejects(sizeOf(node, insert(1, 50 * 1024 + 1 - heads) + insert(2, 0)), { message: 'Batch too large' })
})
