/** The browser as tools: open, click, type, read. Pages of this machine at once, others if the user agrees. */
import { z } from 'zod';
import type { PageChange } from '../browser/session.ts';
import { pageAddress } from '../browser/session.ts';
import { failed, tool } from './tool.ts';
import type { Tool, ToolResult } from './tool.ts';

const TREE_CHARS = 12_000;
const CHANGED_LINES = 60;

const openTool = tool({
  name: 'browser_open',
  description: 'Opens a page in a browser and returns its accessibility tree and console. Pages on this machine (localhost) open at once; for others the user is asked.',
  parameters: z.object({ url: z.string() }),
  title: ({ url }) => `Open ${url}`,
  async run({ url: text }, context) {
    const url = pageAddress(text);
    if (!context.browser.allows(url)) {
      const agreed = await context.confirm({ tool: 'browser_open', title: 'Open in the browser', detail: url.href, remember: null });
      if (!agreed) return failed(`The user did not let ${url.host} be opened.`);
      await context.browser.allow(url);
    }
    return told(await context.browser.open(url), 'whole');
  },
});

const clickTool = tool({
  name: 'browser_click',
  description: 'Clicks an element of the open page, by its ref in the tree. Returns what changed.',
  parameters: z.object({ ref: z.string() }),
  title: ({ ref }) => `Click ${ref}`,
  async run({ ref }, context) {
    const summary = context.browser.nameOf(ref);
    return { ...told(await context.browser.click(ref), 'change'), summary };
  },
});

const typeTool = tool({
  name: 'browser_type',
  description: 'Fills a field of the open page, by its ref in the tree; with submit, presses Enter after it. Returns what changed.',
  parameters: z.object({ ref: z.string(), text: z.string(), submit: z.boolean().optional() }),
  title: ({ ref, text }) => `Type "${text.slice(0, 40)}" into ${ref}`,
  async run({ ref, text, submit = false }, context) {
    const summary = context.browser.nameOf(ref);
    return { ...told(await context.browser.type(ref, text, submit ? 'submit' : 'stay'), 'change'), summary };
  },
});

const readTool = tool({
  name: 'browser_read',
  description: 'The accessibility tree of the open page, with the refs of its elements, and its console.',
  parameters: z.object({}),
  title: () => 'Read the page',
  run: async (_, context) => told(await context.browser.read(), 'whole'),
});

export const BROWSER_TOOLS: readonly Tool[] = [openTool, clickTool, typeTool, readTool];

function told(change: PageChange, what: 'whole' | 'change'): ToolResult {
  const { url, title, tree, added, removed, console } = change;
  const cut = (text: string): string => (text.length <= TREE_CHARS ? text : `${text.slice(0, TREE_CHARS)}\n[cut]`);
  const changed = [...removed.map((line) => `- ${line}`), ...added.map((line) => `+ ${line}`)].slice(0, CHANGED_LINES);
  const parts = [
    `${title} (${url})`,
    ...(what === 'change' ? [changed.length === 0 ? 'Nothing changed.' : `Changed:\n${changed.join('\n')}`] : []),
    ...(console.length > 0 ? [`Console:\n${console.join('\n')}`] : []),
    cut(tree),
  ];
  return {
    text: parts.join('\n\n'),
    failed: false,
    observations: [{ kind: 'page', url, added: added.slice(0, CHANGED_LINES), removed: removed.slice(0, CHANGED_LINES), console }],
  };
}

