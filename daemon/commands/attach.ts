/** `hindsight attach` and `detach`: an engine on another machine, for the daemon of this user. */
import { createInterface } from 'node:readline/promises';
import { Option } from 'commander';
import type { Command } from 'commander';
import { HindsightError } from '../../protocol/errors.ts';
import { engineAttach, engineDetach, engineProbe } from '../../protocol/remote.ts';
import type { RemoteStatus } from '../../protocol/remote.ts';
import { call } from '../../protocol/transport.ts';
import { withDaemon, workspaceUri } from './client.ts';
import { print, say, withJson } from './output.ts';
import type { JsonOption } from './output.ts';

interface AttachFlags extends JsonOption {
  workspace?: string;
  model?: string;
  serve?: RemoteStatus['serve'];
  train?: RemoteStatus['train'];
  yes?: boolean;
}

/** A large model may have to be opened there first. */
const ATTACH_SECONDS = 660;

export function registerAttach(program: Command): void {
  const sides = (name: string, what: string): Option => new Option(`--${name} <side>`, what).choices(['remote', 'local']);
  withJson(program.command('attach <pairing>'))
    .description('serve and train a workspace on an engine of another machine; - reads the pairing line from stdin')
    .option('--workspace <folder>', 'folder or URI (default: the current folder)')
    .option('--model <name>', 'one of the engine’s models (default: its first)')
    .addOption(sides('serve', 'which engine serves (default: remote)'))
    .addOption(sides('train', 'which engine trains (default: remote)'))
    .option('--yes', 'do not ask whether token ids may be sent there')
    .action(attach);
  withJson(program.command('detach')).description('leave the attached engine; everything is local again').action(detach);
}

async function attach(line: string, flags: AttachFlags): Promise<void> {
  const pairing = line === '-' ? await fromStdin() : line;
  const workspace = workspaceUri(flags.workspace);
  await withDaemon(workspace, async ({ link }) => {
    const found = await call(link, engineProbe, { pairing });
    say(`${found.address}: ${found.device}, Hindsight ${found.version}, ${Math.round(found.latencyMs)} ms away, offers ${found.models.join(', ')}.`);
    if (flags.yes !== true && !(await agreed(workspace, found.address))) throw new HindsightError('cancelled');
    const { model, serve, train } = flags;
    const status = await call(link, engineAttach, { pairing, workspace, remember: true, ...(model !== undefined && { model }), ...(serve && { serve }), ...(train && { train }) }, { deadline: ATTACH_SECONDS });
    print({ workspace, ...status }, `${status.model} on ${status.device} at ${status.address}: serves ${status.serve}, trains ${status.train}. \`hindsight detach\` takes it back.`, flags);
  });
}

async function detach(flags: JsonOption): Promise<void> {
  await withDaemon(workspaceUri(), async ({ link }) => {
    const { detached } = await call(link, engineDetach, {});
    print({ detached }, detached ? 'Everything is local again.' : 'No engine was attached.', flags);
  });
}

/** A question that nobody can answer is a no. */
async function agreed(workspace: string, address: string): Promise<boolean> {
  if (!process.stdin.isTTY) throw new HindsightError('badRequest', { problem: 'Nobody can be asked whether token ids of this workspace may be sent there', remedy: 'Say --yes.' });
  const asking = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await asking.question(`Token ids of prompts, completions and lessons of ${workspace}, and its adapters, will be sent to ${address}. No file, path or text is. Go on? [y/N] `)).trim());
  } finally {
    asking.close();
  }
}

async function fromStdin(): Promise<string> {
  let text = '';
  for await (const chunk of process.stdin.setEncoding('utf8')) text += chunk as string;
  return text.trim();
}
