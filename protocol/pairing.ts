/**
 * The pairing line: everything that another machine needs to reach an engine, to be sure that it is
 * that engine, and to be let in. `hindsight://host:port#token=…&cert=sha256:…`
 */
import { HindsightError } from './errors.ts';

export interface Pairing {
  host: string;
  port: number;
  /** Secret; never in a log, a status or an error. */
  token: string;
  /** sha256 of the certificate (DER), hexadecimal. */
  certificate: string;
}

export function formatPairing({ host, port, token, certificate }: Pairing): string {
  return `hindsight://${addressOf({ host, port })}#token=${token}&cert=sha256:${certificate}`;
}

/** host:port, for people and for the log. */
export function addressOf({ host, port }: Pick<Pairing, 'host' | 'port'>): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** @throws pairingInvalid; the line itself is not repeated, it has a secret in it */
export function parsePairing(line: string): Pairing {
  const wrong = (problem: string): HindsightError => new HindsightError('pairingInvalid', { problem });
  const parts = /^hindsight:\/\/([^#/?\s]+)#([^\s]+)$/.exec(line.trim());
  if (parts === null) throw wrong('it does not look like hindsight://host:port#token=…&cert=sha256:…');
  const { host, port } = parseAddress(parts[1] ?? '', wrong);
  const fields = new URLSearchParams(parts[2]);
  const token = fields.get('token') ?? '';
  const certificate = /^sha256:([0-9a-f]{64})$/i.exec(fields.get('cert') ?? '')?.[1]?.toLowerCase();
  if (!/^[\w-]{16,200}$/.test(token)) throw wrong('its token is missing or cut off');
  if (certificate === undefined) throw wrong('its certificate is missing or cut off');
  return { host, port, token, certificate };
}

/** `host:port`, `[v6]:port`; `:port` and `port` alone mean this machine.
 *  @param wrong  the error for what is none */
export function parseAddress(text: string, wrong: (problem: string) => HindsightError): { host: string; port: number } {
  const parts = /^(?:\[([0-9a-fA-F:.]+)\]:|([^:[\]]*):)?(\d{1,5})$/.exec(text);
  const port = Number(parts?.[3]);
  if (parts === null || port > 65_535) throw wrong(`${text} is not host:port`);
  return { host: parts[1] ?? (parts[2] || '127.0.0.1'), port };
}
