/**
 * The certificate of a listening engine. It is self-signed and made once: the client pins its hash,
 * as SSH does with a host key, so nobody has to vouch for it and it may live for decades.
 */
import { createHash, webcrypto, X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HindsightError } from '../../../protocol/errors.ts';

export interface Certificate {
  cert: string;
  key: string;
  /** sha256 of the certificate (DER), hexadecimal: what a client pins. */
  fingerprint: string;
}

const YEARS = 30;

/** @param given  files of a certificate of one's own, PEM
 *  @throws badRequest where they cannot be read */
export async function certificateOf(home: string, given: { cert?: string | undefined; key?: string | undefined }): Promise<Certificate> {
  if ((given.cert === undefined) !== (given.key === undefined)) {
    throw new HindsightError('badRequest', { problem: '--tls-cert and --tls-key belong together', remedy: 'Give both, or neither for a certificate made here.' });
  }
  if (given.cert !== undefined && given.key !== undefined) return read(given.cert, given.key);
  const [cert, key] = [join(home, 'cert.pem'), join(home, 'key.pem')];
  if (!existsSync(cert) || !existsSync(key)) {
    mkdirSync(home, { recursive: true, mode: 0o700 });
    const made = await selfSigned();
    write(key, made.key);
    write(cert, made.cert);
  }
  return read(cert, key);
}

export function fingerprintOf(der: Buffer): string {
  return createHash('sha256').update(der).digest('hex');
}

function read(certFile: string, keyFile: string): Certificate {
  try {
    const [cert, key] = [readFileSync(certFile, 'utf8'), readFileSync(keyFile, 'utf8')];
    return { cert, key, fingerprint: fingerprintOf(new X509Certificate(cert).raw) };
  } catch (thrown) {
    throw new HindsightError('badRequest', { problem: `The certificate ${certFile} cannot be used: ${thrown instanceof Error ? thrown.message : String(thrown)}`, remedy: 'Give PEM files of a certificate and its key.' });
  }
}

async function selfSigned(): Promise<{ cert: string; key: string }> {
  // Only a first start needs it; it is large to load. Its own imports need the polyfill first.
  await import('reflect-metadata');
  const { cryptoProvider, X509CertificateGenerator } = await import('@peculiar/x509');
  cryptoProvider.set(webcrypto as unknown as Parameters<typeof cryptoProvider.set>[0]);
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const notBefore = new Date(Date.now() - 24 * 3600 * 1000);
  const notAfter = new Date(notBefore.getTime() + YEARS * 365 * 24 * 3600 * 1000);
  const cert = await X509CertificateGenerator.createSelfSigned({ name: 'CN=hindsight engine', notBefore, notAfter, signingAlgorithm: algorithm, keys: keys as never });
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  return { cert: cert.toString('pem'), key: `-----BEGIN PRIVATE KEY-----\n${pkcs8.replace(/(.{64})/g, '$1\n').trim()}\n-----END PRIVATE KEY-----\n` };
}

function write(path: string, text: string): void {
  writeFileSync(`${path}.tmp`, text, { mode: 0o600 });
  renameSync(`${path}.tmp`, path);
}
