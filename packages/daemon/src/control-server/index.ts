/** The command's door into the daemon. */

export {
  ControlServer,
  type ControlContext,
  type ControlHandler,
  type ControlHandlers,
} from './control-server.ts'
