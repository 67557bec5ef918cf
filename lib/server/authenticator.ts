/**
 * Who a client is: AUTHENTICATE and the AUTH_RESPONSEs after it. Source: native_protocol_v5.spec §4.1.2, §4.2.3 (SASL).
 */
import type { MaybePromise } from '../cql/statement.ts'

export type AuthAnswer =
  | { readonly done: true; readonly user: string; readonly token: Buffer | null }
  | { readonly done: false; readonly challenge: Buffer | null }

/** One connection's exchange of tokens. */
export interface AuthConversation {
  /** Throws a RequestError (BAD_CREDENTIALS); the client may then begin again on the same connection. */
  answer(token: Buffer | null): MaybePromise<AuthAnswer>
}

export interface Authenticator {
  /** The class that AUTHENTICATE names, by which some drivers choose what to say; null: nobody is asked. */
  readonly className: string | null
  begin(remoteAddress: string): AuthConversation
}

/** Lets everybody in, as nobody in particular. */
export const ALLOW_ALL: Authenticator = {
  className: null,
  begin: () => ({ answer: () => ({ done: true, user: 'anonymous', token: null }) }),
}
