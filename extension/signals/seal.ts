// What waits on disk for a daemon that is away is raw: the daemon masks secrets, and it is not there. So nobody can
// read it but this user's editor, whose key is in the secret storage of the editor (the keychain of the system).
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

const ALGORITHM = 'aes-256-gcm';
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KEY_NAME = 'hindsight.spoolKey';

/** AES-256-GCM with a nonce of its own for each text: whoever changes a byte makes it unreadable. */
export class Seal {
  constructor(private readonly key: Buffer = randomBytes(KEY_BYTES)) {}

  /** @returns base64, one line */
  close(text: string): string {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv(ALGORITHM, this.key, nonce);
    return Buffer.concat([nonce, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]).toString('base64');
  }

  /** @returns undefined for what was sealed with another key, was cut off or changed */
  open(sealed: string): string | undefined {
    const bytes = Buffer.from(sealed, 'base64');
    if (bytes.length < NONCE_BYTES + TAG_BYTES) return undefined;
    const decipher = createDecipheriv(ALGORITHM, this.key, bytes.subarray(0, NONCE_BYTES));
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
    try {
      return decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES), undefined, 'utf8') + decipher.final('utf8');
    } catch {
      return undefined;
    }
  }
}

/** The part of the editor's secret storage that is used here. */
export interface KeyStore {
  get(name: string): Thenable<string | undefined>;
  store(name: string, value: string): Thenable<void>;
}

/** The seal of this user's windows. Without a working keychain the window has one of its own: what waits is then lost with it. */
export async function userSeal(secrets: KeyStore, say: (line: string) => void): Promise<Seal> {
  try {
    const known = keyOf(await secrets.get(KEY_NAME));
    if (known !== undefined) return new Seal(known);
    await secrets.store(KEY_NAME, randomBytes(KEY_BYTES).toString('base64'));
    // Two first windows at once: the key that stayed is the one for both.
    const stored = keyOf(await secrets.get(KEY_NAME));
    if (stored !== undefined) return new Seal(stored);
    say('the secret storage keeps nothing: signals that wait for the daemon are lost when this window closes');
  } catch (error) {
    say(`there is no secret storage (${String(error)}): signals that wait for the daemon are lost when this window closes`);
  }
  return new Seal();
}

function keyOf(stored: string | undefined): Buffer | undefined {
  const key = stored === undefined ? undefined : Buffer.from(stored, 'base64');
  return key?.length === KEY_BYTES ? key : undefined;
}
