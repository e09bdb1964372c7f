// A journey: one or more launches of the editor over the same user data and workspace, each running one suite.
// Restarting the editor between two launches is what "restart the window" means here, the daemon living on.
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import type { SuiteResult } from './driver/commands.ts';

export interface Journey {
  readonly name: string;
  /** The extension under development, from the repository's root. */
  readonly extension: string;
  /** A VSIX, from the repository's root, that is installed into the clean profile before the launches. */
  readonly vsix?: string;
  /** Too long for every run: only when it is named, or with HINDSIGHT_FULL=1. */
  readonly full?: true;
  readonly launches: readonly Launch[];
  readonly settings?: Readonly<Record<string, unknown>>;
  /** `withheld`: the workspace opens in restricted mode. Otherwise the editor asks nobody and trusts. */
  readonly trust?: 'withheld';
  /** Written before the first launch. */
  readonly arrange?: (place: JourneyPlace) => Promise<void>;
  /** Always run at the end, also after a failure: ends what the journey started outside the editor. */
  readonly cleanUp?: (place: JourneyPlace) => Promise<void>;
  readonly env?: (place: JourneyPlace) => Readonly<Record<string, string>>;
}

export interface Launch {
  /** Files of extension/test/suite without their `.test.ts`, run one after another in the same window. */
  readonly suites: readonly string[];
  readonly timeoutMs: number;
  /** Done outside the editor just before this launch. */
  readonly before?: (place: JourneyPlace) => Promise<void>;
}

/** The folders a journey owns; all under one temporary folder, which stays when it fails. */
export interface JourneyPlace {
  readonly root: string;
  readonly folder: string;
  readonly workspace: string;
  readonly userData: string;
  readonly logs: string;
}

export async function makePlace(root: string, folder: string): Promise<JourneyPlace> {
  const place = { root, folder, workspace: path.join(folder, 'workspace'), userData: path.join(folder, 'user'), logs: path.join(folder, 'logs') };
  await Promise.all([place.workspace, place.userData, place.logs].map((each) => mkdir(each, { recursive: true })));
  return place;
}

/** One launch, as an editor needs to know it. */
export interface LaunchOrder {
  readonly place: JourneyPlace;
  readonly extension: string;
  readonly suiteFolder: string;
  readonly env: Readonly<Record<string, string>>;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly trust: 'given' | 'withheld';
  readonly timeoutMs: number;
}

/** An editor that can run a suite: VS Code in the browser, or a desktop VS Code. */
export interface EditorUnderTest {
  readonly description: string;
  /** Installs a VSIX into the profile of a place, as a user's "Install from VSIX…" does. */
  install(place: JourneyPlace, vsix: string): Promise<void>;
  /** Runs until the extension host reports the suite's end; throws with a reason when it does not come to that. */
  launch(order: LaunchOrder): Promise<void>;
  /** Ends everything that this editor has started. Safe to call twice. */
  stop(): Promise<void>;
}

/** Settings without which a suite would meet dialogs, downloads or experiments. */
export const QUIET_SETTINGS: Readonly<Record<string, unknown>> = {
  // A journey waits for what is learned, on machines of any load and on battery too.
  'hindsight.daemonArguments': ['--when', 'always'],
  // Whoever turns many suggestions down on purpose is not left alone.
  'hindsight.completions.adaptive': false,
  'telemetry.telemetryLevel': 'off',
  'update.mode': 'none',
  'extensions.autoUpdate': false,
  'extensions.autoCheckUpdates': false,
  'workbench.startupEditor': 'none',
  'workbench.enableExperiments': false,
  'workbench.tips.enabled': false,
  // Pictures are of what is there, not of what is fading in.
  'workbench.reduceMotion': 'on',
  // The mouse stays where it clicked: its hint would cover what opens there.
  'workbench.hover.delay': 60_000,
  'editor.cursorBlinking': 'solid',
  'editor.inlineSuggest.enabled': true,
  'editor.quickSuggestions': { other: 'off', comments: 'off', strings: 'off' },
  'editor.autoClosingBrackets': 'never',
  'editor.autoClosingQuotes': 'never',
  'git.openRepositoryInParentFolders': 'never',
  // The browser's editor saves by itself, the desktop's does not: the suites save when they mean to.
  'files.autoSave': 'off',
  'chat.disableAIFeatures': true,
  'workbench.secondarySideBar.defaultVisibility': 'hidden',
};

/** The settings and the flag that decide whether the workspace is trusted. */
export function trustOf(order: LaunchOrder): { settings: Readonly<Record<string, unknown>>; flags: string[] } {
  if (order.trust === 'given') return { settings: { 'security.workspace.trust.enabled': false }, flags: ['--disable-workspace-trust'] };
  return { settings: { 'security.workspace.trust.enabled': true, 'security.workspace.trust.startupPrompt': 'never', 'security.workspace.trust.emptyWindow': false }, flags: [] };
}

export function isPassed(result: SuiteResult): boolean {
  return result.failures === 0 && result.passes > 0;
}
