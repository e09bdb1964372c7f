/** Python literals as `repr` writes them: lists, tuples, dicts with string keys, strings, numbers, True,
 *  False, None. Reads data; runs nothing.
 *  @throws SyntaxError with the place */
export function parsePython(text: string): unknown {
  const reader = new Reader(text);
  const value = reader.value();
  reader.end();
  return value;
}

const ESCAPES: Record<string, string> = { n: '\n', r: '\r', t: '\t', '\\': '\\', "'": "'", '"': '"', b: '\b', f: '\f', v: '\v', a: '\x07', '0': '\0', '\n': '' };
const HEX_DIGITS: Record<string, number> = { x: 2, u: 4, U: 8 };
const NAMES: Record<string, unknown> = { None: null, True: true, False: false, nan: null, inf: null };

class Reader {
  private at = 0;

  constructor(private readonly text: string) {}

  value(): unknown {
    this.blanks();
    const c = this.text[this.at] ?? '';
    if (c === '[' || c === '(') return this.list(c === '[' ? ']' : ')');
    if (c === '{') return this.dict();
    if (c === "'" || c === '"') return this.string(c);
    const word = /^[-+\w.]+/.exec(this.text.slice(this.at, this.at + 64))?.[0] ?? '';
    this.at += word.length;
    if (Object.hasOwn(NAMES, word)) return NAMES[word];
    const number = Number(word);
    if (word === '' || Number.isNaN(number)) throw this.wrong();
    return number;
  }

  end(): void {
    this.blanks();
    if (this.at < this.text.length) throw this.wrong();
  }

  private list(close: string): unknown[] {
    const items: unknown[] = [];
    this.at++;
    while (!this.take(close)) {
      items.push(this.value());
      if (!this.take(',') && !this.sees(close)) throw this.wrong();
    }
    return items;
  }

  private dict(): Record<string, unknown> {
    const entries: [string, unknown][] = [];
    this.at++;
    while (!this.take('}')) {
      const key = this.value();
      if (!this.take(':')) throw this.wrong();
      entries.push([String(key), this.value()]);
      if (!this.take(',') && !this.sees('}')) throw this.wrong();
    }
    return Object.fromEntries(entries);
  }

  private string(quote: string): string {
    let out = '';
    for (this.at++; this.at < this.text.length; this.at++) {
      const c = this.text.charAt(this.at);
      if (c === quote) {
        this.at++;
        return out;
      }
      out += c === '\\' ? this.escape() : c;
    }
    throw this.wrong();
  }

  private escape(): string {
    const c = this.text[++this.at] ?? '';
    const digits = HEX_DIGITS[c];
    if (digits === undefined) return ESCAPES[c] ?? `\\${c}`;
    const code = Number.parseInt(this.text.slice(this.at + 1, this.at + 1 + digits), 16);
    if (!(code >= 0 && code <= 0x10ffff)) throw this.wrong();
    this.at += digits;
    return String.fromCodePoint(code);
  }

  private take(c: string): boolean {
    if (!this.sees(c)) return false;
    this.at++;
    return true;
  }

  private sees(c: string): boolean {
    this.blanks();
    return this.text[this.at] === c;
  }

  private blanks(): void {
    while (/\s/.test(this.text[this.at] ?? '')) this.at++;
  }

  private wrong(): SyntaxError {
    return new SyntaxError(`it is no Python literal at character ${this.at + 1}`);
  }
}
