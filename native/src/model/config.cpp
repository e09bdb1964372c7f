#include "model/config.h"

#include <cmath>
#include <cstdio>
#include <limits>
#include <stdexcept>

#include "io/failure.h"
#include "io/file.h"
#include "io/json.h"

namespace hindsight {
namespace {

class Reader {
 public:
  Reader(const Json& json, std::string path) : json_(json), path_(std::move(path)) {}

  [[noreturn]] void invalid(const std::string& what) const {
    throw Failure("CONFIG_INVALID", path_ + ": " + what + ", so repair the file or download the model again.");
  }
  [[noreturn]] void unsupported(const std::string& what) const {
    throw Failure("CONFIG_UNSUPPORTED", path_ + ": " + what + " is not supported, so choose a model without it.");
  }
  const Json* find(const char* key) const {
    const Json* value = json_.find(key);
    return value && !value->isNull() ? value : nullptr;
  }
  double number(const char* key, double fallback) const {
    const Json* value = find(key);
    if (!value) return fallback;
    if (value->type != Json::Type::Number || !std::isfinite(value->number)) invalid(std::string(key) + " is not a number");
    return value->number;
  }
  double number(const char* key) const {
    if (!find(key)) invalid(std::string(key) + " is missing");
    return number(key, 0);
  }
  int count(const char* key, double fallback = -1) const {
    const double value = fallback < 0 ? number(key) : number(key, fallback);
    if (value < 1 || value > 16777216 || value != std::floor(value))
      invalid(std::string(key) + " is not a positive whole number of sensible size");
    return static_cast<int>(value);
  }
  bool flag(const char* key, bool fallback) const {
    const Json* value = find(key);
    if (!value) return fallback;
    if (value->type != Json::Type::Bool) invalid(std::string(key) + " is not true or false");
    return value->boolean;
  }
  std::string text(const char* key, const std::string& fallback) const {
    const Json* value = find(key);
    if (!value) return fallback;
    if (value->type != Json::Type::String) invalid(std::string(key) + " is not a string");
    return value->text;
  }
  Reader inside(const Json& value) const { return Reader(value, path_); }

