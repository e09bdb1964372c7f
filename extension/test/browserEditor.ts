// A real VS Code without a desktop: the extension host of its server, its workbench in headless Chromium.
import { spawn, type ChildProcess } from 'node:child_process';
import { appendFileSync, openSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { chromium, type BrowserContext, type Page } from 'playwright-core';
import { runToEnd } from './commandLine.ts';
import { startDriver, type Driver } from './driver/server.ts';
import { TEST_ENV } from './driver/commands.ts';
import { freePort } from './freePort.ts';
import { QUIET_SETTINGS, trustOf, type EditorUnderTest, type JourneyPlace, type LaunchOrder } from './journey.ts';
import type { PreparedEditor } from './prepare.ts';

const BROWSER_FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage',
];
const KEY_PATH = '/mint-key';
const KEY_BYTES = 32;
const LICENCE = ['--accept-server-license-terms'];
/** A busy machine takes minutes to start an editor. */
const START_MS = 240_000;
const VIEWPORT = { width: 1400, height: 860 };

/** The port stays the same over all launches: the workbench keeps its state in the browser by origin. */
export class BrowserEditor implements EditorUnderTest {
  readonly description: string;
  #server: ChildProcess | undefined;
  #context: BrowserContext | undefined;
  #page: Page | undefined;
  #driver: Driver | undefined;
  #port: number | undefined;

  constructor(private readonly prepared: PreparedEditor) {
    this.description = `VS Code ${prepared.version} in headless Chromium (code-server)`;
  }

  async install(place: JourneyPlace, vsix: string): Promise<void> {
    const args = [this.prepared.serverEntry, '--install-extension', vsix, '--user-data-dir', path.join(place.userData, 'data'), '--extensions-dir', path.join(place.userData, 'extensions')];
    await runToEnd(this.prepared.node, [...args, ...LICENCE], { env: { ...withoutOuterEditor(process.env), EXTENSIONS_GALLERY: '{}' }, timeoutMs: 120_000 });
  }

  async launch(order: LaunchOrder): Promise<void> {
    this.#port ??= await freePort();
    this.#driver = await startDriver(() => this.#page);
    try {
      await this.#startServer(order, this.#port, this.#driver);
      await this.#runInPage(order, `127.0.0.1:${this.#port}`);
    } finally {
      await this.stop();
    }
  }

