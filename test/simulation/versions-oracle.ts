/** The oracle of concurrent versions: small histories, and what is wrong with them. */
import t from 'tap'
import { History, type Operation } from './oracles/history.ts'
import { checkVersions, type VersionInput, type VersionOutput } from './oracles/versions.ts'

class Story {
  readonly #history = new History<VersionInput, VersionOutput>()
  #now = 0

  #begin(input: VersionInput): Operation<VersionInput, VersionOutput> {
    return this.#history.invoke(1, 'k', input, ++this.#now)
  }

  #done(operation: Operation<VersionInput, VersionOutput>, output: VersionOutput): this {
    this.#history.complete(operation, output, ++this.#now)
    return this
  }

  read(...values: string[]): this {
    return this.#done(this.#begin({ kind: 'read' }), { kind: 'read', values })
  }

  write(value: string | null, seen: string[] = [], conditional = false): this {
    return this.#done(this.#begin({ kind: 'write', value, seen, conditional }), { kind: 'written' })
  }

  /** Nobody knows what became of it. */
  lost(value: string | null, seen: string[] = []): this {
    this.#begin({ kind: 'write', value, seen, conditional: false })
    return this
  }

  refused(value: string): this {
    this.#history.fail(this.#begin({ kind: 'write', value, seen: [], conditional: false }), ++this.#now)
    return this
  }

  deleteBlindly(): this {
    return this.#done(this.#begin({ kind: 'blind delete' }), { kind: 'written' })
  }

  get wrong(): string[] {
    return checkVersions(this.#history).map(({ what }) => what)
  }
}

const story = (): Story => new Story()

t.test('what may be', async (t) => {
  t.same(story().read().write('a').read('a').write('b').read('a', 'b').write('c', ['a', 'b']).read('c').wrong, [])
  t.same(story().write('a').write('b', ['a']).read('b').write(null, ['b']).read().wrong, [], 'deleted')
  t.same(story().write('a').lost('b', ['a']).read('a').read('b').wrong, [], 'it came late')
  t.same(story().write('a').lost('b', ['a']).read('b').wrong, [])
  t.same(story().write('a').deleteBlindly().read().wrong, [])
  t.same(story().refused('a').read().wrong, [])
  t.same(story().write('a', [], true).write('b', ['a'], true).read('b').wrong, [])
})

t.test('what must not be', async (t) => {
  t.match(story().write('a').read().wrong, [/a is not there, and nobody/], 'lost')
  t.match(story().write('a').write('b').read('b').wrong, [/a is not there/], 'hidden by one that had not seen it')
  t.match(story().write('a').write('b', ['a']).read('a').wrong, [/a is there, though/, /b is not there/])
  t.match(story().write('a').lost('b', ['a']).read('a', 'b').wrong, [/b stands beside a/], 'a false conflict')
  t.match(story().write('a').lost('b', ['a']).lost('c', ['b']).read('a', 'c').wrong, [/c stands beside a/])
  t.match(story().write('a').write(null, ['a']).read('a').wrong, [/a is there, though/], 'what was deleted returned')
  t.match(story().refused('a').read('a').wrong, [/a was refused/])
  t.match(story().read('a').wrong, [/came from nowhere/])
  t.match(story().write('a').read('a', 'a').wrong, [/twice/])
  t.match(story().write('a', [], true).write('b', [], true).read('a', 'b').wrong, [/both were applied/])
})
