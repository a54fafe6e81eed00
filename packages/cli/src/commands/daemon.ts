import type { Command } from '../command.ts'

export const daemonCommand: Command = {
  name: 'daemon',
  summary: 'run the daemon of this machine in the foreground',
  usage: `

Runs until SIGTERM or Ctrl-C. Prints "ready" when the control socket answers; a second daemon on the same state
directory is refused. Its log is in the log folder of the state directory.`,
  options: {},
  async run(args, { home, output, signal }) {
    // The daemon runs in this very process, so that a signal to it reaches it; it is loaded only
    // here, to keep the others quick.
    const { runDaemon } = await import('@moyai/daemon')
    return runDaemon({
      home,
      signal,
      verbose: args.times('verbose') > 0,
      onReady: (ready) => {
        output.line('ready')
        output.message({ message_type: 'ready', ...ready })
      },
    })
  },
}
