/**
 * What a terminal shows, as text: colours and other control sequences taken out, and what was written
 * over (carriage return, backspace, erase in line) written over here too, so that a progress bar is
 * its last state and not its thousand. A stream: the result does not depend on how it was cut.
 */

/** A line is held back until it ends, for what may be written over it, up to so many UTF-16 units. */
const LINE = 16_384;

type State = 'text' | 'escape' | 'intermediate' | 'csi' | 'string' | 'stringEscape';

// Everything that is not simply shown; tabs are.
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f-\x9f]/g;

export class PlainText {
  #state: State = 'text';
  #parameters = '';
  #line = '';
  #column = 0;

  /** @param emit gets finished text, in order */
  constructor(private readonly emit: (text: string) => void) {}

  write(chunk: string): void {
    for (let at = 0; at < chunk.length; ) {
      at = this.#state === 'text' ? this.#text(chunk, at) : this.#sequence(chunk, at);
    }
  }

  /** The last line has no end of its own. */
  end(): void {
    if (this.#line !== '') this.emit(this.#line);
    this.#line = '';
    this.#column = 0;
  }

  /** Shows up to the next control character and obeys that. @returns where to go on */
  #text(chunk: string, from: number): number {
    CONTROL.lastIndex = from;
    const at = CONTROL.exec(chunk)?.index ?? chunk.length;
    if (at > from) this.#show(chunk.slice(from, at));
    if (at < chunk.length) this.#control(chunk.charCodeAt(at));
    return at + 1;
  }

  #control(code: number): void {
    if (code === 0x0a) this.#newline();
    else if (code === 0x0d) this.#column = 0;
    else if (code === 0x08) this.#column = Math.max(0, this.#column - 1);
    else if (code === 0x1b) this.#state = 'escape';
    else if (code === 0x9b) this.#startCsi();
    else if (code === 0x90 || code === 0x98 || (code >= 0x9d && code <= 0x9f)) this.#state = 'string';
  }

  /** One character inside a control sequence (ECMA-48). @returns where to go on */
  #sequence(chunk: string, at: number): number {
    const code = chunk.charCodeAt(at);
    if (this.#state === 'string' || this.#state === 'stringEscape') return this.#string(code, at);
    if (code === 0x18 || code === 0x1a) this.#state = 'text';
    else if (code === 0x1b) this.#state = 'escape';
    else if (code < 0x20) this.#control(code);
    else if (this.#state === 'csi') this.#csi(code, chunk.charAt(at));
    else if (this.#state === 'intermediate') this.#state = code < 0x30 ? 'intermediate' : 'text';
    else this.#escape(code);
    return at + 1;
  }

  #escape(code: number): void {
    if (code === 0x5b) this.#startCsi();
    else if (code === 0x50 || code === 0x58 || code === 0x5d || code === 0x5e || code === 0x5f) this.#state = 'string';
    else this.#state = code < 0x30 ? 'intermediate' : 'text';
  }

  #startCsi(): void {
    this.#state = 'csi';
    this.#parameters = '';
  }

  #csi(code: number, character: string): void {
    if (code < 0x40) {
      // Longer than any real one: what it says no longer matters, its end does.
      if (this.#parameters.length < 64) this.#parameters += character;
      return;
    }
    this.#state = 'text';
    if (code < 0x7f) this.#obey(character, this.#parameters);
  }

  /** A title, a link, a clipboard: ends with BEL or ST, or is cancelled; its text is not shown. */
  #string(code: number, at: number): number {
    if (code === 0x07 || code === 0x9c || code === 0x18 || code === 0x1a) this.#state = 'text';
    else if (this.#state === 'stringEscape' && code !== 0x5c) {
      // An escape that is not the terminator ends the string and begins a sequence.
      this.#state = 'escape';
      return at;
    } else if (this.#state === 'stringEscape') this.#state = 'text';
    else if (code === 0x1b) this.#state = 'stringEscape';
    return at + 1;
  }

  /** The sequences that move in or erase the line; all others change nothing that is read here. */
  #obey(final: string, parameters: string): void {
    const count = Math.min(LINE, Math.max(1, Number.parseInt(parameters, 10) || 1));
    if (final === 'C') this.#column = Math.min(LINE, this.#column + count);
    else if (final === 'D') this.#column = Math.max(0, this.#column - count);
    else if (final === 'G') this.#column = count - 1;
    else if (final === 'K' && (parameters === '' || parameters === '0')) this.#line = this.#line.slice(0, this.#column);
    else if (final === 'K' && parameters === '1') this.#line = ' '.repeat(Math.min(this.#line.length, this.#column)) + this.#line.slice(this.#column);
    else if (final === 'K' && parameters === '2') this.#line = '';
  }

  #show(run: string): void {
    const column = this.#column;
    if (column > this.#line.length) this.#line = this.#line.padEnd(column);
    this.#line = column === this.#line.length ? this.#line + run : this.#line.slice(0, column) + run + this.#line.slice(column + run.length);
    this.#column = column + run.length;
    while (this.#line.length > LINE && this.#column === this.#line.length) {
      this.emit(this.#line.slice(0, LINE));
      this.#line = this.#line.slice(LINE);
      this.#column -= LINE;
    }
  }

  #newline(): void {
    this.emit(`${this.#line}\n`);
    this.#line = '';
    this.#column = 0;
  }
}

/** The whole of a terminal's output at once. */
export function plainText(stream: string): string {
  let text = '';
  const plain = new PlainText((part) => (text += part));
  plain.write(stream);
  plain.end();
  return text;
}
