// Runs the editor suites: prepares an editor, bundles each suite, launches, and believes only the suite's own result.
import { existsSync, readFileSync, statSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { build } from 'esbuild';
import { BrowserEditor } from './browserEditor.ts';
import { DesktopEditor } from './desktopEditor.ts';
import { TEST_ENV, type SuiteResult } from './driver/commands.ts';
import { isPassed, makePlace, type EditorUnderTest, type Journey, type JourneyPlace, type Launch } from './journey.ts';
import { JOURNEYS } from './journeys.ts';
import { EDITIONS, prepareEditor, type EditionName } from './prepare.ts';

const USAGE = `usage: npm run test:editor -- [JOURNEY…] [--prepare] [--desktop] [--pictures]
  JOURNEY    only these (${JOURNEYS.map((each) => each.name).join(', ')}); all but the long ones when none is named, with HINDSIGHT_FULL=1 those too
  --prepare  prepare the editor and stop
  --pictures write the documentation's pictures to docs/images/ (otherwise they stay in the cache)
  --desktop  download a desktop VS Code and run there; HINDSIGHT_VSCODE=PATH uses an installed one
  HINDSIGHT_EDITOR=oldest runs in the oldest supported version instead of the newest`;

const FLAGS = ['--prepare', '--desktop', '--pictures'];

const say = (line: string): void => void process.stdout.write(`[editor] ${line}\n`);

/** @returns the exit code */
export async function main(root: string, args: readonly string[]): Promise<number> {
  const wanted = args.filter((arg) => !arg.startsWith('--'));
  const flags = new Set(args.filter((arg) => arg.startsWith('--')));
  const unknown = [...wanted.filter((name) => !JOURNEYS.some((each) => each.name === name)), ...[...flags].filter((flag) => !FLAGS.includes(flag))];
  if (unknown.length > 0) {
    process.stderr.write(`unknown: ${unknown.join(', ')}\n${USAGE}\n`);
    return 2;
  }
  const cache = path.join(root, '.cache/editor');
  const editor = await chooseEditor(cache, flags.has('--desktop'));
  if (flags.has('--prepare')) return 0;
  say(`running in ${editor.description}`);
  const pictures = flags.has('--pictures') ? path.join(root, 'docs/images') : path.join(cache, 'pictures');
  const total = { passed: 0, failed: 0 };
  for (const journey of JOURNEYS) {
    if (wanted.length > 0 ? !wanted.includes(journey.name) : journey.full && process.env['HINDSIGHT_FULL'] !== '1') continue;
    const { passed, failed } = await runJourney({ root, cache, editor, pictures }, journey);
    total.passed += passed;
    total.failed += failed;
  }
  // Read by .ci/summary.mjs.
  process.stdout.write(`editor: ${total.passed} passed, ${total.failed} failed\n`);
  return total.failed === 0 ? 0 : 1;
}

async function chooseEditor(cache: string, download: boolean): Promise<EditorUnderTest> {
  const desktop = process.env['HINDSIGHT_VSCODE'];
  if (desktop !== undefined && desktop !== '') {
    if (!existsSync(desktop)) throw new Error(`HINDSIGHT_VSCODE names ${desktop}, which does not exist`);
    return new DesktopEditor(desktop);
  }
  if (download) return new DesktopEditor(undefined);
  const edition = process.env['HINDSIGHT_EDITOR'] ?? 'newest';
  if (!isEdition(edition)) throw new Error(`HINDSIGHT_EDITOR is ${edition}; it can be ${Object.keys(EDITIONS).join(' or ')}`);
  return new BrowserEditor(await prepareEditor(cache, edition, say));
}

function isEdition(name: string): name is EditionName {
  return Object.hasOwn(EDITIONS, name);
}

/** Tests passed and failed; a launch that ended without a result counts as one failure. */
interface Tally {
  readonly passed: number;
  readonly failed: number;
}

interface Run {
  readonly root: string;
  readonly cache: string;
  readonly editor: EditorUnderTest;
  readonly pictures: string;
}

async function runJourney(run: Run, journey: Journey): Promise<Tally> {
  const started = Date.now();
  let passed = 0;
  const place = await makePlace(run.root, await mkdtemp(path.join(os.tmpdir(), `hindsight-${journey.name}-`)));
  const stopOnSignal = (): void => void run.editor.stop().then(() => process.exit(130));
  process.once('SIGINT', stopOnSignal).once('SIGTERM', stopOnSignal);
  try {
    await journey.arrange?.(place);
    if (journey.vsix !== undefined) await run.editor.install(place, path.join(run.root, journey.vsix));
    for (const [index, launch] of journey.launches.entries()) {
      say(`${journey.name} ${index + 1}/${journey.launches.length}: ${launch.suites.join(', ')}`);
      await launch.before?.(place);
      const result = await runLaunch(run, journey, launch, index + 1, place);
      passed += result.passes;
      if (!isPassed(result)) throw new SuiteFailure(launch.suites.join(', '), result);
    }
  } catch (error) {
    process.stderr.write(`[editor] ${journey.name} FAILED: ${error instanceof Error ? error.message : String(error)}\n${lastErrors(place)}[editor] logs and data are kept in ${place.folder}\n`);
    return { passed, failed: error instanceof SuiteFailure ? Math.max(1, error.result.failures) : 1 };
  } finally {
    process.off('SIGINT', stopOnSignal).off('SIGTERM', stopOnSignal);
    await journey.cleanUp?.(place).catch((error: unknown) => say(`clean-up of ${journey.name}: ${String(error)}`));
  }
  say(`${journey.name} passed in ${((Date.now() - started) / 1000).toFixed(1)} s`);
  await rm(place.folder, { recursive: true, force: true });
  return { passed, failed: 0 };
}

class SuiteFailure extends Error {
  constructor(
    suites: string,
    readonly result: SuiteResult,
  ) {
    super(`${suites}: ${result.failures} of ${result.failures + result.passes} tests failed`);
  }
}

async function runLaunch({ root, cache, editor, pictures }: Run, journey: Journey, launch: Launch, number: number, place: JourneyPlace): Promise<SuiteResult> {
  const name = launch.suites.join('+');
  const suiteFolder = await bundleSuites(root, cache, launch.suites);
  const result = path.join(place.logs, `${number}-${name}.json`);
  const output = path.join(place.logs, `${number}-${name}.out`);
  const following = followFile(output);
  const env = {
    ...journey.env?.(place),
    [TEST_ENV.result]: result,
    [TEST_ENV.output]: output,
    [TEST_ENV.launch]: String(number),
    [TEST_ENV.root]: root,
    [TEST_ENV.pictures]: pictures,
  };
  try {
    await editor.launch({ place, extension: path.join(root, journey.extension), suiteFolder, env, settings: journey.settings ?? {}, trust: journey.trust ?? 'given', timeoutMs: launch.timeoutMs });
  } finally {
    following.stop();
  }
  if (!existsSync(result)) throw new Error(`${name} wrote no result: its extension host ended before the suite did`);
  return JSON.parse(await readFile(result, 'utf8')) as SuiteResult;
}

async function bundleSuites(root: string, cache: string, suites: readonly string[]): Promise<string> {
  const folder = path.join(cache, 'suite', suites.join('+'));
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const source = path.join(root, 'extension/test/suite');
  await build({
    absWorkingDir: root,
    entryPoints: {
      index: path.join(source, 'index.ts'),
      // They run in the order of their names.
      ...Object.fromEntries(suites.map((suite, place) => [`${place}-${suite}.test`, path.join(source, `${suite}.test.ts`)])),
    },
    outdir: folder,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    sourcemap: 'inline',
    external: ['vscode', 'mocha'],
    logLevel: 'warning',
  });
  return folder;
}

/** Shows a growing file on stdout while the suite writes it. */
function followFile(file: string): { stop(): void } {
  let shown = 0;
  const show = (): void => {
    if (!existsSync(file) || statSync(file).size <= shown) return;
    const bytes = readFileSync(file).subarray(shown);
    shown += bytes.length;
    process.stdout.write(bytes);
  };
  const timer = setInterval(show, 200);
  return {
    stop() {
      clearInterval(timer);
      show();
    },
  };
}

function lastErrors(place: JourneyPlace): string {
  const log = path.join(place.logs, 'workbench.log');
  if (!existsSync(log)) return '';
  const errors = readFileSync(log, 'utf8').split(/^(?=\[\w+\] )/m).filter((line) => line.startsWith('[error]'));
  return errors.slice(-5).map((each) => each.split('\n').slice(0, 4).join('\n').trimEnd() + '\n').join('');
}

