// Forward and backward of a batch of sequences, one micro-step per sequence, and AdamW.
#pragma once
#include <functional>
#include <vector>

#include "model/transformer.h"
#include "train/losses.h"

namespace hindsight {

struct ForwardBackwardResult {
  double loss[kTerms];
  int positions[kTerms] = {};
  double effectiveSampleSize = 0;
  int64_t tokens = 0;
  /// Layers whose forward pass was repeated for want of memory, of the longest sequence.
  int checkpointed = 0;
  std::vector<float> pgLogprobs;
};

struct AdamWSettings {
  double lr = 1e-4, beta1 = 0.9, beta2 = 0.98, eps = 1e-8, weightDecay = 0, clipNorm = 0;
};

class Trainer {
 public:
  /// log p of ids[p] with the adapter off, for the KL term.
  using Reference = std::function<std::vector<float>(const std::vector<int32_t>& ids, const std::vector<int32_t>& positions, float temperature)>;

  /// @param memoryBytes what the process may have resident while it trains; 0: no bound.
  Trainer(Transformer& model, Reference reference, size_t memoryBytes) : model_(model), reference_(std::move(reference)), memoryBytes_(memoryBytes) {}

  /// Adds to the adapter's gradients. `pause` runs between layers, where other requests may go first.
  ForwardBackwardResult run(Adapter& adapter, std::vector<TrainSequence>& sequences, const LossSettings& settings, const std::function<void()>& pause);
  /// @returns the gradient norm before clipping.
  double optimStep(Adapter& adapter, const AdamWSettings& settings);

 private:
  void micro(Adapter& adapter, TrainSequence& sequence, const LossSettings& settings, const std::function<void()>& pause, ForwardBackwardResult& result, double& c, double& c2);
  int fit(int rows, int labelled, const Adapter& adapter);
  Rows gradients(SequenceLoss& loss, int first, int count, const float* logits, std::vector<RowResult>& parts);

  Transformer& model_;
  Reference reference_;
  size_t memoryBytes_;
  Arena states_, scratch_;
};

}  // namespace hindsight
