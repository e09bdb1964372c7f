/** Whether the machine can spare what background training takes: one pure decision over plain facts.
 *  An explicit wish (`hindsight learn now`) is not asked this. */

export interface MachineFacts {
  /** null = unknown, or a machine without a battery. */
  onBattery: boolean | null;
  /** Processes that want to run, one-minute mean, per core; null where the system does not say. */
  loadPerCore: number | null;
  /** Training runs now: it is part of the load. */
  training: boolean;
  /** Serving and training share the device. */
  sharedDevice: boolean;
  /** Since the last completion was asked for; infinite before the first. */
  typingSecondsAgo: number;
  /** Median answer time of the latest completions, milliseconds; null = unknown. */
  answerMs: number | null;
  /** How long training has been held. */
  heldSeconds: number;
}

export interface ConditionLimits {
  onBattery: 'train' | 'wait';
  /** Load per core from which on training does not start, and at which a running one stops. Its own
   *  share is at most one per core. */
  startLoad: number;
  stopLoad: number;
  /** Completions slower than this suffer from sharing their device. */
  slowMs: number;
  typingSeconds: number;
  /** Load and typing hold training no longer than this: a busy day must teach something, too. */
  longestHoldSeconds: number;
}

export const CONDITIONS: ConditionLimits = { onBattery: 'wait', startLoad: 3, stopLoad: 5, slowMs: 150, typingSeconds: 2, longestHoldSeconds: 300 };

/** @returns why training waits, in one sentence; null = it may run. Unknown facts never hold it. */
export function reasonToWait(facts: MachineFacts, limits: ConditionLimits = CONDITIONS): string | null {
  if (facts.onBattery === true && limits.onBattery === 'wait') return 'The machine runs on its battery; learning goes on when it is plugged in.';
  if (facts.heldSeconds >= limits.longestHoldSeconds) return null;
  const most = facts.training ? limits.stopLoad : limits.startLoad;
  if (facts.loadPerCore !== null && facts.loadPerCore > most) return `The machine is busy (load ${facts.loadPerCore.toFixed(1)} per core); learning goes on when it is not.`;
  const typing = facts.typingSecondsAgo < limits.typingSeconds;
  const slow = facts.answerMs !== null && facts.answerMs > limits.slowMs;
  if (facts.sharedDevice && typing && slow) return 'You are typing, and suggestions come from the same device; learning goes on in a pause.';
  return null;
}
