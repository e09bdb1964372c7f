/**
 * What a replay compares: a method with its settings under a name. `combined` runs with the settings
 * of the command line, `default` and `frozen` are exactly what is shipped, and
 * `combined:lr=1e-3:klBeta=0` is a setting of its own beside the others.
 */
import { HindsightError } from '../../protocol/errors.ts';
import { DEFAULT_SETTINGS, METHODS, settingsOf } from '../learn/settings.ts';
import type { LearnSettings, MethodName } from '../learn/settings.ts';

export interface Variant {
  /** Its name in the result and in the report. */
  label: string;
  settings: LearnSettings;
}

export const SHIPPED = 'default';
/** What every other variant is compared with; it always takes part. */
export const BASELINE = 'frozen' as const;

/** Whether it learns from samples; the others have nothing that a seed could change. */
export function trains({ settings }: Pick<Variant, 'settings'>): boolean {
  const { policyGradient, distillation, splice, supervised } = METHODS[settings.method];
  return policyGradient || distillation || splice || supervised;
}

/** @param label     a method, or `default`, and changes of its settings: `name:key=value:key=value`
 *  @param settings  of every variant but `default` and `frozen`
 *  @throws badRequest */
export function variantOf(label: string, settings: LearnSettings): Variant {
  const [name = '', ...changes] = label.split(':');
  const shipped = { ...DEFAULT_SETTINGS, seed: settings.seed };
  if (name === SHIPPED) return { label, settings: { ...shipped, ...settingsOf(changes) } };
  if (!Object.hasOwn(METHODS, name)) throw new HindsightError('badRequest', { problem: `There is no method ${name}`, remedy: `Choose of ${Object.keys(METHODS).join(', ')}, ${SHIPPED}.` });
  return { label, settings: { ...(name === BASELINE ? shipped : settings), ...settingsOf(changes), method: name as MethodName } };
}

/** What a variant changes of the shipped settings. */
export function changedSettings({ settings }: Pick<Variant, 'settings'>): Partial<LearnSettings> {
  return Object.fromEntries(Object.entries(settings).filter(([key, value]) => key !== 'seed' && value !== DEFAULT_SETTINGS[key as keyof LearnSettings]));
}
