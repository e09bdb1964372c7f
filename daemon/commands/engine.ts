/** `hindsight engine`: an engine that answers protocol/engine.ts, on stdin and stdout or for other machines. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname, networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { Option } from 'commander';
import type { Command } from 'commander';
import { loadNative } from '../../native/index.ts';
import { hindsightHome } from '../../protocol/address.ts';
import { HindsightError } from '../../protocol/errors.ts';
import { formatPairing, parseAddress } from '../../protocol/pairing.ts';
import { runEngine } from '../engine/channel.ts';
import { certificateOf } from '../engine/listen/certificate.ts';
import { listenEngine } from '../engine/listen/listen.ts';
import type { Listening } from '../engine/listen/listen.ts';
import { TENANT_LIMITS } from '../engine/listen/tenants.ts';
import { Tokens } from '../engine/listen/tokens.ts';
import { resolveModel } from '../models/models.ts';
import { makeHome } from '../server/home.ts';
import { deviceOption, nameOf, usableDevice } from './device.ts';
import type { DeviceChoice } from './device.ts';
import { print, say, table, withJson } from './output.ts';
import type { JsonOption } from './output.ts';

interface EngineFlags {
  listen?: string;
  device: DeviceChoice;
  model: string[];
  dtype?: 'fp32' | 'bf16' | 'int8' | 'nf4';
  threads?: number;
  tlsCert?: string;
  tlsKey?: string;
  advertise?: string;
  memory: number;
  disk: number;
}

const MB = 2 ** 20;
const FIRST_TOKEN = 'first';

export function registerEngine(program: Command): void {
  const engine = program
    .command('engine')
    .description('an engine on stdin and stdout, or with --listen for editors on other machines')
    .option('--listen <host:port>', 'serve over WebSocket and TLS 1.3; a port alone means this machine only')
    .addOption(deviceOption())
    .option('--model <model>', 'a model to offer, by name or folder; may be repeated (default: the bundled seed)', (model: string, models: string[]) => [...models, model], [])
    .addOption(new Option('--dtype <type>', 'storage of the frozen weights').choices(['fp32', 'bf16', 'int8', 'nf4']))
    .option('--threads <n>', 'threads of the engine', Number)
    .option('--tls-cert <file>', 'a certificate of your own, PEM (default: one made on the first start)')
    .option('--tls-key <file>', 'its key, PEM')
    .option('--advertise <host>', 'host that the pairing line names (default: this machine’s)')
    .option('--memory <mb>', 'adapters of one token that stay in memory', Number, TENANT_LIMITS.residentBytes / MB)
    .option('--disk <mb>', 'adapters of one token that stay on disk', Number, TENANT_LIMITS.fileBytes / MB)
    .action(async (flags: EngineFlags) => {
      const device = usableDevice(flags.device);
      if (flags.listen === undefined) return runEngine({ device, ...(flags.dtype && { dtype: flags.dtype }) });
      await listen(flags, flags.listen);
    });
  const tokens = engine.command('tokens').description('who may use a listening engine');
  withJson(tokens.command('list')).description('every token by name; what it is nobody can read').action(list);
  withJson(tokens.command('add <name>')).description('a token for one more machine, and its pairing line').option('--at <host:port>', 'where the engine is reached', '127.0.0.1:7077').action(add);
  withJson(tokens.command('revoke <name>')).description('let nobody in with it any more; what it held is deleted').action(revoke);
}

const servedPath = (home: string): string => join(home, 'certificate.sha256');
const engineHome = (): string => join(hindsightHome(), 'engine');

async function listen(flags: EngineFlags, address: string): Promise<void> {
  const { host, port } = parseAddress(address, (problem) => new HindsightError('badRequest', { problem: `--listen: ${problem}`, remedy: 'Give host:port, for example 127.0.0.1:7077.' }));
  makeHome(hindsightHome());
  const home = engineHome();
  mkdirSync(home, { recursive: true, mode: 0o700 });
  const certificate = await certificateOf(home, { cert: flags.tlsCert, key: flags.tlsKey });
  // A token that is added later is for this one, also where it is a certificate of one's own.
  writeFileSync(servedPath(home), certificate.fingerprint);
  const tokens = new Tokens(home);
  const first = tokens.untouched ? tokens.add(FIRST_TOKEN) : null;
  if (tokens.list().length === 0) throw new HindsightError('badRequest', { problem: 'Every token was revoked: nobody could use this engine', remedy: 'Make one with `hindsight engine tokens add NAME`.' });
  const device = usableDevice(flags.device);
  const listening = await listenEngine({
    home, host, port, certificate, tokens,
    modelDirs: (flags.model.length > 0 ? flags.model : [undefined]).map((model) => resolveModel(model, hindsightHome())),
    device: nameOf(device),
    open: { device, ...(flags.dtype && { dtype: flags.dtype }), ...(flags.threads && { threads: flags.threads }) },
    tenantLimits: { residentBytes: flags.memory * MB, fileBytes: flags.disk * MB },
    log: say,
  });
  const at = { host: flags.advertise ?? reachable(host), port: listening.port };
  say(`An engine listens on ${host}:${listening.port} (certificate sha256:${certificate.fingerprint.slice(0, 16)}…) and computes on ${nameOf(device)}.`);
  if (flags.device === 'auto' && loadNative().whyNoCuda() === '') say(`There is a GPU (${nameOf('cuda')}): start with --device cuda to use it.`);
  if (first === null) say('Its pairing lines were printed before; `hindsight engine tokens add NAME` makes one for another machine.');
  else process.stdout.write(`Paste this line into "Hindsight: Attach Remote GPU…"; it is shown this once, and lets in whoever has it:\n${formatPairing({ ...at, token: first.token, certificate: certificate.fingerprint })}\n`);
  await ended(listening);
}

async function ended(listening: Listening): Promise<void> {
  await new Promise<void>((resolve) => {
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => resolve());
  });
  await listening.close();
  // What still computes would hold the process.
  process.exit(0);
}

/** Where others find this machine, if it listens for others at all. */
function reachable(host: string): string {
  if (host !== '0.0.0.0' && host !== '::') return host;
  const outside = Object.values(networkInterfaces()).flat().find((one) => one !== undefined && !one.internal && one.family === 'IPv4');
  return outside?.address ?? hostname();
}

