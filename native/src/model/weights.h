// The frozen base: one packed copy of every weight, read from one or several safetensors files.
// The tied embedding is the head's packed weight; a token's row is gathered out of its panels.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "kernels/cpu/math.h"
#include "model/config.h"

namespace hindsight {

/// The seven linear layers a LoRA may sit on, in peft's names.
enum Target { kQ, kK, kV, kO, kGate, kUp, kDown, kTargets };
/// Linears that read the same rows: q, k, v; o; gate, up; down.
constexpr int kGroups = 4;
inline int groupOf(int target) { return target <= kV ? 0 : target == kO ? 1 : target <= kUp ? 2 : 3; }
const char* targetName(int target);
/// "self_attn" or "mlp"
const char* targetParent(int target);

struct LayerWeights {
  PackedWeight linear[kTargets];
  Floats inputNorm, postNorm;  // [H]
  Floats qNorm, kNorm;         // [D], Qwen3
};

struct Weights {
  Arena home{size_t{8} << 20};  // of the matrices: in huge pages, where each alone would be too small for one
  Floats embedding;   // [V,H] row-major, only where the head is untied
  PackedWeight head;  // [V,H]
  Floats finalNorm;
  std::vector<LayerWeights> layers;
  Dtype dtype = Dtype::Fp32;
  /// Whether serving multiplies int8 weights by int8 activations; else by bf16, as scoring does.
  bool byteActivations = false;
  uint64_t parameters = 0;
  std::string fingerprint;
};

/// [N,K] of a target's base weight.
void targetShape(const ModelConfig& config, int target, int& n, int& k);

/// In int8 from the copy beside them where there is one (quantized.h).
/// @throws Failure WEIGHTS_MISSING, TENSOR_MISSING, SHAPE_MISMATCH, DTYPE_UNSUPPORTED, QUANTIZED_UNUSABLE, and what
/// TensorFile throws.
Weights loadWeights(const std::string& dir, const ModelConfig& config, const Ops& ops, Dtype dtype);
/// Writes the int8 copy of the weights of `dir` beside them. @throws what loadWeights throws, and WRITE_FAILED
void quantizeWeights(const std::string& dir, const ModelConfig& config);
/// Weights of the right shapes and sizes without a file, for benchmarks.
Weights randomWeights(const ModelConfig& config, const Ops& ops, Dtype dtype);

/// Takes one tensor by its name, [rows][cols] (cols = 1: a vector).
using TensorSink = std::function<void(const std::string& name, int rows, int cols, const float* values)>;
/// The tensors of `dir` one after the other, for a backend that keeps its own copy.
/// @returns the parameters and fingerprint that loadWeights finds. @throws what loadWeights throws
Weights streamWeights(const std::string& dir, const ModelConfig& config, const TensorSink& sink);

}  // namespace hindsight
