/**
 * The journal's schema, as numbered steps that are never edited once released: a journal of any
 * earlier version is brought forward by the steps it lacks. `fixtures/v<N>.sql` is a small journal
 * of each version; the test opens every one.
 *
 * `record` columns hold the immutable record of records.ts as JSON; the other columns beside it are
 * what the journal searches by. What changes over time (sample, step, adapter) is columns only.
 */
export const MIGRATIONS: readonly string[] = [
  `
  create table session (
    id text primary key,
    workspace text not null,
    -- largest seq on disk; -1 = none
    acknowledged integer not null,
    -- signals taken out by forget, so that the numbering still adds up
    forgotten integer not null default 0,
    last_at real not null,
    ended_at real
  ) strict;

  create table signal (
    session text not null references session(id),
    seq integer not null,
    at real not null,
    kind text not null,
    uri text,
    record text not null,
    primary key (session, seq)
  ) strict, without rowid;
  create index signal_uri on signal(uri);
  create trigger signal_is_append_only before update on signal begin
    select raise(abort, 'a signal is never changed');
  end;

  create table turn (
    id text primary key,
    session text not null,
    workspace text not null,
    role text not null check (role in ('main', 'side')),
    split text not null check (split in ('train', 'holdout')),
    uri text not null,
    offered_at real not null,
    -- 1 = its next state is not known yet
    open integer not null check (open in (0, 1)),
    -- capture's state machine of an open turn, JSON
    tracking text,
    record text not null
  ) strict;
  create index turn_open on turn(session) where open = 1;
  create index turn_workspace on turn(workspace, offered_at);
  create index turn_uri on turn(uri);

  create table next_state (
    turn text primary key references turn(id) on delete cascade,
    outcome text not null,
    decided_at real not null,
    record text not null
  ) strict;

  create table verdict (
    id integer primary key,
    turn text not null references turn(id) on delete cascade,
    record text not null
  ) strict;
  create index verdict_turn on verdict(turn);

  create table hint (
    id integer primary key,
    turn text not null references turn(id) on delete cascade,
    record text not null
  ) strict;
  create index hint_turn on hint(turn);

  create table step (
    id integer primary key autoincrement,
    workspace text not null,
    seed integer not null,
    started_at real not null,
    state text not null check (state in ('running', 'trained', 'gated', 'failed')),
    candidate integer,
    metrics text not null
  ) strict;

  create table sample (
    id integer primary key autoincrement,
    turn text not null references turn(id) on delete cascade,
    workspace text not null,
    route text not null,
    advantage real,
    weight real not null,
    version integer not null,
    state text not null check (state in ('ready', 'leased', 'consumed', 'dropped')),
    reason text,
    step integer references step(id),
    created_at real not null,
    -- the accounting, kept by the database itself
    check ((state in ('leased', 'consumed')) = (step is not null)),
    check ((state = 'dropped') = (reason is not null))
  ) strict;
  create index sample_state on sample(workspace, state, id);
  create index sample_turn on sample(turn);
  create index sample_step on sample(step);

  create table adapter (
    workspace text not null,
    version integer not null,
    parent integer,
    fingerprint text not null,
    dir text not null,
    sha256 text not null,
    state text not null,
    created_at real not null,
    samples integer not null,
    reason text not null,
    primary key (workspace, version)
  ) strict;

  create table serving (workspace text primary key, version integer) strict;
  create table consent (workspace text primary key, state text not null) strict;
  create table state (key text primary key, value text not null) strict;
  `,
  // The counts of a status are asked for while somebody types: they must come from indexes alone.
  `
  alter table verdict add column workspace text not null default '';
  update verdict set workspace = (select turn.workspace from turn where turn.id = verdict.turn);
  create index verdict_workspace on verdict(workspace);
  create index turn_counts on turn(workspace, role, open);
  `,
  // What comes after a turn's next state: late evidence, ranges that are watched on, turns for a judge.
  `
  create table evidence (
    id integer primary key,
    turn text not null references turn(id) on delete cascade,
    record text not null
  ) strict;
  create index evidence_turn on evidence(turn);

  create table watch (
    turn text primary key references turn(id) on delete cascade,
    workspace text not null,
    record text not null
  ) strict;
  create index watch_workspace on watch(workspace);

  -- A turn whose verdict a model is still to give.
  create table judging (
    turn text primary key references turn(id) on delete cascade,
    workspace text not null,
    attempts integer not null,
    due_at real not null
  ) strict;
  create index judging_due on judging(due_at);
  create index sample_created on sample(workspace, state, created_at);
  `,
];

export const SCHEMA_VERSION = MIGRATIONS.length;
