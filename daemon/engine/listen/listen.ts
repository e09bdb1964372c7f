/**
 * A listening engine: WebSocket over TLS 1.3, a token on every link, limits on everything that a
 * stranger or a tenant could use up. What is refused gets an error of the catalogue: before the link
 * is open as the JSON body of an HTTP answer, on the link as a JSON-RPC error.
 */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { createServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import type { WebSocket } from 'ws';
import { REMOTE_MESSAGE_BYTES } from '../../../protocol/engine.ts';
import { HindsightError, toHindsightError } from '../../../protocol/errors.ts';
import { responseError } from '../../../protocol/transport.ts';
import { EngineHost } from '../host.ts';
import type { OpenOptions } from '../native.ts';
import { refuseSocket, webSocketLink } from '../webSocket.ts';
import type { Certificate } from './certificate.ts';
import { FairQueue, FAIR_LIMITS } from './fair.ts';
import type { FairLimits } from './fair.ts';
import { SharedModels, Tenant, TENANT_LIMITS, TenantPlace } from './tenants.ts';
import type { Engine, TenantLimits } from './tenants.ts';
import { Attempts } from './tokens.ts';
import type { Tokens } from './tokens.ts';

export interface ListenOptions {
  home: string;
  host: string;
  port: number;
  certificate: Certificate;
  tokens: Tokens;
  modelDirs: readonly string[];
  /** What `open.device` is called. */
  device: string;
  open?: Omit<OpenOptions, 'dir'>;
  tenantLimits?: Partial<TenantLimits>;
  fairLimits?: Partial<FairLimits>;
  limits?: Partial<ListenLimits>;
  log?: (line: string) => void;
}

export interface ListenLimits {
  /** Connections at once, those without a token included. */
  connections: number;
  /** Links of one token at once. */
  linksPerToken: number;
  /** Until a connection has shown its token, and a link has said hello. */
  handshakeSeconds: number;
  /** A link that is silent for two of these is dead. */
  heartbeatSeconds: number;
}

export const LISTEN_LIMITS: ListenLimits = { connections: 256, linksPerToken: 16, handshakeSeconds: 10, heartbeatSeconds: 5 };

export interface Listening {
  port: number;
  /** Links that have shown a token. */
  readonly links: number;
  close(): Promise<void>;
}

export async function listenEngine(options: ListenOptions): Promise<Listening> {
  const server = new EngineServer(options);
  await server.open();
  return server;
}

class EngineServer implements Listening {
  readonly #limits: ListenLimits;
  readonly #engine: Engine;
  readonly #tenants = new Map<string, Tenant>();
  readonly #links = new Map<WebSocket, string>();
  readonly #attempts = new Attempts();
  readonly #sockets = new WebSocketServer({ noServer: true, maxPayload: REMOTE_MESSAGE_BYTES, perMessageDeflate: false, clientTracking: false });
  readonly #connections = new Set<Socket>();
  readonly #server: ReturnType<typeof createServer>;
  readonly #timers: NodeJS.Timeout[] = [];

  constructor(private readonly options: ListenOptions) {
    const { home, modelDirs, device, open = {}, certificate } = options;
    this.#limits = { ...LISTEN_LIMITS, ...options.limits };
    const fair = { ...FAIR_LIMITS, ...options.fairLimits };
    this.#engine = { boot: randomUUID(), device, home, models: new SharedModels(modelDirs, open), queue: new FairQueue(fair), limits: { ...TENANT_LIMITS, ...options.tenantLimits } };
    const milliseconds = this.#limits.handshakeSeconds * 1000;
    this.#server = createServer({
      cert: certificate.cert, key: certificate.key, minVersion: 'TLSv1.3', handshakeTimeout: milliseconds,
      headersTimeout: milliseconds, requestTimeout: milliseconds, keepAliveTimeout: 1, maxHeaderSize: 8192, connectionsCheckingInterval: Math.min(1000, milliseconds / 2),
    });
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  get links(): number {
    return this.#links.size;
  }

  async open(): Promise<void> {
    const server = this.#server;
    server.on('connection', (socket: Socket) => this.#connected(socket));
    server.on('tlsClientError', (_error, socket) => void socket.destroy());
    server.on('clientError', (_error, socket) => answer(socket, new HindsightError('malformedMessage', { problem: 'this is no HTTP request, or it did not come in time' })));
    server.on('request', (request, response) => {
      const error = new HindsightError('malformedMessage', { problem: 'an engine speaks WebSocket' });
      response.writeHead(STATUS[error.errorName] ?? 400, { 'content-type': 'application/json', connection: 'close' }).end(bodyOf(error));
      request.resume();
    });
    server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
    this.#every(this.#limits.heartbeatSeconds * 1000, () => this.#heartbeat());
    this.#every(1000, () => this.#endRevoked());
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error: NodeJS.ErrnoException) => reject(new HindsightError('badRequest', { problem: `${this.options.host}:${this.options.port} cannot be listened on (${error.code ?? error.message})`, remedy: 'Choose another address, or end what listens there.' })));
      server.listen(this.options.port, this.options.host, resolve);
    });
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    for (const socket of this.#connections) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #connected(socket: Socket): void {
    this.#connections.add(socket);
    socket.on('close', () => this.#connections.delete(socket));
    socket.on('error', () => socket.destroy());
    // Over the limit even an answer would cost a TLS handshake; half of it is for answers.
    if (this.#connections.size > 2 * this.#limits.connections) socket.destroy();
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    try {
      const token = this.#tenantOf(request);
      this.#sockets.handleUpgrade(request, socket, head, (opened) => this.#serve(opened, token, request.socket.remoteAddress ?? ''));
    } catch (thrown) {
      answer(socket, toHindsightError(thrown));
    }
  }

  /** @throws tooManyAttempts, tokenRefused, engineBusy */
  #tenantOf(request: IncomingMessage): Tenant {
    const address = request.socket.remoteAddress ?? '';
    this.#attempts.check(address, Date.now());
    const token = /^Bearer ([\w-]{1,200})$/.exec(request.headers.authorization ?? '')?.[1] ?? '';
    const record = this.options.tokens.find(token);
    if (record === null) {
      this.#attempts.refuse(address, Date.now());
      this.options.log?.(`A token from ${address} was refused.`);
      throw new HindsightError('tokenRefused');
    }
    if (this.#connections.size > this.#limits.connections) throw new HindsightError('engineBusy', { problem: `${this.#connections.size} connections are open` });
    const links = [...this.#links.values()].filter((id) => id === record.id).length;
    if (links >= this.#limits.linksPerToken) throw new HindsightError('engineBusy', { problem: `${links} links of this token are open` });
    const tenant = this.#tenants.get(record.id) ?? new Tenant(record.id, this.#engine);
    this.#tenants.set(record.id, tenant);
    return tenant;
  }

  #serve(socket: WebSocket, tenant: Tenant, address: string): void {
    this.#links.set(socket, tenant.id);
    const link = webSocketLink(socket, REMOTE_MESSAGE_BYTES);
    const place = new TenantPlace(tenant, () => socket.terminate());
    const host = new EngineHost(link, place);
    const silent = setTimeout(() => {
      if (!host.hasGreeted) refuseSocket(socket, new HindsightError('deadline', { what: '`hello`', seconds: this.#limits.handshakeSeconds }));
    }, this.#limits.handshakeSeconds * 1000);
    alive.add(socket);
    for (const event of ['pong', 'ping', 'message'] as const) socket.on(event, () => alive.add(socket));
    socket.on('close', () => {
      clearTimeout(silent);
      this.#links.delete(socket);
      place.leave();
      link.dispose();
      this.options.log?.(`${address} is gone.`);
    });
    link.onError(() => undefined);
    host.listen();
    link.onRequest((method) => responseError(new HindsightError('invalidParams', { method: method.slice(0, 60), problem: 'an engine has no such message' })));
    link.listen();
    this.options.log?.(`${address} is connected (token ${tenant.id}).`);
  }

  #heartbeat(): void {
    for (const socket of this.#links.keys()) {
      if (!alive.has(socket)) {
        socket.terminate();
        continue;
      }
      alive.delete(socket);
      socket.ping();
    }
  }

  #endRevoked(): void {
    for (const [id, tenant] of this.#tenants) {
      if (this.options.tokens.isValid(id)) continue;
      this.#tenants.delete(id);
      for (const [socket, owner] of this.#links) if (owner === id) refuseSocket(socket, new HindsightError('tokenRefused'));
      void tenant.revoke();
    }
  }

  #every(milliseconds: number, task: () => void): void {
    this.#timers.push(setInterval(task, milliseconds));
  }
}

/** Sockets that were heard from since the last heartbeat. */
const alive = new WeakSet<WebSocket>();

const STATUS: Partial<Record<HindsightError['errorName'], number>> = { tokenRefused: 401, tooManyAttempts: 429, engineBusy: 503, malformedMessage: 400 };

function bodyOf(error: HindsightError): string {
  return JSON.stringify({ code: error.code, message: error.message, data: { name: error.errorName, details: error.details } });
}

/** An error of the catalogue before there is a link. */
function answer(socket: Duplex, error: HindsightError): void {
  const body = bodyOf(error);
  if (socket.writable) socket.end(`HTTP/1.1 ${STATUS[error.errorName] ?? 500} Refused\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`);
  setTimeout(() => socket.destroy(), 1000).unref();
}
