/** What is done to every text before it is looked at, in training and in use alike. */

/** A classifier sees the head and the tail of an output: tools say first what and last how it ended. */
const HEAD = 900;
const TAIL = 1500;
/** What is kept of either end before colours and painted-over lines are taken out. */
const BOUND = 16_000;

const CONTROL = /\u001b\[[0-9;?]*[ -/]*[@-~]|\u001b\][^\u0007\u001b]*(?:\u0007|\u001b\\)|\u001b[@-_]|[\u0000-\u0008\u000b\u000c\u000d-\u001f\u007f]/g;

/** Without ANSI sequences and control characters; a carriage return starts the line over, as on a terminal. */
export function stripControl(text: string): string {
  const lines = text.replace(/\r+\n/g, '\n').split('\n').map((line) => line.slice(line.replace(/\r+$/, '').lastIndexOf('\r') + 1));
  return lines.join('\n').replace(CONTROL, '');
}

/** At most HEAD + TAIL characters, cut at line ends where there are any. */
export function capText(text: string): string {
  if (text.length <= HEAD + TAIL) return text;
  const head = text.slice(0, HEAD);
  const tail = text.slice(-TAIL);
  const headEnd = head.lastIndexOf('\n');
  const tailStart = tail.indexOf('\n');
  return `${headEnd > HEAD / 2 ? head.slice(0, headEnd) : head}\n…\n${tailStart >= 0 && tailStart < TAIL / 2 ? tail.slice(tailStart + 1) : tail}`;
}

/** The two ends of a text of any size, in time that does not grow with it: no later step need fear its length. */
export function boundText(text: string): string {
  return text.length <= 2 * BOUND ? text : `${text.slice(0, BOUND)}\n${text.slice(-BOUND)}`;
}
