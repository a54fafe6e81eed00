/** Changing one setting in the text of config.toml; all else stays as a person wrote it. */

import { MoyaiError, utf8 } from '@moyai/protocol'
import { parse } from 'smol-toml'

import { parseConfig } from './config.ts'

/**
 * The text with `section.name` set to the text `value`: the line that sets it is replaced, or else
 * the comment that shows its default, or a line is added. CONFIG_INVALID when the file is not valid
 * before, or the setting is written in a way that only a person can change (over several lines).
 */
export function withSetting(
  text: string,
  { section, name }: { section: string; name: string },
  value: string,
): string {
  parseConfig(utf8(text))
  const lines = text.split('\n')
  const written = `${name} = ${JSON.stringify(value)}`
  const start = lines.findIndex((line) => headingOf(line) === section)
  if (start < 0) {
    lines.splice(endOf(lines, 0, lines.length), 0, '', `[${section}]`, written)
  } else {
    const next = lines.findIndex((line, i) => i > start && headingOf(line) !== undefined)
    const end = next < 0 ? lines.length : next
    const within = lines.slice(start + 1, end)
    const at = [new RegExp(`^\\s*${name}\\s*=`), new RegExp(`^#\\s*${name}\\s*=`)]
      .map((pattern) => within.findIndex((line) => pattern.test(line)))
      .find((found) => found >= 0)
    if (at === undefined) lines.splice(endOf(lines, start, end), 0, written)
    else lines[start + 1 + at] = written
  }
  const edited = lines.join('\n')
  if (settingOf(edited, section, name) === value) return edited
  throw new MoyaiError('CONFIG_INVALID', `config.toml: cannot change '${section}.${name}'`, {
    hint: `write ${written} into [${section}] by hand and restart the daemon`,
  })
}

function headingOf(line: string): string | undefined {
  return /^\s*\[\s*([A-Za-z0-9_-]+)\s*\]\s*(#.*)?$/.exec(line)?.[1]
}

/** Where a line is added in [start, end): before the empty lines at the end. */
function endOf(lines: readonly string[], start: number, end: number): number {
  let at = end
  while (at > start + 1 && lines[at - 1]?.trim() === '') at--
  return at
}

function settingOf(text: string, section: string, name: string): unknown {
  try {
    parseConfig(utf8(text))
    const table = parse(text)[section]
    return typeof table === 'object' ? (table as Record<string, unknown>)[name] : undefined
  } catch {
    // what was made of it is no configuration any more: the caller says so
    return undefined
  }
}
