// config.json of a Hugging Face folder, reduced to the numbers the engine computes with. What is
// not supported is refused by name, never ignored.
#pragma once
#include <string>
#include <vector>

namespace hindsight {

enum class Architecture { Llama, Qwen2, Qwen3 };
const char* architectureName(Architecture a);

struct RopeConfig {
  double theta = 10000;
  bool llama3 = false;
  double factor = 1, lowFrequencyFactor = 1, highFrequencyFactor = 4, originalPositions = 8192;
};

struct ModelConfig {
  Architecture architecture = Architecture::Llama;
  int vocab = 0, hidden = 0, layers = 0, heads = 0, kvHeads = 0, headDim = 0, intermediate = 0;
  int maxPositions = 0;
  float normEps = 1e-6f;
  bool tiedHead = false;
  bool attentionBias = false;  // q, k, v (Llama: and o)
  bool outputBias = false;
  bool mlpBias = false;
  bool qkNorm = false;
  RopeConfig rope;
  std::vector<int> eosIds;

  int qWidth() const { return heads * headDim; }
  int kvWidth() const { return kvHeads * headDim; }
  /// The numbers that decide what is computed, as text; part of the fingerprint.
  std::string describe() const;
};

/// @throws Failure MODEL_MISSING, CONFIG_INVALID, ARCHITECTURE_UNSUPPORTED, CONFIG_UNSUPPORTED
ModelConfig readConfig(const std::string& dir);
/// Shapes for benchmarks without files: `135m` = SmolLM2-135M; `0.5b`, `1.5b`, `7b` = Qwen2.5.
/// @throws Failure BAD_ARGUMENT
ModelConfig namedConfig(const std::string& name);

/// Angle per position of each pair, [headDim / 2], in fp32 as the reference implementation computes it.
std::vector<float> inverseFrequencies(const ModelConfig& config);

}  // namespace hindsight
