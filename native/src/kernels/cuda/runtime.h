// Device memory, streams, graphs and launches, with every return code checked.
#pragma once
#include <cuda_runtime.h>

#include <cstddef>
#include <stdexcept>
#include <string>
#include <utility>

namespace hindsight {
namespace cuda {

/// A failed CUDA call; the message names the call and CUDA's own words.
struct CudaError : std::runtime_error {
  using std::runtime_error::runtime_error;
};
inline void check(cudaError_t status, const char* call) {
  if (status != cudaSuccess) throw CudaError(std::string(call) + " failed on the GPU (" + cudaGetErrorString(status) + ")");
}

/// One block of device memory handed out in order, 256-byte aligned. The memory plan knows its size.
class DeviceArena {
 public:
  DeviceArena() = default;
  DeviceArena(const DeviceArena&) = delete;
  DeviceArena& operator=(const DeviceArena&) = delete;
  ~DeviceArena() { cudaFree(base_); }
  void reserve(size_t bytes) {
    check(cudaMalloc(reinterpret_cast<void**>(&base_), bytes), "cudaMalloc");
    size_ = bytes;
  }
  template <class T>
  T* take(size_t count) {
    const size_t bytes = (count * sizeof(T) + 255) / 256 * 256;
    if (used_ + bytes > size_) throw CudaError("The memory plan is too small by " + std::to_string(used_ + bytes - size_) + " bytes");
    T* p = reinterpret_cast<T*>(base_ + used_);
    used_ += bytes;
    return p;
  }
  size_t used() const { return used_; }

 private:
  unsigned char* base_ = nullptr;
  size_t size_ = 0, used_ = 0;
};

/// One allocation of its own (an adapter, whose number is not known at the start).
template <class T>
class DeviceArray {
 public:
  DeviceArray() = default;
  explicit DeviceArray(size_t count) : size_(count) { check(cudaMalloc(reinterpret_cast<void**>(&data_), (count ? count : 1) * sizeof(T)), "cudaMalloc"); }
  DeviceArray(DeviceArray&& from) noexcept : data_(std::exchange(from.data_, nullptr)), size_(std::exchange(from.size_, 0)) {}
  DeviceArray& operator=(DeviceArray&& from) noexcept {
    std::swap(data_, from.data_);
    std::swap(size_, from.size_);
    return *this;
  }
  ~DeviceArray() { cudaFree(data_); }
  T* get() const { return data_; }
  size_t size() const { return size_; }

 private:
  T* data_ = nullptr;
  size_t size_ = 0;
};

/// Page-locked host memory: copies from and to it run beside kernels.
template <class T>
class PinnedArray {
 public:
  explicit PinnedArray(size_t count) { check(cudaMallocHost(reinterpret_cast<void**>(&data_), (count ? count : 1) * sizeof(T)), "cudaMallocHost"); }
  PinnedArray(const PinnedArray&) = delete;
  PinnedArray& operator=(const PinnedArray&) = delete;
  ~PinnedArray() { cudaFreeHost(data_); }
  T* get() const { return data_; }
  T& operator[](size_t i) { return data_[i]; }

 private:
  T* data_ = nullptr;
};

enum class StreamPriority { Serving, Training };

/// Kernels of a Serving stream get free multiprocessors before those of a Training stream.
class Stream {
 public:
  explicit Stream(StreamPriority priority) {
    int least = 0, greatest = 0;
    check(cudaDeviceGetStreamPriorityRange(&least, &greatest), "cudaDeviceGetStreamPriorityRange");
    check(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, priority == StreamPriority::Serving ? greatest : least), "cudaStreamCreateWithPriority");
    check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "cudaEventCreateWithFlags");
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() {
    cudaEventDestroy(event_);
    cudaStreamDestroy(stream_);
  }
  cudaStream_t get() const { return stream_; }
  void wait() const { check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize"); }
  /// Later work of this stream starts after what `other` holds now.
  void after(const Stream& other) const {
    check(cudaEventRecord(other.event_, other.stream_), "cudaEventRecord");
    check(cudaStreamWaitEvent(stream_, other.event_, 0), "cudaStreamWaitEvent");
  }
  void mark() const { check(cudaEventRecord(event_, stream_), "cudaEventRecord"); }
  /// Whether everything before mark() has run.
  bool reached() const {
    const cudaError_t status = cudaEventQuery(event_);
    if (status == cudaErrorNotReady) return false;
    check(status, "cudaEventQuery");
    return true;
  }
  template <class T>
  void upload(T* to, const T* from, size_t count) const { check(cudaMemcpyAsync(to, from, count * sizeof(T), cudaMemcpyHostToDevice, stream_), "cudaMemcpyAsync"); }
  template <class T>
  void download(T* to, const T* from, size_t count) const { check(cudaMemcpyAsync(to, from, count * sizeof(T), cudaMemcpyDeviceToHost, stream_), "cudaMemcpyAsync"); }
  template <class T>
  void copy(T* to, const T* from, size_t count) const { check(cudaMemcpyAsync(to, from, count * sizeof(T), cudaMemcpyDeviceToDevice, stream_), "cudaMemcpyAsync"); }
  template <class T>
  void zero(T* to, size_t count) const { check(cudaMemsetAsync(to, 0, count * sizeof(T), stream_), "cudaMemsetAsync"); }

 private:
  cudaStream_t stream_ = nullptr;
  cudaEvent_t event_ = nullptr;
};

/// A captured sequence of launches; replaying it costs one launch.
class Graph {
 public:
  Graph() = default;
  Graph(Graph&& from) noexcept : exec_(std::exchange(from.exec_, nullptr)) {}
  Graph& operator=(Graph&& from) noexcept {
    std::swap(exec_, from.exec_);
    return *this;
  }
  ~Graph() {
    if (exec_) cudaGraphExecDestroy(exec_);
  }
  template <class Body>
  static Graph capture(const Stream& stream, const Body& body) {
    check(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
    cudaGraph_t graph = nullptr;
    try {
      body();
    } catch (...) {
      cudaStreamEndCapture(stream.get(), &graph);
      if (graph) cudaGraphDestroy(graph);
      throw;
    }
    check(cudaStreamEndCapture(stream.get(), &graph), "cudaStreamEndCapture");
    Graph out;
    const cudaError_t status = cudaGraphInstantiate(&out.exec_, graph, 0);
    cudaGraphDestroy(graph);
    check(status, "cudaGraphInstantiate");
    return out;
  }
  explicit operator bool() const { return exec_ != nullptr; }
  void launch(const Stream& stream) const { check(cudaGraphLaunch(exec_, stream.get()), "cudaGraphLaunch"); }

 private:
  cudaGraphExec_t exec_ = nullptr;
};

#ifdef HINDSIGHT_EMULATE
using emulator::launch;
#elif defined(__CUDACC__)
/// Starts a kernel; more than 48 KB of shared memory is asked for where it is needed.
template <class... P, class... A>
void launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared, cudaStream_t stream, A... arguments) {
  if (shared > 48 * 1024) check(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared)), "cudaFuncSetAttribute");
  const auto start = [&](P... values) {
    void* list[] = {const_cast<void*>(static_cast<const void*>(&values))...};
    check(cudaLaunchKernel(reinterpret_cast<const void*>(kernel), grid, block, list, shared, stream), "cudaLaunchKernel");
  };
  start(static_cast<P>(arguments)...);
}
#endif

inline unsigned blocksFor(size_t count, size_t perBlock) { return static_cast<unsigned>((count + perBlock - 1) / perBlock); }

}  // namespace cuda
}  // namespace hindsight
