/** The known word that a misspelt one most likely meant. */

/** Edits (insert, delete, replace one character) that turn `a` into `b`. */
function distance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const current = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (previous[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)
      const shifted = Math.min(previous[j] as number, current[j - 1] as number) + 1
      current.push(Math.min(replaced, shifted))
    }
    previous = current
  }
  return previous[b.length] as number
}

/**
 * The nearest of `known`, or undefined when none is near enough to be meant. A key's last part
 * alone counts, too.
 */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const cut = word.slice(0, 100).toLowerCase()
  let best: { word: string; edits: number } | undefined
  for (const candidate of known) {
    const tail = candidate.slice(candidate.lastIndexOf('.') + 1)
    const cutTail = cut.slice(cut.lastIndexOf('.') + 1)
    const edits = Math.min(distance(cut, candidate), distance(cutTail, tail) + 1)
    if (best === undefined || edits < best.edits) best = { word: candidate, edits }
  }
  return best !== undefined && best.edits <= Math.max(2, cut.length / 3) ? best.word : undefined
}
