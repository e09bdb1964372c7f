/** Editor ⇄ daemon: an engine on another machine, attached by its pairing line. */
import { z } from 'zod';
import { request } from './message.ts';

const workspace = z.string().min(1);
const empty = z.object({});
/** Which engine does it. */
const side = z.enum(['remote', 'local']);

/** What the status says of an attached engine. */
export const remoteStatus = z.object({
  /** host:port */
  address: z.string(),
  device: z.string(),
  model: z.string(),
  link: z.enum(['up', 'down']),
  /** Milliseconds there and back; null = not measured. */
  latencyMs: z.number().nullable(),
  /** Why the link is down, or null. */
  reason: z.string().nullable(),
  serve: side,
  train: side,
});
export type RemoteStatus = z.output<typeof remoteStatus>;

export const exampleRemote: RemoteStatus = { address: 'gpu-box:7077', device: 'cuda', model: 'Qwen2.5-Coder-7B', link: 'up', latencyMs: 11.5, reason: null, serve: 'remote', train: 'remote' };

export const engineProbe = request(
  'hindsight/engine/probe',
  'editor→daemon',
  'Looks at the engine of a pairing line: certificate, token, device, models, distance. Nothing of the workspace is sent.',
  z.object({ pairing: z.string() }),
  z.object({ address: z.string(), device: z.string(), version: z.string(), models: z.array(z.string()), latencyMs: z.number() }),
  { params: { pairing: 'hindsight://gpu-box:7077#token=…&cert=sha256:…' }, result: { address: 'gpu-box:7077', device: 'cuda', version: '0.1.0', models: ['Qwen2.5-Coder-7B'], latencyMs: 11.5 } },
);

export const engineAttach = request(
  'hindsight/engine/attach',
  'editor→daemon',
  'Serves and trains this workspace on the engine of a pairing line from now on; only with the consent of its owner, and only token ids travel. `remember`: the daemon keeps the line, for its owner’s eyes only, and attaches again by itself when it starts.',
  z.object({ pairing: z.string(), workspace, model: z.string().optional(), serve: side.optional(), train: side.optional(), remember: z.boolean().optional() }),
  remoteStatus,
  { params: { pairing: 'hindsight://gpu-box:7077#token=…&cert=sha256:…', workspace: 'file:///p' }, result: exampleRemote },
);

export const engineDetach = request(
  'hindsight/engine/detach',
  'editor→daemon',
  'Leaves the attached engine: everything is local again, and nothing of it is forgotten.',
  empty,
  z.object({ detached: z.boolean() }),
  { params: {}, result: { detached: true } },
);

export const remoteMessages = [engineProbe, engineAttach, engineDetach] as const;
