#include "kernels/cuda/head.h"

#include <cmath>

namespace hindsight {
namespace cuda {
namespace {

constexpr int kThreads = 256;
/// Masses are summed as whole numbers, so that their order does not matter.
constexpr double kMassUnits = 1099511627776.0;  // 2^40

/// log sum exp(z * inverse) of a row; every thread gets it.
__device__ double logSumExp(const float* z, int vocab, float inverse, float* scratch) {
  float top = -INFINITY;
  for (int i = static_cast<int>(threadIdx.x); i < vocab; i += kThreads) top = fmaxf(top, z[i]);
  top = blockMax(top, scratch);
  float sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < vocab; i += kThreads) sum += expf((z[i] - top) * inverse);
  sum = blockSum(sum, scratch);
  return static_cast<double>(top) * inverse + log(static_cast<double>(sum));
}
/// Rounded to fp32 as scoring hands it out.
__device__ __forceinline__ float logProb(float z, float inverse, double lse) { return static_cast<float>(static_cast<double>(z) * inverse - lse); }

struct Part {
  float value, slope;  // of min(rho d, clip(rho) d), slope in log rho
};
__device__ Part surrogate(float logRatio, float d, LossLimits s) {
  const float rho = expf(fminf(fmaxf(logRatio, -20.0f), 20.0f)), clipped = fminf(fmaxf(rho, 1 - s.clipLow), 1 + s.clipHigh);
  if (rho * d <= clipped * d) return {rho * d, rho * d};
  return {clipped * d, 0};
}
__device__ __forceinline__ bool known(float x) { return x == x; }

/// Loss and d loss / d log p of one entry whose token has log-prob l.
__device__ float entryLoss(const LossEntry& e, float l, LossLimits limits, LossRowResult& r) {
  switch (e.kind) {
    case kLossPg: {
      const float old = known(e.old) ? e.old : l, c = known(e.behaviour) ? fminf(expf(old - e.behaviour), 2.0f) : 1.0f;
      const Part part = surrogate(l - old, e.a, limits);
      r.loss[kLossPg] -= e.weight * c * part.value;
      r.importance += c;
      r.importanceSquared += c * c;
      return -e.weight * c * part.slope;
    }
    case kLossOpd: {
      const Part part = surrogate(known(e.old) ? l - e.old : 0.0f, e.a, limits);
      r.loss[kLossOpd] -= e.weight * part.value;
      return -e.weight * part.slope;
    }
    case kLossSplice:
      r.loss[kLossSplice] -= e.weight * l;
      return -e.weight;
    default: {
      const float raw = l - e.a, d = fminf(fmaxf(raw, -10.0f), 10.0f);
      r.loss[kLossKl] += e.weight * (expf(-d) - 1 + d);
      return raw == d ? e.weight * (1 - expf(-d)) : 0.0f;
    }
  }
}

/// dz = inverse (g - sum(g) softmax(z inverse)) + ce (softmax(z) - onehot), g sparse.
template <class T>
__global__ void __launch_bounds__(kThreads) rowLoss(const float* logits, long ld, int vocab, const LossRow* rows, const LossEntry* entries, LossLimits limits, T* dLogits, LossRowResult* results) {
  float* scratch = reinterpret_cast<float*>(sharedMemory());  // [32], then [2]: sum of g, ce
  const int tid = static_cast<int>(threadIdx.x);
  const LossRow row = rows[blockIdx.x];
  const float* z = logits + blockIdx.x * ld;
  T* dz = dLogits + blockIdx.x * ld;
  if (row.label < 0) {
    for (long i = tid; i < ld; i += kThreads) put(dz[i], 0.0f);
    return;
  }
  const float inverse = row.inverseTemperature;
  const double lse = logSumExp(z, vocab, inverse, scratch), lse1 = inverse == 1.0f ? lse : logSumExp(z, vocab, 1.0f, scratch);
  if (tid == 0) {  // few entries; one thread keeps their order
    LossRowResult r = {};
    float total = 0, ce = 0;
    for (int i = 0; i < row.count; ++i) {
      const LossEntry e = entries[row.first + i];
      if (e.kind == kLossCe) {
        r.loss[kLossCe] -= e.weight * logProb(z[e.token], 1.0f, lse1);
        ce += e.weight;
      } else {
        total += entryLoss(e, logProb(z[e.token], inverse, lse), limits, r);
      }
    }
    r.logprob = logProb(z[row.label], inverse, lse);
    results[blockIdx.x] = r;
    scratch[32] = total;
    scratch[33] = ce;
  }
  __syncthreads();
  const float total = scratch[32], ce = scratch[33], shift = static_cast<float>(lse), shift1 = static_cast<float>(lse1);
  const auto dense = [&](long i) {
    const float d = -total * inverse * expf(z[i] * inverse - shift);
    return ce != 0 ? d + ce * expf(z[i] - shift1) : d;
  };
  for (long i = tid; i < ld; i += kThreads) put(dz[i], i < vocab ? dense(i) : 0.0f);
  __syncthreads();
  // The sparse part: the whole value again, so that it is rounded to T once. Entries of one token agree.
  for (int j = tid; j < row.count; j += kThreads) {
    const int token = entries[row.first + j].token;
    float d = dense(token);
    for (int i = 0; i < row.count; ++i) {
      const LossEntry e = entries[row.first + i];
      if (e.token != token) continue;
      LossRowResult unused = {};
      d += e.kind == kLossCe ? -e.weight : inverse * entryLoss(e, logProb(z[token], inverse, lse), limits, unused);
    }
    put(dz[token], d);
  }
}

/// The best of a row that comes after (value, id): smaller, or equal with a higher id.
struct Best {
  float value;
  int id;
};
__device__ Best bestAfter(const float* z, int vocab, Best last, float* scratch) {
  Best mine{-INFINITY, vocab};
  for (int i = static_cast<int>(threadIdx.x); i < vocab; i += kThreads) {
    const float v = z[i];
    const bool after = last.id < 0 || v < last.value || (v == last.value && i > last.id);
    if (after && (v > mine.value || mine.id == vocab)) mine = {v, i};
  }
  for (int step = 16; step > 0; step /= 2) {
    const Best other{shuffleXor(mine.value, step), shuffleXor(mine.id, step)};
    if (other.id < vocab && (mine.id == vocab || other.value > mine.value || (other.value == mine.value && other.id < mine.id))) mine = other;
  }
  int* ids = reinterpret_cast<int*>(scratch + 32);
  __syncthreads();
  if (threadIdx.x % 32 == 0) {
    scratch[threadIdx.x / 32] = mine.value;
    ids[threadIdx.x / 32] = mine.id;
  }
  __syncthreads();
  Best best{scratch[0], ids[0]};
  for (int w = 1; w < kThreads / 32; ++w)
    if (ids[w] < vocab && (best.id == vocab || scratch[w] > best.value || (scratch[w] == best.value && ids[w] < best.id))) best = {scratch[w], ids[w]};
  return best;
}

__global__ void __launch_bounds__(kThreads) rowScores(ScoreArgs g) {
  float* scratch = reinterpret_cast<float*>(sharedMemory());
  const long row = blockIdx.x;
  const float* z = g.logits + row * g.ld;
  const double lse = logSumExp(z, g.vocab, g.inverseTemperature, scratch);
  for (int j = static_cast<int>(threadIdx.x); j < g.each; j += kThreads) {
    const int token = g.tokens[row * g.each + j];
    g.logprobs[row * g.each + j] = token < 0 ? NAN : logProb(z[token], g.inverseTemperature, lse);
  }
  Best last{0, -1};
  for (int j = 0; j < g.k; ++j) {
    last = bestAfter(z, g.vocab, last, scratch);
    if (threadIdx.x == 0) {
      g.topIds[row * g.k + j] = last.id;
      g.topLogprobs[row * g.k + j] = logProb(last.value, g.inverseTemperature, lse);
    }
  }
}

/// Order-preserving bits: larger float, larger number.
__device__ __forceinline__ uint32_t sortable(float x) {
  const uint32_t bits = toBits(x);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

/// The largest key such that the entries at or above it reach `goal`, weighing each 1 (count) or its mass.
/// Sixteen bins a pass, eight passes; the bins are whole numbers. @returns key and what lies above it.
template <class Weigh>
__device__ uint32_t threshold(const float* z, int vocab, unsigned long long goal, unsigned long long* bins, const Weigh& weigh) {
  uint32_t prefix = 0;
  unsigned long long above = 0;
  for (int shift = 28; shift >= 0; shift -= 4) {
    __syncthreads();
    if (threadIdx.x < 16) bins[threadIdx.x] = 0;
    __syncthreads();
    unsigned long long mine[16] = {};
    for (int i = static_cast<int>(threadIdx.x); i < vocab; i += kThreads) {
      const uint32_t key = sortable(z[i]);
      if (shift < 28 && key >> (shift + 4) != prefix >> (shift + 4)) continue;
      const unsigned long long w = weigh(i);
#pragma unroll
      for (int b = 0; b < 16; ++b)
        if (static_cast<int>(key >> shift & 15) == b) mine[b] += w;
    }
#pragma unroll
    for (int b = 0; b < 16; ++b)
      if (mine[b]) atomicAdd(&bins[b], mine[b]);
    __syncthreads();
    uint32_t bin = 15;
    while (bin > 0 && above + bins[bin] < goal) above += bins[bin--];
    prefix |= bin << shift;
  }
  return prefix;
}

__global__ void __launch_bounds__(kThreads) rowSample(const float* logits, long ld, int vocab, const SampleRow* how, int* tokens, float* logprobs) {
  float* scratch = reinterpret_cast<float*>(sharedMemory());
  unsigned long long* bins = reinterpret_cast<unsigned long long*>(scratch + 64);  // [16], then [kThreads]
  const SampleRow s = how[blockIdx.x];
  const float* z = logits + blockIdx.x * ld;
  const int tid = static_cast<int>(threadIdx.x);
  const double lse = logSumExp(z, vocab, 1 / s.logprobTemperature, scratch);
  const Best top = bestAfter(z, vocab, {0, -1}, scratch);
  int token = top.id;
  if (s.temperature > 0) {
    const float inverse = 1 / s.temperature;
    const auto mass = [&](int i) { return static_cast<unsigned long long>(static_cast<double>(expf((z[i] - top.value) * inverse)) * kMassUnits); };
    uint32_t floor = 0;
    // Ties at the threshold are all kept: a row of fp32 logits has next to none.
    if (s.topK > 0 && s.topK < vocab) floor = threshold(z, vocab, static_cast<unsigned long long>(s.topK), bins, [](int) { return 1ull; });
    const auto kept = [&](int i) { return sortable(z[i]) >= floor ? mass(i) : 0ull; };
    unsigned long long* sums = bins + 16;
    const int each = (vocab + kThreads - 1) / kThreads, first = tid * each, last = first + each < vocab ? first + each : vocab;
    const auto total = [&] {
      unsigned long long sum = 0;
      for (int i = first; i < last; ++i) sum += kept(i);
      __syncthreads();
      sums[tid] = sum;
      __syncthreads();
      unsigned long long all = 0;
      for (int i = 0; i < kThreads; ++i) all += sums[i];
      return all;
    };
    unsigned long long all = total();
    if (s.topP < 1) {
      const double goal = static_cast<double>(s.topP) * static_cast<double>(all);
      const uint32_t higher = threshold(z, vocab, goal < 1 ? 1ull : static_cast<unsigned long long>(goal), bins, kept);
      if (higher > floor) floor = higher;
      all = total();
    }
    // Thread 0 finds the stretch of ids that the draw falls into; that stretch's thread finds the id.
    unsigned long long left = static_cast<unsigned long long>(static_cast<double>(s.uniform) * static_cast<double>(all));
    if (left >= all) left = all - 1;
    int owner = 0;
    while (left >= sums[owner]) left -= sums[owner++];
    int* found = reinterpret_cast<int*>(scratch);
    __syncthreads();
    if (tid == owner)
      for (int i = first; i < last; ++i) {
        const unsigned long long m = kept(i);
        if (left < m) {
          found[0] = i;
          break;
        }
        left -= m;
      }
    __syncthreads();
    token = found[0];
  }
  if (tid == 0) {
    tokens[blockIdx.x] = token;
    logprobs[blockIdx.x] = logProb(z[token], 1 / s.logprobTemperature, lse);
  }
}

unsigned count(int rows) { return static_cast<unsigned>(rows); }

}  // namespace

template <class T>
void losses(const Stream& stream, const float* logits, long ld, int vocab, const LossRow* rows, const LossEntry* entries, int n, LossLimits limits, T* dLogits, LossRowResult* results) {
  launch(rowLoss<T>, dim3(count(n)), dim3(kThreads), 256, stream.get(), logits, ld, vocab, rows, entries, limits, dLogits, results);
}
template void losses<float>(const Stream&, const float*, long, int, const LossRow*, const LossEntry*, int, LossLimits, float*, LossRowResult*);
template void losses<Bf16>(const Stream&, const float*, long, int, const LossRow*, const LossEntry*, int, LossLimits, Bf16*, LossRowResult*);

void scoreRows(const Stream& stream, const ScoreArgs& g) { launch(rowScores, dim3(count(g.rows)), dim3(kThreads), 512, stream.get(), g); }

void sampleRows(const Stream& stream, const float* logits, long ld, int vocab, const SampleRow* how, int rows, int* tokens, float* logprobs) {
  launch(rowSample, dim3(count(rows)), dim3(kThreads), 256 + (16 + kThreads) * sizeof(unsigned long long), stream.get(), logits, ld, vocab, how, tokens, logprobs);
}

}  // namespace cuda
}  // namespace hindsight
