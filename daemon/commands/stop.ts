/** `hindsight stop`: ends the daemon after it wrote everything down. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Command } from 'commander';
import { daemonStop } from '../../protocol/editor.ts';
import { HindsightError } from '../../protocol/errors.ts';
import { call } from '../../protocol/transport.ts';
import { hindsightHome } from '../../protocol/address.ts';
import { isFree } from '../server/socket.ts';
import { connectDaemon, workspaceUri } from './client.ts';
import { print, withJson } from './output.ts';
import type { JsonOption } from './output.ts';

/** A step in progress ends at its next micro-batch. */
const STOP_SECONDS = 60;

export function registerStop(program: Command): void {
  withJson(program.command('stop'))
    .description('end the daemon after it wrote everything down')
    .action(async (flags: JsonOption) => {
      const daemon = await connectDaemon(workspaceUri());
      if (daemon === null) return print({ stopped: false, reason: 'not running' }, 'No daemon is running.', flags);
      const { pid } = daemon.hello.daemon;
      await call(daemon.link, daemonStop, {});
      await freed(pid);
      daemon.link.dispose();
      print({ stopped: true, pid }, `The daemon (process ${pid}) has ended.`, flags);
    });
}

/** Not the end of the process: one whose parent has not looked yet goes on to exist. */
async function freed(pid: number): Promise<void> {
  for (const deadline = Date.now() + STOP_SECONDS * 1000; Date.now() < deadline; await pause(50)) {
    if (isFree(hindsightHome())) return;
  }
  throw new HindsightError('deadline', { what: `The end of process ${pid}`, seconds: STOP_SECONDS });
}
