// `@hindsight` in the chat view. The daemon works; here its answer is shown, its tools get the editor, and the user's next
// words and buttons go back to it.
import { randomUUID } from 'node:crypto';
import * as vscode from 'vscode';
import { agentModel, CHAT_COMMANDS, chatRespond, type Endpoint } from '../../protocol/agent.ts';
import { learningShow, type ConsentChoice } from '../../protocol/editor.ts';
import { toHindsightError } from '../../protocol/errors.ts';
import type { DaemonConnection } from '../connection/connection.ts';
import type { Reviews } from '../review/reviews.ts';
import { chatSettings } from '../settings.ts';
import { COMMANDS } from '../views/commandIds.ts';
import type { Confirmations } from './confirm.ts';
import { diagnostics, invokeTool, lentTools } from './editorTools.ts';
import type { ChatPiece, OpenRequests } from './requests.ts';
import type { MirrorTerminal } from './terminals.ts';

export const PARTICIPANT = 'hindsight.chat';
const DEADLINE_SECONDS = 3600;
const ATTACHED_CHARS = 20_000;

export interface ChatPlace {
  readonly folder: vscode.WorkspaceFolder;
  readonly connection: DaemonConnection;
  readonly reviews: Reviews;
  readonly requests: OpenRequests;
  readonly confirmations: Confirmations;
  readonly terminal: MirrorTerminal;
  readonly consent: () => ConsentChoice;
  readonly endpoint: () => Promise<Endpoint | undefined>;
}

/** Kept with each answer: what was said next belongs to it. */
interface Answered {
  readonly turn: string | null;
  readonly conversation: string;
}

export function registerParticipant(place: ChatPlace): vscode.Disposable {
  const participant = vscode.chat.createChatParticipant(PARTICIPANT, (request, context, stream, token) => answer(place, request, context, stream, token));
  participant.iconPath = new vscode.ThemeIcon('hubot');
  return participant;
}

async function answer(place: ChatPlace, request: vscode.ChatRequest, context: vscode.ChatContext, stream: vscode.ChatResponseStream, token: vscode.CancellationToken): Promise<vscode.ChatResult> {
  if (request.command === 'learn') return showLearned(place, stream);
  const before = lastAnswer(context);
  const conversation = before?.conversation ?? randomUUID();
  try {
    const endpoint = await place.endpoint();
    const { problem } = await place.connection.request(agentModel, endpoint === undefined ? {} : { endpoint });
    if (problem !== null) {
      stream.markdown(problem);
      return { metadata: { turn: null, conversation } satisfies Answered };
    }
    const turn = await work(place, request, context, stream, token, { conversation, previous: before?.turn ?? null, endpoint });
    return { metadata: { turn, conversation } satisfies Answered };
  } catch (error) {
    const message = toHindsightError(error).message;
    return { errorDetails: { message }, metadata: { turn: null, conversation } satisfies Answered };
  }
}

