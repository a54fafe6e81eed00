/** Bytes by the vault's folder, and their sum. */

import { vaultFolder } from './shard-names.ts'

export class ByVault {
  readonly #bytes: Map<string, number>
  #total: number

  constructor(bytes: ReadonlyMap<string, number> = new Map()) {
    this.#bytes = new Map(bytes)
    this.#total = [...bytes.values()].reduce((sum, one) => sum + one, 0)
  }

  get total(): number {
    return this.#total
  }

  of(vault: Uint8Array): number {
    return this.#bytes.get(vaultFolder(vault)) ?? 0
  }

  add(vault: Uint8Array, bytes: number): void {
    this.#bytes.set(vaultFolder(vault), this.of(vault) + bytes)
    this.#total += bytes
  }
}
