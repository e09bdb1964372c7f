// One LoRA adapter: A [r,K] and B [N,r] of each adapted linear in one flat buffer, beside its
// gradient and AdamW's moments, and packed forms for the kernels that are rebuilt when the weights
// change. y = W x + (alpha / r) B A x.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "model/weights.h"

namespace hindsight {

/// One tensor of the flat buffer, in the order of the adapter's file.
struct LoraTensor {
  std::string name;  // peft's key
  int layer = 0, target = 0;
  bool isB = false;
  int rows = 0, cols = 0;
  size_t offset = 0;
  std::string dtype = "F32";  // in the file it came from

  size_t size() const { return static_cast<size_t>(rows) * cols; }
};

enum class AdapterParts { Weights, Optimizer };
/// A training pass also reads the transposed forms.
enum class Pass { Serving, Training };

struct Adapter {
  int rank = 0;
  double alpha = 0;
  std::vector<LoraTensor> tensors;
  std::vector<float> weights, gradients, moment1, moment2;
  int64_t step = 0;
  /// Bumped whenever the weights change: keys the prefix cache and the packed forms.
  uint64_t version = 0;
  /// Whether the weights differ from the file: a trained adapter is written in fp32.
  bool changed = false;
  std::string configText;  // adapter_config.json, byte for byte
  std::vector<std::pair<std::string, std::string>> metadata;

  /// Index into tensors of A and B, or -1. [layer * kTargets + target]
  std::vector<int> indexA, indexB;

  /// Becomes another adapter, in its own memory where that suffices. Gradients are not copied.
  void assign(const Adapter& from, AdapterParts parts);
  float scale() const { return static_cast<float>(alpha / rank); }
  void index(int layers);
  /// Gradient and moment buffers exist only on adapters that train.
  void prepareTraining();

  /// Packed B of a linear, or null where this adapter leaves it alone. Call pack() first.
  const PackedLora* packedFor(int layer, int target) const {
    const int slot = layer * kTargets + target;
    return indexA[slot] < 0 ? nullptr : &packed_[slot];
  }
  /// Packed A of the linears that share their input, or null where none is adapted.
  const PackedGroup* groupFor(int layer, int group) const {
    const PackedGroup& found = groups_[layer * kGroups + group];
    return found.width ? &found : nullptr;
  }
  /// Widest x A^T of any group.
  int widest() const { return 3 * padded4(rank); }
  void pack(const Ops& ops, Dtype base, Pass pass);

 private:
  /// What serving reads, in one piece: eight adapters in small pages cost as much as the model.
  Arena packedHome_, turnedHome_;
  std::vector<PackedLora> packed_;   // [layer * kTargets + target]
  std::vector<PackedGroup> groups_;  // [layer * kGroups + group]
  uint64_t packedVersion_ = UINT64_MAX, turnedVersion_ = UINT64_MAX;
};

/// A fresh adapter: A Kaiming-uniform with a = sqrt(5) (bound 1/sqrt(K)), B = 0.
/// @throws Failure ADAPTER_INVALID
Adapter createAdapter(const ModelConfig& config, int rank, double alpha, const std::vector<std::string>& targets, uint64_t seed);

}  // namespace hindsight
