/** Descriptors that were verified before: a signature costs a tenth of a millisecond. */

import { equalBytes, MoyaiError, openStripe, toHex } from '@moyai/protocol'
import type { StripeDescriptor } from '@moyai/protocol'

/** Some 700 bytes each; the oldest go first. */
const OPENED_MAX = 1024

export type OpenedStripe = { envelope: Uint8Array; stripe: StripeDescriptor }

export class OpenedStripes {
  readonly #opened = new Map<string, OpenedStripe>()

  get(vault: Uint8Array, pack: Uint8Array): OpenedStripe | undefined {
    const known = this.#opened.get(toHex(pack))
    return known !== undefined && equalBytes(known.stripe.vault, vault) ? known : undefined
  }

  /** What `openStripe` throws; HOST_REFUSED for the descriptor of another stripe. */
  open(vault: Uint8Array, pack: Uint8Array, envelope: Uint8Array): OpenedStripe {
    const stripe = openStripe(envelope)
    if (!equalBytes(stripe.vault, vault) || !equalBytes(stripe.pack, pack)) {
      throw new MoyaiError('HOST_REFUSED', 'a descriptor of another stripe was given')
    }
    const opened = { envelope, stripe }
    const [oldest] = this.#opened.keys()
    if (this.#opened.size >= OPENED_MAX && oldest !== undefined) this.#opened.delete(oldest)
    this.#opened.set(toHex(pack), opened)
    return opened
  }
}