async function work(
  place: ChatPlace,
  request: vscode.ChatRequest,
  context: vscode.ChatContext,
  stream: vscode.ChatResponseStream,
  token: vscode.CancellationToken,
  { conversation, previous, endpoint }: { conversation: string; previous: string | null; endpoint: Endpoint | undefined },
): Promise<string | null> {
  const name = `c-${randomUUID()}`;
  const ended = new AbortController();
  const stopping = token.onCancellationRequested(() => ended.abort());
  const title = request.prompt.trim() === '' ? `/${request.command ?? ''}` : request.prompt.trim().slice(0, 80);
  const edited = new Set<string>();
  const turns: string[] = [];
  const close = place.requests.open(name, {
    text: (piece) => show(stream, piece),
    confirm: (question) => place.confirmations.ask(question, stream, ended.signal),
    invoke: (tool, input) => invokeTool(place.folder, tool, input, request.toolInvocationToken, token),
    terminal: (data) => place.terminal.show(data),
    apply: async ({ turn, uri, before, after }) => {
      const file = vscode.Uri.parse(uri);
      const problem = await place.reviews.apply({ turn, request: name, title, uri: file, before, after });
      if (problem === null) turns.push(turn);
      if (problem === null && !edited.has(file.toString())) {
        edited.add(file.toString());
        stream.reference(file);
      }
      return problem;
    },
  });
  try {
    const result = await place.connection.request(
      chatRespond,
      {
        stream: name,
        conversation,
        prompt: request.prompt.trim() === '' ? (PROMPTS[request.command ?? ''] ?? 'Go on.') : request.prompt,
        ...(isCommand(request.command) && { command: request.command }),
        context: await attached(place, request),
        history: historyOf(context),
        previous,
        editorTools: lentTools(),
        allowedCommands: [...chatSettings().allowedCommands],
        ...(endpoint && { endpoint }),
      },
      { deadline: DEADLINE_SECONDS, signal: ended.signal },
    );
    if (result.ended === 'steps') stream.markdown(`\n\n${vscode.l10n.t('Stopped after {0} steps. Say "go on" to continue.', result.steps)}`);
    offerReview(place, stream, turns);
    closing(place, stream, result);
    return result.turn;
  } finally {
    close();
    stopping.dispose();
    ended.abort();
  }
}

const PROMPTS: Readonly<Record<string, string>> = {
  fix: 'Fix the problems of this file, and the failing tests.',
  test: 'Write tests for this.',
  explain: 'Explain this.',
  edit: 'Improve this.',
};

function show(stream: vscode.ChatResponseStream, piece: ChatPiece): void {
  if (piece.kind === 'text') return stream.markdown(piece.text);
  const title = piece.title.replace(/\s+/g, ' ').slice(0, 120);
  if (piece.state === 'running') return stream.progress(title);
  // Done is not right: a command that was run may have failed.
  const sign = piece.state === 'done' ? '•' : piece.state === 'failed' ? '✗' : '⊘';
  stream.markdown(`\n\n${sign} ${code(title)}\n\n`);
}

