#include "model/adapter.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "io/failure.h"
#include "io/json.h"
#include "serve/random.h"

namespace hindsight {
namespace {

/// What peft writes for a plain LoRA; keys in its order.
std::string configFor(int rank, double alpha, const std::vector<std::string>& targets) {
  char number[32];
  std::snprintf(number, sizeof number, alpha == std::floor(alpha) ? "%.0f" : "%.17g", alpha);
  std::string list;
  for (size_t i = 0; i < targets.size(); ++i) list += (i ? ",\n    " : "") + quoteJson(targets[i]);
  return std::string("{\n") +
         "  \"alpha_pattern\": {},\n  \"auto_mapping\": null,\n  \"base_model_name_or_path\": null,\n"
         "  \"bias\": \"none\",\n  \"exclude_modules\": null,\n  \"fan_in_fan_out\": false,\n"
         "  \"inference_mode\": true,\n  \"init_lora_weights\": true,\n  \"layer_replication\": null,\n"
         "  \"layers_pattern\": null,\n  \"layers_to_transform\": null,\n  \"loftq_config\": {},\n"
         "  \"lora_alpha\": " + number + ",\n  \"lora_bias\": false,\n  \"lora_dropout\": 0.0,\n"
         "  \"megatron_config\": null,\n  \"megatron_core\": \"megatron.core\",\n  \"modules_to_save\": null,\n"
         "  \"peft_type\": \"LORA\",\n  \"r\": " + std::to_string(rank) + ",\n  \"rank_pattern\": {},\n"
         "  \"revision\": null,\n  \"target_modules\": [\n    " + list + "\n  ],\n"
         "  \"task_type\": \"CAUSAL_LM\",\n  \"use_dora\": false,\n  \"use_rslora\": false\n}";
}

}  // namespace

void Adapter::index(int layers) {
  indexA.assign(static_cast<size_t>(layers) * kTargets, -1);
  indexB = indexA;
  for (size_t i = 0; i < tensors.size(); ++i)
    (tensors[i].isB ? indexB : indexA)[tensors[i].layer * kTargets + tensors[i].target] = static_cast<int>(i);
}

void Adapter::assign(const Adapter& from, AdapterParts parts) {
  rank = from.rank;
  alpha = from.alpha;
  tensors = from.tensors;
  weights = from.weights;
  gradients.clear();
  const bool optimizer = parts == AdapterParts::Optimizer;
  moment1 = optimizer ? from.moment1 : std::vector<float>();
  moment2 = optimizer ? from.moment2 : std::vector<float>();
  step = optimizer ? from.step : 0;
  ++version;
  changed = from.changed;
  configText = from.configText;
  metadata = from.metadata;
  indexA = from.indexA;
  indexB = from.indexB;
}

void Adapter::prepareTraining() {
  if (!gradients.empty()) return;
  gradients.assign(weights.size(), 0.0f);
  moment1.assign(weights.size(), 0.0f);
  moment2.assign(weights.size(), 0.0f);
}

void Adapter::pack(const Ops& ops, Dtype base, Pass pass) {
  const Dtype dtype = base == Dtype::Fp32 ? Dtype::Fp32 : Dtype::Bf16;
  const bool turn = pass == Pass::Training && dtype != Dtype::Fp32;
  if (packedVersion_ == version && (!turn || turnedVersion_ == version)) return;
  const int layers = static_cast<int>(indexA.size()) / kTargets, step = padded4(rank);
  packed_.clear();
  packed_.resize(indexA.size());
  groups_.clear();
  packedHome_.reset();
  turnedHome_.reset();
  groups_.resize(static_cast<size_t>(layers) * kGroups);
  std::vector<float> scaled, stacked, turned;
  const auto transposed = [&](const std::vector<float>& w, int rows, int cols) {
    turned.resize(w.size());
    for (int r = 0; r < rows; ++r)
      for (int c = 0; c < cols; ++c) turned[static_cast<size_t>(c) * rows + r] = w[static_cast<size_t>(r) * cols + c];
    return packWeight(ops, turned.data(), cols, rows, dtype, &turnedHome_);
  };
  for (int layer = 0; layer < layers; ++layer)
    for (int g = 0; g < kGroups; ++g) {
      PackedGroup& group = groups_[layer * kGroups + g];
      int inputs = 0;
      stacked.clear();
      for (int t = 0; t < kTargets; ++t) {
        const int slot = layer * kTargets + t;
        if (groupOf(t) != g || indexA[slot] < 0) continue;
        const LoraTensor &a = tensors[indexA[slot]], &b = tensors[indexB[slot]];
        PackedLora& lora = packed_[slot];
        lora.offset = group.width;
        scaled.assign(weights.begin() + static_cast<long>(b.offset), weights.begin() + static_cast<long>(b.offset + b.size()));
        for (float& value : scaled) value *= scale();
        lora.b = packWeight(ops, scaled.data(), b.rows, b.cols, dtype, &packedHome_);
        if (turn) lora.bTransposed = transposed(scaled, b.rows, b.cols);
        inputs = a.cols;
        group.width += step;
        stacked.insert(stacked.end(), weights.begin() + static_cast<long>(a.offset), weights.begin() + static_cast<long>(a.offset + a.size()));
        stacked.resize(static_cast<size_t>(group.width) * inputs, 0.0f);
      }
      if (!group.width) continue;
      group.a = packWeight(ops, stacked.data(), group.width, inputs, dtype, &packedHome_);
      if (turn) group.aTransposed = transposed(stacked, group.width, inputs);
    }
  packedVersion_ = version;
  if (turn) turnedVersion_ = version;
}

Adapter createAdapter(const ModelConfig& config, int rank, double alpha, const std::vector<std::string>& targets, uint64_t seed) {
  if (rank < 1 || rank > 4096) throw Failure("ADAPTER_INVALID", "A LoRA rank must be between 1 and 4096: choose another rank.");
  if (!(alpha > 0) || !std::isfinite(alpha)) throw Failure("ADAPTER_INVALID", "LoRA's alpha must be a positive number: choose another alpha.");
  if (targets.empty()) throw Failure("ADAPTER_INVALID", "A LoRA adapter needs at least one target: name some of q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj.");
  bool wanted[kTargets] = {};
  for (const std::string& name : targets) {
    int found = 0;
    while (found < kTargets && name != targetName(found)) ++found;
    if (found == kTargets) throw Failure("ADAPTER_INVALID", "\"" + name + "\" is no LoRA target: use q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj.");
    wanted[found] = true;
  }
  Adapter adapter;
  adapter.rank = rank;
  adapter.alpha = alpha;
  adapter.configText = configFor(rank, alpha, targets);
  adapter.metadata = {{"format", "pt"}};
  for (int layer = 0; layer < config.layers; ++layer)
    for (int t = 0; t < kTargets; ++t) {
      if (!wanted[t]) continue;
      int n = 0, k = 0;
      targetShape(config, t, n, k);
      for (const bool isB : {false, true}) {
        LoraTensor tensor;
        tensor.name = "base_model.model.model.layers." + std::to_string(layer) + "." + targetParent(t) + "." + targetName(t) + (isB ? ".lora_B.weight" : ".lora_A.weight");
        tensor.layer = layer;
        tensor.target = t;
        tensor.isB = isB;
        tensor.rows = isB ? n : rank;
        tensor.cols = isB ? rank : k;
        adapter.tensors.push_back(std::move(tensor));
      }
    }
  std::sort(adapter.tensors.begin(), adapter.tensors.end(), [](const LoraTensor& a, const LoraTensor& b) { return a.name < b.name; });
  size_t total = 0;
  for (LoraTensor& tensor : adapter.tensors) {
    tensor.offset = total;
    total += tensor.size();
  }
  adapter.weights.assign(total, 0.0f);
  Random random(seed);
  for (const LoraTensor& tensor : adapter.tensors) {
    if (tensor.isB) continue;
    const double bound = 1.0 / std::sqrt(static_cast<double>(tensor.cols));
    for (size_t i = 0; i < tensor.size(); ++i)
      adapter.weights[tensor.offset + i] = static_cast<float>((2 * random.uniform() - 1) * bound);
  }
  adapter.index(config.layers);
  return adapter;
}

}  // namespace hindsight
