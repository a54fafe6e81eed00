/**
 * Figures of an earlier simulation, a program in C with a placement of its own: yearly probability
 * of any loss. Where it saw none, `bound` is true and the figure is an upper bound.
 */

export type Earlier = { code: string; office: number; always: number; bound?: true }

const one = (code: string, office: number, always: number): Earlier => ({ code, office, always })

/** By machines and places: the code that was recommended then. */
export const EARLIER: Record<string, Earlier> = {
  '4/2': one('1+2', 7.3e-4, 5.9e-4),
  '4/3': one('1+2', 4.7e-5, 2.5e-5),
  '5/2': one('1+3', 1.3e-4, 1.1e-4),
  '5/3': one('1+2', 5.8e-5, 9.7e-6),
  '5/4': one('2+2', 1.4e-4, 3.5e-5),
  '6/2': one('1+3', 1.3e-4, 1e-4),
  '6/3': one('2+3', 4.5e-5, 1.8e-5),
  '6/4': one('2+2', 1.4e-4, 1.3e-5),
  '6/5': one('2+3', 3.5e-6, 4e-7),
  '9/2': one('3+5', 2e-4, 1.1e-4),
  '9/3': one('3+5', 3.5e-5, 9e-6),
  '9/4': one('4+4', 1.7e-5, 3e-6),
  '9/6': { ...one('4+4', 1.8e-6, 1.3e-6), bound: true },
  '9/8': { ...one('4+3', 4.4e-6, 3e-6), bound: true },
  '12/2': one('4+6', 2.4e-4, 1.2e-4),
  '12/3': one('5+6', 1e-4, 4.2e-5),
  '12/4': one('6+5', 8.4e-5, 2.2e-5),
  '12/6': { ...one('6+5', 1.5e-6, 2.2e-6), bound: true },
  '12/8': { ...one('6+5', 1.4e-6, 1.4e-6), bound: true },
  '20/2': one('5+9', 1.8e-4, 9.5e-5),
  '20/3': one('6+8', 1.7e-4, 6.3e-5),
  '20/4': one('7+7', 8.2e-5, 1.3e-5),
  '20/6': { ...one('8+6', 2e-6, 6e-6), bound: true },
  '20/8': { ...one('8+6', 6e-6, 6e-6), bound: true },
  '40/2': one('5+9', 4e-4, 1.2e-4),
  '40/3': one('6+8', 2.8e-4, 6.7e-5),
  '40/4': one('7+7', 2.1e-4, 3.7e-5),
  '40/6': { ...one('8+6', 2.3e-5, 1.2e-5), bound: true },
  '40/8': { ...one('8+6', 4e-6, 1.1e-5), bound: true },
}
