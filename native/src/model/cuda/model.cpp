#include "model/cuda/model.h"

#include <algorithm>
#include <cmath>
#include <thread>

#include "io/failure.h"

namespace hindsight {
namespace cuda {
namespace {

template <class T>
Format plainFormat() { return sizeof(T) == 4 ? Format::Fp32 : Format::Bf16; }

/// Rows of quantised weights a thread converts.
constexpr int kRowsPerThread = 256;

int targetGroup(int target) { return target <= 2 ? kQkv : target == 3 ? kO : target <= 5 ? kGateUp : kDown; }
/// First row of a target in its group's weight, and its place among the group's linears.
struct Place {
  int row, index;
};
Place placeOf(const ModelConfig& c, int target) {
  switch (target) {
    case 1: return {c.qWidth(), 1};
    case 2: return {c.qWidth() + c.kvWidth(), 2};
    case 5: return {c.intermediate, 1};
    default: return {0, 0};
  }
}

}  // namespace

template <class T>
DeviceAdapter<T>::DeviceAdapter(const ModelConfig& config, const DeviceLora& from) : lora(from), layout(config, from.rank) {
  const size_t elements = layout.layer * config.layers;
  for (DeviceArray<T>& side : packed) side = DeviceArray<T>(elements);
  weights = DeviceArray<float>(from.size);
  std::vector<LoraPiece> list;
  target.ranges.assign(static_cast<size_t>(config.layers) * kGroupCount, {0, 0});
  for (int layer = 0; layer < config.layers; ++layer)
    for (int g = 0; g < kGroupCount; ++g) {
      const int first = static_cast<int>(list.size()), k2 = loraWidth(g, from.rank);
      for (const DeviceLora::Tensor& t : from.tensors) {
        if (t.layer != layer || targetGroup(t.target) != g) continue;
        const Place at = placeOf(config, t.target);
        LoraPiece p;
        p.flat = t.offset;
        p.rows = t.rows;
        p.cols = t.cols;
        const size_t base = layer * layout.layer;
        if (t.isB) {
          p.packed = base + layout.b[g] + static_cast<size_t>(at.row) * k2 + at.index * from.rank;
          p.ld = k2;
          p.scale = from.scale;
        } else {
          p.packed = base + layout.a[g] + static_cast<size_t>(at.index) * from.rank * t.cols;
          p.ld = t.cols;
        }
        list.push_back(p);
        target.largest = std::max(target.largest, t.rows * t.cols);
      }
      target.ranges[layer * kGroupCount + g] = {first, static_cast<int>(list.size()) - first};
    }
  pieces = DeviceArray<LoraPiece>(list.size());
  check(cudaMemcpyAsync(pieces.get(), list.data(), list.size() * sizeof(LoraPiece), cudaMemcpyHostToDevice, nullptr), "cudaMemcpyAsync");
  check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  target.pieces = pieces.get();
}

template <class T>
void DeviceAdapter<T>::prepareTraining(const Stream& stream) {
  if (gradients.get()) return;
  for (DeviceArray<float>* buffer : {&gradients, &moment1, &moment2}) {
    *buffer = DeviceArray<float>(lora.size);
    stream.zero(buffer->get(), lora.size);
  }
  stream.wait();
  target.flat = gradients.get();
}

template <class T>
CudaModel<T>::CudaModel(const ModelConfig& config, const DeviceOptions& options, const MemoryPlan& plan, const std::string& device, int multiprocessors)
    : config_(config), plan_(plan), extent_(extentOf(config, options, plan, multiprocessors)), device_(device), multiprocessors_(multiprocessors) {
  weightMemory_.reserve(plan.weights);
  trainMemory_.reserve(plan.training);
  serveMemory_.reserve(plan.serving);
  weights_ = layWeights(weightMemory_, config_, formatOf(plan.linears), formatOf(plan.head));
  train_ = layTraining(trainMemory_, config_, extent_);
  serve_ = layServing(serveMemory_, config_, extent_);
  pageMemory_ = DeviceArray<unsigned char>(plan.cache);
  pages_ = reinterpret_cast<T*>(pageMemory_.get());
  layers_ = std::make_unique<Layers<T>>(config_, weights_, multiprocessors);
  makeRope();
  chooseGemmBackend(serving_);
}

template <class T>
CudaModel<T>::~CudaModel() {
  cudaDeviceSynchronize();
}

template <class T>
DeviceAdapter<T>& CudaModel<T>::adapter(int handle) {
  const auto found = adapters_.find(handle);
  if (found == adapters_.end()) throw Failure("ADAPTER_UNKNOWN", "The device has no adapter with handle " + std::to_string(handle) + ": create or load it first.");
  return *found->second;
}

// ---- weights ------------------------------------------------------------------------------------

template <class T>
void CudaModel<T>::makeRope() {
  const int half = config_.headDim / 2;
  const std::vector<float> inverse = inverseFrequencies(config_);
  std::vector<float> cosine(static_cast<size_t>(config_.maxPositions) * half), sine(cosine.size());
  for (int p = 0; p < config_.maxPositions; ++p)
    for (int i = 0; i < half; ++i) {
      const float angle = static_cast<float>(p) * inverse[i];
      cosine[static_cast<size_t>(p) * half + i] = std::cos(angle);
      sine[static_cast<size_t>(p) * half + i] = std::sin(angle);
    }
  serving_.upload(weights_.cosine, cosine.data(), cosine.size());
  serving_.upload(weights_.sine, sine.data(), sine.size());
  serving_.wait();
}

template <class T>
void CudaModel<T>::setWeight(const Weight& w, int row, int rows, int cols, const float* values) {
  if (cols != w.k || row + rows > w.n) throw Failure("SHAPE_MISMATCH", "A weight of the wrong shape reached the device: use the config.json that belongs to these weights.");
  const size_t pitch = rowPitch(w.format, w.k);
  const int scales = scalesPerRow(w.format, w.k);
  std::vector<unsigned char> data(rows * pitch);
  std::vector<float> scale(static_cast<size_t>(rows) * scales);
  const auto convertRows = [&](int first, int last) { quantize(w.format, values + static_cast<size_t>(first) * cols, last - first, cols, data.data() + first * pitch, scale.data() + static_cast<size_t>(first) * scales); };
  std::vector<std::thread> threads;
  const int most = static_cast<int>(std::max(1u, std::thread::hardware_concurrency())), count = std::min(most, rows / kRowsPerThread + 1);
  for (int i = 1; i < count; ++i) threads.emplace_back(convertRows, static_cast<int>(static_cast<long>(rows) * i / count), static_cast<int>(static_cast<long>(rows) * (i + 1) / count));
  convertRows(0, static_cast<int>(static_cast<long>(rows) / count));
  for (std::thread& thread : threads) thread.join();
  serving_.upload(static_cast<unsigned char*>(const_cast<void*>(w.data)) + row * pitch, data.data(), data.size());
  if (scales) serving_.upload(const_cast<float*>(w.scale) + static_cast<size_t>(row) * scales, scale.data(), scale.size());
  serving_.wait();
}

template <class T>
void CudaModel<T>::setVector(const float* to, int count, const float* values) {
  serving_.upload(const_cast<float*>(to), values, static_cast<size_t>(count));
  serving_.wait();
}

template <class T>
void CudaModel<T>::setTensor(const std::string& name, int rows, int cols, const float* values) {
  if (name == "model.embed_tokens.weight") return setWeight(weights_.embedding, 0, rows, cols, values);
  if (name == "lm_head.weight") return setWeight(weights_.head, 0, rows, cols, values);
  if (name == "model.norm.weight") return setVector(weights_.finalNorm, rows, values);
  const std::string prefix = "model.layers.";
  const size_t dot = name.find('.', prefix.size());
  DeviceLayer& layer = weights_.layers.at(static_cast<size_t>(std::stoi(name.substr(prefix.size(), dot - prefix.size()))));
  const std::string rest = name.substr(dot + 1);
  if (rest == "input_layernorm.weight") return setVector(layer.inputNorm, rows, values);
  if (rest == "post_attention_layernorm.weight") return setVector(layer.postNorm, rows, values);
  if (rest == "self_attn.q_norm.weight") return setVector(layer.qNorm, rows, values);
  if (rest == "self_attn.k_norm.weight") return setVector(layer.kNorm, rows, values);
  static const char* targets[] = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"};
  for (int t = 0; t < 7; ++t) {
    const Weight& w = layer.group[targetGroup(t)];
    if (rest == std::string(targets[t]) + ".weight") return setWeight(w, placeOf(config_, t).row, rows, cols, values);
    if (rest == std::string(targets[t]) + ".bias") return setVector(w.bias + placeOf(config_, t).row, rows, values);
  }
  throw Failure("INTERNAL", "The device does not know the tensor " + name + ": this is a defect.");
}

template <class T>
void CudaModel<T>::randomize() {
  unsigned seed = 1;
  randomWeight(serving_, weights_.head, seed++);
  if (!config_.tiedHead) randomWeight(serving_, weights_.embedding, seed++);
  fill(serving_, weights_.finalNorm, config_.hidden, 1);
  for (const DeviceLayer& layer : weights_.layers) {
    for (const Weight& w : layer.group) randomWeight(serving_, w, seed++);
    fill(serving_, layer.inputNorm, config_.hidden, 1);
    fill(serving_, layer.postNorm, config_.hidden, 1);
    if (!config_.qkNorm) continue;
    fill(serving_, layer.qNorm, config_.headDim, 1);
    fill(serving_, layer.kNorm, config_.headDim, 1);
  }
  serving_.wait();
}

// ---- adapters -----------------------------------------------------------------------------------

template <class T>
void CudaModel<T>::pack(DeviceAdapter<T>& a) {
  const int spare = 1 - a.active;
  packLora<T>(serving_, a.pieces.get(), static_cast<int>(a.pieces.size()), a.target.largest, a.weights.get(), a.packed[spare].get());
  // Work already queued reads the old side; whatever is queued after this line reads the new one.
  a.active = spare;
}

template <class T>
void CudaModel<T>::setAdapter(int handle, const DeviceLora& lora, const float* weights) {
  if (lora.rank > extent_.rank) throw Failure("ADAPTER_UNSUPPORTED", "The adapter's rank " + std::to_string(lora.rank) + " is above the " + std::to_string(extent_.rank) + " that the device's memory was planned for: start the engine with a larger rank.");
  std::unique_ptr<DeviceAdapter<T>>& slot = adapters_[handle];
  if (!slot) {
    slot = std::make_unique<DeviceAdapter<T>>(config_, lora);
    for (const DeviceArray<T>& side : slot->packed) serving_.zero(side.get(), side.size());
  }
  serving_.upload(slot->weights.get(), weights, lora.size);
  pack(*slot);
  serving_.wait();
}

template <class T>
void CudaModel<T>::dropAdapter(int handle) {
  serving_.wait();
  training_.wait();
  trainGraphs_.clear();
  decodeAdapters_.clear();
  adapters_.erase(handle);
}

template <class T>
void CudaModel<T>::readLora(int handle, LoraBuffer which, float* to) {
  DeviceAdapter<T>& a = adapter(handle);
  if (which != LoraBuffer::Weights) a.prepareTraining(serving_);
  const DeviceArray<float>* buffers[] = {&a.weights, &a.gradients, &a.moment1, &a.moment2};
  serving_.download(to, buffers[static_cast<int>(which)]->get(), a.lora.size);
  serving_.wait();
}

template <class T>
void CudaModel<T>::writeLora(int handle, LoraBuffer which, const float* from) {
  DeviceAdapter<T>& a = adapter(handle);
  if (which == LoraBuffer::Weights) return setAdapter(handle, a.lora, from);
  a.prepareTraining(serving_);
  const DeviceArray<float>* buffers[] = {&a.weights, &a.gradients, &a.moment1, &a.moment2};
  serving_.upload(buffers[static_cast<int>(which)]->get(), from, a.lora.size);
  serving_.wait();
}

template <class T>
double CudaModel<T>::optimStep(int handle, const DeviceAdamW& s) {
  DeviceAdapter<T>& a = adapter(handle);
  a.prepareTraining(serving_);
  AdamSettings settings{s.lr, s.beta1, s.beta2, s.eps, s.weightDecay, s.clipNorm, static_cast<float>(1 - std::pow(s.beta1, static_cast<double>(s.step))), static_cast<float>(1 - std::pow(s.beta2, static_cast<double>(s.step)))};
  gradientNorm(serving_, a.gradients.get(), a.lora.size, normParts_.get(), norm_.get());
  adamw(serving_, a.weights.get(), a.moment1.get(), a.moment2.get(), a.gradients.get(), a.lora.size, settings, norm_.get());
  pack(a);
  float norm = 0;
  serving_.download(&norm, norm_.get(), 1);
  serving_.wait();
  return norm;
}

template class DeviceAdapter<float>;
template class DeviceAdapter<Bf16>;
template class CudaModel<float>;
template class CudaModel<Bf16>;

}  // namespace cuda
}  // namespace hindsight
