// What happens to rows of logits: log-probs, top-K, the loss terms with their gradient, and sampling.
// A row's log-sum-exp is computed by one function in one order, so a log-prob that scoring handed out and
// the one training computes from the same logits are equal, and their ratio is exactly 1.
#pragma once
#include "kernels/cuda/lanes.h"
#include "kernels/cuda/runtime.h"

namespace hindsight {
namespace cuda {

/// The terms in the order of train/losses.h.
enum LossKind { kLossPg, kLossOpd, kLossSplice, kLossKl, kLossCe, kLossKinds };

/// One (position, token) pair of a term; equations in native/index.ts. Absent numbers are NaN.
struct LossEntry {
  int token = 0, kind = 0;
  float weight = 0;  // all constant factors: term weight / (positions * divisor), splice: times the target
  float a = 0;       // pg: advantage; opd: delta; kl: reference
  float old = 0;
  float behaviour = 0;  // pg
};
struct LossRow {
  int first = 0, count = 0;  // entries
  int label = 0;             // token whose log-prob is reported; -1: padding, gradient 0
  float inverseTemperature = 1;
};
struct LossRowResult {
  float loss[kLossKinds];
  float logprob;  // of the label at the row's temperature
  float importance, importanceSquared;
};
struct LossLimits {
  float clipLow = 0, clipHigh = 0;
};

/// dLogits [rows][ld] (T; columns from vocab to ld are zeroed) and the results from logits [rows][ld].
template <class T>
void losses(const Stream& stream, const float* logits, long ld, int vocab, const LossRow* rows, const LossEntry* entries, int count, LossLimits limits, T* dLogits, LossRowResult* results);

/// Log-probs of `each` tokens a row (-1: NaN), and the top K (0: none), best first, the lowest id on a tie.
struct ScoreArgs {
  int rows = 0, vocab = 0, each = 0, k = 0;
  long ld = 0;
  const float* logits = nullptr;
  float inverseTemperature = 1;
  const int* tokens = nullptr;  // [rows][each]
  float* logprobs = nullptr;    // [rows][each]
  int* topIds = nullptr;        // [rows][k]
  float* topLogprobs = nullptr;
};
void scoreRows(const Stream& stream, const ScoreArgs& g);

/// How one row is sampled. `uniform` in [0, 1) decides; ids are walked in ascending order.
struct SampleRow {
  float temperature = 0;  // 0: the largest logit, lowest id on a tie
  float topP = 1;
  int topK = 0;
  float logprobTemperature = 1;
  float uniform = 0;
};
void sampleRows(const Stream& stream, const float* logits, long ld, int vocab, const SampleRow* how, int rows, int* tokens, float* logprobs);

}  // namespace cuda
}  // namespace hindsight
