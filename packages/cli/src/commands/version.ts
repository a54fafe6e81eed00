import { VERSION } from '@moyai/protocol/command'

import type { Command } from '../command.ts'

export const versionCommand: Command = {
  name: 'version',
  summary: 'print the version of moyai and of the Node.js it runs on',
  usage: '',
  options: {},
  async run(_args, { output }) {
    output.line(
      `moyai ${VERSION} (node ${process.versions.node}, ${process.platform}-${process.arch})`,
    )
    output.message({ message_type: 'version', version: VERSION, node: process.versions.node })
    return 0
  },
}
