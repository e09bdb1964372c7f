/** Line charts as inline SVG: no script, colours from the page's own variables, readable without colour. */

export interface Series {
  name: string;
  /** CSS variable that holds its colour. */
  colour: string;
  /** Told apart without colour too. */
  dash: string;
  points: { x: number; y: number; lo?: number; hi?: number }[];
}

export interface Chart {
  title: string;
  /** What a screen reader says of it. */
  description: string;
  x: { label: string; max: number };
  y: { label: string; digits: number };
  /** From this x on the figures are compared. */
  compareFrom: number;
  series: Series[];
}

const WIDTH = 760;
const HEIGHT = 300;
const PAD = { left: 78, right: 146, top: 18, bottom: 44 };
const LABEL_HEIGHT = 16;

export function lineChart(chart: Chart): string {
  const values = chart.series.flatMap((s) => s.points.flatMap((p) => [p.y, p.lo ?? p.y, p.hi ?? p.y]));
  const ticks = niceTicks(Math.min(0, ...values), Math.max(0, ...values));
  const [low, high] = [ticks[0] ?? 0, ticks.at(-1) ?? 1];
  const x = (value: number): number => PAD.left + (value / chart.x.max) * (WIDTH - PAD.left - PAD.right);
  const y = (value: number): number => HEIGHT - PAD.bottom - ((value - low) / (high - low)) * (HEIGHT - PAD.top - PAD.bottom);
  const parts = [
    `<rect class="compared" x="${r(x(chart.compareFrom))}" y="${PAD.top}" width="${r(x(chart.x.max) - x(chart.compareFrom))}" height="${HEIGHT - PAD.top - PAD.bottom}"/>`,
    `<text class="tick" x="${r(x(chart.compareFrom) + 5)}" y="${HEIGHT - PAD.bottom - 6}">compared</text>`,
    ...ticks.map((tick) => `<line class="${Math.abs(tick) < 1e-12 ? 'zero' : 'grid'}" x1="${PAD.left}" x2="${WIDTH - PAD.right}" y1="${r(y(tick))}" y2="${r(y(tick))}"/><text class="tick" text-anchor="end" x="${PAD.left - 8}" y="${r(y(tick) + 4)}">${number(tick, chart.y.digits)}</text>`),
    ...niceTicks(0, chart.x.max).filter((tick) => Number.isInteger(tick) && tick <= chart.x.max).map((tick) => `<text class="tick" text-anchor="middle" x="${r(x(tick))}" y="${HEIGHT - PAD.bottom + 17}">${tick}</text>`),
    `<text class="axis" text-anchor="middle" x="${r((PAD.left + WIDTH - PAD.right) / 2)}" y="${HEIGHT - 6}">${escape(chart.x.label)}</text>`,
    `<text class="axis" text-anchor="middle" transform="translate(14 ${r((PAD.top + HEIGHT - PAD.bottom) / 2)}) rotate(-90)">${escape(chart.y.label)}</text>`,
    ...chart.series.map((s) => band(s, x, y)),
    ...chart.series.map((s) => `<polyline fill="none" stroke="var(${s.colour})" stroke-width="2" stroke-dasharray="${s.dash}" points="${s.points.map((p) => `${r(x(p.x))},${r(y(p.y))}`).join(' ')}"/>`),
    ...endLabels(chart.series, x, y),
  ];
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escape(`${chart.title}. ${chart.description}`)}">${parts.join('')}</svg>`;
}

function band(series: Series, x: (v: number) => number, y: (v: number) => number): string {
  const upper = series.points.map((p) => `${r(x(p.x))},${r(y(p.hi ?? p.y))}`);
  const lower = series.points.map((p) => `${r(x(p.x))},${r(y(p.lo ?? p.y))}`).reverse();
  return series.points.some((p) => p.hi !== undefined && p.hi !== p.lo) ? `<polygon fill="var(${series.colour})" opacity="0.14" points="${[...upper, ...lower].join(' ')}"/>` : '';
}

/** Names at the right ends of the lines, moved apart where they would overlap. */
function endLabels(series: readonly Series[], x: (v: number) => number, y: (v: number) => number): string[] {
  const labels = series.flatMap((s) => {
    const last = s.points.at(-1);
    return last ? [{ series: s, x: x(last.x), from: y(last.y), y: y(last.y) }] : [];
  });
  labels.sort((a, b) => a.y - b.y);
  labels.forEach((label, index) => {
    const above = labels[index - 1];
    if (above) label.y = Math.max(label.y, above.y + LABEL_HEIGHT);
  });
  const over = Math.max(0, (labels.at(-1)?.y ?? 0) - (HEIGHT - PAD.bottom));
  return labels.map(({ series: s, x: at, from, y: to }) => {
    const line = `<line stroke="var(${s.colour})" stroke-width="1" x1="${r(at + 2)}" y1="${r(from)}" x2="${r(at + 10)}" y2="${r(to - over)}"/>`;
    return `${line}<text class="name" fill="var(${s.colour})" x="${r(at + 13)}" y="${r(to - over + 4)}">${escape(s.name)}</text>`;
  });
}

/** About five round numbers that enclose a range. */
export function niceTicks(low: number, high: number): number[] {
  if (high <= low) return niceTicks(low, low + 1);
  const span = high - low;
  const power = 10 ** Math.floor(Math.log10(span / 5));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => span / candidate <= 6) ?? span;
  const first = Math.floor(low / step + 1e-9);
  const last = Math.ceil(high / step - 1e-9);
  return Array.from({ length: last - first + 1 }, (_, index) => (first + index) * step);
}

/** Fixed digits, with a true minus sign. */
export function number(value: number, digits: number): string {
  const text = value.toFixed(digits);
  return Number(text) === 0 ? text.replace('-', '') : text.replace('-', '\u2212');
}

export function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

function r(value: number): string {
  return String(Math.round(value * 10) / 10);
}
