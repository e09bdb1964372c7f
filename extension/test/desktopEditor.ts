// The same suites in a desktop VS Code, where one is installed or can be downloaded.
// The driver reaches its window over Chromium's debugging protocol, so the keys are as real as in the browser.
import { downloadAndUnzipVSCode, resolveCliArgsFromVSCodeExecutablePath, runTests } from '@vscode/test-electron';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { chromium, type Browser, type Page } from 'playwright-core';
import { runToEnd } from './commandLine.ts';
import { TEST_ENV } from './driver/commands.ts';
import { startDriver } from './driver/server.ts';
import { freePort } from './freePort.ts';
import { QUIET_SETTINGS, trustOf, type EditorUnderTest, type JourneyPlace, type LaunchOrder } from './journey.ts';

export class DesktopEditor implements EditorUnderTest {
  readonly description: string;
  #browser: Browser | undefined;

  /** @param executable  a desktop VS Code; undefined downloads the stable one into .vscode-test/ */
  constructor(private readonly executable: string | undefined) {
    this.description = `desktop VS Code (${executable ?? 'downloaded'})`;
  }

  async install(place: JourneyPlace, vsix: string): Promise<void> {
    const [program = '', ...fixed] = resolveCliArgsFromVSCodeExecutablePath(this.executable ?? (await downloadAndUnzipVSCode()), { reuseMachineInstall: true });
    await runToEnd(program, [...fixed, '--install-extension', vsix, '--user-data-dir', path.join(place.userData, 'data'), '--extensions-dir', path.join(place.userData, 'extensions')]);
  }

  async launch(order: LaunchOrder): Promise<void> {
    const port = await freePort();
    let page: Page | undefined;
    const driver = await startDriver(() => page);
    const trust = trustOf(order);
    const data = path.join(order.place.userData, 'data');
    await mkdir(path.join(data, 'User'), { recursive: true });
    await writeFile(path.join(data, 'User/settings.json'), JSON.stringify({ ...QUIET_SETTINGS, ...trust.settings, ...order.settings }, null, 2));
    const attached = this.#attach(port).then((found) => {
      page = found;
    });
    attached.catch(() => undefined);
    try {
      const code = await runTests({
        ...(this.executable === undefined ? {} : { vscodeExecutablePath: this.executable }),
        extensionDevelopmentPath: order.extension,
        extensionTestsPath: path.join(order.suiteFolder, 'index.js'),
        extensionTestsEnv: { ...order.env, [TEST_ENV.driver]: driver.url },
        timeout: order.timeoutMs,
        launchArgs: [
          order.place.workspace, `--remote-debugging-port=${port}`, `--user-data-dir=${data}`, `--extensions-dir=${path.join(order.place.userData, 'extensions')}`,
          ...trust.flags, '--skip-welcome', '--skip-release-notes', '--no-sandbox',
        ],
      });
      if (code !== 0) throw new Error(`the editor ended with ${code}`);
    } finally {
      await driver.close();
      await this.stop();
    }
  }

  async stop(): Promise<void> {
    const browser = this.#browser;
    this.#browser = undefined;
    await browser?.close().catch(() => undefined);
  }

  async #attach(port: number): Promise<Page> {
    for (const deadline = Date.now() + 120_000; Date.now() < deadline; ) {
      try {
        this.#browser ??= await chromium.connectOverCDP(`http://127.0.0.1:${port}`);
        const page = this.#browser.contexts().flatMap((context) => context.pages()).find((each) => each.url().includes('workbench'));
        if (page !== undefined) return page;
      } catch {
        // The window is not there yet.
        this.#browser = undefined;
      }
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    throw new Error('no workbench window could be reached for its keys');
  }
}
