#include "model/peft.h"

#include <cmath>
#include <cstring>
#include <stdexcept>

#include "io/failure.h"
#include "io/json.h"
#include "io/safetensors.h"

namespace hindsight {
namespace {

constexpr const char* kPrefix = "base_model.model.model.layers.";

[[noreturn]] void unsupported(const std::string& path, const std::string& what) {
  throw Failure("ADAPTER_UNSUPPORTED", path + " uses " + what + ", which is not supported: use a plain LoRA adapter on the seven linear layers.");
}

bool isSet(const Json* value) {
  if (!value) return false;
  switch (value->type) {
    case Json::Type::Null: return false;
    case Json::Type::Bool: return value->boolean;
    case Json::Type::Number: return value->number != 0;
    case Json::Type::String: return !value->text.empty();
    case Json::Type::Array: return !value->items.empty();
    case Json::Type::Object: return !value->members.empty();
  }
  return false;
}

/// Refuses every option that changes what a LoRA computes.
void checkConfig(const std::string& path, const Json& json, const ModelConfig& config) {
  const Json* type = json.find("peft_type");
  if (!type || type->text != "LORA") unsupported(path, "peft_type \"" + (type ? type->text : "") + "\"");
  const Json* bias = json.find("bias");
  if (bias && bias->type == Json::Type::String && bias->text != "none") unsupported(path, "bias \"" + bias->text + "\"");
  for (const char* key : {"use_dora", "use_rslora", "use_qalora", "use_bdlora", "fan_in_fan_out", "lora_bias", "modules_to_save",
                          "rank_pattern", "alpha_pattern", "layer_replication", "target_parameters", "trainable_token_indices",
                          "megatron_config", "alora_invocation_tokens", "arrow_config", "kasa_config", "velora_config", "monteclora_config"})
    if (isSet(json.find(key))) unsupported(path, key);
  const Json* layers = json.find("layers_to_transform");
  if (layers && !layers->isNull() && config.layers != static_cast<int>(layers->items.size())) unsupported(path, "layers_to_transform");
}

/// Parses "<layer>.<parent>.<target>.lora_A.weight" behind the prefix.
bool parseKey(const std::string& key, const ModelConfig& config, LoraTensor& tensor) {
  const size_t prefix = std::strlen(kPrefix);
  if (key.compare(0, prefix, kPrefix) != 0) return false;
  size_t at = prefix;
  long layer = 0;
  while (at < key.size() && key[at] >= '0' && key[at] <= '9' && layer < 1000000) layer = layer * 10 + (key[at++] - '0');
  if (at == prefix || layer >= config.layers) return false;
  for (int t = 0; t < kTargets; ++t)
    for (const bool isB : {false, true}) {
      const std::string rest = std::string(".") + targetParent(t) + "." + targetName(t) + (isB ? ".lora_B.weight" : ".lora_A.weight");
      if (key.compare(at, std::string::npos, rest) != 0) continue;
      tensor.name = key;
      tensor.layer = static_cast<int>(layer);
      tensor.target = t;
      tensor.isB = isB;
      return true;
    }
  return false;
}

/// Every listed target must be on every layer with both halves; a pattern leaves that to the file.
void checkComplete(const std::string& path, const Json& json, const Adapter& adapter, const ModelConfig& config) {
  bool listed[kTargets] = {};
  const Json* targets = json.find("target_modules");
  if (targets && targets->type == Json::Type::Array)
    for (const Json& item : targets->items) {
      int t = 0;
      while (t < kTargets && item.text != targetName(t)) ++t;
      if (t == kTargets) unsupported(path, "target module \"" + item.text + "\"");
      listed[t] = true;
    }
  for (int layer = 0; layer < config.layers; ++layer)
    for (int t = 0; t < kTargets; ++t) {
      const int slot = layer * kTargets + t;
      const bool a = adapter.indexA[slot] >= 0, b = adapter.indexB[slot] >= 0;
      if (a != b || (listed[t] && !a))
        throw Failure("ADAPTER_INVALID", path + " lacks lora_A or lora_B of " + targetName(t) + " in layer " + std::to_string(layer) + ": save the adapter again, or use it with the base it was trained on.");
    }
}

}  // namespace

Adapter readPeft(const std::string& dir, const ModelConfig& config) {
  if (!directoryExists(dir)) throw Failure("ADAPTER_MISSING", "The adapter folder " + dir + " does not exist: check the path.");
  const std::string configPath = dir + "/adapter_config.json", path = dir + "/adapter_model.safetensors";
  if (!fileExists(configPath) || !fileExists(path))
    throw Failure("ADAPTER_MISSING", "The folder " + dir + " lacks adapter_config.json or adapter_model.safetensors: save the adapter with peft in safetensors format.");
  Adapter adapter;
  adapter.configText = readText(configPath, 16u << 20);
  Json json;
  try {
    json = Json::parse(adapter.configText.data(), adapter.configText.size());
  } catch (const std::runtime_error& error) {
    throw Failure("ADAPTER_INVALID", configPath + " is not valid JSON (" + error.what() + "): save the adapter again.");
  }
  checkConfig(configPath, json, config);
  const Json *rank = json.find("r"), *alpha = json.find("lora_alpha");
  if (!rank || rank->type != Json::Type::Number || !(rank->number >= 1) || rank->number > 4096 || rank->number != std::floor(rank->number) ||
      !alpha || alpha->type != Json::Type::Number || !(alpha->number > 0))
    throw Failure("ADAPTER_INVALID", configPath + " has no usable r and lora_alpha: save the adapter again.");
  adapter.rank = static_cast<int>(rank->number);
  adapter.alpha = alpha->number;
  const TensorFile file(path);
  adapter.metadata = file.metadata();
  for (const TensorEntry& entry : file.entries()) {
    LoraTensor tensor;
    if (!parseKey(entry.name, config, tensor))
      throw Failure("ADAPTER_OTHER_BASE", path + " holds \"" + entry.name + "\", which this base model does not have: load the adapter of this base.");
    int n = 0, k = 0;
    targetShape(config, tensor.target, n, k);
    tensor.rows = tensor.isB ? n : adapter.rank;
    tensor.cols = tensor.isB ? adapter.rank : k;
    if (entry.shape != std::vector<int64_t>{tensor.rows, tensor.cols})
      throw Failure("ADAPTER_OTHER_BASE", "Tensor \"" + entry.name + "\" of " + path + " does not fit this base model and rank " + std::to_string(adapter.rank) + ": load the adapter of this base.");
    tensor.dtype = entry.dtype;
    tensor.offset = adapter.weights.size();
    const std::vector<float> values = toFloats(entry, file.readRaw(entry));
    for (const float value : values)
      if (!std::isfinite(value)) throw Failure("ADAPTER_INVALID", "Tensor \"" + entry.name + "\" of " + path + " holds a value that is not finite: restore an earlier version of the adapter.");
    adapter.weights.insert(adapter.weights.end(), values.begin(), values.end());
    adapter.tensors.push_back(std::move(tensor));
  }
  adapter.index(config.layers);
  checkComplete(path, json, adapter, config);
  return adapter;
}

void readOptimizer(const std::string& dir, Adapter& adapter) {
  adapter.prepareTraining();
  const std::string path = dir + "/optimizer.safetensors";
  if (!fileExists(path)) return;
  const TensorFile file(path);
  const TensorEntry* step = file.find("step");
  if (!step || step->dtype != "I64" || step->elements() != 1)
    throw Failure("OPTIMIZER_INVALID", path + " has no step count: delete it to start the optimiser afresh.");
  std::memcpy(&adapter.step, file.readRaw(*step).data(), 8);
  for (const LoraTensor& tensor : adapter.tensors)
    for (const bool second : {false, true}) {
      const TensorEntry* entry = file.find((second ? "exp_avg_sq." : "exp_avg.") + tensor.name);
      if (!entry || entry->dtype != "F32" || entry->elements() != tensor.size())
        throw Failure("OPTIMIZER_INVALID", path + " does not belong to this adapter (" + tensor.name + "): delete it to start the optimiser afresh.");
      const std::vector<uint8_t> raw = file.readRaw(*entry);
      std::memcpy((second ? adapter.moment2 : adapter.moment1).data() + tensor.offset, raw.data(), raw.size());
    }
}

void writePeft(const std::string& dir, const Adapter& adapter, bool withOptimizer) {
  if (!directoryExists(dir)) throw Failure("ADAPTER_MISSING", "The folder " + dir + " does not exist: create it before writing an adapter.");
  std::vector<std::vector<uint8_t>> converted;
  std::vector<TensorToWrite> tensors;
  converted.reserve(adapter.tensors.size());
  for (const LoraTensor& t : adapter.tensors) {
    const std::string dtype = adapter.changed ? "F32" : t.dtype;
    converted.push_back(fromFloats(dtype, adapter.weights.data() + t.offset, t.size()));
    tensors.push_back({t.name, dtype, {t.rows, t.cols}, {converted.back().data(), converted.back().size()}});
  }
  writeTensorFile(dir + "/adapter_model.safetensors", tensors, adapter.metadata);
  writeDurably(dir + "/adapter_config.json", {{adapter.configText.data(), adapter.configText.size()}});
  if (withOptimizer && !adapter.moment1.empty()) {
    std::vector<TensorToWrite> state{{"step", "I64", {1}, {&adapter.step, sizeof adapter.step}}};
    for (const LoraTensor& t : adapter.tensors)
      for (const bool second : {false, true})
        state.push_back({(second ? "exp_avg_sq." : "exp_avg.") + t.name, "F32", {t.rows, t.cols},
                         {(second ? adapter.moment2 : adapter.moment1).data() + t.offset, t.size() * sizeof(float)}});
    writeTensorFile(dir + "/optimizer.safetensors", state, {});
  }
  syncDirectory(dir);
}

}  // namespace hindsight
