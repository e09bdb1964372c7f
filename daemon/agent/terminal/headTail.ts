/** The beginning and the end of a long text: what was asked for, and how it went. */

export interface CappedText {
  text: string;
  /** UTF-16 units of the whole. */
  total: number;
  /** Of them not in `text`; 0 = nothing was left out. */
  leftOut: number;
}

export interface Cap {
  /** UTF-16 units kept of the beginning and of the end. */
  head: number;
  tail: number;
}

/** Keeps memory to the cap, however much comes. The result depends on the text alone, not on its pieces. */
export class HeadTail {
  #head = '';
  #tail = '';
  #total = 0;

  constructor(private readonly cap: Cap) {}

  write(text: string): void {
    this.#total += text.length;
    const room = Math.max(0, this.cap.head - this.#head.length);
    this.#head += text.slice(0, room);
    this.#tail += text.slice(room);
    // Cut now and then, not at every piece.
    if (this.#tail.length > 2 * this.cap.tail + 4096) this.#tail = last(this.#tail, this.cap.tail);
  }

  result(): CappedText {
    const { cap } = this;
    if (this.#total <= cap.head + cap.tail) return { text: this.#head + this.#tail, total: this.#total, leftOut: 0 };
    // No half of a surrogate pair on either side of the gap.
    const head = /[\ud800-\udbff]$/.test(this.#head) ? this.#head.slice(0, -1) : this.#head;
    const end = last(this.#tail, cap.tail);
    const tail = /^[\udc00-\udfff]/.test(end) ? end.slice(1) : end;
    const leftOut = this.#total - head.length - tail.length;
    return { text: `${head}\n[… ${leftOut} characters left out …]\n${tail}`, total: this.#total, leftOut };
  }
}

export function capped(text: string, cap: Cap): CappedText {
  const kept = new HeadTail(cap);
  kept.write(text);
  return kept.result();
}

function last(text: string, count: number): string {
  return count === 0 ? '' : text.slice(-count);
}
