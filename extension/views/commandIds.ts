/** Every command that a person can call; package.json declares the same (manifest.test.ts). */
export const COMMANDS = {
  showMenu: 'hindsight.showMenu',
  showLearning: 'hindsight.showLearning',
  learnNow: 'hindsight.learnNow',
  pauseLearning: 'hindsight.pauseLearning',
  resumeLearning: 'hindsight.resumeLearning',
  rollBack: 'hindsight.rollBack',
  chooseLearning: 'hindsight.chooseLearning',
  showLog: 'hindsight.showLog',
} as const;
