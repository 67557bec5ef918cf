/** `npm run bench`: the node beside others (cql.ts), or with `--storage` the storage engine alone beside others (storage.ts). */
if (process.argv.includes('--storage')) {
  const { benchStorage } = await import('./storage.ts')
  await benchStorage(process.argv.slice(2))
} else await import('./cql.ts')

export {}
