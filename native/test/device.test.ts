/** `device: 'cuda'` on this very machine: it works, or one sentence says why not. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { loadNative } from '../index.ts';

test('CUDA can be asked for, or its sentence is what a request is refused with', async () => {
  const why = loadNative().whyNoCuda();
  const load = loadNative().load({ dir: join(import.meta.dirname, '../../testdata/parity/qwen3'), device: 'cuda' });
  if (why === '') {
    const model = await load;
    expect(model.info).toMatchObject({ device: 'cuda' });
    model.close();
    return;
  }
  expect(why).toMatch(/^CUDA is not used: .+\.$/);
  await expect(load).rejects.toMatchObject({ code: 'DEVICE_UNAVAILABLE', message: `${why.slice(0, -1)}: use --device cpu, or mend that.` });
});
