#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <vector>

#include "cuda_runtime.h"
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulator {

Mode mode = Mode::Ascending;

namespace {

constexpr size_t kStack = 96 * 1024;

[[noreturn]] void die(const char* what) {
  std::fprintf(stderr, "emulator: %s (block %u,%u,%u thread %u)\n", what, blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x);
  std::abort();
}

struct Copy {
  void* to;
  const void* from;
  bool valid;
};

struct Fiber {
  std::unique_ptr<unsigned char[]> stack{new unsigned char[kStack]};
#if defined(__x86_64__)
  void* sp = nullptr;
#else
  ucontext_t context;
#endif
  bool done = false;
  const unsigned* generation = nullptr;  // waits while it equals `seen`
  unsigned seen = 0;
  std::vector<std::vector<Copy>> groups;  // committed asynchronous copies, oldest first
  std::vector<Copy> open;
};
struct Warp {
  void* arguments[32];
  int arrived = 0;
  unsigned generation = 0;
};

std::vector<std::unique_ptr<Fiber>> fibers;
std::vector<Warp> warps;
std::vector<unsigned char> sharedBlock;
unsigned char* sharedStart = nullptr;
unsigned current = 0, alive = 0, barrierArrived = 0, barrierGeneration = 0;
const std::function<void()>* body = nullptr;

#if defined(__x86_64__)
void* schedulerStack = nullptr;
extern "C" void hindsightSwitch(void** save, void* next);
asm(R"(
.text
.globl hindsightSwitch
.type hindsightSwitch,@function
hindsightSwitch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");
#else
ucontext_t schedulerContext;
#endif

void leave() {
#if defined(__x86_64__)
  hindsightSwitch(&fibers[current]->sp, schedulerStack);
#else
  swapcontext(&fibers[current]->context, &schedulerContext);
#endif
}
void waitFor(const unsigned* generation) {
  Fiber& f = *fibers[current];
  f.generation = generation;
  f.seen = *generation;
  leave();
}
void releaseBarrier() {
  if (barrierArrived > 0 && barrierArrived == alive) {
    barrierArrived = 0;
    ++barrierGeneration;
  }
}
void land(const std::vector<Copy>& copies) {
  for (const Copy& c : copies)
    if (c.valid) std::memcpy(c.to, c.from, 16);
    else std::memset(c.to, 0, 16);
}
void fiberMain() {
  (*body)();
  Fiber& f = *fibers[current];
  f.done = true;
  --alive;
  releaseBarrier();
  leave();
  std::abort();
}
void enter(unsigned index) {
  current = index;
  threadIdx = dim3(index % blockDim.x, index / blockDim.x % blockDim.y, index / (blockDim.x * blockDim.y));
#if defined(__x86_64__)
  hindsightSwitch(&schedulerStack, fibers[index]->sp);
#else
  swapcontext(&schedulerContext, &fibers[index]->context);
#endif
}
void prepare(Fiber& f) {
  f.done = false;
  f.generation = nullptr;
  f.groups.clear();
  f.open.clear();
#if defined(__x86_64__)
  auto top = reinterpret_cast<uintptr_t>(f.stack.get() + kStack) / 16 * 16;
  auto* slot = reinterpret_cast<void**>(top) - 1;
  *slot-- = nullptr;  // a return address nobody uses
  *slot = reinterpret_cast<void*>(&fiberMain);
  for (int i = 0; i < 6; ++i) *--slot = nullptr;
  f.sp = slot;
#else
  getcontext(&f.context);
  f.context.uc_stack.ss_sp = f.stack.get();
  f.context.uc_stack.ss_size = kStack;
  f.context.uc_link = nullptr;
  makecontext(&f.context, fiberMain, 0);
#endif
}

void runBlock(unsigned threads, size_t shared) {
  sharedBlock.assign(shared + 2048 + 64, 0xff);
  sharedStart = reinterpret_cast<unsigned char*>((reinterpret_cast<uintptr_t>(sharedBlock.data()) + 1023) / 1024 * 1024);
  for (unsigned i = 0; i < threads; ++i) prepare(*fibers[i]);
  warps.assign((threads + 31) / 32, Warp());
  alive = threads;
  barrierArrived = 0;
  // One warp runs as far as it can before the next one begins: what a missing barrier would let it read
  // or overwrite too early, it does.
  const unsigned count = static_cast<unsigned>(warps.size());
  while (alive > 0) {
    bool any = false;
    for (unsigned step = 0; step < count; ++step) {
      const unsigned first = (mode == Mode::Ascending ? step : count - 1 - step) * 32;
      for (bool moved = true; moved;) {
        moved = false;
        for (unsigned lane = 0; lane < 32; ++lane) {
          const unsigned i = first + (mode == Mode::Ascending ? lane : 31 - lane);
          Fiber& f = *fibers[i];
          if (f.done || (f.generation && *f.generation == f.seen)) continue;
          f.generation = nullptr;
          any = moved = true;
          enter(i);
        }
      }
    }
    if (!any) die("threads wait at different barriers");
  }
  for (size_t i = 0; i < 64; ++i)
    if (sharedStart[shared + i] != 0xff) die("a kernel wrote beyond its shared memory");
}

}  // namespace

unsigned char* sharedMemory() { return sharedStart; }
int lane() { return static_cast<int>(current % 32); }

void collective(void* arguments, void (*work)(void** lanes)) {
  Warp& w = warps[current / 32];
  w.arguments[current % 32] = arguments;
  if (++w.arrived < 32) {
    waitFor(&w.generation);
    return;
  }
  work(w.arguments);
  w.arrived = 0;
  ++w.generation;
}

void copyAsync16(void* shared, const void* global, bool valid) {
  if ((reinterpret_cast<uintptr_t>(shared) | (valid ? reinterpret_cast<uintptr_t>(global) : 0)) % 16) die("an asynchronous copy is not 16-byte aligned");
  const Copy copy{shared, global, valid};
  if (mode == Mode::Descending) land({copy});  // as early as it can
  else fibers[current]->open.push_back(copy);  // as late as it may
}
void copyAsyncCommit() { fibers[current]->groups.push_back(std::exchange(fibers[current]->open, {})); }
void copyAsyncWaitFor(int pending) {
  auto& groups = fibers[current]->groups;
  while (static_cast<int>(groups.size()) > pending) {
    land(groups.front());
    groups.erase(groups.begin());
  }
}

namespace {
struct MatrixLoad {
  const uint16_t* row;
  uint32_t* r;
};
void gather(void** lanes, bool transposed) {
  for (int l = 0; l < 32; ++l)
    for (int i = 0; i < 4; ++i) {
      const auto row = [&](int r) { return static_cast<MatrixLoad*>(lanes[i * 8 + r])->row; };
      const int a = l / 4, b = l % 4 * 2;
      const uint32_t low = transposed ? row(b)[a] : row(a)[b], high = transposed ? row(b + 1)[a] : row(a)[b + 1];
      static_cast<MatrixLoad*>(lanes[l])->r[i] = low | high << 16;
    }
}
void checkRow(const void* row) {
  if (reinterpret_cast<uintptr_t>(row) % 16) die("a matrix row is not 16-byte aligned");
}
}  // namespace

void loadMatrices(uint32_t (&r)[4], const void* row) {
  checkRow(row);
  MatrixLoad load{static_cast<const uint16_t*>(row), r};
  collective(&load, [](void** lanes) { gather(lanes, false); });
}
void loadMatricesTransposed(uint32_t (&r)[4], const void* row) {
  checkRow(row);
  MatrixLoad load{static_cast<const uint16_t*>(row), r};
  collective(&load, [](void** lanes) { gather(lanes, true); });
}

/// PTX ISA, "Matrix Fragments for mma.m16n8k16" (bf16): lane = 4 g + t. a0 (g, 2t), a1 (g+8, 2t),
/// a2 (g, 2t+8), a3 (g+8, 2t+8), each with its right neighbour; b0 (2t, g), b1 (2t+8, g), each with the
/// one below; c0, c1 (g, 2t), c2, c3 (g+8, 2t).
void multiplyAdd(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  struct Item {
    float* c;
    const uint32_t* a;
    uint32_t b[2];
  } item{c, a, {b0, b1}};
  collective(&item, [](void** lanes) {
    float A[16][16], B[8][16];
    for (int l = 0; l < 32; ++l) {
      const Item& it = *static_cast<Item*>(lanes[l]);
      const int g = l / 4, t = l % 4;
      for (int i = 0; i < 4; ++i)
        for (int h = 0; h < 2; ++h) A[g + i % 2 * 8][2 * t + i / 2 * 8 + h] = fromBf16(static_cast<uint16_t>(it.a[i] >> 16 * h));
      for (int i = 0; i < 2; ++i)
        for (int h = 0; h < 2; ++h) B[g][2 * t + i * 8 + h] = fromBf16(static_cast<uint16_t>(it.b[i] >> 16 * h));
    }
    for (int l = 0; l < 32; ++l)
      for (int i = 0; i < 4; ++i) {
        const int row = l / 4 + i / 2 * 8, col = l % 4 * 2 + i % 2;
        float sum = static_cast<Item*>(lanes[l])->c[i];
        for (int k = 0; k < 16; ++k) sum += A[row][k] * B[col][k];
        static_cast<Item*>(lanes[l])->c[i] = sum;
      }
  });
}

}  // namespace emulator

void __syncthreads() {
  using namespace emulator;
  if (++barrierArrived == alive) releaseBarrier();
  else waitFor(&barrierGeneration);
}
void __syncwarp(unsigned) {
  int nothing = 0;
  emulator::collective(&nothing, [](void**) {});
}

// ---- the runtime ------------------------------------------------------------------------------------
struct EmulatedGraph {
  std::vector<std::function<void()>> work;
};
struct EmulatedStream {
  std::unique_ptr<EmulatedGraph> capturing;
};
struct EmulatedEvent {};

namespace {
constexpr size_t kGuard = 4096;
std::map<void*, size_t> allocations;
size_t allocated = 0;
size_t memoryBytes() {
  const char* text = std::getenv("HINDSIGHT_EMULATED_BYTES");
  return text ? std::strtoull(text, nullptr, 10) : size_t{2} << 30;
}
void perform(cudaStream_t stream, std::function<void()> work) {
  if (stream && stream->capturing) stream->capturing->work.push_back(std::move(work));
  else work();
}
}  // namespace

void emulator::run(dim3 grid, dim3 block, size_t shared, cudaStream_t stream, std::function<void()> kernel) {
  if (block.x * block.y * block.z % 32 || block.x * block.y * block.z > 1024 || !grid.x || !grid.y || !grid.z || grid.y > 65535 || grid.z > 65535) die("a launch has an impossible shape");
  if (shared > 99 * 1024) die("a kernel asks for more shared memory than every target has");
  perform(stream, [=] {
    const unsigned threads = block.x * block.y * block.z;
    while (fibers.size() < threads) fibers.push_back(std::make_unique<Fiber>());
    gridDim = grid;
    blockDim = block;
    body = &kernel;
    for (unsigned z = 0; z < grid.z; ++z)
      for (unsigned y = 0; y < grid.y; ++y)
        for (unsigned x = 0; x < grid.x; ++x) {
          blockIdx = dim3(x, y, z);
          runBlock(threads, shared);
        }
  });
}

const char* cudaGetErrorString(cudaError_t status) { return status == cudaErrorMemoryAllocation ? "out of memory" : status == cudaSuccess ? "no error" : "not ready"; }
cudaError_t cudaMalloc(void** p, size_t bytes) {
  if (allocated + bytes > memoryBytes()) return cudaErrorMemoryAllocation;
  const size_t size = (bytes + 2 * kGuard + 255) / 256 * 256;
  auto* memory = static_cast<unsigned char*>(std::aligned_alloc(256, size));
  std::memset(memory, 0xff, size);
  *p = memory + kGuard;
  allocations[*p] = bytes;
  allocated += bytes;
  return cudaSuccess;
}
cudaError_t cudaFree(void* p) {
  if (!p) return cudaSuccess;
  const size_t bytes = allocations.at(p);
  auto* memory = static_cast<unsigned char*>(p);
  for (size_t i = 1; i <= kGuard; ++i)
    if (memory[-static_cast<long>(i)] != 0xff || memory[bytes + i - 1] != 0xff) {
      std::fprintf(stderr, "emulator: a kernel wrote outside of an allocation of %zu bytes\n", bytes);
      std::abort();
    }
  allocated -= bytes;
  allocations.erase(p);
  std::free(memory - kGuard);
  return cudaSuccess;
}
cudaError_t cudaMallocHost(void** p, size_t bytes) {
  *p = std::malloc(bytes);
  return *p ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaFreeHost(void* p) {
  std::free(p);
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *total = memoryBytes();
  *free = *total - allocated;
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  perform(stream, [=] { std::memmove(to, from, bytes); });
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  perform(stream, [=] { std::memset(to, value, bytes); });
  return cudaSuccess;
}
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  *least = 0;
  *greatest = -5;
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned, int) {
  *stream = new EmulatedStream();
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  stream->capturing = std::make_unique<EmulatedGraph>();
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = stream->capturing.release();
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  *exec = new EmulatedGraph(*graph);
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t) {
  for (const auto& work : exec->work) work();
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) { return cudaGraphDestroy(exec); }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new EmulatedEvent();
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, 0); }
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) { return cudaSuccess; }
cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t, cudaEvent_t) {
  *milliseconds = 1;
  return cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int) { return cudaSuccess; }
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int) {
  std::strcpy(p->name, "emulated device");
  p->major = 8;
  p->minor = 0;
  p->multiProcessorCount = 4;
  p->totalGlobalMem = memoryBytes();
  return cudaSuccess;
}
cudaError_t cudaGetLastError() { return cudaSuccess; }
cudaError_t cudaDeviceSynchronize() { return cudaSuccess; }
