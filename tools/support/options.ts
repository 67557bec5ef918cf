/** The options of the long runs (`npm run …`), read by yargs: --help lists them; a wrong name or a number that is none ends the run with 1 and says so. */
import yargs, { type InferredOptionTypes, type Options } from 'yargs'
import { hideBin } from 'yargs/helpers'

/** `command`: as one types it; `about`: what it does, in a sentence. `words`: what follows it, by default this process's. */
export function readOptions<O extends Readonly<Record<string, Options>>>(
  command: string,
  about: string,
  options: O,
  words: readonly string[] = hideBin(process.argv),
): InferredOptionTypes<O> & { readonly _: readonly (string | number)[] } {
  return yargs([...words])
    .scriptName(command)
    .usage(`${command}${command.includes(' -- ') ? '' : ' --'} [options]: ${about}`)
    .options(options)
    .check((values) => {
      for (const [name, { type }] of Object.entries(options))
        if (type === 'number' && Number.isNaN(values[name])) throw new Error(`--${name} is a number`)
      return true
    })
    .strictOptions()
    .version(false)
    .wrap(120)
    .parseSync() as unknown as InferredOptionTypes<O> & { readonly _: readonly (string | number)[] }
}

/** The seed that was asked for, or one by chance. */
export function seedOr(chosen: number | undefined): number {
  return chosen ?? Math.floor(Math.random() * 2 ** 31)
}
