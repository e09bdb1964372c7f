// Forward and backward of a batch of sequences, and AdamW. A micro-step is one long sequence, or as many neighbouring
// short ones as make a pass over the weights worth it.
#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "model/transformer.h"
#include "train/losses.h"

namespace hindsight {

struct ForwardBackwardResult {
  double loss[kTerms];
  int positions[kTerms] = {};
  double effectiveSampleSize = 0;
  int64_t tokens = 0;
  /// Layers whose forward pass was repeated for want of memory, of the largest pass.
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
  /// One row of a micro-step's loss.
  struct LabelledRow {
    SequenceLoss* loss;
    int index;  // into its rows()
    int row;    // of the pass
  };

  void micro(Adapter& adapter, TrainSequence* sequences, size_t count, const LossSettings& settings, const std::function<void()>& pause, ForwardBackwardResult& result, double& c, double& c2);
  int fit(int rows, int sequences, int labelled, const Adapter& adapter);
  Rows gradients(const LabelledRow* labelled, int count, const float* logits, std::vector<RowResult>& parts);

  Transformer& model_;
  Reference reference_;
  size_t memoryBytes_;
  /// A layer's buffers of some MB each would leave a quarter of small blocks empty in the first pass, which is the peak.
  static constexpr size_t kArenaBlock = size_t{8} << 20;
  Arena states_{kArenaBlock}, scratch_{kArenaBlock};
};

}  // namespace hindsight
