/** Texts as lines that keep their terminators, so that CRLF and a missing last newline survive. */

/** Some lines replaced by others. Lines keep their terminators. */
export interface Hunk {
  /** Index of the first replaced line, counted after the hunks above have been applied. */
  line: number;
  /** Number of lines that go. */
  removed: number;
  /** Lines that come. Only the last line of a file may lack its terminator. */
  added: string[];
}

export function splitLines(text: string): string[] {
  return text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
}

/** A line in its three parts: `indent + body + end`. `body` is empty for a blank line. */
export function partsOf(line: string): { indent: string; body: string; end: string } {
  const end = /\r?\n$/.exec(line)?.[0] ?? '';
  const content = line.slice(0, line.length - end.length);
  const indent = /^[ \t]*/.exec(content)?.[0] ?? '';
  return { indent, body: content.slice(indent.length), end };
}

/** @returns the text after the hunks, or null where a hunk lies outside of it */
export function applyHunks(text: string, hunks: readonly Hunk[]): string | null {
  const lines = splitLines(text);
  for (const hunk of hunks) {
    if (hunk.line + hunk.removed > lines.length) return null;
    lines.splice(hunk.line, hunk.removed, ...hunk.added);
  }
  return lines.join('');
}
