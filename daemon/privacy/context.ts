/** What a prompt may be made of: secrets of the document and of the files open beside it are masked. */
import { mask, scrub, secretsIn } from './secrets.ts';

/** Characters before and behind the cursor that a prompt can reach. */
const BEFORE = 24_000;
const BEHIND = 8_000;

export interface Place {
  text: string;
  /** UTF-16 offset of the cursor. */
  offset: number;
}

export class ContextScrubber {
  /** Files change seldom and are asked for at every key. */
  #files = new Map<string, { text: string; scrubbed: string }>();

  /** The document with what is near the cursor scrubbed; length and offsets stay. */
  async document<P extends Place>(place: P): Promise<P> {
    const { text, offset } = place;
    const from = text.lastIndexOf('\n', Math.max(0, offset - BEFORE)) + 1;
    const near = text.slice(from, offset + BEHIND);
    const found = await secretsIn(near);
    return found.length === 0 ? place : { ...place, text: text.slice(0, from) + mask(near, found) + text.slice(offset + BEHIND) };
  }

  /** Forgets the files that it has seen. */
  clear(): void {
    this.#files.clear();
  }

  async files<F extends { uri: string; text: string }>(files: readonly F[]): Promise<F[]> {
    const kept = new Map<string, { text: string; scrubbed: string }>();
    for (const { uri, text } of files) {
      const known = this.#files.get(uri);
      kept.set(uri, known?.text === text ? known : { text, scrubbed: await scrub(text) });
    }
    this.#files = kept;
    return files.map((file) => ({ ...file, text: kept.get(file.uri)?.scrubbed ?? '' }));
  }
}
