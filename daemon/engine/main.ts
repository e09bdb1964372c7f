/** Entry of the engine's own bundle (dist/engine.js), which the daemon starts as a child. */
import { runEngine } from './channel.ts';

runEngine();
