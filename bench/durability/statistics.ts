/** What a count of rare events says, and how to say it. */

/** Of the standard normal distribution, 95 % are within this. */
const Z = 1.96
/** Without any event, fewer than three are expected with 95 % confidence ("rule of three"). */
const NONE_SEEN_MAX = 3

/** Bounds of the expected number of events when `count` were seen: Wilson and Hilferty, 95 %. */
export function interval(count: number): { low: number; high: number } {
  if (count === 0) return { low: 0, high: NONE_SEEN_MAX }
  const bound = (n: number, sign: number): number =>
    n * (1 - 1 / (9 * n) + (sign * Z) / (3 * Math.sqrt(n))) ** 3
  return { low: bound(count, -1), high: bound(count + 1, 1) }
}

/** Two significant digits, thousands apart: `21,000`. */
export function rounded(value: number): string {
  const unit = 10 ** Math.max(0, Math.floor(Math.log10(value)) - 1)
  return (Math.round(value / unit) * unit).toLocaleString('en-US')
}

/** `1 in 21,000 (16,000–28,000)`: so many pool-years for one loss. */
export function oneIn(o: { losses: number; years: number }): string {
  const { low, high } = interval(o.losses)
  if (o.losses === 0)
    return `none in ${rounded(o.years)}; rarer than 1 in ${rounded(o.years / high)}`
  return `1 in ${rounded(o.years / o.losses)} (${rounded(o.years / high)}–${rounded(o.years / low)})`
}
