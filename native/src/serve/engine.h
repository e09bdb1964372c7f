// One loaded model: weights, adapters, prefix cache and the compute thread that serves and trains
// on them. All methods below `submit` run on the compute thread; only the scheduler is shared.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "model/device.h"
#include "model/transformer.h"
#include "serve/generation.h"
#include "serve/prefix_cache.h"
#include "serve/sampler.h"
#include "serve/scheduler.h"
#include "train/step.h"

namespace hindsight {

class DeviceEngine;

struct LoadOptions {
  std::string dir;
  /// Shape by name (135m, 0.5b, 1.5b, 7b) with random weights, instead of dir.
  std::string shape;
  Isa isa = Isa::Portable;
  Dtype dtype = Dtype::Fp32;
  int threads = 1;
  size_t cacheBytes = size_t{256} << 20;
  /// What the process may have resident while it trains; 0: no bound.
  size_t memoryBytes = 0;
  /// On the GPU instead of the CPU; isa, dtype and threads are then not used.
  bool cuda = false;
  DeviceOptions device;
};

/// Prefill chunk: the longest a request of higher priority waits, and 1 % slower than no chunks.
constexpr int kChunk = 256;

/// Deleted copies that are kept for their memory: one version serves while the next is made and the last ones end.
constexpr size_t kSpares = 2;

struct ScoreRequest {
  std::vector<int32_t> ids, positions, candidates;
  int candidateCount = 0, topK = 0, adapter = 0;
  float temperature = 1;
  bool logits = false;
};
struct ScoreResult {
  std::vector<float> logprobs, topLogprobs, candidateLogprobs, logits;
  std::vector<int32_t> topIds;
};

class Engine {
 public:
  /// Loads the model on the calling thread. @throws Failure
  explicit Engine(const LoadOptions& options);
  ~Engine();

  const ModelConfig& config() const { return config_; }
  const Weights& weights() const { return weights_; }
  const Ops& ops() const { return math_.ops(); }
  int threads() const { return math_.threads(); }
  Scheduler& scheduler() { return scheduler_; }
  /// The GPU that computes, or null.
  const DeviceEngine* device() const { return device_.get(); }
  size_t cacheTokens() const { return cacheTokens_.load(std::memory_order_relaxed); }
  size_t cacheBytes() const { return cacheBytes_.load(std::memory_order_relaxed); }

  /// @param special  ids that are no text: never part of a constrained response
  void setVocabulary(std::vector<std::string> tokens, const std::vector<int32_t>& special);
  /// Serves the job's generation and every other that may join, until none is left (batch.cpp).
  void serve(const std::shared_ptr<Job>& job);
  /// Passes of decoding, their rows, and tokens that prompt lookup proposed and got right.
  struct Counters {
    uint64_t passes, rows, drafted, accepted;
  };
  Counters counters() const { return {passes_.load(), passRows_.load(), drafted_.load(), accepted_.load()}; }
  ScoreResult score(const ScoreRequest& request, Job& job);
  ForwardBackwardResult forwardBackward(int adapter, std::vector<TrainSequence>& sequences, const LossSettings& settings, Job& job);
  double optimStep(int adapter, const AdamWSettings& settings);
  void clearCache();

  int addAdapter(std::unique_ptr<Adapter> adapter);
  /// The host's copy, up to date; a caller may change its gradients.
  Adapter& adapter(int handle);
  /// Optimizer steps an adapter has taken.
  int64_t stepOf(int handle) { return known(handle).step; }
  /// A copy of its weights to serve, without gradients and AdamW's state, in the memory of such a copy that was
  /// deleted: fresh pages cost milliseconds, for which every request would wait. @returns its handle
  int cloneAdapter(int handle);
  /// A copy to write to a folder.
  std::unique_ptr<Adapter> copyAdapter(int handle, AdapterParts parts);
  void deleteAdapter(int handle);

 private:
  void begin(Generation& generation);
  void prefillChunk(Generation& generation, Job& job);
  void decodeStep(const std::vector<Generation*>& running);
  void finish(Generation& generation, Job& job);
  void serveOnDevice(const std::shared_ptr<Job>& job);
  std::unique_ptr<Constraint> constraintOf(const GenerateRequest& request);
  GenerateResult generateOnDevice(const GenerateRequest& request, Constraint* constraint, Job& job);
  Adapter& known(int handle);
  PrefixCache::Key cacheKey(int adapter);
  Adapter* adapterOrBase(int handle) { return handle == 0 ? nullptr : &known(handle); }
  void checkTokens(const std::vector<int32_t>& ids) const;
  /// Tokens [sequence.length, end) in chunks; hidden rows wanted go through `keep(row, pointer)`.
  void prefill(const std::vector<int32_t>& ids, int end, KvSequence& sequence, int adapter, Job& job, const std::function<void(int, const float*)>& keep);
  void noteCache();

  ModelConfig config_;
  Math math_;
  Weights weights_;
  std::unique_ptr<DeviceEngine> device_;
  Transformer model_;
  PrefixCache cache_;
  Trainer trainer_;
  std::map<int, std::unique_ptr<Adapter>> adapters_;
  std::vector<std::unique_ptr<Adapter>> spares_;  // for cloneAdapter(); at most kSpares
  int nextHandle_ = 1;
  std::vector<std::string> vocabulary_;
  SchemaCache schemas_;
  Scratch hidden_, normed_, logits_;
  std::atomic<uint64_t> passes_{0}, passRows_{0}, drafted_{0}, accepted_{0};
  std::atomic<size_t> cacheTokens_{0}, cacheBytes_{0};
  Job* current_ = nullptr;
  Scheduler scheduler_;  // last: its thread ends before anything it uses goes away
};

}  // namespace hindsight
