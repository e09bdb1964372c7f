#include "model/cuda/plan.h"

#include <cstdio>

namespace hindsight {
namespace cuda {
namespace {

constexpr size_t kLogitBytes = size_t{192} << 20;
constexpr int kPrefillRows = 512, kDecodeRows = 8, kDecodeSplits = 16;

const char* nameOf(DeviceFormat format) {
  switch (format) {
    case DeviceFormat::Fp32: return "fp32";
    case DeviceFormat::Int8: return "int8";
    case DeviceFormat::Nf4: return "nf4";
    default: return "bf16";
  }
}
std::string gigabytes(size_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f GB", static_cast<double>(bytes) / 1e9);
  return text;
}

/// Below this a request of ordinary length could not be served.
int neededPages(const ModelConfig& c) { return (c.maxPositions < 2048 ? c.maxPositions : 2048) / kPageTokens + 1; }

/// One candidate, filled in; `fits` says whether its total stays under the budget.
MemoryPlan weigh(const ModelConfig& c, const DeviceOptions& o, const DeviceFacts& facts, DeviceFormat linears, bool checkpoint, size_t cacheBytes) {
  MemoryPlan p;
  p.linears = linears;
  // Logits are worth more exact weights than the linears', and the embedding is the head where it is tied.
  p.head = linears == DeviceFormat::Nf4 ? DeviceFormat::Int8 : linears == DeviceFormat::Int8 ? DeviceFormat::Bf16 : linears;
  p.checkpoint = checkpoint;
  const size_t element = linears == DeviceFormat::Fp32 ? 4 : 2;
  const size_t rowBytes = static_cast<size_t>(paddedVocab(c)) * (4 + element);
  p.headRows = static_cast<int>(kLogitBytes / rowBytes / 32 * 32);
  if (p.headRows < 32) p.headRows = 32;
  if (p.headRows > 2048) p.headRows = 2048;
  if (p.headRows > (o.trainTokens + 31) / 32 * 32) p.headRows = (o.trainTokens + 31) / 32 * 32;
  p.pages = static_cast<int>(cacheBytes / pageBytes(c, element));
  p.budget = o.budgetBytes ? o.budgetBytes : facts.freeBytes;
  p.reserve = kDriverReserve;
  const Extent e = extentOf(c, o, p, facts.multiprocessors);
  ByteCounter weights, training, serving;
  layWeights(weights, c, formatOf(p.linears), formatOf(p.head));
  layTraining(training, c, e);
  layServing(serving, c, e);
  p.weights = weights.bytes();
  p.training = training.bytes();
  p.serving = serving.bytes();
  p.cache = p.pages * pageBytes(c, element);
  const size_t packed = 2 * LoraLayout(c, o.rank).layer * c.layers * element, flat = loraParameters(c, o.rank) * sizeof(float);
  p.adapters = o.servedAdapters * packed + o.trainedAdapters * 4 * flat;
  p.total = p.weights + p.training + p.serving + p.cache + p.adapters + p.reserve;
  p.fits = p.total <= p.budget && p.pages >= neededPages(c);
  p.sentence = std::string(nameOf(linears)) + " base" + (checkpoint ? " with checkpointing" : "") + ": " + gigabytes(p.total) + " of " + gigabytes(p.budget) + " (weights " + gigabytes(p.weights) + ", training of " + std::to_string(o.trainTokens) +
               " tokens " + gigabytes(p.training) + ", adapters " + gigabytes(p.adapters) + ", serving " + gigabytes(p.serving) + ", keys and values " + gigabytes(p.cache) + ", driver " + gigabytes(p.reserve) + ").";
  return p;
}

}  // namespace

Format formatOf(DeviceFormat format) {
  switch (format) {
    case DeviceFormat::Fp32: return Format::Fp32;
    case DeviceFormat::Int8: return Format::Int8;
    case DeviceFormat::Nf4: return Format::Nf4;
    default: return Format::Bf16;
  }
}

size_t pageBytes(const ModelConfig& c, size_t element) { return static_cast<size_t>(2) * kPageTokens * c.kvWidth() * c.layers * element; }

Extent extentOf(const ModelConfig&, const DeviceOptions& o, const MemoryPlan& p, int multiprocessors) {
  Extent e;
  e.trainRows = (o.trainTokens + 31) / 32 * 32;
  e.headRows = p.headRows;
  e.rank = o.rank;
  e.prefillRows = kPrefillRows;
  e.keptRows = 512;
  e.decodeRows = kDecodeRows;
  e.multiprocessors = multiprocessors;
  e.element = p.linears == DeviceFormat::Fp32 ? 4 : 2;
  e.checkpoint = p.checkpoint;
  e.splits = kDecodeSplits;
  return e;
}

MemoryPlan planMemory(const ModelConfig& c, const DeviceOptions& o, const DeviceFacts& facts) {
  struct Candidate {
    DeviceFormat linears;
    bool checkpoint;
  };
  std::vector<Candidate> candidates;
  if (o.format == DeviceFormat::Auto) {
    candidates = {{DeviceFormat::Bf16, false}, {DeviceFormat::Bf16, true}, {DeviceFormat::Int8, true}, {DeviceFormat::Nf4, true}};
  } else {
    candidates = {{o.format, false}, {o.format, true}};
  }
  MemoryPlan last;
  for (const Candidate& candidate : candidates)
    for (const bool whole : {true, false}) {
      const size_t least = neededPages(c) * pageBytes(c, candidate.linears == DeviceFormat::Fp32 ? 4 : 2), cache = whole || o.cacheBytes < least ? o.cacheBytes : least;
      last = weigh(c, o, facts, candidate.linears, candidate.checkpoint, cache);
      if (last.fits) return last;
    }
  last.sentence = "The model does not fit: even a " + last.sentence.substr(0, last.sentence.size() - 1) + "; train on fewer tokens at a time, choose a smaller model, or use a GPU with more memory.";
  return last;
}

}  // namespace cuda
}  // namespace hindsight
