/** `--device`: where a model computes. Asking for a GPU that is not there is refused, never replaced by the
 *  CPU in silence. `auto` is the CPU until native/bench/gpu.sh has passed on a GPU (docs/cuda.md). */
import { Option } from 'commander';
import { loadNative } from '../../native/index.ts';
import type { Device } from '../../native/index.ts';
import { HindsightError } from '../../protocol/errors.ts';

export type DeviceChoice = Device | 'auto';

export function deviceOption(): Option {
  return new Option('--device <name>', 'where the model computes').choices(['auto', 'cpu', 'cuda']).default('auto');
}

/** @throws unsupported, with the reason why CUDA cannot be used here */
export function usableDevice(device: DeviceChoice): Device {
  const why = device === 'cuda' ? loadNative().whyNoCuda() : '';
  if (why !== '') throw new HindsightError('unsupported', { what: '--device cuda', problem: why.replace(/^CUDA is not used: /, '').replace(/\.$/, ''), remedy: 'Use --device cpu, or mend that; `hindsight doctor` looks again.' });
  return device === 'cuda' ? 'cuda' : 'cpu';
}

/** As people call it. */
export function nameOf(device: Device): string {
  return device === 'cuda' ? loadNative().cudaName() : 'cpu';
}
