/**
 * Who talks to the agent in the personal-agent simulation, and when they are content (OpenClaw-RL:
 * a student who wants no text that looks like an AI's, a teacher who wants specific and friendly
 * comments). Contentment is a set of rules on the reply's text, so no outside model is needed.
 */
import type { Problem } from './problems.ts';

export interface Rule {
  name: string;
  /** Whether a reply to this problem is as the persona wants it. */
  holds(reply: string, problem: Problem): boolean;
  /** What the persona says where it is not; part of a correction. */
  wish: string;
}

export interface Persona {
  name: 'student' | 'teacher';
  /** What is asked first. */
  request(problem: Problem): string;
  /** How a correction begins. */
  complaint: string;
  rules: readonly Rule[];
}

export interface Impression {
  /** Share of rules that hold, [0, 1]. */
  score: number;
  /** All of them do. */
  satisfied: boolean;
  /** What the persona says against the reply; null = nothing. */
  correction: string | null;
}

export function impression({ rules, complaint }: Persona, reply: string, problem: Problem): Impression {
  const broken = rules.filter((rule) => !rule.holds(reply, problem));
  return {
    score: (rules.length - broken.length) / rules.length,
    satisfied: broken.length === 0,
    correction: broken.length === 0 ? null : `${complaint} ${broken.map(({ wish }) => wish).join(' ')}`,
  };
}

const SHORT_WORDS = 80;
const COMMENT_WORDS = 15;

export const markdown = (text: string): boolean => /\*\*|__\w|`|^\s{0,3}#{1,6}\s|^\s{0,3}>\s|\$\$|\\\(|\\boxed|^\s*[-*_]{3,}\s*$/m.test(text);
export const list = (text: string): boolean => /^\s*(?:[-*•+]|\d{1,2}[.)]|step\s+\d+\s*:?)\s+\S/im.test(text);
export const servile = (text: string): boolean => /\b(?:certainly|of course|absolutely|sure thing|great question|happy to help|i'?d be happy|let me know if|hope this helps|as an ai|let'?s (?:break|dive))\b|^\s*sure\b/i.test(text);
export const friendly = (text: string): boolean => /\b(?:well done|good (?:job|work|start|thinking)|great (?:job|work)|nice(?:ly)?|excellent|keep (?:it up|going)|proud|you did|i like|lovely|bravo|impressive)\b/i.test(text);
export const words = (text: string): string[] => text.toLowerCase().match(/[\p{L}][\p{L}'’]*/gu) ?? [];
const numbers = (text: string): Set<string> => new Set((text.match(/\d+(?:[.,]\d+)*/g) ?? []).map((one) => one.replaceAll(',', '')));

/** Not one word again and again, and words at all. */
export function sensible(text: string): boolean {
  const all = words(text);
  return all.length >= 5 && new Set(all).size / all.length >= 0.3;
}

/** Names at least two numbers of the student's answer, or four of its rarer words. */
export function specific(reply: string, { question, answer }: Pick<Problem, 'question' | 'answer'>): boolean {
  const named = [...numbers(answer)].filter((number) => numbers(reply).has(number));
  const own = new Set(words(`${question} ${answer}`).filter((word) => word.length > 4));
  const shared = new Set(words(reply).filter((word) => own.has(word)));
  return named.length >= 2 || shared.size >= 4;
}

export const STUDENT: Persona = {
  name: 'student',
  request: ({ question }) => `I have to hand in the solution of this problem. Write it for me. ${question}`,
  complaint: 'My teacher will see that I did not write this.',
  rules: [
    { name: 'an answer', holds: (reply) => sensible(reply) && numbers(reply).size > 0, wish: 'Write whole sentences with the numbers in them.' },
    { name: 'no markdown', holds: (reply) => !markdown(reply), wish: 'Use no bold text, headings or formulas in markup.' },
    { name: 'no lists', holds: (reply) => !list(reply), wish: 'Do not write it as a list of steps, just sentences.' },
    { name: 'no set phrases', holds: (reply) => !servile(reply), wish: 'Leave out phrases like "certainly" or "let me know".' },
    { name: 'short', holds: (reply) => words(reply).length <= SHORT_WORDS, wish: `Keep it short, under ${SHORT_WORDS} words.` },
  ],
};

export const TEACHER: Persona = {
  name: 'teacher',
  request: ({ question, answer }) => `Write a comment under this homework. Problem: ${question} The student wrote: ${answer.replaceAll('\n', ' ')}`,
  complaint: 'I would not write that to a child.',
  rules: [
    { name: 'sensible', holds: sensible, wish: 'Write whole sentences.' },
    { name: 'specific', holds: specific, wish: 'Say what exactly was done well or wrong, with the numbers of the student.' },
    { name: 'friendly', holds: friendly, wish: 'Be friendly, say something like "well done" or "nice".' },
    { name: 'long enough', holds: (reply) => words(reply).length >= COMMENT_WORDS, wish: `Write at least ${COMMENT_WORDS} words.` },
    { name: 'no set phrases', holds: (reply) => !servile(reply), wish: 'Leave out phrases like "certainly" or "let me know".' },
  ],
};

export const PERSONAS = { student: STUDENT, teacher: TEACHER } as const;
export type PersonaName = keyof typeof PERSONAS;
