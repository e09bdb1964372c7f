// DeviceModel on CUDA: owns the memory, the streams and the graphs; layers.h has the arithmetic.
#pragma once
#include <functional>
#include <map>
#include <memory>

#include "model/cuda/layers.h"
#include "model/cuda/plan.h"
#include "model/device.h"

namespace hindsight {
namespace cuda {

/// One adapter: packed twice, so that new weights are written beside those that serve.
template <class T>
struct DeviceAdapter {
  DeviceLora lora;
  LoraLayout layout;
  DeviceArray<T> packed[2];
  int active = 0;
  DeviceArray<float> weights, gradients, moment1, moment2;  // the last three empty until it trains
  DeviceArray<LoraPiece> pieces;
  GradientTarget target;

  DeviceAdapter(const ModelConfig& config, const DeviceLora& from);
  const T* serving() const { return packed[active].get(); }
  void prepareTraining(const Stream& stream);
};

template <class T>
class CudaModel : public DeviceModel {
 public:
  CudaModel(const ModelConfig& config, const DeviceOptions& options, const MemoryPlan& plan, const std::string& device, int multiprocessors);
  ~CudaModel() override;

  const MemoryPlan& plan() const override { return plan_; }
  std::string describe() const override { return device_ + "; " + gemmBackendReason() + "; " + plan_.sentence; }
  void setTensor(const std::string& name, int rows, int cols, const float* values) override;
  void randomize() override;
  int pageTokens() const override { return kPageTokens; }
  void prefill(const int32_t* tokens, int rows, int start, const std::vector<int>& pages, int adapter) override;
  int prefillRows() const override { return extent_.prefillRows; }
  void keep(const std::vector<int>& rows, int at) override;
  int keptRows() const override { return extent_.keptRows; }
  void score(int rows, DeviceScore& score) override;
  int decodeRows() const override { return extent_.decodeRows; }
  void decode(std::vector<DecodeRow>& rows) override;
  void setAdapter(int handle, const DeviceLora& lora, const float* weights) override;
  void dropAdapter(int handle) override;
  void readLora(int handle, LoraBuffer which, float* to) override;
  void writeLora(int handle, LoraBuffer which, const float* from) override;
  void trainStart(int handle, const DeviceBatch& batch) override;
  bool trainDone() override { return training_.reached(); }
  std::vector<DeviceLossResult> trainResults() override;
  double optimStep(int handle, const DeviceAdamW& settings) override;

 private:
  DeviceAdapter<T>& adapter(int handle);
  void setWeight(const Weight& w, int row, int rows, int cols, const float* values);
  void setVector(const float* to, int count, const float* values);
  void makeRope();
  LayerBuffers serveLayer() const;
  T* pagesOf(int layer) const { return pages_ + static_cast<size_t>(layer) * 2 * kPageTokens * config_.kvWidth(); }
  long pageStride() const { return 2l * kPageTokens * config_.kvWidth() * config_.layers; }
  /// All layers over serve_'s inputs; hidden rows end in the returned buffer.
  float* serveForward(const Batch& batch, const PassLora<T>& lora, int splits);
  void decodePass(int rows, int splits, bool withLora);
  void trainPass(DeviceAdapter<T>& adapter, const Batch& batch, int lossRows, const LossEntry* entries, LossLimits limits);
  void pack(DeviceAdapter<T>& adapter);

  ModelConfig config_;
  MemoryPlan plan_;
  Extent extent_;
  std::string device_;
  int multiprocessors_;
  Stream serving_{StreamPriority::Serving}, training_{StreamPriority::Training};
  DeviceArena weightMemory_, trainMemory_, serveMemory_;
  DeviceWeights weights_;
  TrainBuffers train_;
  ServeBuffers serve_;
  DeviceArray<unsigned char> pageMemory_;
  T* pages_ = nullptr;
  DeviceArray<LossEntry> entries_{0};
  DeviceArray<double> normParts_{kNormParts};
  DeviceArray<float> norm_{1};
  std::unique_ptr<Layers<T>> layers_;
  std::map<int, std::unique_ptr<DeviceAdapter<T>>> adapters_;
  std::vector<int> decodeAdapters_;  // whose pointers lie in serve_.loraPointers
  std::map<std::tuple<int, int, int>, Graph> decodeGraphs_;
  std::map<std::vector<long>, Graph> trainGraphs_;
  const float* lastHidden_ = nullptr;
  int trainedRows_ = 0;
};

}  // namespace cuda
}  // namespace hindsight
