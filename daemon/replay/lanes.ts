/** Jobs side by side, a few at a time. One that fails ends the others' queue, not those in progress: they
 *  have processes and files of their own to put away. */
export async function inLanes<T>(jobs: readonly T[], lanes: number, run: (job: T) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let job = jobs[next++]; job !== undefined; job = jobs[next++]) {
      await run(job).catch((thrown: unknown) => {
        next = jobs.length;
        throw thrown;
      });
    }
  };
  const settled = await Promise.allSettled(Array.from({ length: Math.min(lanes, jobs.length) }, lane));
  for (const one of settled) if (one.status === 'rejected') throw one.reason;
}
