// Rates of the CUDA backend beside their bars, each with a proof that the work was done. Medians of runs
// timed with device events or by the clock around a synchronised call; random inputs, several buffers.
//   cuda_bench gemm | train SHAPE [FORMAT [BYTES]] | decode SHAPE [FORMAT] | publish SHAPE | typing SHAPE
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "io/failure.h"
#include "kernels/cuda/cublaslt.h"
#include "kernels/cuda/rows.h"
#include "model/cuda/plan.h"
#include "model/device.h"

extern "C" const hindsight::DeviceLibrary* hindsight_device();

using namespace hindsight;
using namespace hindsight::cuda;

namespace {

using Clock = std::chrono::steady_clock;
int failures = 0;

double seconds(Clock::time_point from) { return std::chrono::duration<double>(Clock::now() - from).count(); }
double median(std::vector<double> x) {
  std::sort(x.begin(), x.end());
  return x.empty() ? NAN : x[x.size() / 2];
}
double percentile(std::vector<double> x, double p) {
  std::sort(x.begin(), x.end());
  return x.empty() ? NAN : x[std::min(x.size() - 1, static_cast<size_t>(p * static_cast<double>(x.size())))];
}
void say(const char* bench, bool pass, const std::string& text) {
  if (!pass) ++failures;
  std::printf("{\"bench\":\"%s\",\"met\":%s,\"say\":\"%s\"}\n", bench, pass ? "true" : "false", text.c_str());
  std::fflush(stdout);
}
template <class... A>
std::string format(const char* text, A... values) {
  char out[512];
  std::snprintf(out, sizeof out, text, values...);
  return out;
}

/// Median seconds of one run on the device.
double timed(const Stream& stream, int runs, const std::function<void(int)>& body) {
  cudaEvent_t from, to;
  check(cudaEventCreate(&from), "cudaEventCreate");
  check(cudaEventCreate(&to), "cudaEventCreate");
  for (int i = 0; i < 3; ++i) body(i);
  std::vector<double> all;
  for (int i = 0; i < runs; ++i) {
    check(cudaEventRecord(from, stream.get()), "cudaEventRecord");
    body(i);
    check(cudaEventRecord(to, stream.get()), "cudaEventRecord");
    check(cudaEventSynchronize(to), "cudaEventSynchronize");
    float ms = 0;
    check(cudaEventElapsedTime(&ms, from, to), "cudaEventElapsedTime");
    all.push_back(ms / 1e3);
  }
  return median(all);
}

/// This device's own ceilings: a large product by the best library there is, a large copy.
struct Ceilings {
  double flops = 0, bytes = 0;
  std::string by;
};

struct Operands {
  DeviceArray<Bf16> x, w;
  DeviceArray<float> y;
  GemmArgs g;
  Operands(const Stream& stream, Product product, int m, int n, int k, unsigned seed) : x(static_cast<size_t>(m) * (product == Product::Forward ? k : n)), w(static_cast<size_t>(n) * k), y(static_cast<size_t>(m) * (product == Product::Forward ? n : k)) {
    const bool forward = product == Product::Forward;
    const int summed = forward ? k : n, outputs = forward ? n : k;
    randomWeight(stream, {Format::Bf16, m, summed, x.get(), nullptr, nullptr}, seed);
    randomWeight(stream, {Format::Bf16, n, k, w.get(), nullptr, nullptr}, seed + 1);
    g.m = m;
    g.n = outputs;
    g.k = summed;
    g.x = x.get();
    g.ldx = summed;
    g.w = w.get();
    g.ldw = k;
    g.rows = n;
    g.y = y.get();  // large enough for fp32; bf16 uses half
    g.ldy = outputs;
  }
};

Ceilings ceilings(const Stream& stream) {
  Ceilings c;
  {
    const int size = 8192;
    Operands o(stream, Product::Forward, size, size, size, 3);
    double best = timed(stream, 5, [&](int) { gemm<Bf16>(stream, Product::Forward, Format::Bf16, o.g); });
    c.by = "own kernels";
    if (gemmCublasLt(stream, Product::Forward, o.g)) {
      const double theirs = timed(stream, 5, [&](int) { gemmCublasLt(stream, Product::Forward, o.g); });
      if (theirs < best) {
        best = theirs;
        c.by = "cuBLASLt";
      }
    }
    c.flops = 2.0 * size * size * size / best;
  }
  const size_t count = size_t{1} << 28;
  DeviceArray<float> a(count), b(count);
  fill(stream, a.get(), count, 1);
  c.bytes = 2.0 * count * sizeof(float) / timed(stream, 5, [&](int) { stream.copy(b.get(), a.get(), count); });
  return c;
}

void benchGemm() {
  const Stream stream(StreamPriority::Serving);
  chooseGemmBackend(stream);
  const Ceilings top = ceilings(stream);
  std::printf("{\"backend\":\"%s\",\"cublaslt\":%s}\n", gemmBackendReason().c_str(), openCublasLt() ? "true" : "false");
  double worst = 10, total = 0, theirsTotal = 0;
  for (const char* name : {"0.5b", "1.5b", "7b"}) {
    const ModelConfig c = namedConfig(name);
    for (int group = 0; group < kGroupCount; ++group)
      for (const Product product : {Product::Forward, Product::Gradient}) {
        const GroupShape s = groupShape(c, group);
        Operands o(stream, product, 2048, s.n, s.k, 11);
        const double work = 2.0 * 2048 * s.n * s.k, own = timed(stream, 9, [&](int) { gemm<Bf16>(stream, product, Format::Bf16, o.g); }), mma = timed(stream, 5, [&](int) { gemmMma(stream, product, Format::Bf16, o.g); });
        double theirs = NAN, disagreement = NAN;
        std::vector<Bf16> a(static_cast<size_t>(o.g.m) * o.g.n), b(a.size());
        gemm<Bf16>(stream, product, Format::Bf16, o.g);
        stream.download(a.data(), reinterpret_cast<const Bf16*>(o.y.get()), a.size());
        stream.wait();
        if (gemmCublasLt(stream, product, o.g)) {
          stream.download(b.data(), reinterpret_cast<const Bf16*>(o.y.get()), b.size());
          stream.wait();
          double off = 0, all = 0;
          for (size_t i = 0; i < a.size(); ++i) {
            off += std::pow(static_cast<double>(value(a[i])) - value(b[i]), 2);
            all += std::pow(static_cast<double>(value(b[i])), 2);
          }
          disagreement = std::sqrt(off / all);
          theirs = timed(stream, 9, [&](int) { gemmCublasLt(stream, product, o.g); });
          worst = std::min(worst, theirs / own);
          total += own;
          theirsTotal += theirs;
          if (!(disagreement < 1e-2)) ++failures;
        }
        std::printf("{\"gemm\":\"%s %s %dx%d\",\"tflops\":%.0f,\"mma\":%.0f,\"cublaslt\":%.0f,\"share\":%.3f,\"disagreement\":%.2g}\n", name, product == Product::Forward ? "forward" : "gradient", s.n, s.k, work / own / 1e12, work / mma / 1e12, std::isnan(theirs) ? 0 : work / theirs / 1e12, work / own / top.flops, std::isnan(disagreement) ? 0 : disagreement);
      }
  }
  say("gemm", failures == 0, format("ceiling %.0f TFLOP/s (%s), %.2f TB/s; ", top.flops / 1e12, top.by.c_str(), top.bytes / 1e12) + (total > 0 ? format("all products %.2fx cuBLASLt's rate, the worst %.2fx; ", theirsTotal / total, worst) : "no cuBLASLt to compare with; ") + gemmBackendReason());
}

DeviceLora loraOn(const ModelConfig& c, int rank) {
  DeviceLora lora;
  lora.rank = rank;
  lora.scale = 2;
  for (int layer = 0; layer < c.layers; ++layer)
    for (int t = 0; t < 7; ++t) {
      const int n = t == 0 ? c.qWidth() : t <= 2 ? c.kvWidth() : t == 3 || t == 6 ? c.hidden : c.intermediate, k = t == 3 ? c.qWidth() : t == 6 ? c.intermediate : c.hidden;
      for (const bool isB : {false, true}) {
        lora.tensors.push_back({layer, t, isB, isB ? n : rank, isB ? rank : k, lora.size});
        lora.size += static_cast<size_t>(isB ? n : rank) * (isB ? rank : k);
      }
    }
  return lora;
}
std::vector<float> randomLora(const DeviceLora& lora) {
  std::vector<float> w(lora.size);
  uint32_t state = 9;
  for (const DeviceLora::Tensor& t : lora.tensors)
    for (size_t i = 0; i < static_cast<size_t>(t.rows) * t.cols; ++i) {
      state = state * 1664525u + 1013904223u;
      w[t.offset + i] = (t.isB ? 0.01f : 1.0f / std::sqrt(static_cast<float>(t.cols))) * (static_cast<float>(state >> 8) * (2.0f / 16777216.0f) - 1.0f);
    }
  return w;
}

struct Model {
  ModelConfig config;
  std::unique_ptr<DeviceModel> device;
  DeviceLora lora;
  Model(const std::string& shape, DeviceFormat linears, size_t bytes, int tokens) : config(namedConfig(shape)) {
    DeviceOptions o;
    o.format = linears;
    o.trainTokens = tokens;
    o.budgetBytes = bytes;
    o.servedAdapters = o.trainedAdapters = 1;
    o.cacheBytes = size_t{256} << 20;
    device.reset(hindsight_device()->open(config, o));
    device->randomize();
    lora = loraOn(config, 16);
    device->setAdapter(1, lora, randomLora(lora).data());
    std::printf("{\"device\":\"%s\"}\n", device->describe().c_str());
  }
};

DeviceBatch batchOf(const ModelConfig& c, int tokens, uint32_t seed) {
  DeviceBatch b;
  for (int i = 0; i < tokens; ++i) {
    seed = seed * 1664525u + 1013904223u;
    b.tokens.push_back(static_cast<int32_t>((seed >> 8) % static_cast<uint32_t>(c.vocab)));
  }
  b.lengths = {tokens};
  for (int row = 0; row + 1 < tokens; ++row) b.rows.push_back({row, b.tokens[row + 1], 1, {{b.tokens[row + 1], 4, 1.0f / static_cast<float>(tokens), 0, NAN, NAN}}});
  return b;
}
double trainOnce(Model& m, const DeviceBatch& b) {
  m.device->trainStart(1, b);
  while (!m.device->trainDone()) std::this_thread::yield();
  double loss = 0;
  for (const DeviceLossResult& r : m.device->trainResults()) loss += r.loss[4];
  return loss;
}

/// 4 N + 6 LoRA + 3 attention FLOP a token (shared accounting with the CPU's bench): no gradient of frozen
/// weights, the head counted like a linear, attention causal.
double flopPerToken(const ModelConfig& c, size_t lora, int length) {
  double linear = static_cast<double>(c.vocab) * c.hidden;
  for (int g = 0; g < kGroupCount; ++g) linear += static_cast<double>(c.layers) * groupShape(c, g).n * groupShape(c, g).k;
  const double attention = 2.0 * c.layers * c.qWidth() * length;  // QK^T and PV over half the square
  return 4 * linear + 6.0 * static_cast<double>(lora) + 3 * attention;
}

void benchTrain(const std::string& shape, DeviceFormat linears, size_t bytes) {
  const int length = 2048;
  Model m(shape, linears, bytes, length);
  size_t free0 = 0, all = 0;
  check(cudaMemGetInfo(&free0, &all), "cudaMemGetInfo");
  const DeviceAdamW adam{1e-3f, 0.9f, 0.98f, 1e-8f, 0, 1, 1};
  const DeviceBatch batch = batchOf(m.config, length, 5);
  // The proof: gradients are there, and on one batch the loss falls.
  const double before = trainOnce(m, batch);
  const double norm = m.device->optimStep(1, adam);
  std::vector<double> times;
  double after = before;
  for (int i = 0; i < 12; ++i) {
    const auto from = Clock::now();
    after = trainOnce(m, batch);
    DeviceAdamW step = adam;
    step.step = i + 2;
    m.device->optimStep(1, step);
    if (i >= 4) times.push_back(seconds(from));
  }
  size_t free1 = 0;
  check(cudaMemGetInfo(&free1, &all), "cudaMemGetInfo");
  const bool proof = norm > 0 && std::isfinite(norm) && after < before;
  const double rate = length / median(times), flops = rate * flopPerToken(m.config, m.lora.size, length);
  const Stream stream(StreamPriority::Serving);
  m.device.reset();
  const Ceilings top = ceilings(stream);
  const double bar = shape == "0.5b" ? 0.45 : shape == "1.5b" ? 0.55 : 0.6, share = flops / top.flops;
  const bool limited = bytes > 0;
  say(("train " + shape).c_str(), proof && (limited || share >= bar),
      format("%s: %.0f tok/s, %.0f TFLOP/s = %.0f %% of %.0f here and %.0f %% of 790", shape.c_str(), rate, flops / 1e12, 100 * share, top.flops / 1e12, flops / 7.9e12) + (limited ? "" : format(" (bar %.0f %%)", 100 * bar)) +
          format("; %.2f GB used of the device; loss %.3f to %.3f%s", (static_cast<double>(all) - static_cast<double>(free1)) / 1e9, before, after, proof ? "" : ", NO PROOF"));
}

std::vector<double> decodeTimes(Model& m, int tokens, int adapter, int context) {
  std::vector<int> pages;
  for (int i = 0; i * m.device->pageTokens() < context + tokens + 8; ++i) pages.push_back(i);
  std::vector<int32_t> prompt(static_cast<size_t>(context));
  for (int i = 0; i < context; ++i) prompt[i] = (i * 7919) % m.config.vocab;
  for (int at = 0; at < context; at += m.device->prefillRows()) m.device->prefill(prompt.data() + at, std::min(m.device->prefillRows(), context - at), at, pages, adapter);
  std::vector<double> times;
  int32_t token = 1;
  for (int i = 0; i < tokens; ++i) {
    std::vector<DecodeRow> rows(1);
    rows[0].token = token;
    rows[0].position = context + i;
    rows[0].adapter = adapter;
    rows[0].pages = &pages;
    const auto from = Clock::now();
    m.device->decode(rows);
    times.push_back(seconds(from));
    token = rows[0].next;
  }
  return times;
}

void benchDecode(const std::string& shape, DeviceFormat linears) {
  Model m(shape, linears, 0, 512);
  decodeTimes(m, 16, 0, 64);
  const double plain = median(decodeTimes(m, 128, 0, 64)), lora = median(decodeTimes(m, 128, 1, 64));
  const double bytes = static_cast<double>(m.device->plan().weights);
  m.device.reset();
  const Ceilings top = ceilings(Stream(StreamPriority::Serving));
  say(("decode " + shape).c_str(), shape != "7b" || 1 / plain >= 240, format("%s: %.0f tok/s batch 1, %.0f with an adapter; weights %.2f GB a token = %.0f %% of %.2f TB/s", shape.c_str(), 1 / plain, 1 / lora, bytes / 1e9, 100 * bytes / plain / top.bytes, top.bytes / 1e12) + (shape == "7b" ? " (bar 240 tok/s)" : ""));
}

void benchPublish(const std::string& shape) {
  Model m(shape, DeviceFormat::Bf16, 0, 512);
  const std::vector<float> weights = randomLora(m.lora);
  std::vector<double> times;
  for (int i = 0; i < 200; ++i) {
    const auto from = Clock::now();
    m.device->setAdapter(1, m.lora, weights.data());
    times.push_back(seconds(from));
  }
  say("publish", percentile(times, 0.99) <= 0.010, format("%s r16: p50 %.2f ms, p99 %.2f ms (bar 10 ms)", shape.c_str(), 1e3 * median(times), 1e3 * percentile(times, 0.99)));
}

/// A token while a batch trains on the other stream, beside a token alone.
void benchTyping(const std::string& shape) {
  Model m(shape, DeviceFormat::Bf16, 0, 2048);
  const DeviceBatch batch = batchOf(m.config, 2048, 3);
  decodeTimes(m, 16, 0, 256);
  trainOnce(m, batch);
  const double idle = percentile(decodeTimes(m, 200, 0, 256), 0.95);
  std::vector<double> busy;
  int steps = 0;
  while (busy.size() < 200 && steps < 60) {
    m.device->trainStart(1, batch);
    ++steps;
    std::vector<int> pages;
    for (int i = 0; i < 16; ++i) pages.push_back(i);
    for (int i = 0; !m.device->trainDone(); ++i) {
      std::vector<DecodeRow> rows(1);
      rows[0].token = 5;
      rows[0].position = 256 + i % 64;
      rows[0].pages = &pages;
      const auto from = Clock::now();
      m.device->decode(rows);
      if (!m.device->trainDone()) busy.push_back(seconds(from));
    }
    m.device->trainResults();
  }
  const double p95 = percentile(busy, 0.95);
  say("typing", busy.size() >= 50 && p95 <= 1.3 * idle, format("%s: p95 %.2f ms while training, %.2f ms idle = %.2fx (bar 1.3x), %d tokens beside %d batches", shape.c_str(), 1e3 * p95, 1e3 * idle, p95 / idle, static_cast<int>(busy.size()), steps));
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "", shape = argc > 2 ? argv[2] : "0.5b", named = argc > 3 ? argv[3] : "bf16";
  const DeviceFormat linears = named == "nf4" ? DeviceFormat::Nf4 : named == "int8" ? DeviceFormat::Int8 : DeviceFormat::Bf16;
  try {
    const std::string problem = hindsight_device()->whyNot();
    if (!problem.empty()) throw std::runtime_error(problem);
    if (what == "gemm") benchGemm();
    else if (what == "train") benchTrain(shape, linears, argc > 4 ? std::strtoull(argv[4], nullptr, 10) : 0);
    else if (what == "decode") benchDecode(shape, linears);
    else if (what == "publish") benchPublish(shape);
    else if (what == "typing") benchTyping(shape);
    else throw std::runtime_error("say what to measure: gemm, train, decode, publish or typing");
  } catch (const std::exception& thrown) {
    std::printf("{\"problem\":\"%s\"}\n", thrown.what());
    return 1;
  }
  return failures == 0 ? 0 : 1;
}
