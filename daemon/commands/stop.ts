/** `hindsight stop`: ends the daemon after it wrote everything down. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Command } from 'commander';
import { daemonStop } from '../../protocol/editor.ts';
import { HindsightError } from '../../protocol/errors.ts';
import { call } from '../../protocol/transport.ts';
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
      await gone(pid);
      daemon.link.dispose();
      print({ stopped: true, pid }, `The daemon (process ${pid}) has ended.`, flags);
    });
}

async function gone(pid: number): Promise<void> {
  for (const deadline = Date.now() + STOP_SECONDS * 1000; Date.now() < deadline; ) {
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
    await pause(50);
  }
  throw new HindsightError('deadline', { what: `The end of process ${pid}`, seconds: STOP_SECONDS });
}
