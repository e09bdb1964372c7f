// Runs in the webview. It draws what the window sends and knows no other source; every text is set as text, never
// as markup. It has one listener, whatever is drawn and however often.
import type { Chart, LessonCard, PageModel } from '../pageModel.ts';

declare function acquireVsCodeApi(): { postMessage(message: unknown): void };

const SVG = 'http://www.w3.org/2000/svg';
/** Of a chart's drawing area, in its own units. */
const PLOT = { width: 420, height: 190, left: 42, right: 14, top: 12, bottom: 26 };

window.addEventListener('message', (event: MessageEvent<{ model?: PageModel }>) => {
  if (event.data.model !== undefined) draw(event.data.model);
});
acquireVsCodeApi().postMessage({ ready: true });

function draw(model: PageModel): void {
  document.documentElement.lang = model.language;
  const main = document.querySelector('main');
  main?.replaceChildren(
    element('h1', {}, model.title),
    ...model.summary.map((line) => element('p', { class: 'summary' }, line)),
    element('div', { class: 'charts' }, ...model.charts.map(figure)),
    element('p', { class: 'note' }, model.chartNote),
    element('h2', { id: 'versions' }, model.versionsTitle),
    table(model),
    element('h2', { id: 'lessons' }, model.lessonsTitle),
    ...(model.lessonsNote === '' ? [] : [element('p', { class: 'note' }, model.lessonsNote)]),
    ...model.lessons.map((lesson) => article(lesson, model)),
  );
}

function element(tag: string, attributes: Readonly<Record<string, string>>, ...children: (Node | string)[]): HTMLElement {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function shape(tag: string, attributes: Readonly<Record<string, string | number>>, text = ''): SVGElement {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  made.textContent = text;
  return made;
}

/** The page's own table tells the same to whoever does not see it. */
function figure(chart: Chart): HTMLElement {
  const drawing = shape('svg', { viewBox: `0 0 ${PLOT.width} ${PLOT.height}`, role: 'img', 'aria-label': chart.description });
  drawing.append(...gridOf(), ...seriesOf(chart));
  return element('figure', {}, element('figcaption', {}, chart.title), drawing);
}

const yOf = (share: number): number => PLOT.height - PLOT.bottom - share * (PLOT.height - PLOT.top - PLOT.bottom);

function gridOf(): SVGElement[] {
  return [0, 0.5, 1].flatMap((share) => [
    shape('line', { class: 'grid', x1: PLOT.left, x2: PLOT.width - PLOT.right, y1: yOf(share), y2: yOf(share) }),
    shape('text', { class: 'axis', x: PLOT.left - 6, y: yOf(share) + 4, 'text-anchor': 'end' }, `${100 * share} %`),
  ]);
}

function seriesOf({ points }: Chart): SVGElement[] {
  const step = (PLOT.width - PLOT.left - PLOT.right) / Math.max(1, points.length);
  const at = points.map((point, index) => ({ ...point, x: PLOT.left + step * (index + 0.5) }));
  // Many versions: not every one has room for its name.
  const every = Math.ceil(at.length / 10);
  const path = (of: (typeof at)[number][], share: (point: (typeof at)[number]) => number): string => of.map((point) => `${point.x},${yOf(share(point))}`).join(' ');
  return [
    ...(at.length < 2 ? [] : [shape('polygon', { class: 'band', points: `${path(at, ({ upper }) => upper)} ${path(at.toReversed(), ({ lower }) => lower)}` }), shape('polyline', { class: 'curve', points: path(at, ({ value }) => value) })]),
    ...at.flatMap((point, index) => [
      shape('line', { class: 'whisker', x1: point.x, x2: point.x, y1: yOf(point.lower), y2: yOf(point.upper) }),
      shape('circle', { class: point.serving ? 'dot serving' : 'dot', cx: point.x, cy: yOf(point.value), r: point.serving ? 5.5 : 4 }),
      ...(index % every === 0 ? [shape('text', { class: 'axis', x: point.x, y: PLOT.height - 8, 'text-anchor': 'middle' }, point.label)] : []),
    ]),
  ];
}

function table({ versionsHead, versions }: PageModel): HTMLElement {
  return element(
    'table',
    { 'aria-labelledby': 'versions' },
    element('thead', {}, element('tr', {}, ...versionsHead.map((text) => element('th', { scope: 'col' }, text)))),
    ...versions.map(({ cells: [name = '', ...cells], why }) =>
      element(
        'tbody',
        {},
        element('tr', {}, element('th', { scope: 'row' }, name), ...cells.map((text) => element('td', {}, text))),
        element('tr', { class: 'why' }, element('td', {}), element('td', { colspan: String(cells.length) }, ...why.map((line) => element('p', {}, line)))),
      ),
    ),
  );
}

function article(lesson: LessonCard, { offeredLabel, writtenLabel }: PageModel): HTMLElement {
  const code = (label: string, text: string): HTMLElement => element('div', {}, element('h4', {}, label), element('pre', { tabindex: '0', role: 'group', 'aria-label': label }, text));
  return element(
    'article',
    { class: lesson.tone },
    element('h3', {}, lesson.title),
    element('p', {}, element('strong', {}, lesson.outcome), ` · ${lesson.learned}`),
    ...(lesson.why === '' ? [] : [element('p', { class: 'note' }, lesson.why)]),
    element('div', { class: 'sides' }, code(offeredLabel, lesson.offered), ...(lesson.written === null ? [] : [code(writtenLabel, lesson.written)])),
  );
}
