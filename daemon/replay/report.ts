/** The replay's HTML report: one file, no scripts, nothing from elsewhere, light and dark. Every figure is from the result. */
import { isHarmful } from './audit.ts';
import { escape, lineChart, number } from './chart.ts';
import type { Series } from './chart.ts';
import { POISONS } from './conduct.ts';
import type { LessonRecord, MethodResult, ReplayResult } from './result.ts';
import type { Interval, MetricName } from './statistics.ts';

const COLUMNS: { metric: MetricName; head: string; digits: number; note: string }[] = [
  { metric: 'nextEditLogLikPerByte', head: 'Likelihood of the next edit', digits: 4, note: 'nats per byte' },
  { metric: 'charsSavedPct', head: 'Characters saved', digits: 2, note: '%' },
  { metric: 'acceptedPct', head: 'Accepted', digits: 2, note: '% of shown' },
  { metric: 'exactLinePct', head: 'Exact lines', digits: 2, note: '%' },
];

/** Colours differ in lightness as well as hue; lines by their dashes, too. */
const LOOKS: Record<string, { colour: string; dash: string }> = {
  frozen: { colour: '--c-frozen', dash: '2 3' },
  memory: { colour: '--c-memory', dash: '8 3' },
  sft: { colour: '--c-sft', dash: '6 2 2 2' },
  binary: { colour: '--c-binary', dash: '3 3' },
  opd: { colour: '--c-opd', dash: '10 4' },
  combined: { colour: '--c-combined', dash: '' },
  'memory+combined': { colour: '--c-both', dash: '12 3 3 3' },
  recall: { colour: '--c-memory', dash: '4 2 1 2' },
  'recall+combined': { colour: '--c-default', dash: '' },
  default: { colour: '--c-default', dash: '' },
};
const OTHER_COLOURS = ['--c-opd', '--c-sft', '--c-both', '--c-binary', '--c-memory', '--c-combined'];
const OTHER_DASHES = ['4 2', '1 2', '8 2 1 2', '14 3'];

/** @param at  place among the methods: what has no look of its own takes the next one */
function lookOf(name: string, at: number): { colour: string; dash: string } {
  return LOOKS[name] ?? { colour: OTHER_COLOURS[at % OTHER_COLOURS.length] ?? '--c-opd', dash: OTHER_DASHES[at % OTHER_DASHES.length] ?? '' };
}