function list(flags: JsonOption): void {
  const tokens = new Tokens(engineHome()).list().map(({ id, name, createdAt }) => ({ id, name, createdAt }));
  const rows = tokens.map(({ id, name, createdAt }) => [name, id, new Date(createdAt).toISOString().slice(0, 16).replace('T', ' ')]);
  print({ tokens }, rows.length === 0 ? 'There are no tokens: the first `hindsight engine --listen` makes one.' : table([['name', 'id', 'made (UTC)'], ...rows]), flags);
}

async function add(name: string, flags: JsonOption & { at: string }): Promise<void> {
  const at = parseAddress(flags.at, (problem) => new HindsightError('badRequest', { problem: `--at: ${problem}`, remedy: 'Give host:port as other machines reach it.' }));
  makeHome(hindsightHome());
  const served = servedPath(engineHome());
  const certificate = existsSync(served) ? readFileSync(served, 'utf8') : (await certificateOf(engineHome(), {})).fingerprint;
  const { token, record } = new Tokens(engineHome()).add(name);
  const pairing = formatPairing({ ...at, token, certificate });
  print({ id: record.id, name, pairing }, `Shown this once:\n${pairing}`, flags);
}

function revoke(name: string, flags: JsonOption): void {
  const { id } = new Tokens(engineHome()).revoke(name);
  print({ revoked: id }, `Nobody is let in with ${name} any more; a running engine ends its links within two seconds.`, flags);
}
