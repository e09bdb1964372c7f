/**
 * Where the engine's program is. Installed and in the repository it is the bundle beside the
 * daemon's own; tests run from sources, and vitest.config.ts's global setup builds that same
 * bundle first (daemon/engine/build.ts). HINDSIGHT_ENGINE_ENTRY names another one.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { HindsightError } from '../../protocol/errors.ts';

/** @throws engineUnavailable where the bundle was not built */
export function engineEntry(): string {
  const fromSources = __filename.endsWith('.ts');
  const beside = path.resolve(path.dirname(__filename), ...(fromSources ? ['..', '..', 'dist'] : []), 'engine.js');
  const entry = process.env['HINDSIGHT_ENGINE_ENTRY'] ?? beside;
  if (!existsSync(entry)) throw new HindsightError('engineUnavailable', { reason: `${entry} is missing; run \`npm run build\`` });
  return entry;
}
