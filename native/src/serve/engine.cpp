#include "serve/engine.h"

#if defined(__linux__)
#include <malloc.h>
#endif

#include <algorithm>
#include <cmath>
#include <cstring>

#include "io/failure.h"
#include "serve/device_engine.h"

namespace hindsight {
namespace {

/// Large blocks go back to the system when they are freed. By default the C library raises its
/// threshold to 32 MB and keeps what loading and the first training step leave behind.
void returnLargeBlocks() {
#if defined(__GLIBC__)
  mallopt(M_MMAP_THRESHOLD, 1 << 20);
#endif
}

const Ops& requireOps(Isa isa) {
  returnLargeBlocks();
  const Ops* ops = opsFor(isa);
  if (!ops) throw Failure("ISA_UNAVAILABLE", "This processor lacks the requested instruction set: leave `isa` out to get the best one it has.");
  return *ops;
}

}  // namespace

Engine::Engine(const LoadOptions& options)
    : config_(options.shape.empty() ? readConfig(options.dir) : namedConfig(options.shape)),
      math_(requireOps(options.isa), options.threads),
      weights_(options.cuda ? Weights() : options.shape.empty() ? loadWeights(options.dir, config_, math_.ops(), options.dtype) : randomWeights(config_, math_.ops(), options.dtype)),
      device_(options.cuda ? std::make_unique<DeviceEngine>(config_, options, weights_) : nullptr),
      model_(config_, weights_, math_),
      cache_(model_.layout(), options.cacheBytes),
      trainer_(model_, [this](const std::vector<int32_t>& ids, const std::vector<int32_t>& positions, float temperature) {
        ScoreRequest request;
        request.ids = ids;
        request.positions = positions;
        request.temperature = temperature;
        return score(request, *current_).logprobs;
      }, options.memoryBytes) {}

Engine::~Engine() = default;

void Engine::checkTokens(const std::vector<int32_t>& ids) const {
  if (ids.empty()) throw Failure("PROMPT_EMPTY", "The request has no tokens: give at least one.");
  if (static_cast<int>(ids.size()) > config_.maxPositions)
    throw Failure("PROMPT_TOO_LONG", "The request has " + std::to_string(ids.size()) + " tokens and the model has " + std::to_string(config_.maxPositions) + " positions: shorten it.");
  for (const int32_t id : ids)
    if (id < 0 || id >= config_.vocab)
      throw Failure("TOKEN_OUT_OF_RANGE", "Token " + std::to_string(id) + " is outside the vocabulary of " + std::to_string(config_.vocab) + ": use the tokenizer of this model.");
}

Adapter& Engine::adapter(int handle) {
  Adapter& found = known(handle);
  if (device_) device_->toHost(handle, found);
  return found;
}

Adapter& Engine::known(int handle) {
  const auto found = adapters_.find(handle);
  if (found == adapters_.end()) throw Failure("ADAPTER_UNKNOWN", "There is no adapter with handle " + std::to_string(handle) + ": create or load it first.");
  return *found->second;
}

int Engine::addAdapter(std::unique_ptr<Adapter> adapter) {
  adapters_[nextHandle_] = std::move(adapter);
  return nextHandle_++;
}

int Engine::cloneAdapter(int handle) {
  const Adapter& from = adapter(handle);
  if (spares_.empty()) spares_.push_back(std::make_unique<Adapter>());
  std::unique_ptr<Adapter> copy = std::move(spares_.back());
  spares_.pop_back();
  copy->assign(from, AdapterParts::Weights);
  return addAdapter(std::move(copy));
}

std::unique_ptr<Adapter> Engine::copyAdapter(int handle, AdapterParts parts) {
  auto copy = std::make_unique<Adapter>();
  copy->assign(adapter(handle), parts);
  return copy;
}

void Engine::deleteAdapter(int handle) {
  known(handle);
  std::unique_ptr<Adapter>& found = adapters_.at(handle);
  if (device_) device_->drop(handle);
  cache_.dropAdapter(handle, UINT64_MAX);
  if (found->gradients.empty() && spares_.size() < kSpares) spares_.push_back(std::move(found));
  adapters_.erase(handle);
  noteCache();
}

PrefixCache::Key Engine::cacheKey(int handle) { return {handle, handle == 0 ? 0 : known(handle).version}; }

void Engine::noteCache() {
  cacheTokens_ = device_ ? device_->cacheTokens() : cache_.tokens();
  cacheBytes_ = device_ ? device_->cacheBytes() : cache_.bytes();
}

void Engine::clearCache() {
  if (device_) device_->clearCache();
  cache_.clear();
  noteCache();
}

void Engine::prefill(const std::vector<int32_t>& ids, int end, KvSequence& sequence, int handle, Job& job, const std::function<void(int, const float*)>& keep) {
  while (sequence.length < end) {
    if (job.cancelled) throw Cancelled();
    const int first = sequence.length, rows = std::min(kChunk, end - first);
    float* hidden = hidden_.atLeast(static_cast<size_t>(rows) * config_.hidden);
    math_.byteActivations(false);
    model_.forward(ids.data() + first, rows, sequence, adapterOrBase(handle), &job.cancelled, hidden);
    for (int r = 0; r < rows; ++r) keep(first + r, hidden + static_cast<size_t>(r) * config_.hidden);
    if (sequence.length < end) scheduler_.yield(job.priority);
  }
}

void Engine::setVocabulary(std::vector<std::string> tokens, const std::vector<int32_t>& special) {
  std::vector<std::string> text = tokens;
  for (const int32_t id : special)
    if (id >= 0 && id < static_cast<int32_t>(text.size())) text[id].clear();
  schemas_.setVocabulary(std::move(text));
  vocabulary_ = std::move(tokens);
}

/// @returns null where the response is free
std::unique_ptr<Constraint> Engine::constraintOf(const GenerateRequest& g) {
  if (g.schema.empty()) return nullptr;
  if (!g.stop.empty()) throw Failure("BAD_ARGUMENT", "A response that satisfies a schema ends where the schema says: leave the stop strings out.");
  std::vector<int32_t> ends = g.stopIds;
  ends.insert(ends.end(), config_.eosIds.begin(), config_.eosIds.end());
  const int room = std::min(g.maxTokens, config_.maxPositions - static_cast<int>(g.prompt.size()));
  return std::make_unique<Constraint>(schemas_.compile(g.schema), std::move(ends), room);
}

GenerateResult Engine::generateOnDevice(const GenerateRequest& g, Constraint* constraint, Job& job) {
  std::string tail;
  size_t longest = 0;
  for (const std::string& stop : g.stop) longest = std::max(longest, stop.size());
  DeviceEngine::Response response;
  response.ends = [&](int32_t token) {
    if (longest > 0 && token < static_cast<int>(vocabulary_.size())) {
      tail += vocabulary_[token];
      if (std::any_of(g.stop.begin(), g.stop.end(), [&](const std::string& stop) { return !stop.empty() && tail.find(stop) != std::string::npos; })) return true;
      if (tail.size() >= longest) tail.erase(0, tail.size() - longest + 1);
    }
    if (!constraint) return false;
    constraint->advance(token);
    return constraint->finished();
  };
  if (constraint) response.mask = [&](float* logits) { constraint->mask(logits, config_.vocab, g.sampling.temperature <= 0); };
  GenerateResult result = device_->generate(g, adapterOrBase(g.adapter), response, job, scheduler_);
  noteCache();
  return result;
}

ScoreResult Engine::score(const ScoreRequest& s, Job& job) {
  checkTokens(s.ids);
  if (!(s.temperature > 0) || !std::isfinite(s.temperature)) throw Failure("BAD_ARGUMENT", "A scoring temperature must be above 0: correct the request.");
  if (s.topK < 0) throw Failure("BAD_ARGUMENT", "topK must not be negative: correct the request.");
  const size_t count = s.positions.size(), h = config_.hidden, vocab = config_.vocab;
  for (const int32_t p : s.positions)
    if (p < 1 || p >= static_cast<int32_t>(s.ids.size()))
      throw Failure("BAD_ARGUMENT", "Position " + std::to_string(p) + " is outside [1, " + std::to_string(s.ids.size()) + "): correct the request.");
  for (const int32_t id : s.candidates)
    if (id < -1 || id >= config_.vocab) throw Failure("TOKEN_OUT_OF_RANGE", "Candidate " + std::to_string(id) + " is outside the vocabulary: use the tokenizer of this model.");
  if (device_) {
    ScoreResult found = device_->score(s, adapterOrBase(s.adapter), job, scheduler_);
    noteCache();
    return found;
  }
  const int k = std::min(s.topK, config_.vocab), c = s.candidateCount;
  ScoreResult result;
  result.logprobs.resize(count);
  result.topIds.resize(count * k);
  result.topLogprobs.resize(count * k);
  result.candidateLogprobs.assign(count * c, NAN);
  if (s.logits) result.logits.resize(count * vocab);
  if (count == 0) return result;

  const PrefixCache::Key key = cacheKey(s.adapter);
  std::vector<std::vector<int>> wanted(s.ids.size());  // row -> indices into positions
  int firstRow = static_cast<int>(s.ids.size()), lastRow = 0;
  for (size_t i = 0; i < count; ++i) {
    const int row = s.positions[i] - 1;
    wanted[row].push_back(static_cast<int>(i));
    firstRow = std::min(firstRow, row);
    lastRow = std::max(lastRow, row);
  }
  KvSequence sequence;
  // Byte activations score as they train, not as they serve: the two do not share keys and values.
  const bool cached = !weights_.byteActivations;
  if (cached) cache_.match(key, s.ids, firstRow, sequence);
  Floats gathered = allocateFloats(count * h);
  prefill(s.ids, lastRow + 1, sequence, s.adapter, job, [&](int row, const float* hidden) {
    for (const int i : wanted[row]) std::memcpy(gathered.get() + i * h, hidden, h * sizeof(float));
  });
  if (cached) cache_.insert(key, s.ids, sequence.length, sequence);
  noteCache();

  const size_t chunk = std::max<size_t>(16, std::min<size_t>(256, (size_t{4} << 20) / vocab));
  const float inverse = 1.0f / s.temperature;
  const Ops& ops = math_.ops();
  for (size_t first = 0; first < count; first += chunk) {
    if (job.cancelled) throw Cancelled();
    const int rows = static_cast<int>(std::min(chunk, count - first));
    float *x = normed_.atLeast(rows * h), *logits = logits_.atLeast(rows * vocab);
    model_.head(gathered.get() + first * h, rows, x, logits);
    math_.ranges(rows, 4, [&](int from, int to, int) {
      for (int r = from; r < to; ++r) {
        const size_t i = first + r;
        const float* z = logits + r * vocab;
        const double lse = ops.logSumExp(z, vocab, inverse);
        const auto logp = [&](int v) { return static_cast<float>(static_cast<double>(z[v]) * inverse - lse); };
        result.logprobs[i] = logp(s.ids[s.positions[i]]);
        if (k > 0) {
          const std::vector<int32_t> best = topIds(z, config_.vocab, k);
          for (int j = 0; j < k; ++j) {
            result.topIds[i * k + j] = best[j];
            result.topLogprobs[i * k + j] = logp(best[j]);
          }
        }
        for (int j = 0; j < c; ++j)
          if (s.candidates[i * c + j] >= 0) result.candidateLogprobs[i * c + j] = logp(s.candidates[i * c + j]);
        if (s.logits) std::memcpy(result.logits.data() + i * vocab, z, vocab * sizeof(float));
      }
    });
    if (first + chunk < count) scheduler_.yield(job.priority);
  }
  return result;
}

ForwardBackwardResult Engine::forwardBackward(int handle, std::vector<TrainSequence>& sequences, const LossSettings& settings, Job& job) {
  Adapter& target = known(handle);
  for (const TrainSequence& sequence : sequences) checkTokens(sequence.ids);
  current_ = &job;
  const auto pause = [&] {
    if (job.cancelled) throw Cancelled();
    scheduler_.yield(job.priority);
    current_ = &job;
  };
  if (!device_) return trainer_.run(target, sequences, settings, pause);
  const auto reference = [&](const TrainSequence& sequence) {
    ScoreRequest request;
    request.ids = sequence.ids;
    request.positions = sequence.kl.positions;
    request.temperature = sequence.temperature;
    return score(request, job).logprobs;
  };
  return device_->forwardBackward(handle, target, sequences, settings, reference, pause);
}

double Engine::optimStep(int handle, const AdamWSettings& settings) {
  Adapter& target = known(handle);
  const double norm = device_ ? device_->optimStep(handle, target, settings) : trainer_.optimStep(target, settings);
  cache_.dropAdapter(handle, target.version);
  noteCache();
  return norm;
}

}  // namespace hindsight
