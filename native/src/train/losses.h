// The loss terms of one sequence and their gradients with respect to log-probabilities; equations
// in docs/learning.md and native/index.ts. Pure: logits in, numbers out.
//
// All terms of a row are linear in d log p, so a row's gradient is
//   dz = (1/T) (g - sum(g) softmax(z/T)) + ce (softmax(z) - onehot),
// with g sparse. Masked positions (any input not finite) count neither in sum nor in mean.
#pragma once
#include <cstdint>
#include <utility>
#include <vector>

#include "kernels/cpu/ops.h"

namespace hindsight {

enum Term { kPg, kOpd, kSplice, kKl, kCe, kTerms };

struct TrainSequence {
  std::vector<int32_t> ids;
  float temperature = 1;
  struct {
    bool used = false;
    std::vector<int32_t> positions;
    std::vector<float> advantages, old, behaviour;  // old, behaviour: empty = absent
  } pg;
  struct {
    bool used = false;
    int k = 0;
    std::vector<int32_t> positions, tokens;
    std::vector<float> delta, weights, old;
  } opd;
  struct {
    bool used = false;
    int k = 0;
    std::vector<int32_t> positions, tokens;
    std::vector<float> targets;
  } splice;
  struct {
    bool used = false;
    std::vector<int32_t> positions;
    std::vector<float> reference;  // empty = the engine computes it
  } kl;
  struct {
    bool used = false;
    std::vector<int32_t> positions;
  } ce;
};

struct LossSettings {
  double clipLow = 0.2, clipHigh = 0.28, klBeta = 0, ceLambda = 0, spliceWeight = 1, pgWeight = 1, opdWeight = 1;
  double divisor[kTerms] = {1, 1, 1, 1, 1};
};

/// What one labelled row gives.
struct RowResult {
  double loss[kTerms] = {};
  double importance = 0, importanceSquared = 0;  // sums of c and c^2
};

class SequenceLoss {
 public:
  /// @throws Failure BAD_ARGUMENT on inconsistent lengths, positions or tokens outside `vocab`.
  SequenceLoss(const TrainSequence& sequence, const LossSettings& settings, int vocab);

  /// Rows whose logits are needed, ascending; row r predicts ids[r + 1].
  const std::vector<int>& rows() const { return rows_; }
  /// Loss of rows()[index] from its logits z [V]; writes dz [V]. Safe to call from several threads
  /// for different rows.
  RowResult row(const Ops& ops, int index, const float* z, float* dz);

  /// Unmasked positions of a term.
  int count(Term term) const { return counts_[term]; }
  const std::vector<float>& pgLogprobs() const { return pgLogprobs_; }

  /// One term's slot at a row.
  struct Entry {
    Term term;
    int slot;
    bool masked;
  };
  /// Of rows()[index], for a backend that computes the terms itself.
  const std::vector<Entry>& entries(int index) const { return entries_[index]; }

 private:
  bool masked(Term term, int slot) const;

  const TrainSequence& sequence_;
  const LossSettings& settings_;
  int vocab_;
  std::vector<int> rows_;
  std::vector<std::vector<Entry>> entries_;
  int counts_[kTerms] = {};
  std::vector<float> pgLogprobs_;
};

}  // namespace hindsight
