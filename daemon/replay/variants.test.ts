import { describe, expect, it } from 'vitest';
import { DEFAULT_SETTINGS, settingsOf } from '../learn/settings.ts';
import { changedSettings, trains, variantOf } from './variants.ts';

const given = { ...DEFAULT_SETTINGS, lr: 1e-3, seed: 7 };

describe('a variant', () => {
  it('takes the settings of the command line, and its own on top', () => {
    expect(variantOf('sft', given).settings).toEqual({ ...given, method: 'sft' });
    expect(variantOf('combined:klBeta=0:lr=null', given)).toEqual({ label: 'combined:klBeta=0:lr=null', settings: { ...given, method: 'combined', klBeta: 0, lr: null } });
  });

  it('called default or frozen is what is shipped, whatever else is set; the seed holds for all', () => {
    expect(variantOf('default', given).settings).toEqual({ ...DEFAULT_SETTINGS, seed: 7 });
    expect(variantOf('frozen', given).settings).toEqual({ ...DEFAULT_SETTINGS, seed: 7, method: 'frozen' });
    expect(changedSettings(variantOf('default', given))).toEqual({});
  });

  it('learns or does not', () => {
    expect(['frozen', 'memory', 'sft', 'binary', 'opd', 'combined', 'memory+combined'].filter((label) => trains(variantOf(label, given)))).toEqual(['sft', 'binary', 'opd', 'combined', 'memory+combined']);
  });

  it('that cannot be is refused with what there is', () => {
    expect(() => variantOf('combine', given)).toThrow(/no method combine.*combined/);
    expect(() => variantOf('combined:method=sft', given)).toThrow(/no setting method/);
    expect(() => settingsOf(['lr'])).toThrow(/needs a number/);
    expect(() => settingsOf(['learningRate=1'])).toThrow(/no setting learningRate.*lr/);
  });
});
