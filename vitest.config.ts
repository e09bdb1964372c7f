import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['{protocol,daemon,native}/**/*.test.ts', 'extension/**/*.test.ts'],
    exclude: ['extension/test/**', '**/node_modules/**'],
    globalSetup: ['esbuild.config.mjs'],
    // Two workers: the suites drive real engines and daemons, and the reference machine has two cores.
    pool: 'forks',
    poolOptions: { forks: { maxForks: 2 } },
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
