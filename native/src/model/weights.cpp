#include "model/weights.h"

#include <cstring>
#include <map>
#include <memory>
#include <stdexcept>

#include "io/failure.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "io/sha256.h"

namespace hindsight {
namespace {

/// The shards of a folder seen as one set of tensors.
class Checkpoint {
 public:
  explicit Checkpoint(const std::string& dir) {
    const std::string single = dir + "/model.safetensors", index = dir + "/model.safetensors.index.json";
    if (fileExists(single)) {
      add(single);
      for (const TensorEntry& entry : files_[0]->entries()) where_[entry.name] = 0;
    } else if (fileExists(index)) {
      readIndex(dir, index);
    } else {
      throw Failure("WEIGHTS_MISSING", "The folder " + dir + " has neither model.safetensors nor model.safetensors.index.json: download the weights in safetensors format.");
    }
  }

  bool has(const std::string& name) const { return where_.count(name) > 0; }

  /// The tensor as floats, checked against `shape`; its bytes go into the fingerprint.
  std::vector<float> read(const std::string& name, const std::vector<int64_t>& shape, Sha256& hash, uint64_t& parameters) {
    const auto found = where_.find(name);
    const TensorEntry* entry = found == where_.end() ? nullptr : files_[found->second]->find(name);
    if (!entry)
      throw Failure("TENSOR_MISSING", "The weights lack \"" + name + "\", which config.json asks for: the checkpoint is incomplete or its config belongs to another model.");
    if (entry->shape != shape)
      throw Failure("SHAPE_MISMATCH", "Tensor \"" + name + "\" has shape " + shapeText(entry->shape) + " where config.json asks for " + shapeText(shape) + ": use the config.json that belongs to these weights.");
    const std::vector<uint8_t> raw = files_[found->second]->readRaw(*entry);
    hash.update(name + "|" + entry->dtype + "|" + shapeText(shape) + "|");
    hash.update(raw.data(), raw.size());
    parameters += entry->elements();
    return toFloats(*entry, raw);
  }

 private:
  static std::string shapeText(const std::vector<int64_t>& shape) {
    std::string text = "[";
    for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
    return text + "]";
  }
  void add(const std::string& path) { files_.push_back(std::make_unique<TensorFile>(path)); }

  void readIndex(const std::string& dir, const std::string& path) {
    const std::string text = readText(path, 64u << 20);
    Json json;
    try {
      json = Json::parse(text.data(), text.size());
    } catch (const std::runtime_error& error) {
      throw Failure("INDEX_INVALID", path + " is not valid JSON (" + error.what() + "): download it again.");
    }
    const Json* map = json.find("weight_map");
    if (!map || map->type != Json::Type::Object)
      throw Failure("INDEX_INVALID", path + " has no weight_map: download it again.");
    std::map<std::string, size_t> opened;
    for (const auto& member : map->members) {
      const std::string& file = member.second.text;
      if (member.second.type != Json::Type::String || file.empty() || file.find('/') != std::string::npos || file == "..")
        throw Failure("INDEX_INVALID", path + " names a file outside its folder: download it again.");
      if (!opened.count(file)) {
        opened[file] = files_.size();
        if (!fileExists(dir + "/" + file))
          throw Failure("WEIGHTS_MISSING", path + " names " + file + ", which is not there: download all shards.");
        add(dir + "/" + file);
      }
      where_[member.first] = opened[file];
    }
  }

  std::vector<std::unique_ptr<TensorFile>> files_;
  std::map<std::string, size_t> where_;
};

Floats copyFloats(const std::vector<float>& data) {
  Floats out = allocateFloats(data.size());
  std::memcpy(out.get(), data.data(), data.size() * sizeof(float));
  return out;
}

bool hasBias(const ModelConfig& config, int target) {
  if (target <= kV) return config.attentionBias;
  if (target == kO) return config.outputBias;
  return config.mlpBias;
}

}  // namespace

const char* targetName(int target) {
  static const char* names[kTargets] = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};
  return names[target];
}

const char* targetParent(int target) { return target <= kO ? "self_attn" : "mlp"; }

void targetShape(const ModelConfig& c, int target, int& n, int& k) {
  k = target == kO ? c.qWidth() : target == kDown ? c.intermediate : c.hidden;
  switch (target) {
    case kQ: n = c.qWidth(); break;
    case kK:
    case kV: n = c.kvWidth(); break;
    case kGate:
    case kUp: n = c.intermediate; break;
    default: n = c.hidden;
  }
}

Weights loadWeights(const std::string& dir, const ModelConfig& config, const Ops& ops) {
  Checkpoint files(dir);
  Sha256 hash;
  hash.update(config.describe() + "|");
  Weights w;
  const auto vector = [&](const std::string& name, int size) {
    return copyFloats(files.read(name, {size}, hash, w.parameters));
  };
  {
    const std::vector<float> embedding = files.read("model.embed_tokens.weight", {config.vocab, config.hidden}, hash, w.parameters);
    if (config.tiedHead) w.head = packWeight(ops, embedding.data(), config.vocab, config.hidden);
    else w.embedding = copyFloats(embedding);
  }
  for (int i = 0; i < config.layers; ++i) {
    const std::string prefix = "model.layers." + std::to_string(i) + ".";
    w.layers.emplace_back();
    LayerWeights& layer = w.layers.back();
    for (int t = 0; t < kTargets; ++t) {
      int n = 0, k = 0;
      targetShape(config, t, n, k);
      const std::string name = prefix + targetParent(t) + "." + targetName(t);
      layer.linear[t] = packWeight(ops, files.read(name + ".weight", {n, k}, hash, w.parameters).data(), n, k);
      if (hasBias(config, t)) setBias(ops, layer.linear[t], files.read(name + ".bias", {n}, hash, w.parameters).data());
      else if (files.has(name + ".bias"))
        throw Failure("CONFIG_UNSUPPORTED", "The weights have \"" + name + ".bias\", which config.json does not announce: use the config.json that belongs to these weights.");
    }
    layer.inputNorm = vector(prefix + "input_layernorm.weight", config.hidden);
    layer.postNorm = vector(prefix + "post_attention_layernorm.weight", config.hidden);
    if (config.qkNorm) {
      layer.qNorm = vector(prefix + "self_attn.q_norm.weight", config.headDim);
      layer.kNorm = vector(prefix + "self_attn.k_norm.weight", config.headDim);
    }
  }
  w.finalNorm = vector("model.norm.weight", config.hidden);
  if (!config.tiedHead)
    w.head = packWeight(ops, files.read("lm_head.weight", {config.vocab, config.hidden}, hash, w.parameters).data(), config.vocab, config.hidden);
  w.fingerprint = hash.hex();
  return w;
}

}  // namespace hindsight