 private:
  const Json& json_;
  std::string path_;
};

Architecture readArchitecture(const Reader& config) {
  const std::string type = config.text("model_type", "");
  if (type == "llama") return Architecture::Llama;
  if (type == "qwen2") return Architecture::Qwen2;
  if (type == "qwen3") return Architecture::Qwen3;
  throw Failure("ARCHITECTURE_UNSUPPORTED", "Model type \"" + type + "\" is not supported: use a llama, qwen2 or qwen3 checkpoint.");
}

/// rope_parameters (new spelling) or rope_theta + rope_scaling (old); both carry the same numbers.
RopeConfig readRope(const Reader& config) {
  RopeConfig rope;
  rope.theta = config.number("rope_theta", 10000);
  const Json* nested = config.find("rope_parameters");
  if (!nested) nested = config.find("rope_scaling");
  if (nested) {
    if (nested->type != Json::Type::Object) config.invalid("rope_parameters is not an object");
    const Reader inner = config.inside(*nested);
    rope.theta = inner.number("rope_theta", rope.theta);
    const std::string kind = inner.text("rope_type", inner.text("type", "default"));
    if (kind == "llama3") {
      rope.llama3 = true;
      rope.factor = inner.number("factor");
      rope.lowFrequencyFactor = inner.number("low_freq_factor");
      rope.highFrequencyFactor = inner.number("high_freq_factor");
      rope.originalPositions = inner.number("original_max_position_embeddings");
      if (!(rope.factor >= 1) || !(rope.lowFrequencyFactor > 0) || !(rope.highFrequencyFactor > rope.lowFrequencyFactor) ||
          !(rope.originalPositions >= 1))
        config.invalid("the llama3 rope numbers contradict each other");
    } else if (kind != "default") {
      config.unsupported("rope type \"" + kind + "\"");
    }
    if (inner.number("partial_rotary_factor", 1) != 1) config.unsupported("partial rotary embedding");
  }
  if (!(rope.theta > 1)) config.invalid("rope_theta is not above 1");
  if (config.number("partial_rotary_factor", 1) != 1) config.unsupported("partial rotary embedding");
  return rope;
}

void refuseUnsupported(const Reader& config, const ModelConfig& model) {
  const std::string act = config.text("hidden_act", "silu");
  if (act != "silu" && act != "swish") config.unsupported("hidden_act \"" + act + "\"");
  const Json* layerTypes = config.find("layer_types");
  const bool listed = layerTypes && layerTypes->type == Json::Type::Array;
  if (listed)
    for (const Json& kind : layerTypes->items)
      if (kind.text != "full_attention") config.unsupported("layer type \"" + kind.text + "\"");
  // A window is in use only if it is switched on, some layer lies above max_window_layers and it
  // is shorter than the positions; layer_types, where written, has the last word.
  if (!listed && config.flag("use_sliding_window", false) && config.find("sliding_window") &&
      config.number("sliding_window", 0) < model.maxPositions &&
      config.number("max_window_layers", 0) < model.layers)
    config.unsupported("sliding-window attention");
  if (config.find("quantization_config")) config.unsupported("a quantised checkpoint (quantization_config)");
  if (config.number("pretraining_tp", 1) != 1) config.unsupported("pretraining_tp above 1");
}

std::vector<int> readEos(const Reader& config) {
  std::vector<int> ids;
  const Json* eos = config.find("eos_token_id");
  if (!eos) return ids;
  if (eos->type == Json::Type::Number) {
    ids.push_back(static_cast<int>(eos->number));
  } else if (eos->type == Json::Type::Array) {
    for (const Json& item : eos->items) {
      if (item.type != Json::Type::Number) config.invalid("eos_token_id is not a number");
      ids.push_back(static_cast<int>(item.number));
    }
  } else {
    config.invalid("eos_token_id is not a number");
  }
  return ids;
}

}  // namespace

const char* architectureName(Architecture a) {
  switch (a) {
    case Architecture::Llama: return "llama";
    case Architecture::Qwen2: return "qwen2";
    case Architecture::Qwen3: return "qwen3";
  }
  return "";
}

std::string ModelConfig::describe() const {
  char text[512];
  std::snprintf(text, sizeof text, "%s %d %d %d %d %d %d %d %.9g %d %.17g %d %.17g %.17g %.17g %.17g",
                architectureName(architecture), vocab, hidden, layers, heads, kvHeads, headDim, intermediate,
                static_cast<double>(normEps), tiedHead ? 1 : 0, rope.theta, rope.llama3 ? 1 : 0, rope.factor,
                rope.lowFrequencyFactor, rope.highFrequencyFactor, rope.originalPositions);
  return text;
}

ModelConfig readConfig(const std::string& dir) {
  if (!directoryExists(dir))
    throw Failure("MODEL_MISSING", "The model folder " + dir + " does not exist: give the path of a Hugging Face checkpoint.");
  const std::string path = dir + "/config.json";
  if (!fileExists(path))
    throw Failure("CONFIG_MISSING", "The folder " + dir + " has no config.json: give the path of a Hugging Face checkpoint.");
  const std::string text = readText(path, 16u << 20);
  Json json;
  try {
    json = Json::parse(text.data(), text.size());
  } catch (const std::runtime_error& error) {
    throw Failure("CONFIG_INVALID", path + " is not valid JSON (" + error.what() + "): repair or download it again.");
  }
  if (json.type != Json::Type::Object)
    throw Failure("CONFIG_INVALID", path + " is not a JSON object: repair or download it again.");
  const Reader config(json, path);
  ModelConfig model;
  model.architecture = readArchitecture(config);
  model.vocab = config.count("vocab_size");
  model.hidden = config.count("hidden_size");
  model.layers = config.count("num_hidden_layers");
  model.heads = config.count("num_attention_heads");
  model.kvHeads = config.count("num_key_value_heads", model.heads);
  if (model.heads % model.kvHeads != 0) config.invalid("num_attention_heads is not a multiple of num_key_value_heads");
  // Qwen3's own default is 128, whatever hidden / heads is.
  const int fallback = model.architecture == Architecture::Qwen3 ? 128 : model.hidden / model.heads;
  if (!config.find("head_dim") && fallback < 1) config.invalid("hidden_size is smaller than num_attention_heads");
  model.headDim = config.count("head_dim", fallback);
  if (model.headDim % 2 != 0) config.unsupported("an odd head_dim");
  model.intermediate = config.count("intermediate_size");
  model.maxPositions = config.count("max_position_embeddings", model.architecture == Architecture::Llama ? 2048 : 32768);
  model.normEps = static_cast<float>(config.number("rms_norm_eps", 1e-6));
  if (!(model.normEps >= 0)) config.invalid("rms_norm_eps is negative");
  model.tiedHead = config.flag("tie_word_embeddings", false);
  model.qkNorm = model.architecture == Architecture::Qwen3;
  const bool bias = config.flag("attention_bias", false);
  model.attentionBias = model.architecture == Architecture::Qwen2 || bias;
  model.outputBias = model.architecture != Architecture::Qwen2 && bias;
  model.mlpBias = model.architecture == Architecture::Llama && config.flag("mlp_bias", false);
  model.rope = readRope(config);
  model.eosIds = readEos(config);
  refuseUnsupported(config, model);
  if (static_cast<double>(model.vocab) * model.hidden > 2147483647.0 * 8 || model.qWidth() > 1 << 20)
    config.invalid("the sizes are beyond any known model");
  return model;
}

ModelConfig namedConfig(const std::string& name) {
  struct Shape {
    const char* name;
    int vocab, hidden, layers, heads, kvHeads, headDim, intermediate;
    bool tied;
  };
  static constexpr Shape shapes[] = {{"135m", 49152, 576, 30, 9, 3, 64, 1536, true},
                                     {"0.5b", 151936, 896, 24, 14, 2, 64, 4864, true},
                                     {"1.5b", 151936, 1536, 28, 12, 2, 128, 8960, true},
                                     {"7b", 152064, 3584, 28, 28, 4, 128, 18944, false}};
  for (const Shape& s : shapes) {
    if (name != s.name) continue;
    ModelConfig model;
    model.architecture = name == "135m" ? Architecture::Llama : Architecture::Qwen2;
    model.vocab = s.vocab;
    model.hidden = s.hidden;
    model.layers = s.layers;
    model.heads = s.heads;
    model.kvHeads = s.kvHeads;
    model.headDim = s.headDim;
    model.intermediate = s.intermediate;
    model.maxPositions = 8192;
    model.tiedHead = s.tied;
    model.attentionBias = model.architecture == Architecture::Qwen2;
    model.rope.theta = model.attentionBias ? 1000000 : 100000;
    return model;
  }
  throw Failure("BAD_ARGUMENT", "\"" + name + "\" is no known shape: use 135m, 0.5b, 1.5b or 7b.");
}

std::vector<float> inverseFrequencies(const ModelConfig& c) {
  const int half = c.headDim / 2;
  std::vector<float> out(half);
  const RopeConfig& r = c.rope;
  const double pi2 = 6.283185307179586;
  for (int i = 0; i < half; ++i) {
    const float inverse = 1.0f / std::pow(static_cast<float>(r.theta), static_cast<float>(2 * i) / static_cast<float>(c.headDim));
    out[i] = inverse;
    if (!r.llama3) continue;
    const double wavelength = pi2 / inverse;
    if (wavelength > r.originalPositions / r.lowFrequencyFactor) {
      out[i] = static_cast<float>(inverse / r.factor);
    } else if (wavelength >= r.originalPositions / r.highFrequencyFactor) {
      const double smooth = (r.originalPositions / wavelength - r.lowFrequencyFactor) / (r.highFrequencyFactor - r.lowFrequencyFactor);
      out[i] = static_cast<float>((1 - smooth) * inverse / r.factor + smooth * inverse);
    }
  }
  return out;
}

}  // namespace hindsight
