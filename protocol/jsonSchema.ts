// Apart from the engine's messages, so that the window, which speaks to no engine, does not load those.
import { z } from 'zod';

/** A JSON Schema; zod's `toJSONSchema` makes them. */
export const jsonSchema = z.record(z.string(), z.unknown());
