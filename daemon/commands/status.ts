/** `hindsight status`: what the daemon does for a workspace. */
import type { Command } from 'commander';
import { consentGet, statusGet } from '../../protocol/editor.ts';
import type { Status } from '../../protocol/editor.ts';
import { call } from '../../protocol/transport.ts';
import { withDaemon, workspaceUri } from './client.ts';
import { print, table, withJson } from './output.ts';
import type { JsonOption } from './output.ts';

interface StatusFlags extends JsonOption {
  workspace?: string;
}

export function registerStatus(program: Command): void {
  withJson(program.command('status'))
    .description('what the daemon does for a workspace')
    .option('--workspace <folder>', 'folder or URI (default: the current folder)')
    .action(async (flags: StatusFlags) => {
      const workspace = workspaceUri(flags.workspace);
      await withDaemon(workspace, async ({ link, hello }) => {
        const status = await call(link, statusGet, { workspace });
        const { state: consent, classes } = await call(link, consentGet, { workspace });
        const facts = { workspace, consent, classes, daemon: hello.daemon, ...status };
        print(facts, sentences(workspace, consent, hello.daemon.pid, status), flags);
      });
    });
}

function sentences(workspace: string, consent: string, pid: number, status: Status): string {
  const { pipe, model, adapter, remote } = status;
  return [
    `The daemon (process ${pid}) is ${status.state}.`,
    model === null ? 'No model is loaded.' : `Model ${model.name} (${model.fingerprint.slice(0, 12)}) on ${model.device}; ${adapter === null ? 'the base alone' : `version ${adapter}`} serves ${workspace}.`,
    ...(remote === null ? [] : [`Attached to ${remote.address} (${remote.model} on ${remote.device}): ${remote.link === 'up' ? `${remote.latencyMs === null ? 'connected' : `${remote.latencyMs.toFixed(1)} ms away`}` : `the link is down, ${remote.reason}`}; serves ${remote.serve}, trains ${remote.train}.`]),
    `Learning from it: ${consent}.`,
    `${pipe.turnsOpen} open and ${pipe.turnsClosed} closed turns, ${pipe.verdicts} verdicts; samples: ${pipe.samplesReady} ready, ${pipe.samplesLeased} leased, ${pipe.samplesConsumed} consumed, ${pipe.samplesDropped} dropped; ${pipe.steps} steps.`,
    ...whereTurnsAre(status),
    ...(status.holdBack === undefined ? [] : [status.holdBack]),
    ...(status.warning === null ? [] : [`Warning: ${status.warning}`]),
  ].join('\n');
}

const STAGES: Record<NonNullable<Status['stages']>[number]['stage'], string> = {
  offered: 'offered, answer not known yet', nextState: 'with a next state', judging: 'waiting for a model\'s verdict', verdict: 'with a verdict', hint: 'with a hint',
  watched: 'accepted text watched on', ready: 'samples ready', leased: 'samples in a step', step: 'steps', candidate: 'candidates before the gate', rejected: 'versions that do not serve', served: 'versions promoted',
};

function whereTurnsAre({ stages = [], prm }: Status): string[] {
  if (stages.length === 0) return [];
  const rows = stages.map(({ stage, count, oldestSeconds }) => [`  ${STAGES[stage]}`, String(count), oldestSeconds === null ? '' : `oldest ${age(oldestSeconds)}`]);
  const agreement = prm === undefined || prm.agreement === null ? '' : ` Of the valid votes ${Math.round(100 * prm.agreement)} % agreed.`;
  const judge = prm === undefined || prm.judged + prm.outages === 0 ? [] : [`The judge gave ${prm.votes} votes on ${prm.judged} turns, ${prm.invalidVotes} invalid; it abstained on ${prm.abstained}, ${prm.outages} outages, ${prm.givenUp} turns given up.${agreement}`];
  return [table(rows), ...judge];
}

function age(seconds: number): string {
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} days`;
}
