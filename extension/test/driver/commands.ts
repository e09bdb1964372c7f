// What a suite may ask of the driver: the actions of a person at the keyboard, done in the real workbench page.
// The suite runs in the extension host and cannot press keys; the driver holds the page and can.

export type UserAction =
  /** Keys as Playwright names them: `Tab`, `Control+Z`, `Control+Shift+P`. */
  | { readonly do: 'press'; readonly keys: string }
  | { readonly do: 'type'; readonly text: string; readonly delayMs: number }
  /** Types, and tells the milliseconds from the last key, as the page heard of it, to the frame in which an element is there. */
  | { readonly do: 'typeUntil'; readonly text: string; readonly selector: string; readonly timeoutMs: number }
  | { readonly do: 'click'; readonly selector: string }
  | { readonly do: 'clickText'; readonly text: string }
  | { readonly do: 'waitForSelector'; readonly selector: string; readonly timeoutMs: number }
  /** The text of the first element that matches, and its accessible name. */
  | { readonly do: 'read'; readonly selector: string }
  /** How many elements match now. */
  | { readonly do: 'count'; readonly selector: string }
  | { readonly do: 'screenshot'; readonly file: string; readonly selector?: string }
  /** Reloads the window: the extension host ends, and the suite starts from its beginning in a new one. */
  | { readonly do: 'reload' };

export type UserActionAnswer = { readonly ok: true; readonly text?: string } | { readonly ok: false; readonly error: string };

/** The environment through which the runner speaks to a suite. */
export const TEST_ENV = {
  driver: 'HINDSIGHT_TEST_DRIVER',
  result: 'HINDSIGHT_TEST_RESULT',
  output: 'HINDSIGHT_TEST_OUTPUT',
  /** Which launch of a journey this is, counted from 1. */
  launch: 'HINDSIGHT_TEST_LAUNCH',
  /** The repository's root. */
  root: 'HINDSIGHT_TEST_ROOT',
  /** The folder for pictures. */
  pictures: 'HINDSIGHT_TEST_PICTURES',
} as const;

/** What a suite writes when it has run: an editor's exit code 0 alone proves nothing. */
export interface SuiteResult {
  readonly passes: number;
  readonly failures: number;
  readonly pending: number;
  readonly durationMs: number;
}