  async stop(): Promise<void> {
    const [context, server, driver] = [this.#context, this.#server, this.#driver];
    this.#context = this.#server = this.#driver = this.#page = undefined;
    await context?.close().catch(() => undefined);
    if (server !== undefined) await endProcessGroup(server);
    await driver?.close();
  }

  async #startServer(order: LaunchOrder, port: number, driver: Driver): Promise<void> {
    const { place } = order;
    const trust = trustOf(order);
    const data = path.join(place.userData, 'data');
    const extensions = path.join(place.userData, 'extensions');
    await mkdir(path.join(data, 'User'), { recursive: true });
    await mkdir(extensions, { recursive: true });
    await writeFile(path.join(data, 'User/settings.json'), JSON.stringify({ ...QUIET_SETTINGS, ...trust.settings, ...order.settings }, null, 2));
    const logFile = path.join(place.logs, 'server.log');
    const log = openSync(logFile, 'a');
    const args = [
      this.prepared.serverEntry, '--host', '127.0.0.1', '--port', String(port), '--without-connection-token', ...LICENCE, '--disable-telemetry',
      // Without it the page ignores which extension is developed, and its tests.
      '--enable-smoke-test-driver',
      ...trust.flags, '--disable-getting-started-override', '--server-data-dir', place.userData, '--user-data-dir', data, '--extensions-dir', extensions,
    ];
    const env = {
      ...withoutOuterEditor(process.env),
      ...order.env,
      [TEST_ENV.driver]: driver.url,
      EXTENSIONS_GALLERY: '{}',
    };
    this.#server = spawn(this.prepared.node, args, { env, stdio: ['ignore', log, log], detached: true });
    const server = this.#server;
    const deadline = Date.now() + START_MS;
    while (!(await isHealthy(port))) {
      if (server.exitCode !== null) throw new Error(`the editor's server ended with ${server.exitCode} at its start\n${readFileSync(logFile, 'utf8').slice(-2000)}`);
      if (Date.now() > deadline) throw new Error(`the editor's server did not answer within ${START_MS / 1000} s; see ${logFile}`);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }

  async #runInPage(order: LaunchOrder, authority: string): Promise<void> {
    const { place } = order;
    this.#context = await chromium.launchPersistentContext(path.join(place.userData, 'browser'), {
      executablePath: this.prepared.chromium,
      headless: true,
      args: BROWSER_FLAGS,
      viewport: VIEWPORT,
      timeout: START_MS,
    });
    const page = this.#context.pages()[0] ?? (await this.#context.newPage());
    this.#page = page;
    const workbenchLog = path.join(place.logs, 'workbench.log');
    // Both functions must be there before the workbench loads: it looks for them when the tests end.
    await page.exposeFunction('codeAutomationLog', (type: string, args: unknown[]) => appendFileSync(workbenchLog, `[${type}] ${args.map(String).join(' ')}\n`));
    const ended = new Promise<void>((resolve) => {
      void page.exposeFunction('codeAutomationExit', () => resolve());
    });
    const broken = new Promise<never>((_resolve, reject) => {
      page.on('crash', () => reject(new Error('the workbench page crashed')));
      page.on('close', () => reject(new Error('the workbench page was closed')));
      this.#server?.on('exit', (code) => reject(new Error(`the editor's server ended with ${code} under the suite`)));
    });
    broken.catch(() => undefined);
    // Without a half of the key from its server, the page's secret storage would end with the window.
    await this.#context.addCookies([{ name: 'vscode-secret-key-path', value: KEY_PATH, url: `http://${authority}` }]);
    await page.route(`**${KEY_PATH}`, (route) => route.fulfill({ contentType: 'application/octet-stream', body: Buffer.alloc(KEY_BYTES, 1) }));
    page.on('dialog', (dialog) => void dialog.accept().catch(() => undefined));
    await page.goto(workbenchUrl(order, authority), { timeout: START_MS });
    await beforeDeadline(Promise.race([ended, broken]), order.timeoutMs, async () => {
      const picture = path.join(place.logs, 'timeout.png');
      await page.screenshot({ path: picture }).catch(() => undefined);
      return `the suite did not end within ${order.timeoutMs / 1000} s; what the window showed then: ${picture}`;
    });
  }
}

function workbenchUrl(order: LaunchOrder, authority: string): string {
  const remote = (file: string): string => `vscode-remote://${authority}${file.split(path.sep).map(encodeURIComponent).join('/')}`;
  const payload = [
    ['extensionDevelopmentPath', remote(order.extension)],
    ['extensionTestsPath', remote(path.join(order.suiteFolder, 'index.js'))],
    ['skipWelcome', 'true'],
  ];
  return `http://${authority}/?folder=${encodeURIComponent(order.place.workspace)}&payload=${encodeURIComponent(JSON.stringify(payload))}`;
}

async function beforeDeadline(work: Promise<void>, timeoutMs: number, explain: () => Promise<string>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<'late'>((resolve) => {
    timer = setTimeout(() => resolve('late'), timeoutMs);
  });
  const first = await Promise.race([work, late]).finally(() => clearTimeout(timer));
  if (first === 'late') throw new Error(await explain());
}

/** Variables of an editor in whose terminal this runs would change the editor under test. */
function withoutOuterEditor(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !/^(VSCODE_|ELECTRON_|NODE_OPTIONS$|PORT$)/.test(name)));
}

async function endProcessGroup(leader: ChildProcess): Promise<void> {
  const { pid } = leader;
  if (pid === undefined) return;
  const gone = leader.exitCode !== null || leader.signalCode !== null ? Promise.resolve() : new Promise<void>((resolve) => leader.once('exit', () => resolve()));
  signalGroup(pid, 'SIGTERM');
  await Promise.race([gone, new Promise((resolve) => setTimeout(resolve, 5000))]);
  // The extension host may outlive its server; nothing of the group stays.
  signalGroup(pid, 'SIGKILL');
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

async function isHealthy(port: number): Promise<boolean> {
  try {
    return (await fetch(`http://127.0.0.1:${port}/version`, { signal: AbortSignal.timeout(2000) })).ok;
  } catch {
    return false;
  }
}
