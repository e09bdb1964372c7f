// The driver's end of the channel: a loopback HTTP server that performs one user action per request.
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Page } from 'playwright-core';
import type { UserAction, UserActionAnswer } from './commands.ts';

const ACTION_DEADLINE_MS = 20_000;
const LOOK_MS = 50;

export interface Driver {
  readonly url: string;
  close(): Promise<void>;
}

/** @param currentPage  the workbench's page; it changes when the window is restarted */
export async function startDriver(currentPage: () => Page | undefined): Promise<Driver> {
  const server = createServer((request, response) => {
    void answer(request, currentPage()).then((body) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify(body));
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/`,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

async function answer(request: IncomingMessage, page: Page | undefined): Promise<UserActionAnswer> {
  try {
    if (page === undefined) throw new Error('no workbench page is open');
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = await perform(page, JSON.parse(Buffer.concat(chunks).toString('utf8')) as UserAction);
    return text === undefined ? { ok: true } : { ok: true, text };
  } catch (error) {
    return { ok: false, error: error instanceof Error ? error.message : String(error) };
  }
}

async function perform(page: Page, action: UserAction): Promise<string | undefined> {
  switch (action.do) {
    case 'press':
      await page.keyboard.press(action.keys);
      return undefined;
    case 'type':
      await page.keyboard.type(action.text, { delay: action.delayMs });
      return undefined;
    case 'typeUntil': {
      await page.evaluate(watchFor(action.selector, action.timeoutMs));
      await page.keyboard.type(action.text);
      const took = await page.evaluate<number | null>('window.hindsightSeen');
      if (took === null) throw new Error(`nothing matched ${action.selector} within ${action.timeoutMs} ms`);
      return String(took);
    }
    case 'click':
      await page.locator(action.selector).first().click({ timeout: ACTION_DEADLINE_MS });
      return undefined;
    case 'clickText':
      await page.getByText(action.text, { exact: false }).first().click({ timeout: ACTION_DEADLINE_MS });
      return undefined;
    case 'waitForSelector':
      await untilVisible(page, action.selector, action.timeoutMs);
      return undefined;
    case 'read': {
      const element = page.locator(action.selector).first();
      const label = await element.getAttribute('aria-label', { timeout: ACTION_DEADLINE_MS });
      return `${await element.innerText()}\n${label ?? ''}`;
    }
    case 'count':
      return String(await page.locator(action.selector).count());
    case 'screenshot': {
      const target = action.selector === undefined ? page : page.locator(action.selector).first();
      await target.screenshot({ path: action.file, timeout: ACTION_DEADLINE_MS });
      return undefined;
    }
    case 'reload':
      // Not awaited to the end: the suite that asked is gone before the page has loaded again.
      void page.reload().catch(() => undefined);
      return undefined;
  }
}

/** Looks a few times a second: Playwright's own wait looks at every frame, which makes the page paint all the time. */
async function untilVisible(page: Page, selector: string, timeoutMs: number): Promise<void> {
  const element = page.locator(selector).first();
  for (const end = Date.now() + timeoutMs; !(await element.isVisible()); await new Promise((resolve) => setTimeout(resolve, LOOK_MS))) {
    if (Date.now() > end) throw new Error(`${selector} was not visible within ${timeoutMs} ms`);
  }
}

/**
 * A program for the page: milliseconds from the last key to the frame after the change that brought the element, so that
 * the figure holds none of the way to this process. Its last value is not its promise, which would be waited for.
 */
function watchFor(selector: string, timeoutMs: number): string {
  return `{
    let pressed = performance.now();
    const hear = (event) => { pressed = event.timeStamp; };
    window.addEventListener('keydown', hear, true);
    window.hindsightSeen = new Promise((resolve) => {
      const end = (took) => {
        window.removeEventListener('keydown', hear, true);
        changes.disconnect();
        clearTimeout(late);
        resolve(took);
      };
      const late = setTimeout(() => end(null), ${timeoutMs});
      const changes = new MutationObserver(() => {
        if (![...document.querySelectorAll(${JSON.stringify(selector)})].some((each) => each.getClientRects().length > 0)) return;
        changes.disconnect();
        requestAnimationFrame(() => end(performance.now() - pressed));
      });
      changes.observe(document.body, { subtree: true, childList: true, attributes: true, attributeFilter: ['class', 'style'] });
    });
    null;
  }`;
}
