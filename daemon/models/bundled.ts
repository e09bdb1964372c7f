/** The model that comes with the program, so that it serves at once and without a network. */
import path from 'node:path';

/** Folder of the seed: in the repository, and packaged with the extension at the same place. The
 *  bundle is in dist/, this file in daemon/models/. */
export function bundledModel(): string {
  const root = __filename.endsWith('.ts') ? path.resolve(__dirname, '..', '..') : path.resolve(__dirname, '..');
  return path.join(root, 'testdata', 'models', 'seed');
}
