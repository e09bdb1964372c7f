// Requests on a device: what Engine does over the CPU's kernels, over a DeviceModel. The rules of requests
// (checks, stop, priorities, adapters' order) are the same; the arithmetic and the memory are the device's.
#pragma once
#include <functional>
#include <memory>

#include "model/device.h"
#include "serve/device_pages.h"
#include "serve/engine.h"

namespace hindsight {

class DeviceEngine {
 public:
  /// Loads the weights onto the device. @throws Failure DEVICE_UNAVAILABLE, OUT_OF_MEMORY, and what
  /// reading a model throws. `info` gets parameters and fingerprint.
  DeviceEngine(const ModelConfig& config, const LoadOptions& options, Weights& info);

  const MemoryPlan& plan() const { return model_->plan(); }
  std::string describe() const { return model_->describe(); }
  size_t cacheTokens() const { return pages_->tokens(); }
  size_t cacheBytes() const;

  /// What a response is checked against after each token.
  struct Response {
    std::function<bool(int32_t)> ends;            // takes the token; true: it was the last
    std::function<void(float*)> mask;             // of a constraint; empty where the response is free
  };
  GenerateResult generate(const GenerateRequest& request, Adapter* adapter, const Response& response, Job& job, Scheduler& scheduler);
  ScoreResult score(const ScoreRequest& request, Adapter* adapter, Job& job, Scheduler& scheduler);
  ForwardBackwardResult forwardBackward(int handle, Adapter& adapter, std::vector<TrainSequence>& sequences, const LossSettings& settings, const std::function<std::vector<float>(const TrainSequence&)>& reference, const std::function<void()>& pause);
  double optimStep(int handle, Adapter& adapter, const AdamWSettings& settings);
  /// Brings the host's copy up to date, before someone reads or changes it there.
  void toHost(int handle, Adapter& adapter);
  void drop(int handle);
  void clearCache() { pages_->clear(); }

 private:
  /// What the device knows of an adapter, beside the host's copy of it.
  struct Resident {
    uint64_t version = 0;
    bool trained = false;    // the device's numbers are newer
    bool gradients = false;  // the host's gradients and moments are the device's
  };
  DevicePages::Key key(int handle, const Adapter* adapter) const { return {handle, adapter ? adapter->version : 0}; }
  void place(int handle, const Adapter& adapter);
  void placeTraining(int handle, Adapter& adapter);
  void prefill(const std::vector<int32_t>& ids, int end, DeviceSequence& sequence, int handle, Job& job, Scheduler& scheduler, const std::function<void(int, int)>& after);

  const ModelConfig& config_;
  std::unique_ptr<DeviceModel> model_;
  std::unique_ptr<DevicePages> pages_;
  std::map<int, Resident> residents_;
  int trainTokens_;
};

}  // namespace hindsight
