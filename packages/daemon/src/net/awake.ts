/**
 * Notices that the machine slept, or that it is somewhere else now.
 *
 * A laptop that wakes up has connections that look open and lead nowhere; pings find out after a
 * minute, and the waits of failed dials are from another day.
 */

import type { Clock } from '@moyai/protocol'
import { SLEEP_MS_MIN } from './limits.ts'

export class Awake {
  readonly #clock: Clock
  readonly #addresses: () => string[]
  #ahead: number
  #known: string

  /** `addresses`: of this machine's interfaces, as far as it listens there. */
  constructor(o: { addresses: () => string[] }, components: { clock: Clock }) {
    this.#clock = components.clock
    this.#addresses = o.addresses
    this.#ahead = this.#difference()
    this.#known = this.#present()
  }

  /**
   * What happened since the last look. A clock that was set forward looks like sleep, too;
   * connecting anew harms nobody.
   */
  look(): 'slept' | 'moved' | undefined {
    const ahead = this.#difference()
    const slept = ahead - this.#ahead >= SLEEP_MS_MIN
    this.#ahead = ahead
    const present = this.#present()
    const moved = present !== this.#known
    this.#known = present
    if (slept) return 'slept'
    return moved ? 'moved' : undefined
  }

  /** The monotonic clock stands still while the machine sleeps, the other one does not. */
  #difference(): number {
    return this.#clock.now() - this.#clock.monotonic()
  }

  #present(): string {
    return this.#addresses().sort().join(' ')
  }
}
