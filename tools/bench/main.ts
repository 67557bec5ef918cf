/**
 * `npm run bench`: the node beside others (cql.ts); with `--cluster N` a cluster beside others (cluster.ts), with `--storage` the storage engine alone
 * (storage.ts), with `--http` keys and values over HTTP (http.ts).
 */
if (process.argv.includes('--storage')) {
  const { benchStorage } = await import('./storage.ts')
  await benchStorage(process.argv.slice(2))
} else if (process.argv.some((word) => word.startsWith('--cluster'))) await import('./cluster.ts')
else if (process.argv.includes('--http')) {
  const { benchHttp } = await import('./http.ts')
  await benchHttp(process.argv.slice(2))
} else if (process.argv.includes('--internode')) {
  const { benchInternode } = await import('./internode.ts')
  await benchInternode()
} else await import('./cql.ts')

export {}
