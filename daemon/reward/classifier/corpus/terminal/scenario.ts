/** One run of a real tool on a small project made for it. */
import type { Polarity } from '../record.ts';
import type { Random } from '../random.ts';

export interface Scenario {
  /** Files of the project, by path relative to its root. */
  files: Record<string, string>;
  /** Shell commands that prepare the project; their output is not recorded. */
  setup?: string[];
  command: string;
  label: Polarity;
  /** A run that ends otherwise is not what the label says, and is dropped. */
  exit: 'zero' | 'nonzero' | 'any';
}

export interface Tool {
  /** Held out as one. Tools whose messages are alike (gcc and g++) share a family. */
  family: string;
  runs: number;
  make(random: Random): Scenario;
}

const THINGS = ['order', 'invoice', 'user', 'account', 'session', 'token', 'buffer', 'queue', 'packet', 'matrix', 'route', 'widget', 'ledger', 'report', 'sensor', 'palette', 'player', 'score', 'ticket', 'cart', 'parser', 'cursor', 'cache', 'shard', 'recipe', 'window', 'cluster', 'vector', 'signal', 'journal', 'customer', 'receipt', 'album', 'vehicle', 'planet', 'error', 'failure', 'test'];
const ACTIONS = ['load', 'parse', 'merge', 'sort', 'render', 'encode', 'decode', 'flush', 'compute', 'scan', 'resolve', 'validate', 'format', 'split', 'track', 'apply', 'clean', 'count', 'fetch', 'store', 'update', 'check', 'fail', 'retry'];
const PROJECTS = ['atlas', 'birch', 'copperline', 'dustbin', 'ember', 'fjord', 'granite', 'harbor', 'inkwell', 'juniper', 'kestrel', 'lantern', 'meadow', 'nimbus', 'orchard', 'pebble', 'quarry', 'raven', 'saffron', 'thistle', 'umbra', 'violet', 'willow', 'yarrow', 'zephyr'];

export const thing = (random: Random): string => random.pick(THINGS);
export const project = (random: Random): string => random.pick(PROJECTS);
export const snake = (random: Random): string => `${random.pick(ACTIONS)}_${thing(random)}`;
export const pascal = (random: Random): string => [thing(random), random.pick(['store', 'list', 'reader', 'model', 'view'])].map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join('');
export const camel = (random: Random): string => random.pick(ACTIONS) + pascal(random);

/** Names of tests, some of which talk about failure although they pass. */
export function testTitle(random: Random): string {
  const subject = thing(random);
  return random.pick([
    `${random.pick(ACTIONS)}s the ${subject}`,
    `returns an empty ${subject}`,
    `throws an error when the ${subject} is missing`,
    `fails on an invalid ${subject}`,
    `keeps the order of ${subject}s`,
    `rejects a negative ${subject}`,
    `handles ${subject} not found`,
    `does not lose a ${subject}`,
    `adds two ${subject}s`,
    `reports a warning for an old ${subject}`,
  ]);
}

/** `count` different names made by `make`. */
export function names(random: Random, count: number, make: (random: Random) => string): string[] {
  const out = new Set<string>();
  for (let tries = 0; out.size < count && tries < 200; tries++) out.add(make(random));
  return [...out];
}
