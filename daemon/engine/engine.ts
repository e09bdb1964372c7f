/** The engine as the daemon sees it: typed calls, whatever process or machine answers them. */
import type { z } from 'zod';
import type * as wire from '../../protocol/engine.ts';
import type { CallOptions } from '../../protocol/transport.ts';
import type { RequestMessage, Result } from '../../protocol/message.ts';

type Call<M extends RequestMessage> = (params: z.input<M['params']>, options?: CallOptions) => Promise<Result<M>>;

export interface Engine {
  /** The loaded model. */
  readonly model: wire.ModelInfo;
  readonly generate: Call<typeof wire.generate>;
  readonly score: Call<typeof wire.score>;
  readonly tokenize: Call<typeof wire.tokenize>;
  readonly detokenize: Call<typeof wire.detokenize>;
  readonly render: Call<typeof wire.render>;
  readonly forwardBackward: Call<typeof wire.forwardBackward>;
  readonly optimStep: Call<typeof wire.optimStep>;
  readonly adapterCreate: Call<typeof wire.adapterCreate>;
  readonly adapterLoad: Call<typeof wire.adapterLoad>;
  readonly adapterWrite: Call<typeof wire.adapterWrite>;
  readonly adapterDelete: Call<typeof wire.adapterDelete>;
  readonly metrics: Call<typeof wire.engineMetrics>;
  /** Tokens of the `generate` request that carries this `stream`, as they come.
   *  @returns removes the listener */
  onToken(stream: string, listener: (token: { id: number; logprob: number | null; text: string }) => void): () => void;
  /** The process behind it came back after a crash: the base is loaded again, adapters are not.
   *  @returns removes the listener */
  onRestart(listener: () => void): () => void;
  /** True between a crash and the restart; calls fail with `engineUnavailable` meanwhile. */
  readonly down: boolean;
  close(): Promise<void>;
}
