// A model whose weights, keys, values and adapters lie on an accelerator, as the engine sees it. Plain
// data goes in and comes out; nothing here names CUDA, so the CPU addon can open the library that
// implements it (kernels/device.h) where there is one, and be built where there is none.
//
// One thread calls, except for trainDone(). Training runs beside serving: trainStart() returns at once.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "model/config.h"

namespace hindsight {

/// How the frozen linears are kept; Auto: the first of bf16, int8, nf4 that fits (see MemoryPlan).
enum class DeviceFormat { Auto, Fp32, Bf16, Int8, Nf4 };

struct DeviceOptions {
  DeviceFormat format = DeviceFormat::Auto;
  int trainTokens = 2048;     // most rows of one training batch, and the longest sequence that trains
  int rank = 16;              // largest LoRA rank
  int trainedAdapters = 2;    // resident with optimizer state
  int servedAdapters = 8;     // resident
  size_t cacheBytes = size_t{256} << 20;  // keys and values
  size_t budgetBytes = 0;     // 0: what the device has free
};

/// What the plan decided before anything was allocated.
struct MemoryPlan {
  bool fits = false;
  DeviceFormat linears = DeviceFormat::Bf16, head = DeviceFormat::Bf16;
  bool checkpoint = false;  // keep only each layer's input, compute the rest again
  int headRows = 0;         // rows of logits at a time
  int pages = 0;            // of keys and values
  size_t weights = 0, adapters = 0, training = 0, serving = 0, cache = 0, reserve = 0, total = 0, budget = 0;
  std::string sentence;
};

/// One adapter's tensors in its flat buffer.
struct DeviceLora {
  struct Tensor {
    int layer, target;
    bool isB;
    int rows, cols;
    size_t offset;
  };
  int rank = 0;
  float scale = 1;  // alpha / rank
  size_t size = 0;  // floats of the flat buffer
  std::vector<Tensor> tensors;
};
enum class LoraBuffer { Weights, Gradients, Moment1, Moment2 };

struct DeviceSampling {
  float temperature = 0, topP = 1, logprobTemperature = 1, uniform = 0;
  int topK = 0;
};
/// One sequence's next token: `token` is fed at `position`, the token after it is sampled.
struct DecodeRow {
  int32_t token = 0;
  int position = 0, adapter = 0;
  const std::vector<int>* pages = nullptr;
  DeviceSampling sampling;
  bool wantLogits = false;
  int32_t next = 0;  // out
  float logprob = 0;
  std::vector<float> logits;  // [vocab], if wanted
};

struct DeviceScore {
  std::vector<int32_t> tokens;  // [rows][each]; -1: none
  int each = 0, topK = 0;
  float temperature = 1;
  bool wantLogits = false;
  std::vector<float> logprobs, topLogprobs, logits;  // out
  std::vector<int32_t> topIds;
};

/// One term on one (row, token); the fields of kernels/cuda/head.h's LossEntry.
struct DeviceLossEntry {
  int32_t token, kind;
  float weight, a, old, behaviour;
};
struct DeviceLossRow {
  int32_t row;  // of the batch: predicts the token after it
  int32_t label;
  float inverseTemperature;
  std::vector<DeviceLossEntry> entries;
};
struct DeviceLossResult {
  float loss[5], logprob, importance, importanceSquared;
};
/// Sequences packed one after the other, without padding.
struct DeviceBatch {
  std::vector<int32_t> tokens;
  std::vector<int32_t> lengths;  // of the sequences
  std::vector<DeviceLossRow> rows;
  float clipLow = 0, clipHigh = 0;
};
struct DeviceAdamW {
  float lr, beta1, beta2, eps, weightDecay, clipNorm;
  int64_t step;  // 1 = first
};

class DeviceModel {
 public:
  virtual ~DeviceModel() = default;

  virtual const MemoryPlan& plan() const = 0;
  /// "NVIDIA …, compute capability 9.0; wgmma kernels, …"
  virtual std::string describe() const = 0;
  /// One tensor of the checkpoint by its Hugging Face name, [rows][cols] (cols = 1: a vector).
  virtual void setTensor(const std::string& name, int rows, int cols, const float* values) = 0;
  /// Random weights, for benchmarks.
  virtual void randomize() = 0;

  /// Pages are numbered 0 … plan().pages - 1; who owns which is the caller's business.
  virtual int pageTokens() const = 0;
  /// Feeds tokens at start.. of one sequence, whose pages are long enough; its hidden rows stay on the
  /// device until the next call.
  virtual void prefill(const int32_t* tokens, int rows, int start, const std::vector<int>& pages, int adapter) = 0;
  virtual int prefillRows() const = 0;
  /// Remembers hidden rows of the last prefill in slots at.. for score().
  virtual void keep(const std::vector<int>& rows, int at) = 0;
  virtual int keptRows() const = 0;
  /// Scores slots 0 … rows - 1.
  virtual void score(int rows, DeviceScore& score) = 0;
  virtual int decodeRows() const = 0;
  virtual void decode(std::vector<DecodeRow>& rows) = 0;

  /// (Re)places an adapter's weights beside the old ones and turns to them between two tokens.
  virtual void setAdapter(int handle, const DeviceLora& lora, const float* weights) = 0;
  virtual void dropAdapter(int handle) = 0;
  /// The buffers of training, which are made on first use.
  virtual void readLora(int handle, LoraBuffer which, float* to) = 0;
  virtual void writeLora(int handle, LoraBuffer which, const float* from) = 0;
  /// Forward and backward of one batch; adds to the adapter's gradients.
  virtual void trainStart(int handle, const DeviceBatch& batch) = 0;
  virtual bool trainDone() = 0;
  /// One result a loss row, after trainDone().
  virtual std::vector<DeviceLossResult> trainResults() = 0;
  /// @returns the gradient norm before clipping; where it is not finite, no step was taken.
  virtual double optimStep(int handle, const DeviceAdamW& settings) = 0;
};

/// What the library exports: its one function, `hindsight_device`.
struct DeviceLibrary {
  int version = 0;  // kDeviceVersion of the build
  /// Empty where a device can be used, else one sentence that says why not.
  std::string (*whyNot)();
  /// What the device calls itself; only where whyNot() is empty.
  std::string (*name)();
  /// @throws Failure, or std::runtime_error
  DeviceModel* (*open)(const ModelConfig& config, const DeviceOptions& options);
  MemoryPlan (*plan)(const ModelConfig& config, const DeviceOptions& options);
};
constexpr int kDeviceVersion = 2;
constexpr const char* kDeviceEntry = "hindsight_device";

}  // namespace hindsight
