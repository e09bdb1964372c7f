// The beginning and the end of what a command writes, as it comes: memory stays bounded however much that is.

/** UTF-16 units that are kept of either end. */
const HEAD = 16 * 1024;
const TAIL = 64 * 1024;

export class OutputEnds {
  #head = '';
  #tail = '';
  #cut = false;

  write(chunk: string): void {
    const room = HEAD - this.#head.length;
    if (room > 0) this.#head += chunk.slice(0, room);
    this.#tail += chunk.slice(Math.max(0, room));
    if (this.#tail.length <= 2 * TAIL) return;
    this.#cut = true;
    this.#tail = this.#tail.slice(-TAIL);
  }

  /** Both ends, cut at line ends: half of a line could be half of a secret, which nobody would recognise. */
  text(): string {
    if (!this.#cut && this.#tail.length <= TAIL) return this.#head + this.#tail;
    const tail = this.#tail.slice(-TAIL);
    return `${this.#head.slice(0, this.#head.lastIndexOf('\n') + 1)}[…]\n${tail.slice(tail.indexOf('\n') + 1 || tail.length)}`;
  }
}