export function htmlReport(result: ReplayResult): string {
  const sections = [headline(result), table(result), duel(result), curves(result), preference(result), poison(result), versions(result), lessons(result), worse(result), method(result)];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Hindsight replay of ${escape(result.stream)}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>Replay of <em>${escape(result.stream)}</em></h1>
<p class="lead">${result.commits} commits as a developer’s stream, model <strong>${escape(result.model)}</strong>, ${plural(result.seeds, 'seed')}. Every commit was measured before it could be learned from; the figures are of the last ${plural(result.compared, 'commit')} (${plural(result.lines, 'line')}).</p>
${sections.filter((section) => section !== '').join('\n')}
</main>
</body>
</html>
`;
}

function headline(result: ReplayResult): string {
  const name = result.learner;
  const learned = name === null ? undefined : result.methods[name];
  const delta = learned?.delta.nextEditLogLikPerByte;
  if (name === null || !learned || !delta) return '';
  const percent = 100 * (Math.exp(delta.mean) - 1);
  const verdict = delta.lo > 0 ? 'clear of zero' : delta.hi < 0 ? 'clear of zero: it became worse' : 'zero lies inside: no difference is shown';
  return `<section class="headline" aria-label="Result">
<p class="figure">${signed(delta.mean, 4)} <span>nats per byte</span></p>
<p><strong>${escape(name)}</strong> against the frozen model: each byte of the next edit became ${number(Math.abs(percent), 1)} % ${percent < 0 ? 'less likely' : 'likelier'} (95 % interval ${signed(delta.lo, 4)} to ${signed(delta.hi, 4)}; ${verdict}). Characters saved: ${number(result.methods.frozen?.charsSavedPct ?? 0, 1)} % frozen, ${number(learned.charsSavedPct, 1)} % learned${learned.charsSavedGainPct === null ? '' : ` (${signed(learned.charsSavedGainPct, 0)} % of what frozen saves)`}. Unrelated texts: loss ${signed(learned.forgettingPct, 2)} %.${
    result.secondsOutcomeToServed === null ? '' : ` From an outcome to a completion by the adapter that learned from it: ${number(result.secondsOutcomeToServed, 1)} s${spent(result)}.`
  }</p>
</section>`;
}

/** Where the time from outcome to served goes. */
function spent({ outcomeToServed }: ReplayResult): string {
  if (outcomeToServed === null) return '';
  const { waiting, training, gateAndNextRequest } = outcomeToServed;
  return ` (waiting for a full batch ${number(waiting, 1)} s, training ${number(training, 1)} s, gate and next request ${number(gateAndNextRequest, 1)} s; medians)`;
}

function methodNames(result: ReplayResult): string[] {
  return Object.keys(result.methods);
}

function table(result: ReplayResult): string {
  const head = COLUMNS.map((c) => `<th scope="col">${c.head}<br><small>${c.note}</small></th>`).join('');
  const rows = methodNames(result).flatMap((name) => {
    const of = result.methods[name];
    return of ? [`<tr><th scope="row">${escape(name)}</th>${COLUMNS.map((c) => cell(of, c)).join('')}<td>${number(of.shown, 1)}</td><td>${signed(of.forgettingPct, 2)}${of.forgettingWorstPct > of.forgettingPct ? `<br><small>worst ${signed(of.forgettingWorstPct, 2)}</small>` : ''}</td><td>${number(of.adapterVersions, 1)}</td></tr>`] : [];
  });
  return `<section>
<h2>Methods side by side</h2>
<div class="wide"><table>
<thead><tr><th scope="col">Method</th>${head}<th scope="col">Shown<br><small>per seed</small></th><th scope="col">Forgetting<br><small>% loss, unrelated</small></th><th scope="col">Versions<br><small>promoted</small></th></tr></thead>
<tbody>${rows.join('')}</tbody>
</table></div>
<p class="note">Under each figure: the difference to <em>frozen</em> with its 95 % interval, by bootstrap over commits. ▲ better and ▼ worse with the interval clear of zero; no mark where it is not.</p>
</section>`;
}

/** The learner against every other method. */
function duel(result: ReplayResult): string {
  const of = result.learner === null ? undefined : result.methods[result.learner];
  const others = Object.entries(of?.against ?? {}).filter(([name]) => name !== 'frozen');
  if (result.learner === null || others.length === 0) return '';
  const rows = others.map(([name, delta]) => `<tr><th scope="row">${escape(name)}</th>${COLUMNS.map(({ metric, digits }) => `<td>${difference(delta[metric], digits)}</td>`).join('')}</tr>`);
  return `<section>
<h2>${escape(result.learner)} against the others</h2>
<div class="wide"><table><thead><tr><th scope="col">Against</th>${COLUMNS.map((c) => `<th scope="col">${c.head}<br><small>${c.note}</small></th>`).join('')}</tr></thead><tbody>${rows.join('')}</tbody></table></div>
</section>`;
}

/** From when the planted preference shows, run by run. */
function preference(result: ReplayResult): string {
  const runs = result.runs.filter((run) => run.probes !== undefined && run.seed === result.settings.seed);
  if (runs.length === 0) return '';
  const last = Math.max(...runs.flatMap((run) => (run.probes ?? []).map(({ interactions }) => interactions)));
  const charts = (['line', 'word'] as const).map((kind) => {
    const where = kind === 'line' ? 'at the start of a line' : 'after its first word';
    const series = runs.map((run): Series => ({ name: run.method, ...lookOf(run.method, methodNames(result).indexOf(run.method)), points: (run.probes ?? []).map((probe) => ({ x: probe.interactions, y: 100 * probe[kind].wanted })) }));
    const chart = lineChart({ title: `The planted preference ${where}`, description: 'Share of held-out places at which it is suggested.', x: { label: 'suggestions that the developer was shown', max: last }, compareFrom: last, y: { label: `suggested ${where}, %`, digits: 0 }, series });
    return `<figure>${chart}<figcaption>Share of places in files that nothing was learned from, ${where}, at which the preference is suggested (seed ${result.settings.seed}).</figcaption></figure>`;
  });
  return `<section>
<h2>The planted preference</h2>
${charts.join('\n')}
</section>`;
}

/** What the gate let pass of a poisoned stream, weighed without it. */
function poison(result: ReplayResult): string {
  if (result.poison === null) return '';
  const rows = result.runs.flatMap((run) => (run.audit ?? []).map((one) => `<tr><th scope="row">${escape(run.method)}</th><td>${run.seed}</td><td>${one.version}</td><td>${signed(one.goldenLossPct, 2)}</td><td>${one.heldOutNatsPerByte === null ? '–' : signed(one.heldOutNatsPerByte, 4)}</td><td class="${isHarmful(one) ? 'worse' : 'better'}">${isHarmful(one) ? 'harmful' : 'no'}</td></tr>`));
  return `<section>
<h2>A developer who misleads: ${escape(result.poison)}</h2>
<p>The simulated developer ${escape(POISONS[result.poison])}. Versions that were promoted, weighed on the golden set and on the history’s own lines of held-out commits, against the base.</p>
<div class="wide"><table><thead><tr><th scope="col">Method</th><th scope="col">Seed</th><th scope="col">Version</th><th scope="col">Golden loss<br><small>%</small></th><th scope="col">Held-out lines<br><small>nats per byte</small></th><th scope="col">Harmful</th></tr></thead><tbody>${rows.join('') || '<tr><td colspan="6" class="text">No version was promoted.</td></tr>'}</tbody></table></div>
</section>`;
}

function cell(of: MethodResult, { metric, digits }: { metric: MetricName; digits: number }): string {
  const delta = of.delta[metric];
  const value = `<td>${number(of[metric], digits)}`;
  if (!delta) return `${value}</td>`;
  return `${value}<br>${difference(delta, digits)}</td>`;
}

function difference(delta: Interval, digits: number): string {
  return `<small class="${tone(delta)}">${mark(delta)}${signed(delta.mean, digits)} <span>[${signed(delta.lo, digits)}, ${signed(delta.hi, digits)}]</span></small>`;
}

function tone(delta: Interval): string {
  return delta.lo > 0 ? 'better' : delta.hi < 0 ? 'worse' : 'same';
}

function mark(delta: Interval): string {
  return delta.lo > 0 ? '▲\u00a0' : delta.hi < 0 ? '▼\u00a0' : '';
}

function curves(result: ReplayResult): string {
  const series = (names: readonly string[], y: 'mean' | 'charsSavedPct'): Series[] =>
    names.map((name) => ({ name, ...lookOf(name, methodNames(result).indexOf(name)), points: (result.curve[name] ?? []).map((p) => (y === 'mean' ? { x: p.commit, y: p.mean, lo: p.lo, hi: p.hi } : { x: p.commit, y: p.charsSavedPct, lo: p.charsSaved.lo, hi: p.charsSaved.hi })) }));
  const names = methodNames(result);
  const frame = { x: { label: 'commits replayed', max: result.commits }, compareFrom: result.commits - result.compared };
  const window = result.commits - (result.curve.frozen?.length ?? result.commits) + 1;
  const likelihood = lineChart({
    ...frame,
    title: 'Learning curve',
    description: `Log-likelihood of the next edit against the frozen model, over the trailing ${window} commits; ends are in the table above.`,
    y: { label: 'nats per byte, against frozen', digits: 3 },
    series: series(names.filter((name) => name !== 'frozen'), 'mean'),
  });
  const saved = lineChart({ ...frame, title: 'Characters saved', description: `Percentage of characters that need not be typed, over the trailing ${window} commits.`, y: { label: 'characters saved, %', digits: 1 }, series: series(names, 'charsSavedPct') });
  return `<section>
<h2>Learning curve</h2>
<figure>${likelihood}<figcaption>Log-likelihood of the next edit minus that of the frozen model on the same lines, over the trailing ${window} commits; bands are 95 % intervals.</figcaption></figure>
<figure>${saved}<figcaption>Characters that need not be typed, over the trailing ${window} commits; bands are 95 % intervals.</figcaption></figure>
</section>`;
}

function versions(result: ReplayResult): string {
  const runs = result.runs.filter((run) => run.decisions.length > 0);
  if (runs.length === 0) return '';
  const tables = runs.map((run) => {
    const rows = run.decisions.map((d) => `<tr><td>${d.after}</td><td>${d.version}</td><td>${escape(d.state)}</td><td>${d.samples}</td><td class="text">${escape(d.reason)}</td></tr>`);
    const promoted = `${plural(run.adapterVersions, 'version')} promoted of ${plural(run.decisions.length, 'candidate')}`;
    return `<details><summary><strong>${escape(run.method)}</strong>, seed ${run.seed}: ${promoted}</summary><div class="wide"><table><thead><tr><th scope="col">After commit</th><th scope="col">Version</th><th scope="col">State at the end</th><th scope="col">Samples</th><th scope="col" class="text">Why</th></tr></thead><tbody>${rows.join('')}</tbody></table></div></details>`;
  });
  return `<section>
<h2>Versions and what the gate said</h2>
${tables.join('\n')}
</section>`;
}

function lessons(result: ReplayResult): string {
  if (result.lessons.length === 0) return '';
  const better = (lesson: LessonRecord): boolean => lesson.natsAfter >= lesson.natsBefore;
  return `<section>
<h2>Lessons</h2>
<p class="note">Places the model was taught at, and how likely what the developer wrote was to the version of that time and is to the last one. The largest changes, of both signs.</p>
${result.lessons
  .map(
    (lesson) => `<article>
<h3>${escape(lesson.path)} <small>${escape(lesson.commit.slice(0, 8))}</small></h3>
<pre aria-label="Code above the line">${escape(lesson.context)}</pre>
<dl><dt>Suggested</dt><dd><code>${escape(lesson.suggestion)}</code></dd><dt>Written</dt><dd><code>${escape(lesson.written)}</code></dd><dt>Hint</dt><dd><code>${escape(lesson.hint)}</code></dd><dt>Probability per byte</dt><dd>${probability(lesson.natsBefore, lesson.bytes)} → ${probability(lesson.natsAfter, lesson.bytes)} <span class="${better(lesson) ? 'better' : 'worse'}">(${signed((lesson.natsAfter - lesson.natsBefore) / lesson.bytes, 3)} nats per byte)</span></dd></dl>
</article>`,
  )
  .join('\n')}
</section>`;
}

function worse(result: ReplayResult): string {
  const rows = result.worse.map((line) => `<tr><td class="text"><code>${escape(line.text)}</code><br><small>${escape(line.path)}</small></td><td>${probability(line.natsFrozen, line.bytes)}</td><td>${probability(line.natsLearned, line.bytes)}</td></tr>`);
  const forgot = methodNames(result).filter((name) => (result.methods[name]?.forgettingPct ?? 0) > 0.005).map((name) => `${escape(name)} ${signed(result.methods[name]?.forgettingPct ?? 0, 2)} %`);
  const declined = methodNames(result).flatMap((name) => COLUMNS.filter((c) => (result.methods[name]?.delta[c.metric]?.hi ?? 0) < 0).map((c) => `${escape(name)}: ${c.head.toLowerCase()}`));
  return `<section>
<h2>What got worse</h2>
<p>Figures below frozen with the interval clear of zero: ${declined.join('; ') || 'none'}. Loss on unrelated texts rose for: ${forgot.join(', ') || 'none'}.</p>
${rows.length === 0 ? '' : `<div class="wide"><table><thead><tr><th scope="col" class="text">Compared line that lost most</th><th scope="col">Frozen<br><small>probability per byte</small></th><th scope="col">${escape(result.worse[0]?.method ?? '')}</th></tr></thead><tbody>${rows.join('')}</tbody></table></div>`}
</section>`;
}

function method(result: ReplayResult): string {
  const facts = { ...result.settings, ...result.machine, origin: result.origin, ...(result.commit === null ? {} : { commit: result.commit }) };
  const rows = Object.entries(facts).map(([name, value]) => `<tr><th scope="row">${escape(name)}</th><td class="text">${escape(String(value))}</td></tr>`);
  return `<section>
<h2>How it was measured</h2>
<p>The history’s commits are typed again by a simulated developer through the editor’s own protocol, at five characters a second of a virtual clock. At each measured line a completion is asked for after the indentation and, where nothing was accepted, after each of the next two words. A suggestion is accepted if its whole first line is what the commit has, or a prefix of at least eight characters is. Learning, gate included, drains at each commit’s end.</p>
<details><summary>Settings and machine</summary><div class="wide"><table><tbody>${rows.join('')}</tbody></table></div></details>
</section>`;
}

function probability(nats: number, bytes: number): string {
  return number(Math.exp(nats / Math.max(1, bytes)), 3);
}

function signed(value: number, digits: number): string {
  const text = number(value, digits);
  return value > 0 && Number(value.toFixed(digits)) !== 0 ? `+${text}` : text;
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

const STYLE = `
:root{color-scheme:light dark;--bg:#fbfbfa;--fg:#1d2125;--dim:#5c6670;--line:#d9dde1;--panel:#fff;--shade:#eef1f4;--better:#0a6b45;--worse:#a3341c;
--c-frozen:#6b7280;--c-memory:#8a5a00;--c-sft:#b03a2e;--c-binary:#7b3fa0;--c-opd:#00758f;--c-combined:#0b5cad;--c-both:#2e7d32;--c-default:#0b5cad}
@media (prefers-color-scheme:dark){:root{--bg:#15181b;--fg:#e6e8ea;--dim:#9aa4ae;--line:#343a40;--panel:#1c2024;--shade:#23282d;--better:#5fd3a0;--worse:#ff9b85;
--c-frozen:#9aa4ae;--c-memory:#e0a64a;--c-sft:#ff8a7a;--c-binary:#c9a0ea;--c-opd:#5ecbe0;--c-combined:#72b2ff;--c-both:#7fd087;--c-default:#72b2ff}}
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--fg);font:16px/1.55 system-ui,sans-serif}
main{max-width:68rem;margin:0 auto;padding:2rem 1.25rem 4rem}h1{font-size:1.7rem;margin:0 0 .3rem}h1 em{font-style:normal;color:var(--c-combined)}h2{font-size:1.2rem;margin:2.4rem 0 .6rem}h3{font-size:.95rem;margin:0 0 .4rem;overflow-wrap:anywhere}
.lead,.note,figcaption,small{color:var(--dim)}.lead{margin:0 0 1.4rem}.note,figcaption{font-size:.88rem}
.headline{background:var(--panel);border:1px solid var(--line);border-left:5px solid var(--c-combined);border-radius:6px;padding:1rem 1.3rem}.headline p{margin:.2rem 0}.figure{font-size:2.1rem;font-weight:650;font-variant-numeric:tabular-nums}.figure span{font-size:1rem;font-weight:400;color:var(--dim)}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:.92rem}th,td{padding:.45rem .5rem;border-bottom:1px solid var(--line);text-align:right;vertical-align:top}thead th{vertical-align:bottom;font-weight:600}th:first-child,.text{text-align:left}td small{white-space:nowrap;font-size:.8rem}
.better{color:var(--better)}.worse{color:var(--worse)}.same{color:var(--dim)}
figure{margin:0 0 1.4rem;background:var(--panel);border:1px solid var(--line);border-radius:6px;padding:.8rem}svg{display:block;width:100%;height:auto;font:12px system-ui,sans-serif}
.grid{stroke:var(--line)}.zero{stroke:var(--dim)}.tick{fill:var(--dim)}.axis{fill:var(--fg)}.name{font-weight:600}.compared{fill:var(--shade)}
article{background:var(--panel);border:1px solid var(--line);border-radius:6px;padding:.8rem 1rem;margin:0 0 .8rem}pre{tab-size:2;margin:0 0 .6rem;padding:.5rem .7rem;background:var(--shade);border-radius:4px;overflow-x:auto;font-size:.82rem}code{font-size:.86rem;overflow-wrap:anywhere;white-space:pre-wrap}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem .9rem;margin:0}dt{color:var(--dim)}dd{margin:0}
details{margin:.4rem 0}summary{cursor:pointer;padding:.2rem 0}summary:focus-visible{outline:2px solid var(--c-combined);outline-offset:2px}
@media print{body{background:#fff}}`;
