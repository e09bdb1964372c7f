// code-server answers every proposed-API check with yes, so a suite would pass on calls that real users' editors refuse.
import { readFile, rename, writeFile } from 'node:fs/promises';

/** The check as code-server ships it: a function of two parameters that returns true, directly before the function that throws. */
const SWITCHED_OFF = /function ([\w$]+)\(([\w$]+),([\w$]+)\)\{return!0\}(?=function [\w$]+\([\w$]+,[\w$]+\)\{if\(!\1\([^{}]{0,40}throw new Error\(`Extension '\$\{[^}]+\}' CANNOT use API proposal)/;
const RESTORED = 'hindsight:proposed-api-check';

/** Puts VS Code's own check back into the extension host's program; throws where the program is not as expected. */
export async function restoreProposedApiCheck(extensionHostProgram: string): Promise<void> {
  const source = await readFile(extensionHostProgram, 'utf8');
  if (source.includes(RESTORED)) return;
  const patched = source.replace(
    SWITCHED_OFF,
    (_all, name: string, extension: string, proposal: string) =>
      `function ${name}(${extension},${proposal}){/*${RESTORED}*/return!!${extension}.enabledApiProposals&&${extension}.enabledApiProposals.includes(${proposal})}`,
  );
  if (patched === source) {
    throw new Error(`the proposed-API check was not found in ${extensionHostProgram}: the suites would pass on APIs that users do not have; adapt extension/test/proposedApi.ts to this version of code-server`);
  }
  const copy = `${extensionHostProgram}.patched`;
  await writeFile(copy, patched);
  await rename(copy, extensionHostProgram);
}
