/** One connection to a listening engine. Its certificate is compared with the pinned one before a
 *  single byte of ours, the token above all, is sent. */
import { timingSafeEqual, createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { connect } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { WebSocket } from 'ws';
import { REMOTE_MESSAGE_BYTES } from '../../../protocol/engine.ts';
import { HindsightError, toHindsightError } from '../../../protocol/errors.ts';
import { addressOf } from '../../../protocol/pairing.ts';
import type { Pairing } from '../../../protocol/pairing.ts';

const CONNECT_SECONDS = 15;

/** @throws engineUnreachable, certificateChanged, tokenRefused, tooManyAttempts, engineBusy, cancelled */
export async function connectPinned(pairing: Pairing, signal: AbortSignal): Promise<WebSocket> {
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(CONNECT_SECONDS * 1000)]);
  const secured = await secure(pairing, deadline);
  try {
    return await upgrade(pairing, secured, deadline);
  } catch (thrown) {
    secured.destroy();
    throw signal.aborted ? new HindsightError('cancelled') : thrown;
  }
}

function secure(pairing: Pairing, signal: AbortSignal): Promise<TLSSocket> {
  const { host, port } = pairing;
  return new Promise((resolve, reject) => {
    // Nobody vouches for a self-signed certificate: the pin does, below.
    const socket = connect({ host, port, minVersion: 'TLSv1.3', rejectUnauthorized: false });
    const fail = (reason: string): void => {
      socket.destroy();
      reject(new HindsightError('engineUnreachable', { address: addressOf(pairing), reason }));
    };
    const abort = (): void => fail(`no answer within ${CONNECT_SECONDS} s`);
    if (signal.aborted) return abort();
    signal.addEventListener('abort', abort, { once: true });
    socket.once('error', (error: NodeJS.ErrnoException) => fail(error.code ?? error.message));
    socket.once('close', () => fail('it closed the connection'));
    socket.once('secureConnect', () => {
      signal.removeEventListener('abort', abort);
      socket.removeAllListeners('close').removeAllListeners('error').on('error', () => socket.destroy());
      const raw: unknown = socket.getPeerCertificate(false).raw;
      const shown = createHash('sha256').update(raw instanceof Buffer ? raw : '').digest();
      if (timingSafeEqual(shown, Buffer.from(pairing.certificate, 'hex'))) return resolve(socket);
      socket.destroy();
      const short = (hex: string): string => `sha256:${hex.slice(0, 16)}…`;
      reject(new HindsightError('certificateChanged', { address: addressOf(pairing), shown: short(shown.toString('hex')), pinned: short(pairing.certificate) }));
    });
  });
}

function upgrade(pairing: Pairing, secured: TLSSocket, signal: AbortSignal): Promise<WebSocket> {
  return new Promise((resolve, reject) => {
    const unreachable = (reason: string): HindsightError => new HindsightError('engineUnreachable', { address: addressOf(pairing), reason });
    // The scheme only says that there is no TLS to begin: `secured` has it already.
    const socket = new WebSocket(`ws://${addressOf(pairing)}/`, { createConnection: () => secured, headers: { authorization: `Bearer ${pairing.token}` }, perMessageDeflate: false, maxPayload: 2 * REMOTE_MESSAGE_BYTES });
    const abort = (): void => {
      socket.terminate();
      reject(unreachable(`no answer within ${CONNECT_SECONDS} s`));
    };
    signal.addEventListener('abort', abort, { once: true });
    const over = (): void => signal.removeEventListener('abort', abort);
    socket.once('open', () => (over(), resolve(socket)));
    socket.on('error', (error) => (over(), reject(unreachable(error.message))));
    socket.once('unexpected-response', (_request, response) => {
      over();
      void refusalOf(response).then((error) => {
        socket.terminate();
        reject(error ?? unreachable(`it answers ${response.statusCode ?? 'nothing'}`));
      });
    });
  });
}

/** The error of the catalogue in an HTTP answer; null where it is none of ours. */
async function refusalOf(response: IncomingMessage): Promise<HindsightError | null> {
  let body = '';
  try {
    for await (const chunk of response.setEncoding('utf8')) if ((body += chunk as string).length > 65_536) return null;
    const error = toHindsightError(JSON.parse(body));
    return error.errorName === 'internal' ? null : error;
  } catch {
    return null;
  }
}