/** Inline code that its own text cannot leave. */
function code(text: string): string {
  const ticks = '`'.repeat(Math.max(1, ...[...text.matchAll(/`+/g)].map((run) => run[0].length + 1)));
  return ticks.length > 1 ? `${ticks} ${text} ${ticks}` : `\`${text}\``;
}

function offerReview({ reviews }: ChatPlace, stream: vscode.ChatResponseStream, turns: readonly string[]): void {
  const ofThese = (uri: vscode.Uri): number => reviews.hunks(uri).filter((hunk) => reviews.turnsOf(uri, hunk).some((turn) => turns.includes(turn))).length;
  const hunks = reviews.files().reduce((sum, uri) => sum + ofThese(uri), 0);
  if (hunks === 0) return;
  // No text after the reply: the editor folds away all but the last of it, and the reply would be in the fold.
  stream.button({ title: hunks === 1 ? vscode.l10n.t('Review 1 change') : vscode.l10n.t('Review {0} changes', hunks), command: COMMANDS.nextHunk });
  stream.button({ title: vscode.l10n.t('Keep all'), command: COMMANDS.keepAll, arguments: [turns] });
  stream.button({ title: vscode.l10n.t('Revert all'), command: COMMANDS.revertAll, arguments: [turns] });
}

/** Windows in which recording conversations was offered: once is enough. */
const offered = new WeakSet<ChatPlace>();

/** The buttons by which an answer is judged; or, once, the question whether conversations may be learned from. */
function closing(place: ChatPlace, stream: vscode.ChatResponseStream, { turn, recorded }: { turn: string | null; recorded: boolean }): void {
  if (recorded && turn !== null) {
    stream.button({ title: vscode.l10n.t('Helpful'), command: COMMANDS.rateHelpful, arguments: [turn] });
    stream.button({ title: vscode.l10n.t('Wrong'), command: COMMANDS.rateWrong, arguments: [turn] });
    stream.button({ title: vscode.l10n.t('It should have been…'), command: COMMANDS.rateCorrect, arguments: [turn] });
    return;
  }
  const { state, classes } = place.consent();
  if (state !== 'granted' || classes.includes('chat') || offered.has(place)) return;
  offered.add(place);
  stream.button({ title: vscode.l10n.t('Not recorded. Learn from conversations?'), command: COMMANDS.chooseLearning, arguments: ['chat'] });
}

async function showLearned(place: ChatPlace, stream: vscode.ChatResponseStream): Promise<vscode.ChatResult> {
  try {
    const { markdown } = await place.connection.request(learningShow, { workspace: place.folder.uri.toString() });
    stream.markdown(markdown);
    stream.button({ title: vscode.l10n.t('Show Learning'), command: COMMANDS.showLearning });
    return {};
  } catch (error) {
    return { errorDetails: { message: toHindsightError(error).message } };
  }
}

/** What the user attached; without anything, the selection, or the file in front of them. */
async function attached(place: ChatPlace, request: vscode.ChatRequest): Promise<{ title: string; text: string }[]> {
  const parts: { title: string; text: string }[] = [];
  for (const { value } of request.references) {
    if (typeof value === 'string') parts.push({ title: 'Attached', text: value.slice(0, ATTACHED_CHARS) });
    else if (value instanceof vscode.Uri) parts.push(...(await fileText(value)));
    else if (value instanceof vscode.Location) parts.push(...(await fileText(value.uri, value.range)));
  }
  const editor = vscode.window.activeTextEditor;
  if (parts.length === 0 && editor !== undefined && editor.document.uri.scheme === 'file') {
    if (!editor.selection.isEmpty) parts.push(...(await fileText(editor.document.uri, editor.selection)));
    else if (request.command !== undefined) parts.push({ title: 'The file in front of the user', text: vscode.workspace.asRelativePath(editor.document.uri, false) });
    if (request.command === 'fix') parts.push({ title: 'Problems in it', text: diagnostics(place.folder, vscode.workspace.asRelativePath(editor.document.uri, false)) });
  }
  return parts;
}

async function fileText(uri: vscode.Uri, range?: vscode.Range): Promise<{ title: string; text: string }[]> {
  try {
    const document = await vscode.workspace.openTextDocument(uri);
    const lines = range === undefined ? '' : ` lines ${range.start.line + 1} to ${range.end.line + 1}`;
    return [{ title: `${vscode.workspace.asRelativePath(uri, false)}${lines}`, text: document.getText(range).slice(0, ATTACHED_CHARS) }];
  } catch {
    return [];
  }
}

function historyOf(context: vscode.ChatContext): { role: 'user' | 'assistant'; text: string }[] {
  return context.history.flatMap((turn): { role: 'user' | 'assistant'; text: string }[] => {
    if (turn instanceof vscode.ChatRequestTurn) return [{ role: 'user', text: turn.prompt }];
    const text = turn.response.map((part) => (part instanceof vscode.ChatResponseMarkdownPart ? part.value.value : '')).join('').trim();
    return text === '' ? [] : [{ role: 'assistant', text }];
  });
}

function lastAnswer(context: vscode.ChatContext): Answered | undefined {
  const last = context.history.findLast((turn): turn is vscode.ChatResponseTurn => turn instanceof vscode.ChatResponseTurn);
  const metadata: unknown = last?.result.metadata;
  if (typeof metadata !== 'object' || metadata === null || !('conversation' in metadata) || typeof metadata.conversation !== 'string') return undefined;
  return { conversation: metadata.conversation, turn: 'turn' in metadata && typeof metadata.turn === 'string' ? metadata.turn : null };
}

function isCommand(name: string | undefined): name is (typeof CHAT_COMMANDS)[number] {
  return CHAT_COMMANDS.some((each) => each === name);
}
