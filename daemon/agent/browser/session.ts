/**
 * A page in an installed Chromium or Chrome (playwright-core), for the length of one task. Read by its
 * accessibility tree and console; what an action changed in them is its next state.
 *
 * Reach. Until the user has agreed to another host, the browser itself resolves none but this machine:
 * no link, redirect, script or image of a page gets out. After that it reaches the network, and a page
 * on a host that the user did not agree to is left at once.
 */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { HindsightError } from '../../../protocol/errors.ts';

const ACTION_MS = 10_000;
const SETTLE_MS = 3000;
const QUIET_MS = 200;
const CONSOLE_LINES = 30;
const CONSOLE_CHARS = 300;

const NAMES = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome', 'microsoft-edge'];
/** A proxy would resolve names itself, so there is none. */
const NO_NETWORK = ['--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost, EXCLUDE *.localhost, EXCLUDE [::1]', '--no-proxy-server'];

export interface PageState {
  url: string;
  title: string;
  /** With the names (`ref`) by which elements are clicked. */
  tree: string;
}

export interface PageChange extends PageState {
  added: string[];
  removed: string[];
  console: string[];
}

/** Whether a page is on this machine: the browser may open it without asking. */
export function isLoopback(url: URL): boolean {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  return host === 'localhost' || host.endsWith('.localhost') || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

/** @throws badRequest for what is not the address of a page */
export function pageAddress(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:') || url.username !== '' || url.password !== '') {
    throw new HindsightError('badRequest', { problem: `${text} is not the address of a page`, remedy: 'Give one that begins with http:// or https://.' });
  }
  return url;
}

export class BrowserSession {
  readonly #hosts = new Set<string>();
  readonly #console: string[] = [];
  #browser: Browser | null = null;
  #page: Page | null = null;
  #reach: 'loopback' | 'network' = 'loopback';
  #last = '';

  /** Hosts that the user agreed to. */
  allows(url: URL): boolean {
    return isLoopback(url) || this.#hosts.has(url.host);
  }

