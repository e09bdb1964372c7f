/** Command: prints the filter's card for the telemetry file named on the command line. See filterEvaluation.ts. */
import { evaluateFilter, offersOfTelemetry, readTelemetry } from './filterEvaluation.ts';

const [path] = process.argv.slice(2);
if (path === undefined) throw new Error('name a telemetry file');
process.stdout.write(`${JSON.stringify(evaluateFilter(offersOfTelemetry(readTelemetry(path)), 2000), null, 1)}\n`);
