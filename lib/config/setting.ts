/** What there is to know of one setting: its default, its words, and how its text is read. */
export interface Setting<T> {
  readonly defaultValue: T
  readonly help: string
  /** What the help shows in place of the value. */
  readonly form: string
  /** From a scalar of the file, a flag or a variable; throws SettingError. */
  readonly parse: (value: unknown) => T
  /** Old spellings: the key, and what to put behind a bare number. */
  readonly oldSpellings: readonly { readonly key: string; readonly unit: string }[]
}
