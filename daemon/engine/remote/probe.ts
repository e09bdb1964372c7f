/** A look at a listening engine, before anything is entrusted to it. */
import { engineHello, REMOTE_MESSAGE_BYTES } from '../../../protocol/engine.ts';
import { PROTOCOL } from '../../../protocol/handshake.ts';
import { addressOf } from '../../../protocol/pairing.ts';
import type { Pairing } from '../../../protocol/pairing.ts';
import { call } from '../../../protocol/transport.ts';
import { webSocketLink } from '../webSocket.ts';
import { connectPinned } from './connect.ts';

const HELLO_SECONDS = 10;

export interface Probe {
  address: string;
  device: string;
  version: string;
  models: string[];
  latencyMs: number;
}

/** @throws certificateChanged, tokenRefused, engineUnreachable, … */
export async function probeEngine(pairing: Pairing, client: string, signal: AbortSignal): Promise<Probe> {
  const socket = await connectPinned(pairing, signal);
  const link = webSocketLink(socket, REMOTE_MESSAGE_BYTES);
  link.onError(() => undefined);
  link.listen();
  try {
    const asked = performance.now();
    // Not the daemon's own name: the engine would end the link that it has already.
    const { engine, models } = await call(link, engineHello, { protocol: PROTOCOL, client: `${client}-probe` }, { deadline: HELLO_SECONDS, signal });
    return { address: addressOf(pairing), device: engine.device, version: engine.version, models, latencyMs: performance.now() - asked };
  } finally {
    socket.close();
    link.dispose();
  }
}
