// What a window tells the daemon about its developer's work, from the owner's yes to the window's end.
// Architecture invariant: before `begin` and after `discard` nothing is held, in memory or on disk.
import { rm } from 'node:fs/promises';
import type { Signal } from '../../protocol/signals.ts';
import { deliver, Outbox, OUTBOX_LIMITS, type OutboxLimits, type Publish } from './outbox.ts';
import type { Seal } from './seal.ts';
import { leftSpools } from './spool.ts';

export interface RecorderPlace {
  /** The window's own id; the first session has it. */
  readonly window: string;
  readonly workspace: string;
  readonly spoolFolder: string;
  readonly seal: () => Promise<Seal>;
  readonly editor: string;
  readonly now: () => number;
  /** The owner's choice and the rules of ignored files; absent: everything. */
  readonly admits?: (signal: Signal) => boolean;
  /** `document.opened` of every document that is open and may be recorded. */
  readonly openDocuments: () => Signal[];
  readonly say: (line: string) => void;
  /** The session that goes on is another one now; the connection must be opened in its name. */
  readonly renewed?: () => void;
  readonly limits?: OutboxLimits;
}

export class Recorder {
  #outbox: Outbox | undefined;
  #sessions = 0;
  #publish: Publish | undefined;
  /** One change of state after another, whoever asks. */
  #turn: Promise<void> = Promise.resolve();
  #failure = '';

  constructor(private readonly place: RecorderPlace) {}

  get isRecording(): boolean {
    return this.#outbox !== undefined;
  }

  /** In whose name a connection is opened: the daemon pairs its suggestions with the signals of one session. */
  get session(): string {
    return this.#outbox?.session ?? this.place.window;
  }

  /** Called on every keystroke: no more than this. */
  record(signal: Signal): void {
    if (this.#admits(signal)) this.#outbox?.push(signal);
  }

  /** More may be recorded than before: the daemon hears of the documents that are open. */
  widen(): void {
    for (const opened of this.place.openDocuments()) this.record(opened);
  }

  begin(): Promise<void> {
    return this.#next(async () => {
      if (this.#outbox === undefined) await this.#openOutbox();
    });
  }

  /** The owner of the workspace said no: nothing undelivered of this workspace stays. */
  discard(): Promise<void> {
    return this.#next(async () => {
      const outbox = this.#outbox;
      this.#outbox = undefined;
      await outbox?.discard();
      for (const left of await this.#leftSpools()) await rm(left.path, { force: true });
    });
  }

  /** The daemon is there and this workspace may be learned from.
   *  @param known  the session in whose name the connection was opened, and the daemon's number for it */
  connected(publish: Publish, known: { readonly session: string; readonly acknowledged: number }): Promise<void> {
    return this.#next(async () => {
      this.#publish = publish;
      if (this.#outbox?.session === known.session && !this.#outbox.resumeAfter(known.acknowledged)) {
        this.place.say('the daemon does not know this session any more; beginning a new one');
        await this.#followUp();
      }
      await this.#deliverLeftSpools(publish);
    });
  }

  disconnected(): void {
    this.#publish = undefined;
  }

  /** Stores what was recorded, and delivers it if the daemon is there. Never throws: what could not be delivered waits. */
  async flush(): Promise<void> {
    const outbox = this.#outbox;
    if (outbox === undefined) return;
    try {
      await outbox.store();
      if (this.#publish !== undefined) await outbox.deliver(this.#publish);
      this.#failure = '';
    } catch (error) {
      this.#sayOnce(`signals wait on disk: ${error instanceof Error ? error.message : String(error)}`);
    }
    if (outbox.overflowed && outbox.isEmpty) await this.#next(async () => (this.#outbox === outbox ? this.#followUp() : undefined));
  }

  /** The window closes. What is not delivered by then is delivered by the next window. */
  async end(): Promise<void> {
    this.record({ kind: 'session.ended', at: this.place.now() });
    await this.flush();
    await this.#next(async () => {
      const outbox = this.#outbox;
      this.#outbox = undefined;
      await outbox?.close();
    });
  }

  #admits(signal: Signal): boolean {
    return this.place.admits?.(signal) ?? true;
  }

  async #openOutbox(): Promise<void> {
    const { window, workspace, spoolFolder, limits } = this.place;
    this.#sessions += 1;
    const session = this.#sessions === 1 ? window : `${window}.${this.#sessions}`;
    const outbox = await Outbox.open(spoolFolder, { session, workspace, pid: process.pid }, await this.place.seal(), limits ?? OUTBOX_LIMITS);
    outbox.push({ kind: 'session.started', at: this.place.now(), workspace, editor: this.place.editor });
    this.#outbox = outbox;
    this.widen();
    if (this.#sessions > 1) this.place.renewed?.();
  }

  /** Ends a session that cannot go on and begins the next one. */
  async #followUp(): Promise<void> {
    const ended = this.#outbox;
    await this.#openOutbox();
    await ended?.discard();
  }

  async #deliverLeftSpools(publish: Publish): Promise<void> {
    for (const left of await this.#leftSpools()) {
      try {
        await deliver(left.session, left.signals, publish, this.place.limits ?? OUTBOX_LIMITS, () => undefined);
        await rm(left.path, { force: true });
        if (left.sealed) this.place.say('signals of an earlier window cannot be read without its key, and were thrown away');
        if (left.signals.length > 0) this.place.say(`delivered ${left.signals.length} signals of an earlier window`);
      } catch (error) {
        this.#sayOnce(`signals of an earlier window wait on disk: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  }

  async #leftSpools(): ReturnType<typeof leftSpools> {
    return leftSpools(this.place.spoolFolder, this.place.workspace, await this.place.seal(), isAlive);
  }

  #next(work: () => Promise<void>): Promise<void> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => undefined);
    return done;
  }

  /** The same failure comes every flush while a daemon is unwell. */
  #sayOnce(line: string): void {
    if (line !== this.#failure) this.place.say(line);
    this.#failure = line;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it runs, as somebody else.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
