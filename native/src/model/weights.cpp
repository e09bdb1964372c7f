#include "model/weights.h"

#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>

#include "io/failure.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "io/sha256.h"
#include "model/quantized.h"

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

  /// What tells that the files are still those of a moment ago.
  std::string stamp() const {
    std::string text;
    for (const auto& file : files_) text += file->path().substr(file->path().rfind('/') + 1) + " " + fileStamp(file->path()) + "; ";
    return text;
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

namespace {

/// Parameters of a head that stays bf16 in an int8 model.
constexpr int64_t kSmallHead = int64_t{16} << 20;
/// Widest hidden state of a model that lies in the cache, where bytes gain little. Asked for in
/// int8 it keeps attention and down products in bf16, and bf16 activations everywhere: with all of
/// them in bytes 94 % of the bundled model's greedy tokens stay those of fp32.
constexpr int kSmallHidden = 512;

/// The type in which a linear of a model asked for in `dtype` is kept.
Dtype storedDtype(const ModelConfig& config, int target, Dtype dtype) {
  const bool faithful = config.hidden <= kSmallHidden && target != kGate && target != kUp;
  return dtype == Dtype::Int8 && faithful ? Dtype::Bf16 : dtype;
}

std::string headName(const ModelConfig& config) { return config.tiedHead ? "model.embed_tokens.weight" : "lm_head.weight"; }

/// Where tensors come from: a checkpoint, or a random number generator.
using Source = std::function<std::vector<float>(const std::string& name, const std::vector<int64_t>& shape)>;

/// One tensor after the other: nothing but the packed copies stays.
/// @param copy  where the matrices are taken from instead, or null
Weights build(const ModelConfig& config, const Ops& ops, Dtype dtype, const Source& read, const QuantizedCopy* copy = nullptr) {
  Weights w;
  w.dtype = dtype;
  w.byteActivations = dtype == Dtype::Int8 && config.hidden > kSmallHidden;
  // int8 costs most where it meets the logits; a head that fits the cache gains nothing from it.
  const Dtype headDtype = dtype == Dtype::Int8 && static_cast<int64_t>(config.vocab) * config.hidden <= kSmallHead ? Dtype::Bf16 : dtype;
  const auto vector = [&](const std::string& name, int size) { return copyFloats(read(name, {size})); };
  const auto matrix = [&](const std::string& name, int n, int k, Dtype stored) {
    return copy ? copy->read(name, n, k, stored) : packWeight(ops, read(name, {n, k}).data(), n, k, stored, stored == Dtype::Int8 ? nullptr : &w.home);
  };
  if (config.tiedHead) w.head = matrix(headName(config), config.vocab, config.hidden, headDtype);
  else w.embedding = copyFloats(read("model.embed_tokens.weight", {config.vocab, config.hidden}));
  for (int i = 0; i < config.layers; ++i) {
    const std::string prefix = "model.layers." + std::to_string(i) + ".";
    w.layers.emplace_back();
    LayerWeights& layer = w.layers.back();
    for (int t = 0; t < kTargets; ++t) {
      int n = 0, k = 0;
      targetShape(config, t, n, k);
      const std::string name = prefix + targetParent(t) + "." + targetName(t);
      layer.linear[t] = matrix(name + ".weight", n, k, storedDtype(config, t, dtype));
      if (hasBias(config, t)) setBias(ops, layer.linear[t], read(name + ".bias", {n}).data());
    }
    layer.inputNorm = vector(prefix + "input_layernorm.weight", config.hidden);
    layer.postNorm = vector(prefix + "post_attention_layernorm.weight", config.hidden);
    if (config.qkNorm) {
      layer.qNorm = vector(prefix + "self_attn.q_norm.weight", config.headDim);
      layer.kNorm = vector(prefix + "self_attn.k_norm.weight", config.headDim);
    }
  }
  w.finalNorm = vector("model.norm.weight", config.hidden);
  if (!config.tiedHead) w.head = matrix(headName(config), config.vocab, config.hidden, headDtype);
  return w;
}

}  // namespace

namespace {

/// A bias that the configuration does not announce would be left out silently.
void refuseUnknownBias(const Checkpoint& files, const ModelConfig& config) {
  for (int i = 0; i < config.layers; ++i)
    for (int t = 0; t < kTargets; ++t) {
      const std::string name = "model.layers." + std::to_string(i) + "." + targetParent(t) + "." + targetName(t) + ".bias";
      if (!hasBias(config, t) && files.has(name))
        throw Failure("CONFIG_UNSUPPORTED", "The weights have \"" + name + "\", which config.json does not announce: use the config.json that belongs to these weights.");
    }
}

}  // namespace

namespace {

Weights fromCheckpoint(Checkpoint& files, const ModelConfig& config, const Ops& ops, Dtype dtype, const QuantizedCopy* copy) {
  refuseUnknownBias(files, config);
  Sha256 hash;
  hash.update(config.describe() + "|");
  uint64_t parameters = 0;
  Weights w = build(config, ops, dtype, [&](const std::string& name, const std::vector<int64_t>& shape) { return files.read(name, shape, hash, parameters); }, copy);
  w.parameters = copy ? copy->parameters() : parameters;
  w.fingerprint = copy ? copy->fingerprint() : hash.hex();
  return w;
}

std::string stampOf(const Checkpoint& files, const ModelConfig& config) { return config.describe() + "; " + files.stamp(); }

}  // namespace

Weights loadWeights(const std::string& dir, const ModelConfig& config, const Ops& ops, Dtype dtype) {
  Checkpoint files(dir);
  const std::unique_ptr<QuantizedCopy> copy = dtype == Dtype::Int8 ? QuantizedCopy::in(dir) : nullptr;
  if (copy && copy->stamp() != stampOf(files, config) && copy->fingerprint() != streamWeights(dir, config, [](const std::string&, int, int, const float*) {}).fingerprint)
    copy->refuse("was made of other weights than those beside it");
  return fromCheckpoint(files, config, ops, dtype, copy.get());
}

void quantizeWeights(const std::string& dir, const ModelConfig& config) {
  Checkpoint files(dir);
  const std::string stamp = stampOf(files, config);
  const Weights w = fromCheckpoint(files, config, *portableOps(), Dtype::Int8, nullptr);  // packed alike on every instruction set
  std::vector<NamedMatrix> matrices{{headName(config), &w.head}};
  for (int i = 0; i < config.layers; ++i)
    for (int t = 0; t < kTargets; ++t)
      matrices.emplace_back("model.layers." + std::to_string(i) + "." + targetParent(t) + "." + targetName(t) + ".weight", &w.layers[i].linear[t]);
  QuantizedCopy::write(dir, stamp, w, matrices);
}

Weights randomWeights(const ModelConfig& config, const Ops& ops, Dtype dtype) {
  uint64_t parameters = 0;
  uint32_t state = 1;
  Weights w = build(config, ops, dtype, [&](const std::string& name, const std::vector<int64_t>& shape) {
    size_t count = 1;
    for (const int64_t d : shape) count *= static_cast<size_t>(d);
    parameters += count;
    std::vector<float> values(count, 1.0f);
    if (name.find("norm") != std::string::npos) return values;
    const float bound = name.find("bias") != std::string::npos ? 0.1f : 1.0f / std::sqrt(static_cast<float>(shape.back()));
    for (float& value : values) {
      state = state * 1664525u + 1013904223u;
      value = bound * (static_cast<float>(state >> 8) * (2.0f / 16777216.0f) - 1.0f);
    }
    return values;
  });
  w.parameters = parameters;
  w.fingerprint = "random";
  return w;
}

Weights streamWeights(const std::string& dir, const ModelConfig& config, const TensorSink& sink) {
  Checkpoint files(dir);
  refuseUnknownBias(files, config);
  Weights info;
  Sha256 hash;
  hash.update(config.describe() + "|");
  const auto send = [&](const std::string& name, int rows, int cols) {
    const std::vector<int64_t> shape = cols == 1 ? std::vector<int64_t>{rows} : std::vector<int64_t>{rows, cols};
    sink(name, rows, cols, files.read(name, shape, hash, info.parameters).data());
  };
  // In build()'s order, which the fingerprint depends on.
  send("model.embed_tokens.weight", config.vocab, config.hidden);
  for (int i = 0; i < config.layers; ++i) {
    const std::string prefix = "model.layers." + std::to_string(i) + ".";
    for (int t = 0; t < kTargets; ++t) {
      int n = 0, k = 0;
      targetShape(config, t, n, k);
      const std::string name = prefix + targetParent(t) + "." + targetName(t);
      send(name + ".weight", n, k);
      if (hasBias(config, t)) send(name + ".bias", n, 1);
    }
    send(prefix + "input_layernorm.weight", config.hidden, 1);
    send(prefix + "post_attention_layernorm.weight", config.hidden, 1);
    if (!config.qkNorm) continue;
    send(prefix + "self_attn.q_norm.weight", config.headDim, 1);
    send(prefix + "self_attn.k_norm.weight", config.headDim, 1);
  }
  send("model.norm.weight", config.hidden, 1);
  if (!config.tiedHead) send("lm_head.weight", config.vocab, config.hidden);
  info.fingerprint = hash.hex();
  return info;
}

}  // namespace hindsight