  /** The user agreed to a host that is not this machine. */
  async allow(url: URL): Promise<void> {
    this.#hosts.add(url.host);
    if (this.#reach === 'network') return;
    this.#reach = 'network';
    await this.close();
  }

  async open(url: URL): Promise<PageChange> {
    if (!this.allows(url)) throw new HindsightError('badRequest', { problem: `The user has not agreed to ${url.host}`, remedy: 'Ask for it.' });
    const page = await this.#ready();
    return this.#acting(async () => {
      await page.goto(url.href, { timeout: ACTION_MS, waitUntil: 'load' });
    });
  }

  /** @param ref  of an element in the last tree */
  click(ref: string): Promise<PageChange> {
    return this.#acting((page) => page.locator(`aria-ref=${checked(ref)}`).click({ timeout: ACTION_MS }));
  }

  type(ref: string, text: string, then: 'stay' | 'submit'): Promise<PageChange> {
    return this.#acting(async (page) => {
      const element = page.locator(`aria-ref=${checked(ref)}`);
      await element.fill(text, { timeout: ACTION_MS });
      if (then === 'submit') await element.press('Enter', { timeout: ACTION_MS });
    });
  }

  /** What an element is, for a person: `button "Save"`. */
  nameOf(ref: string): string {
    const line = this.#last.split('\n').find((each) => each.includes(`[ref=${ref}]`));
    return /- (\w+(?: "[^"]*")?)/.exec(line ?? '')?.[1] ?? ref;
  }

  read(): Promise<PageChange> {
    return this.#acting(() => Promise.resolve());
  }

  async close(): Promise<void> {
    const browser = this.#browser;
    this.#browser = this.#page = null;
    this.#last = '';
    await browser?.close().catch(() => undefined);
  }

  async #acting(act: (page: Page) => Promise<unknown>): Promise<PageChange> {
    const page = this.#page;
    if (page === null) throw new HindsightError('badRequest', { problem: 'No page is open', remedy: 'Open one first.' });
    this.#console.length = 0;
    const before = this.#last;
    try {
      await act(page);
    } catch (thrown) {
      throw new HindsightError('badRequest', { problem: firstLine(thrown), remedy: 'Read the page again: elements have other names after it changed.' });
    }
    const tree = await settled(page);
    this.#last = tree;
    return { url: page.url(), title: await page.title(), tree, ...difference(before, tree), console: [...this.#console] };
  }

  async #ready(): Promise<Page> {
    if (this.#page !== null && this.#browser?.isConnected()) return this.#page;
    this.#browser = await launch(this.#reach);
    const context = await this.#browser.newContext({ acceptDownloads: false, serviceWorkers: 'block' });
    const page = await context.newPage();
    this.#page = page;
    const say = (line: string): void => void (this.#console.length < CONSOLE_LINES && this.#console.push(line.slice(0, CONSOLE_CHARS)));
    page.on('console', (message) => say(`${message.type()}: ${message.text()}`));
    page.on('pageerror', (error) => say(`error: ${error.message}`));
    page.on('requestfailed', (request) => say(`not loaded: ${request.url()} (${request.failure()?.errorText ?? 'unknown'})`));
    page.on('dialog', (dialog) => {
      say(`dialog: ${dialog.message()}`);
      void dialog.dismiss().catch(() => undefined);
    });
    // A window of its own would be outside what is read here.
    context.on('page', (other) => {
      if (other !== page) void other.close().catch(() => undefined);
    });
    page.on('framenavigated', (frame) => this.#leaveStranger(page, frame.url(), say));
    return page;
  }

  #leaveStranger(page: Page, address: string, say: (line: string) => void): void {
    if (!/^https?:/.test(address) || this.allows(new URL(address))) return;
    say(`left ${new URL(address).host}: the user has not agreed to it`);
    void page.goto('about:blank').catch(() => undefined);
  }
}

async function launch(reach: 'loopback' | 'network'): Promise<Browser> {
  const { chromium } = await import('playwright-core');
  const executable = findBrowser();
  const args = ['--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage', ...(reach === 'loopback' ? NO_NETWORK : [])];
  try {
    // Only root cannot have Chromium's own sandbox.
    return await chromium.launch({ headless: true, args, chromiumSandbox: process.getuid?.() !== 0, ...(executable === null ? { channel: 'chrome' } : { executablePath: executable }) });
  } catch (thrown) {
    throw new HindsightError('unsupported', { what: 'The browser', problem: firstLine(thrown), remedy: 'Install Chromium or Chrome, or set HINDSIGHT_CHROMIUM to its executable.' });
  }
}

function findBrowser(): string | null {
  const named = process.env['HINDSIGHT_CHROMIUM'];
  if (named) return named;
  const places = (process.env['PATH'] ?? '').split(delimiter).flatMap((folder) => NAMES.map((name) => join(folder, name)));
  return places.find(isExecutable) ?? null;
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The tree once it no longer changes, or after a while. */
async function settled(page: Page): Promise<string> {
  let last = '';
  for (const end = Date.now() + SETTLE_MS; Date.now() < end; ) {
    const tree = await page.ariaSnapshot({ mode: 'ai', timeout: ACTION_MS }).catch(() => '');
    if (tree === last && tree !== '') return tree;
    last = tree;
    await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
  }
  return last;
}

/** Lines of a tree that came and went, without the names of elements, which count anew. */
export function difference(before: string, after: string): { added: string[]; removed: string[] } {
  const lines = (tree: string): string[] => tree.split('\n').map((line) => line.replace(/ \[(ref=\w+|active|cursor=\w+)\]/g, '').trim()).filter((line) => line !== '');
  const left = (from: string[], without: string[]): string[] => {
    const counts = new Map<string, number>();
    for (const line of without) counts.set(line, (counts.get(line) ?? 0) + 1);
    return from.filter((line) => {
      const count = counts.get(line) ?? 0;
      counts.set(line, count - 1);
      return count <= 0;
    });
  };
  const [old, now] = [lines(before), lines(after)];
  return { added: left(now, old), removed: left(old, now) };
}

function checked(ref: string): string {
  if (!/^\w+$/.test(ref)) throw new HindsightError('badRequest', { problem: `${ref} is not the name of an element`, remedy: 'Use a ref of the page, such as e12.' });
  return ref;
}

function firstLine(thrown: unknown): string {
  return (thrown instanceof Error ? thrown.message : String(thrown)).replace(/\x1b\[[0-9;]*m/g, '').split('\n')[0] ?? '';
}
