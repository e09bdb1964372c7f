/**
 * The engine's end of the pipe. A child of the daemon speaks on descriptor 3, so that nothing that
 * prints can corrupt the protocol; an engine that a person starts speaks on stdin and stdout.
 */
import { Socket } from 'node:net';
import { streamLink } from '../../protocol/links.ts';
import { EngineHost } from './host.ts';
import { OwnPlace } from './place.ts';
import type { PlaceDefaults } from './place.ts';

/** Set by whoever starts the engine with a pipe at this descriptor. */
export const CHANNEL_VARIABLE = 'HINDSIGHT_ENGINE_FD';

/** Serves until the other side goes away; then this process ends, whatever it is computing.
 *  @param defaults  how a model is loaded where the request does not say */
export function runEngine(defaults: PlaceDefaults = {}): void {
  const descriptor = Number(process.env[CHANNEL_VARIABLE]);
  const pipe = descriptor > 2 ? new Socket({ fd: descriptor, readable: true, writable: true }) : null;
  const input = pipe ?? process.stdin;
  const connection = streamLink(input, pipe ?? process.stdout);
  // A plain exit would wait for the kernel in progress. Nothing here needs cleaning up: what an
  // engine writes goes to a temporary folder until its daemon has the answer.
  const end = (): void => {
    process.kill(process.pid, 'SIGKILL');
  };
  // Ctrl-C reaches the whole terminal group; the daemon decides when its engine ends.
  if (pipe) process.on('SIGINT', () => undefined);
  connection.onClose(end);
  connection.onError(end);
  input.on('end', end);
  new EngineHost(connection, new OwnPlace(defaults)).listen();
  connection.listen();
}
