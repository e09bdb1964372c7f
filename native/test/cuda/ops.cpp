// One matrix of op x dtype x shape against the reference (kernels/cpu/reference.cpp and plain sums in
// double), on whatever device this program was built for: a GPU, or the emulator. Under the emulator
// every op runs in both of its orders, which must agree bit for bit.
//   cuda_ops [rounds] [first seed]: prints one JSON line an op and shape, then a summary; exit code 1
//   where something fails. A check that throws is reported and does not hide the others.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "kernels/cpu/ops.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/head.h"
#include "kernels/cuda/lora.h"
#include "kernels/cuda/rows.h"
#include "pure.h"
#include "serve/random.h"

using namespace hindsight;
using namespace hindsight::cuda;

namespace {

using Numbers = std::vector<float>;

template <class T>
constexpr bool isFloat = std::is_same<T, float>::value;
template <class T>
const char* dtypeOf() { return isFloat<T> ? "fp32" : "bf16"; }

float rounded(float x) {
  uint32_t bits = toBits(x);
  return fromBits((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u);
}

class Bench {
 public:
  explicit Bench(uint64_t seed) : random_(seed), stream_(StreamPriority::Serving) {}

  int size(int most) { return 1 + static_cast<int>(random_.uniform() * most); }
  int wide(int most) { return 8 * size(most / 8); }
  float number(float scale) { return static_cast<float>((2 * random_.uniform() - 1) * scale); }
  /// Numbers that T holds exactly, so that both sides start from the same.
  template <class T>
  Numbers fill(size_t count, float scale = 1) {
    Numbers out(count);
    for (float& x : out) x = isFloat<T> ? number(scale) : rounded(number(scale));
    return out;
  }
  template <class T>
  DeviceArray<T> upload(const std::vector<T>& from) {
    DeviceArray<T> to(from.size());
    stream_.upload(to.get(), from.data(), from.size());
    stream_.wait();
    return to;
  }
  template <class T>
  DeviceArray<T> send(const Numbers& from) {
    std::vector<T> raw(from.size());
    for (size_t i = 0; i < from.size(); ++i) {
      if constexpr (isFloat<T>) raw[i] = from[i];
      else raw[i].bits = static_cast<uint16_t>(toBits(rounded(from[i])) >> 16);
    }
    return upload(raw);
  }
  template <class T>
  Numbers receive(const DeviceArray<T>& from) {
    std::vector<T> raw(from.size());
    stream_.download(raw.data(), from.get(), raw.size());
    stream_.wait();
    Numbers out(raw.size());
    for (size_t i = 0; i < out.size(); ++i) out[i] = value(raw[i]);
    return out;
  }

  /// Runs `body`, which returns what the device computed, and compares it with `wanted`.
  void check(const std::string& op, const char* dtype, const std::string& shape, const Numbers& wanted, const std::function<Numbers()>& body, double bar = 0);
  int failures() const { return failures_; }
  int checks() const { return checks_; }
  std::map<std::string, double> worst;

  template <class T> void product();
  void quantized();
  template <class T> void slices();
  template <class T> void vectors();
  template <class T> void attentions();
  template <class T> void decode();
  template <class T> void norms();
  template <class T> void ropes();
  template <class T> void units();
  template <class T> void lossRows();
  void scores();
  void sampling();
  template <class T> void lora();
  void adam();

 private:
  Random random_;
  Stream stream_;
  int checks_ = 0, failures_ = 0;
};

std::string dims(std::initializer_list<int> sizes) {
  std::string text;
  for (const int s : sizes) text += (text.empty() ? "" : "x") + std::to_string(s);
  return text;
}

/// |a - b| / |b| over the whole array; NaN and infinity never pass.
double distance(const Numbers& a, const Numbers& b) {
  if (a.size() != b.size()) return INFINITY;
  double off = 0, all = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double d = static_cast<double>(a[i]) - b[i];
    off += d * d;
    all += static_cast<double>(b[i]) * b[i];
  }
  return all > 0 ? std::sqrt(off / all) : std::sqrt(off);
}

void Bench::check(const std::string& op, const char* dtype, const std::string& shape, const Numbers& wanted, const std::function<Numbers()>& body, double bar) {
  if (bar == 0) bar = std::string(dtype) == "fp32" ? 1e-5 : 6e-3;
  double error = INFINITY;
  std::string problem;
  try {
    const Numbers got = body();
    error = distance(got, wanted);
#ifdef HINDSIGHT_EMULATE
    emulator::mode = emulator::Mode::Descending;
    const Numbers again = body();
    emulator::mode = emulator::Mode::Ascending;
    if (again != got) problem = "another order of lanes gives another result";
#endif
  } catch (const std::exception& thrown) {
    problem = thrown.what();
  }
  const bool pass = error <= bar && problem.empty();
  ++checks_;
  if (!pass) ++failures_;
  double& high = worst[op + " " + dtype];
  if (!(error <= high)) high = error;
  std::printf("{\"op\":\"%s\",\"dtype\":\"%s\",\"shape\":\"%s\",\"error\":%.3g,\"bar\":%.3g,\"pass\":%s%s}\n", op.c_str(), dtype, shape.c_str(), std::isfinite(error) ? error : 1e30, bar, pass ? "true" : "false",
              problem.empty() ? "" : (",\"problem\":\"" + problem + "\"").c_str());
  std::fflush(stdout);
}

/// y[m][n] = sum over k of x(m, k) w(k, n)
Numbers multiply(int m, int n, int k, const std::function<double(int, int)>& x, const std::function<double(int, int)>& w) {
  Numbers y(static_cast<size_t>(m) * n);
  std::vector<double> column(k);
  for (int j = 0; j < n; ++j) {
    for (int i = 0; i < k; ++i) column[i] = w(i, j);
    for (int r = 0; r < m; ++r) {
      double sum = 0;
      for (int i = 0; i < k; ++i) sum += x(r, i) * column[i];
      y[static_cast<size_t>(r) * n + j] = static_cast<float>(sum);
    }
  }
  return y;
}
void add(Numbers& y, const Numbers& z) {
  for (size_t i = 0; i < y.size(); ++i) y[i] += z[i];
}

template <class T>
void Bench::product() {
  const Format format = isFloat<T> ? Format::Fp32 : Format::Bf16;
  {
    const int m = size(150), n = size(150), k = wide(160), k2 = 8 * (size(9) - 1), ldy = (n + 7) / 8 * 8;
    const Numbers x = fill<T>(static_cast<size_t>(m) * k), w = fill<T>(static_cast<size_t>(n) * k), x2 = fill<T>(static_cast<size_t>(m) * k2), w2 = fill<T>(static_cast<size_t>(n) * k2), bias = fill<float>(n), residual = fill<float>(static_cast<size_t>(m) * ldy);
    Numbers y = multiply(m, n, k, [&](int r, int i) { return x[static_cast<size_t>(r) * k + i]; }, [&](int i, int c) { return w[static_cast<size_t>(c) * k + i]; });
    if (k2) add(y, multiply(m, n, k2, [&](int r, int i) { return x2[static_cast<size_t>(r) * k2 + i]; }, [&](int i, int c) { return w2[static_cast<size_t>(c) * k2 + i]; }));
    for (int r = 0; r < m; ++r)
      for (int c = 0; c < n; ++c) y[static_cast<size_t>(r) * n + c] += bias[c] + residual[static_cast<size_t>(r) * ldy + c];
    const auto dx = send<T>(x), dw = send<T>(w), dx2 = send<T>(x2), dw2 = send<T>(w2);
    const auto db = send<float>(bias), dr = send<float>(residual);
    for (const bool floats : {false, true})
      check(floats ? "forward to fp32" : "forward", dtypeOf<T>(), dims({m, n, k, k2}), y, [&] {
        GemmArgs g;
        g.m = m; g.n = n; g.k = k; g.k2 = k2; g.rows = n;
        g.x = dx.get(); g.ldx = k; g.w = dw.get(); g.ldw = k; g.x2 = dx2.get(); g.ldx2 = k2; g.w2 = dw2.get(); g.ldw2 = k2;
        g.bias = db.get(); g.residual = dr.get(); g.ldr = ldy; g.ldy = ldy; g.floats = floats;
        const auto run = [&](auto out) {
          g.y = out.get();
          gemm<T>(stream_, Product::Forward, format, g);
          const Numbers padded = receive(out);
          Numbers tight;
          for (int r = 0; r < m; ++r) tight.insert(tight.end(), padded.begin() + r * ldy, padded.begin() + r * ldy + n);
          return tight;
        };
        return floats ? run(DeviceArray<float>(static_cast<size_t>(m) * ldy)) : run(DeviceArray<T>(static_cast<size_t>(m) * ldy));
      });
  }
  {
    const int m = size(150), n = wide(150), k = size(2) == 1 ? wide(160) : size(160), ldx = (k + 7) / 8 * 8, k2 = 8 * (size(9) - 1);
    Numbers x = fill<T>(static_cast<size_t>(m) * ldx);
    for (int r = 0; r < m; ++r) std::fill(x.begin() + r * ldx + k, x.begin() + (r + 1) * ldx, 0.0f);
    const Numbers w = fill<T>(static_cast<size_t>(k) * n), x2 = fill<T>(static_cast<size_t>(m) * k2), w2 = fill<T>(static_cast<size_t>(k2) * n);
    Numbers y = multiply(m, n, k, [&](int r, int i) { return x[static_cast<size_t>(r) * ldx + i]; }, [&](int i, int c) { return w[static_cast<size_t>(i) * n + c]; });
    if (k2) add(y, multiply(m, n, k2, [&](int r, int i) { return x2[static_cast<size_t>(r) * k2 + i]; }, [&](int i, int c) { return w2[static_cast<size_t>(i) * n + c]; }));
    const auto dx = send<T>(x), dw = send<T>(w), dx2 = send<T>(x2), dw2 = send<T>(w2);
    check("gradient", dtypeOf<T>(), dims({m, n, k, k2}), y, [&] {
      DeviceArray<T> out(static_cast<size_t>(m) * n);
      GemmArgs g;
      g.m = m; g.n = n; g.k = k; g.k2 = k2; g.rows = k;
      g.x = dx.get(); g.ldx = ldx; g.w = dw.get(); g.ldw = n; g.x2 = dx2.get(); g.ldx2 = k2; g.w2 = dw2.get(); g.ldw2 = n;
      g.y = out.get(); g.ldy = n;
      gemm<T>(stream_, Product::Gradient, format, g);
      return receive(out);
    });
  }
  {
    const int m = size(200), p = wide(150), q = wide(100), splits = size(3);
    const Numbers a = fill<T>(static_cast<size_t>(m) * p), b = fill<T>(static_cast<size_t>(m) * q);
    const Numbers y = multiply(p, q, m, [&](int r, int i) { return a[static_cast<size_t>(i) * p + r]; }, [&](int i, int c) { return b[static_cast<size_t>(i) * q + c]; });
    const auto da = send<T>(a), db = send<T>(b);
    check("outer", dtypeOf<T>(), dims({p, q, m, splits}), y, [&] {
      DeviceArray<float> parts(static_cast<size_t>(splits) * p * q), out(static_cast<size_t>(p) * q);
      GemmArgs g;
      g.m = p; g.n = q; g.k = m; g.splits = splits;
      g.x = da.get(); g.ldx = p; g.w = db.get(); g.ldw = q; g.y = parts.get(); g.ldy = q; g.floats = true;
      gemm<T>(stream_, Product::Outer, format, g);
      sumSlices<float>(stream_, parts.get(), splits, p, q, out.get(), q);
      return receive(out);
    }, 1e-5);
  }
}

void Bench::quantized() {
  for (const Format format : {Format::Int8, Format::Nf4}) {
    const char* name = format == Format::Int8 ? "int8" : "nf4";
    const int m = size(140), n = wide(200), k = wide(200), k2 = 8 * (size(5) - 1);
    const Numbers w = fill<float>(static_cast<size_t>(n) * k), x = fill<Bf16>(static_cast<size_t>(m) * k), dy = fill<Bf16>(static_cast<size_t>(m) * n), xa = fill<Bf16>(static_cast<size_t>(m) * k2), b = fill<Bf16>(static_cast<size_t>(n) * k2), a = fill<Bf16>(static_cast<size_t>(k2) * k);
    std::vector<unsigned char> data(n * rowPitch(format, k));
    Numbers scale(static_cast<size_t>(n) * scalesPerRow(format, k));
    quantize(format, w.data(), n, k, data.data(), scale.data());
    Numbers plain(w.size());
    for (int r = 0; r < n; ++r)
      for (int c = 0; c < k; ++c) plain[static_cast<size_t>(r) * k + c] = dequantized(format, data.data(), scale.data(), k, r, c);
    const double lost = distance(plain, w);
    check(std::string("quantize ") + name, "bf16", dims({n, k}), Numbers{0}, [&] { return Numbers{static_cast<float>(lost)}; }, format == Format::Int8 ? 0.01 : 0.12);
    const auto dw = upload(data);
    const auto ds = send<float>(scale);
    const auto dx = send<Bf16>(x), ddy = send<Bf16>(dy), dxa = send<Bf16>(xa), db = send<Bf16>(b), da = send<Bf16>(a);
    GemmArgs g;
    g.m = m; g.k2 = k2; g.rows = n;
    g.w = dw.get(); g.ldw = static_cast<long>(rowPitch(format, k)); g.scale = ds.get(); g.scales = scalesPerRow(format, k);
    g.x2 = dxa.get(); g.ldx2 = k2;
    Numbers y = multiply(m, n, k, [&](int r, int i) { return x[static_cast<size_t>(r) * k + i]; }, [&](int i, int c) { return plain[static_cast<size_t>(c) * k + i]; });
    if (k2) add(y, multiply(m, n, k2, [&](int r, int i) { return xa[static_cast<size_t>(r) * k2 + i]; }, [&](int i, int c) { return b[static_cast<size_t>(c) * k2 + i]; }));
    check(std::string("forward ") + name, "bf16", dims({m, n, k, k2}), y, [&] {
      DeviceArray<Bf16> out(static_cast<size_t>(m) * n);
      g.n = n; g.k = k; g.x = dx.get(); g.ldx = k; g.w2 = db.get(); g.ldw2 = k2; g.y = out.get(); g.ldy = n;
      gemm<Bf16>(stream_, Product::Forward, format, g);
      return receive(out);
    });
    y = multiply(m, k, n, [&](int r, int i) { return dy[static_cast<size_t>(r) * n + i]; }, [&](int i, int c) { return plain[static_cast<size_t>(i) * k + c]; });
    if (k2) add(y, multiply(m, k, k2, [&](int r, int i) { return xa[static_cast<size_t>(r) * k2 + i]; }, [&](int i, int c) { return a[static_cast<size_t>(i) * k + c]; }));
    check(std::string("gradient ") + name, "bf16", dims({m, k, n, k2}), y, [&] {
      DeviceArray<Bf16> out(static_cast<size_t>(m) * k);
      g.n = k; g.k = n; g.x = ddy.get(); g.ldx = n; g.w2 = da.get(); g.ldw2 = k; g.y = out.get(); g.ldy = k;
      gemm<Bf16>(stream_, Product::Gradient, format, g);
      return receive(out);
    });
    const int rows = size(kVectorRows);
    y = multiply(rows, n, k, [&](int r, int i) { return x[static_cast<size_t>(r % m) * k + i]; }, [&](int i, int c) { return plain[static_cast<size_t>(c) * k + i]; });
    Numbers few;
    for (int r = 0; r < rows; ++r) few.insert(few.end(), x.begin() + (r % m) * k, x.begin() + (r % m + 1) * k);
    const auto dfew = send<Bf16>(few);
    check(std::string("gemv ") + name, "bf16", dims({rows, n, k}), y, [&] {
      DeviceArray<Bf16> out(static_cast<size_t>(rows) * n);
      GemvArgs v;
      v.m = rows; v.w = {format, n, k, dw.get(), ds.get(), nullptr}; v.x = dfew.get(); v.ldx = k; v.y = out.get(); v.ldy = n;
      gemv<Bf16>(stream_, v);
      return receive(out);
    });
    std::vector<int> tokens(5);
    for (int& t : tokens) t = size(n) - 1;
    const auto dt = upload(tokens);
    Numbers rowsWanted;
    for (const int t : tokens) rowsWanted.insert(rowsWanted.end(), plain.begin() + static_cast<long>(t) * k, plain.begin() + static_cast<long>(t + 1) * k);
    check(std::string("embed ") + name, "bf16", dims({n, k}), rowsWanted, [&] {
      DeviceArray<float> out(tokens.size() * k);
      embed(stream_, {format, n, k, dw.get(), ds.get(), nullptr}, dt.get(), static_cast<int>(tokens.size()), out.get());
      return receive(out);
    }, 1e-7);
  }
}

template <class T>
void Bench::slices() {
  const int m = size(40), n = wide(64), k = 256 * size(2) + wide(64), splits = size(4);
  const Numbers x = fill<T>(static_cast<size_t>(m) * k), w = fill<T>(static_cast<size_t>(n) * k);
  const Numbers y = multiply(m, n, k, [&](int r, int i) { return x[static_cast<size_t>(r) * k + i]; }, [&](int i, int c) { return w[static_cast<size_t>(c) * k + i]; });
  const auto dx = send<T>(x), dw = send<T>(w);
  check("forward in slices", dtypeOf<T>(), dims({m, n, k, splits}), y, [&] {
    DeviceArray<float> parts(static_cast<size_t>(splits) * m * n);
    DeviceArray<T> out(static_cast<size_t>(m) * n);
    GemmArgs g;
    g.m = m; g.n = n; g.k = k; g.splits = splits; g.rows = n;
    g.x = dx.get(); g.ldx = k; g.w = dw.get(); g.ldw = k; g.y = parts.get(); g.ldy = n; g.floats = true;
    gemm<T>(stream_, Product::Forward, isFloat<T> ? Format::Fp32 : Format::Bf16, g);
    if (splits == 1) return receive(parts);
    sumSlices<T>(stream_, parts.get(), splits, m, n, out.get(), n);
    return receive(out);
  });
}

template <class T>
void Bench::vectors() {
  const int m = size(kVectorRows), n = size(100), k = wide(600), width = 64;
  const Numbers x = fill<T>(static_cast<size_t>(m) * k), w = fill<T>(static_cast<size_t>(n) * k), bias = fill<float>(n), residual = fill<float>(static_cast<size_t>(m) * n);
  Numbers y = multiply(m, n, k, [&](int r, int i) { return x[static_cast<size_t>(r) * k + i]; }, [&](int i, int c) { return w[static_cast<size_t>(c) * k + i]; });
  // Rows of two adapters of different ranks, and rows of none.
  const int ranks[2] = {32, 64};
  const Numbers a[2] = {fill<T>(static_cast<size_t>(ranks[0]) * k), fill<T>(static_cast<size_t>(ranks[1]) * k)}, b[2] = {fill<T>(static_cast<size_t>(n) * ranks[0]), fill<T>(static_cast<size_t>(n) * ranks[1])};
  std::vector<DeviceArray<T>> onDevice;
  for (int i = 0; i < 2; ++i) {
    onDevice.push_back(send<T>(a[i]));
    onDevice.push_back(send<T>(b[i]));
  }
  std::vector<const void*> tableA, tableB;
  std::vector<int> k2;
  Numbers xaWanted(static_cast<size_t>(m) * width, 0.0f);
  for (int r = 0; r < m; ++r) {
    const int which = size(3) - 1;
    tableA.push_back(which < 2 ? onDevice[2 * which].get() : nullptr);
    tableB.push_back(which < 2 ? onDevice[2 * which + 1].get() : nullptr);
    k2.push_back(which < 2 ? ranks[which] : 0);
    if (which == 2) continue;
    for (int j = 0; j < ranks[which]; ++j) {
      double sum = 0;
      for (int i = 0; i < k; ++i) sum += static_cast<double>(x[static_cast<size_t>(r) * k + i]) * a[which][static_cast<size_t>(j) * k + i];
      xaWanted[static_cast<size_t>(r) * width + j] = isFloat<T> ? static_cast<float>(sum) : rounded(static_cast<float>(sum));
      for (int c = 0; c < n; ++c) y[static_cast<size_t>(r) * n + c] += b[which][static_cast<size_t>(c) * ranks[which] + j] * xaWanted[static_cast<size_t>(r) * width + j];
    }
  }
  for (int r = 0; r < m; ++r)
    for (int c = 0; c < n; ++c) y[static_cast<size_t>(r) * n + c] += bias[c] + residual[static_cast<size_t>(r) * n + c];
  const auto dx = send<T>(x), dw = send<T>(w);
  const auto db = send<float>(bias), dr = send<float>(residual);
  const auto dA = upload(tableA), dB = upload(tableB);
  const auto dk2 = upload(k2);
  DeviceArray<T> xa(static_cast<size_t>(m) * width);
  check("loraDown", dtypeOf<T>(), dims({m, width, k}), xaWanted, [&] {
    loraDown<T>(stream_, m, k, dx.get(), k, dA.get(), dk2.get(), width, xa.get());
    return receive(xa);
  });
  check("gemv", dtypeOf<T>(), dims({m, n, k}), y, [&] {
    DeviceArray<float> out(static_cast<size_t>(m) * n);
    GemvArgs g;
    g.m = m; g.w = {isFloat<T> ? Format::Fp32 : Format::Bf16, n, k, dw.get(), nullptr, db.get()}; g.x = dx.get(); g.ldx = k; g.residual = dr.get();
    g.y = out.get(); g.ldy = n; g.floats = true; g.xa = xa.get(); g.ldxa = width; g.b = dB.get(); g.k2 = dk2.get();
    gemv<T>(stream_, g);
    return receive(out);
  }, isFloat<T> ? 1e-5 : 1e-3);
}

/// Plain causal attention of one sequence: rows of q from `start`, keys from 0.
void plainAttention(int rows, int start, int heads, int kvHeads, int d, float scale, const float* q, const float* k, const float* v, float* out, float* lse, int lseStride) {
  for (int h = 0; h < heads; ++h)
    for (int r = 0; r < rows; ++r) {
      const int keys = start + r + 1, kv = h / (heads / kvHeads);
      std::vector<double> p(keys), o(d, 0.0);
      double top = -1e300, sum = 0;
      for (int j = 0; j < keys; ++j) {
        for (int i = 0; i < d; ++i) p[j] += static_cast<double>(q[(static_cast<size_t>(r) * heads + h) * d + i]) * k[(static_cast<size_t>(j) * kvHeads + kv) * d + i];
        p[j] *= scale;
        top = std::max(top, p[j]);
      }
      for (int j = 0; j < keys; ++j) {
        p[j] = std::exp(p[j] - top);
        sum += p[j];
        for (int i = 0; i < d; ++i) o[i] += p[j] * v[(static_cast<size_t>(j) * kvHeads + kv) * d + i];
      }
      for (int i = 0; i < d; ++i) out[(static_cast<size_t>(r) * heads + h) * d + i] = static_cast<float>(o[i] / sum);
      if (lse) lse[static_cast<size_t>(h) * lseStride + r] = static_cast<float>(top + std::log(sum));
    }
}

std::vector<AttentionTile> tilesOf(const std::vector<Segment>& segments) {
  std::vector<AttentionTile> tiles;
  for (size_t i = 0; i < segments.size(); ++i)
    for (int r = 0; r < segments[i].rows; r += kAttentionRows) tiles.push_back({static_cast<int>(i), r});
  tiles.push_back({-1, 0});
  return tiles;
}

template <class T>
void Bench::attentions() {
  const int kvHeads = size(2), group = size(3), heads = kvHeads * group, d = size(2) == 1 ? wide(64) : wide(128), width = heads * d, kvWidth = kvHeads * d;
  const float scale = 1 / std::sqrt(static_cast<float>(d));
  std::vector<Segment> segments;
  int rows = 0;
  for (int i = size(3); i > 0; --i) {
    segments.push_back({rows, size(i == 1 ? 150 : 60), 0, 0});
    rows += segments.back().rows;
  }
  std::vector<int> segmentOfRow;
  for (size_t i = 0; i < segments.size(); ++i) segmentOfRow.insert(segmentOfRow.end(), segments[i].rows, static_cast<int>(i));
  const Numbers q = fill<T>(static_cast<size_t>(rows) * width, 2), k = fill<T>(static_cast<size_t>(rows) * kvWidth, 2), v = fill<T>(static_cast<size_t>(rows) * kvWidth), dOut = fill<T>(static_cast<size_t>(rows) * width);
  Numbers out(q.size()), lse(static_cast<size_t>(heads) * rows), dq(q.size()), dk(k.size(), 0.0f), dv(k.size(), 0.0f);
  for (const Segment& s : segments) {
    const size_t at = static_cast<size_t>(s.row0) * width, kvAt = static_cast<size_t>(s.row0) * kvWidth;
    plainAttention(s.rows, 0, heads, kvHeads, d, scale, &q[at], &k[kvAt], &v[kvAt], &out[at], &lse[s.row0], rows);
    Numbers own(static_cast<size_t>(heads) * s.rows);
    for (int h = 0; h < heads; ++h) std::copy_n(&lse[static_cast<size_t>(h) * rows + s.row0], s.rows, &own[static_cast<size_t>(h) * s.rows]);
    hindsight::AttentionBackwardArgs b;
    b.span = group;
    b.headDim = d; b.heads = heads; b.kvHeads = kvHeads; b.rows = s.rows; b.scale = scale;
    b.q = &q[at]; b.k = &k[kvAt]; b.v = &v[kvAt]; b.out = &out[at]; b.dOut = &dOut[at]; b.lse = own.data(); b.dq = &dq[at]; b.dk = &dk[kvAt]; b.dv = &dv[kvAt];
    for (int item = 0; item < b.items(); ++item) referenceOps()->attentionBackward(b, item, nullptr);
  }
  const auto tiles = tilesOf(segments);
  const auto dSegments = upload(segments);
  const auto dTiles = upload(tiles);
  const auto dOf = upload(segmentOfRow);
  const auto dQ = send<T>(q), dK = send<T>(k), dV = send<T>(v), ddOut = send<T>(dOut);
  const std::string shape = dims({rows, static_cast<int>(segments.size()), heads, kvHeads, d});
  DeviceArray<T> o(q.size());
  DeviceArray<float> l(lse.size());
  cuda::AttentionArgs g;
  g.heads = heads; g.kvHeads = kvHeads; g.headDim = d; g.rows = rows; g.scale = scale;
  g.segments = dSegments.get(); g.tiles = dTiles.get(); g.tileCount = static_cast<int>(tiles.size()); g.segmentOfRow = dOf.get();
  g.q = dQ.get(); g.ldq = width; g.k = dK.get(); g.ldk = kvWidth; g.v = dV.get(); g.ldv = kvWidth; g.out = o.get(); g.ldo = width; g.lse = l.get();
  check("attention", dtypeOf<T>(), shape, out, [&] {
    attention<T>(stream_, g);
    return receive(o);
  });
  check("attention.lse", dtypeOf<T>(), shape, lse, [&] { return receive(l); }, 1e-4);
  const char* names[3] = {"attentionBackward.dq", "attentionBackward.dk", "attentionBackward.dv"};
  const Numbers* wanted[3] = {&dq, &dk, &dv};
  for (int which = 0; which < 3; ++which)
    check(names[which], dtypeOf<T>(), shape, *wanted[which], [&] {
      DeviceArray<T> gq(q.size()), gk(k.size()), gv(k.size());
      DeviceArray<float> delta(lse.size());
      cuda::AttentionBackwardArgs b;
      b.forward = g; b.dOut = ddOut.get(); b.delta = delta.get();
      b.dq = gq.get(); b.lddq = width; b.dk = gk.get(); b.lddk = kvWidth; b.dv = gv.get(); b.lddv = kvWidth;
      attentionBackward<T>(stream_, b);
      return which == 0 ? receive(gq) : which == 1 ? receive(gk) : receive(gv);
    }, isFloat<T> ? 1e-4 : 1.5e-2);
}

/// Several sequences whose keys lie in pages in no order: prefill of some rows, and decode of one each.
template <class T>
void Bench::decode() {
  const int sequences = size(4), kvHeads = size(2), group = size(10), heads = kvHeads * group, d = wide(128), width = heads * d, kvWidth = kvHeads * d, splits = size(3);
  const float scale = 0.2f;
  const bool single = size(2) == 1;
  std::vector<Segment> segments;
  std::vector<int> table, segmentOfRow;
  int rows = 0, pages = 0;
  for (int i = 0; i < sequences; ++i) {
    const Segment s{rows, single ? 1 : size(70), size(100) - 1, static_cast<int>(table.size())};
    rows += s.rows;
    segmentOfRow.insert(segmentOfRow.end(), s.rows, i);
    for (int p = 0; p * kPageTokens < s.start + s.rows; ++p) table.push_back(pages++);
    segments.push_back(s);
  }
  for (size_t i = table.size(); i > 1; --i) std::swap(table[i - 1], table[size(static_cast<int>(i)) - 1]);
  const long pageStride = 2l * kPageTokens * kvWidth;
  const Numbers q = fill<T>(static_cast<size_t>(rows) * width, 2);
  Numbers memory(static_cast<size_t>(pages) * pageStride, 0.0f), newK = fill<T>(static_cast<size_t>(rows) * kvWidth), newV = fill<T>(newK.size()), out(q.size());
  for (const Segment& s : segments) {
    const Numbers oldK = fill<T>(static_cast<size_t>(s.start) * kvWidth), oldV = fill<T>(oldK.size());
    Numbers k = oldK, v = oldV;
    k.insert(k.end(), newK.begin() + static_cast<long>(s.row0) * kvWidth, newK.begin() + static_cast<long>(s.row0 + s.rows) * kvWidth);
    v.insert(v.end(), newV.begin() + static_cast<long>(s.row0) * kvWidth, newV.begin() + static_cast<long>(s.row0 + s.rows) * kvWidth);
    for (int j = 0; j < s.start; ++j) {
      const size_t to = table[s.table + j / kPageTokens] * pageStride + static_cast<size_t>(j % kPageTokens) * kvWidth;
      std::copy_n(&k[static_cast<size_t>(j) * kvWidth], kvWidth, &memory[to]);
      std::copy_n(&v[static_cast<size_t>(j) * kvWidth], kvWidth, &memory[to + kPageTokens * kvWidth]);
    }
    plainAttention(s.rows, s.start, heads, kvHeads, d, scale, &q[static_cast<size_t>(s.row0) * width], k.data(), v.data(), &out[static_cast<size_t>(s.row0) * width], nullptr, 0);
  }
  const auto dMemory = send<T>(memory), dq = send<T>(q), dk = send<T>(newK), dv = send<T>(newV);
  const auto dSegments = upload(segments);
  const auto dTable = upload(table), dOf = upload(segmentOfRow);
  const auto tiles = tilesOf(segments);
  const auto dTiles = upload(tiles);
  const std::string shape = dims({sequences, rows, heads, kvHeads, d, splits});
  check(single ? "decode" : "prefill", dtypeOf<T>(), shape, out, [&] {
    StoreArgs s;
    s.rows = rows; s.kvWidth = kvWidth; s.segments = dSegments.get(); s.segmentOfRow = dOf.get(); s.table = dTable.get(); s.pageStride = pageStride;
    s.k = dk.get(); s.ldk = kvWidth; s.v = dv.get(); s.ldv = kvWidth; s.keys = dMemory.get(); s.values = dMemory.get() + kPageTokens * kvWidth;
    storePages<T>(stream_, s);
    DeviceArray<T> o(q.size());
    DeviceArray<float> partial(static_cast<size_t>(rows) * heads * splits * (d + 2));
    cuda::AttentionArgs g;
    g.heads = heads; g.kvHeads = kvHeads; g.headDim = d; g.rows = rows; g.scale = scale;
    g.segments = dSegments.get(); g.tiles = dTiles.get(); g.tileCount = static_cast<int>(tiles.size()); g.segmentOfRow = dOf.get();
    g.q = dq.get(); g.ldq = width; g.k = s.keys; g.v = s.values; g.ldk = g.ldv = kvWidth; g.table = dTable.get(); g.pageStride = pageStride;
    g.out = o.get(); g.ldo = width;
    if (single) attentionDecode<T>(stream_, g, splits, partial.get());
    else attention<T>(stream_, g);
    return receive(o);
  });
}

template <class T>
void Bench::norms() {
  const int rows = size(20), n = wide(700), all = rows + 5;
  const Numbers h = fill<float>(static_cast<size_t>(all) * n), weight = fill<float>(n), dy = fill<T>(static_cast<size_t>(rows) * n), start = fill<float>(h.size());
  std::vector<int> index(all);
  std::iota(index.begin(), index.end(), 0);
  for (size_t i = index.size(); i > 1; --i) std::swap(index[i - 1], index[size(static_cast<int>(i)) - 1]);
  index.resize(rows);
  if (rows > 1) index[size(rows) - 1] = -1;
  Numbers out(dy.size(), 0.0f), dh = start;
  for (int r = 0; r < rows; ++r) {
    if (index[r] < 0) continue;
    const float* x = &h[static_cast<size_t>(index[r]) * n];
    referenceOps()->rmsnorm(x, weight.data(), n, 1e-6f, &out[static_cast<size_t>(r) * n]);
    referenceOps()->rmsnormBackward(x, weight.data(), &dy[static_cast<size_t>(r) * n], n, 1e-6f, &dh[static_cast<size_t>(index[r]) * n], true);
  }
  const auto dH = send<float>(h), dW = send<float>(weight);
  const auto dDy = send<T>(dy);
  const auto dIndex = upload(index);
  check("rmsnorm", dtypeOf<T>(), dims({rows, n}), out, [&] {
    DeviceArray<T> y(dy.size());
    rmsnorm<T>(stream_, dH.get(), dIndex.get(), dW.get(), rows, n, 1e-6f, y.get());
    return receive(y);
  });
  check("rmsnormBackward", dtypeOf<T>(), dims({rows, n}), dh, [&] {
    auto to = send<float>(start);
    DeviceArray<T> copy(start.size());
    rmsnormBackward<T>(stream_, dH.get(), dIndex.get(), dW.get(), dDy.get(), rows, n, 1e-6f, to.get(), true, copy.get());
    return receive(to);
  }, 1e-5);
  check("convert", dtypeOf<T>(), dims({all, n}), h, [&] {
    DeviceArray<T> y(h.size());
    convert<T>(stream_, dH.get(), h.size(), y.get());
    return receive(y);
  });
}

template <class T>
void Bench::ropes() {
  const int rows = size(20), heads = size(4), kvHeads = size(3), d = wide(128), half = d / 2, ld = (heads + kvHeads) * d + 16, positions = 40;
  const bool norm = size(2) == 1;
  const Numbers in = fill<T>(static_cast<size_t>(rows) * ld), dy = fill<T>(in.size()), qNorm = fill<float>(d), kNorm = fill<float>(d), cosine = fill<float>(static_cast<size_t>(positions) * half), sine = fill<float>(cosine.size());
  std::vector<int> at(rows);
  for (int& p : at) p = size(positions) - 1;
  Numbers out = in, dx = dy;
  for (int r = 0; r < rows; ++r)
    for (int h = 0; h < heads + kvHeads; ++h) {
      const size_t i = static_cast<size_t>(r) * ld + static_cast<size_t>(h) * d, angle = static_cast<size_t>(at[r]) * half;
      const float* w = (h < heads ? qNorm : kNorm).data();
      if (norm) referenceOps()->rmsnorm(&in[i], w, d, 1e-6f, &out[i]);
      referenceOps()->rope(&out[i], &cosine[angle], &sine[angle], d, 1);
      referenceOps()->rope(&dx[i], &cosine[angle], &sine[angle], d, -1);
      if (norm) {
        const Numbers copy(dx.begin() + static_cast<long>(i), dx.begin() + static_cast<long>(i) + d);
        referenceOps()->rmsnormBackward(&in[i], w, copy.data(), d, 1e-6f, &dx[i], false);
      }
    }
  const auto dIn = send<T>(in);
  const auto dq = send<float>(qNorm), dk = send<float>(kNorm), dc = send<float>(cosine), ds = send<float>(sine);
  const auto dAt = upload(at);
  RopeArgs g;
  g.rows = rows; g.heads = heads; g.kvHeads = kvHeads; g.headDim = d; g.eps = 1e-6f; g.cosine = dc.get(); g.sine = ds.get(); g.positions = dAt.get();
  if (norm) {
    g.qNorm = dq.get();
    g.kNorm = dk.get();
  }
  g.in = dIn.get(); g.ldIn = ld; g.ldOut = ld;
  check(norm ? "rope with norm" : "rope", dtypeOf<T>(), dims({rows, heads, kvHeads, d}), out, [&] {
    auto y = send<T>(in);
    g.out = y.get();
    rope<T>(stream_, g);
    return receive(y);
  });
  check(norm ? "ropeBackward with norm" : "ropeBackward", dtypeOf<T>(), dims({rows, heads, kvHeads, d}), dx, [&] {
    auto y = send<T>(dy);
    g.out = y.get();
    ropeBackward<T>(stream_, g);
    return receive(y);
  });
}

template <class T>
void Bench::units() {
  const int rows = size(9), n = wide(300);
  const Numbers both = fill<T>(static_cast<size_t>(rows) * 2 * n, 8), d = fill<T>(static_cast<size_t>(rows) * n);
  Numbers act(d.size()), dBoth(both.size());
  for (int r = 0; r < rows; ++r) {
    const size_t g = static_cast<size_t>(r) * 2 * n, o = static_cast<size_t>(r) * n;
    referenceOps()->swiglu(&both[g], &both[g + n], n, &act[o]);
    referenceOps()->swigluBackward(&both[g], &both[g + n], &d[o], n, &dBoth[g], &dBoth[g + n]);
  }
  const auto db = send<T>(both), dd = send<T>(d);
  check("swiglu", dtypeOf<T>(), dims({rows, n}), act, [&] {
    DeviceArray<T> y(act.size());
    swiglu<T>(stream_, db.get(), rows, n, y.get());
    return receive(y);
  });
  check("swigluBackward", dtypeOf<T>(), dims({rows, n}), dBoth, [&] {
    DeviceArray<T> y(both.size());
    swigluBackward<T>(stream_, db.get(), dd.get(), rows, n, y.get());
    return receive(y);
  });
}

template <class T>
void Bench::lora() {
  // Two B of a block-diagonal group and their A.
  const int r = size(12), k = wide(60), n1 = size(20), n2 = size(20), k2 = (2 * r + 31) / 32 * 32;
  const size_t flat = static_cast<size_t>(r) * (2 * k + n1 + n2), packed = static_cast<size_t>(k2) * (k + n1 + n2);
  const Numbers w = fill<float>(flat), g = fill<float>(packed);
  const float scale = 1.7f;
  const size_t atB = static_cast<size_t>(2 * r) * k, groupB = static_cast<size_t>(k2) * k;
  const std::vector<LoraPiece> pieces = {
      {0, 0, r, k, k, 1}, {static_cast<size_t>(r) * k, static_cast<size_t>(r) * k, r, k, k, 1}, {atB, groupB, n1, r, k2, scale}, {atB + static_cast<size_t>(n1) * r, groupB + static_cast<size_t>(n1) * k2 + r, n2, r, k2, scale}};
  Numbers out(packed, 0.0f), gradient = w;
  for (const LoraPiece& p : pieces)
    for (int i = 0; i < p.rows; ++i)
      for (int c = 0; c < p.cols; ++c) {
        out[p.packed + static_cast<size_t>(i) * p.ld + c] = p.scale * w[p.flat + static_cast<size_t>(i) * p.cols + c];
        gradient[p.flat + static_cast<size_t>(i) * p.cols + c] += p.scale * g[p.packed + static_cast<size_t>(i) * p.ld + c];
      }
  const auto dw = send<float>(w), dg = send<float>(g);
  const auto dp = upload(pieces);
  const int largest = std::max(k, std::max(n1, n2)) * r;
  check("packLora", dtypeOf<T>(), dims({r, k, n1, n2}), out, [&] {
    DeviceArray<T> y(packed);
    stream_.zero(y.get(), packed);
    packLora<T>(stream_, dp.get(), 4, largest, dw.get(), y.get());
    return receive(y);
  });
  check("addGradients", dtypeOf<T>(), dims({r, k, n1, n2}), gradient, [&] {
    auto y = send<float>(w);
    addGradients(stream_, dp.get(), 4, largest, dg.get(), 0, y.get());
    return receive(y);
  }, 1e-6);
}

void Bench::adam() {
  const int n = size(3000);
  const Numbers w = fill<float>(n), m = fill<float>(n), g = fill<float>(n, 0.3f);
  Numbers v = fill<float>(n);
  for (float& x : v) x *= x;
  double squares = 0;
  for (const float x : g) squares += static_cast<double>(x) * x;
  const float norm = static_cast<float>(std::sqrt(squares));
  const AdamSettings s{1e-2f, 0.9f, 0.98f, 1e-8f, 0.1f, size(2) == 1 ? 0.0f : 0.5f, 0.19f, 0.04f};
  Numbers wantW = w, wantM = m, wantV = v;
  const AdamArgs args{s.lr, s.beta1, s.beta2, s.eps, s.weightDecay, s.clipNorm > 0 && norm > s.clipNorm ? s.clipNorm / (norm + 1e-6f) : 1.0f, s.correction1, s.correction2};
  referenceOps()->adamw(wantW.data(), wantM.data(), wantV.data(), g.data(), n, args);
  Numbers wanted = wantW;
  wanted.insert(wanted.end(), wantM.begin(), wantM.end());
  wanted.insert(wanted.end(), wantV.begin(), wantV.end());
  wanted.resize(wanted.size() + n, 0.0f);  // the gradient is zeroed
  wanted.push_back(norm);
  check("adamw", "fp32", dims({n}), wanted, [&] {
    auto dw = send<float>(w), dm = send<float>(m), dv = send<float>(v), dg = send<float>(g);
    DeviceArray<double> scratch(kNormParts);
    DeviceArray<float> length(1);
    gradientNorm(stream_, dg.get(), n, scratch.get(), length.get());
    adamw(stream_, dw.get(), dm.get(), dv.get(), dg.get(), n, s, length.get());
    Numbers all;
    for (const auto* part : {&dw, &dm, &dv, &dg, &length}) {
      const Numbers one = receive(*part);
      all.insert(all.end(), one.begin(), one.end());
    }
    return all;
  });
}

template <class T>
void Bench::lossRows() {
  const int rows = size(6), vocab = 20 + size(400), ld = (vocab + 7) / 8 * 8;
  const Numbers logits = fill<float>(static_cast<size_t>(rows) * ld, 4);
  const LossLimits limits{0.2f, 0.28f};
  std::vector<LossRow> list;
  std::vector<LossEntry> entries;
  Numbers wanted(static_cast<size_t>(rows) * ld, 0.0f), results;
  for (int r = 0; r < rows; ++r) {
    const float* z = &logits[static_cast<size_t>(r) * ld];
    LossRow row;
    row.first = static_cast<int>(entries.size());
    row.label = rows > 2 && r == 1 ? -1 : size(vocab) - 1;
    row.inverseTemperature = size(2) == 1 ? 1.0f : 1.4f;
    double loss[kLossKinds] = {}, c1 = 0, c2 = 0, lse = 0, lse1 = 0;
    if (row.label >= 0) {
      lse = referenceOps()->logSumExp(z, vocab, row.inverseTemperature);
      lse1 = referenceOps()->logSumExp(z, vocab, 1);
      const auto logp = [&](int v) { return static_cast<double>(static_cast<float>(static_cast<double>(z[v]) * row.inverseTemperature - lse)); };
      std::vector<double> g(vocab, 0.0);
      double ce = 0, total = 0;
      for (int e = size(5); e > 0; --e) {
        LossEntry entry;
        entry.kind = size(kLossKinds) - 1;
        entry.token = entry.kind == kLossOpd || entry.kind == kLossSplice ? size(vocab) - 1 : row.label;
        entry.weight = 0.1f + std::fabs(number(1));
        entry.a = entry.kind == kLossKl ? static_cast<float>(logp(entry.token)) + number(1) : number(1);
        entry.old = size(2) == 1 ? NAN : static_cast<float>(logp(entry.token)) + number(0.5f);
        entry.behaviour = size(2) == 1 ? NAN : static_cast<float>(logp(entry.token)) + number(0.5f);
        entries.push_back(entry);
        const double l = logp(entry.token), old = std::isnan(entry.old) ? l : entry.old, rho = std::exp(l - old), clipped = std::min(std::max(rho, 1.0 - limits.clipLow), 1.0 + limits.clipHigh);
        const bool open = rho * entry.a <= clipped * entry.a;
        double slope = 0;
        if (entry.kind == kLossPg) {
          const double c = std::isnan(entry.behaviour) ? 1 : std::min(std::exp(old - entry.behaviour), 2.0);
          loss[kLossPg] -= entry.weight * c * (open ? rho : clipped) * entry.a;
          slope = open ? -entry.weight * c * rho * entry.a : 0;
          c1 += c;
          c2 += c * c;
        } else if (entry.kind == kLossOpd) {
          loss[kLossOpd] -= entry.weight * (open ? rho : clipped) * entry.a;
          slope = open ? -entry.weight * rho * entry.a : 0;
        } else if (entry.kind == kLossSplice) {
          loss[kLossSplice] -= entry.weight * l;
          slope = -entry.weight;
        } else if (entry.kind == kLossKl) {
          const double d = l - entry.a;
          loss[kLossKl] += entry.weight * (std::exp(-d) - 1 + d);
          slope = entry.weight * (1 - std::exp(-d));
        } else {
          loss[kLossCe] -= entry.weight * (z[entry.token] - lse1);
          ce += entry.weight;
          continue;
        }
        g[entry.token] += slope;
        total += slope;
      }
      for (int i = 0; i < vocab; ++i) {
        const double p = std::exp(z[i] * static_cast<double>(row.inverseTemperature) - lse), p1 = std::exp(z[i] - lse1);
        wanted[static_cast<size_t>(r) * ld + i] = static_cast<float>(row.inverseTemperature * (g[i] - total * p) + ce * (p1 - (i == row.label ? 1 : 0)));
      }
      for (const double x : loss) results.push_back(static_cast<float>(x));
      results.push_back(static_cast<float>(logp(row.label)));
      results.push_back(static_cast<float>(c1));
      results.push_back(static_cast<float>(c2));
    }
    row.count = static_cast<int>(entries.size()) - row.first;
    list.push_back(row);
  }
  const auto dz = send<float>(logits);
  const auto dRows = upload(list);
  const auto dEntries = upload(entries);
  DeviceArray<LossRowResult> got(rows);
  check("loss gradient", dtypeOf<T>(), dims({rows, vocab}), wanted, [&] {
    DeviceArray<T> d(wanted.size());
    losses<T>(stream_, dz.get(), ld, vocab, dRows.get(), dEntries.get(), rows, limits, d.get(), got.get());
    return receive(d);
  }, isFloat<T> ? 1e-4 : 6e-3);
  check("loss terms", dtypeOf<T>(), dims({rows, vocab}), results, [&] {
    std::vector<LossRowResult> host(rows);
    stream_.download(host.data(), got.get(), host.size());
    stream_.wait();
    Numbers flat;
    for (int r = 0; r < rows; ++r) {
      if (list[r].label < 0) continue;
      flat.insert(flat.end(), host[r].loss, host[r].loss + kLossKinds);
      for (const float x : {host[r].logprob, host[r].importance, host[r].importanceSquared}) flat.push_back(x);
    }
    return flat;
  }, 1e-4);
}

void Bench::scores() {
  const int rows = size(4), vocab = 20 + size(700), ld = (vocab + 7) / 8 * 8, each = size(5), k = size(9);
  Numbers logits = fill<float>(static_cast<size_t>(rows) * ld, 3);
  for (float& z : logits)
    if (size(6) == 1) z = 2.5f;  // ties
  std::vector<int> tokens(static_cast<size_t>(rows) * each);
  for (int& t : tokens) t = size(vocab) - 1;
  Numbers wanted;
  for (int r = 0; r < rows; ++r) {
    const float* z = &logits[static_cast<size_t>(r) * ld];
    const double lse = referenceOps()->logSumExp(z, vocab, 0.8f);
    for (int j = 0; j < each; ++j) wanted.push_back(static_cast<float>(z[tokens[static_cast<size_t>(r) * each + j]] * 0.8 - lse));
    std::vector<int> order(vocab);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return z[a] > z[b]; });
    for (int j = 0; j < k; ++j) {
      wanted.push_back(static_cast<float>(order[j]));
      wanted.push_back(static_cast<float>(z[order[j]] * 0.8 - lse));
    }
  }
  const auto dz = send<float>(logits);
  const auto dt = upload(tokens);
  check("scores", "fp32", dims({rows, vocab, each, k}), wanted, [&] {
    DeviceArray<float> lp(tokens.size()), tl(static_cast<size_t>(rows) * k);
    DeviceArray<int> ti(static_cast<size_t>(rows) * k);
    ScoreArgs g;
    g.rows = rows; g.vocab = vocab; g.each = each; g.k = k; g.ld = ld; g.logits = dz.get(); g.inverseTemperature = 0.8f; g.tokens = dt.get(); g.logprobs = lp.get(); g.topIds = ti.get(); g.topLogprobs = tl.get();
    scoreRows(stream_, g);
    const Numbers a = receive(lp), c = receive(tl);
    std::vector<int> ids(ti.size());
    stream_.download(ids.data(), ti.get(), ids.size());
    stream_.wait();
    Numbers out;
    for (int r = 0; r < rows; ++r) {
      for (int j = 0; j < each; ++j) out.push_back(a[static_cast<size_t>(r) * each + j]);
      for (int j = 0; j < k; ++j) {
        out.push_back(static_cast<float>(ids[static_cast<size_t>(r) * k + j]));
        out.push_back(c[static_cast<size_t>(r) * k + j]);
      }
    }
    return out;
  }, 1e-5);
}

/// The token that owns `uniform` of the kept mass, ids ascending.
void Bench::sampling() {
  const int vocab = 20 + size(300), ld = (vocab + 7) / 8 * 8, draws = 24;
  const Numbers row = fill<float>(ld, 3);
  const float temperature = 0.4f + static_cast<float>(random_.uniform());
  const int topK = size(2) == 1 ? 0 : size(vocab);
  const float topP = size(2) == 1 ? 1.0f : 0.2f + 0.7f * static_cast<float>(random_.uniform());
  std::vector<int> order(vocab);
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](int a, int b) { return row[a] > row[b]; });
  const double peak = row[order[0]], lse = referenceOps()->logSumExp(row.data(), vocab, 1);
  std::vector<double> mass(vocab, 0.0);
  double all = 0, kept = 0;
  const int most = topK > 0 ? std::min(topK, vocab) : vocab;
  for (int i = 0; i < most; ++i) all += std::exp((row[order[i]] - peak) / temperature);
  for (int i = 0; i < most && kept < topP * all; ++i) kept += mass[order[i]] = std::exp((row[order[i]] - peak) / temperature);
  Numbers logits, wanted;
  std::vector<SampleRow> how;
  for (int d = 0; d < draws; ++d) {
    const float uniform = static_cast<float>(d) / draws + 0.5f / draws;
    double left = uniform * kept;
    int token = 0;
    while (token + 1 < vocab && (left -= mass[token]) >= 0) ++token;
    if (d == 0) token = order[0];
    how.push_back({d == 0 ? 0 : temperature, topP, topK, 1, uniform});
    logits.insert(logits.end(), row.begin(), row.end());
    wanted.push_back(static_cast<float>(token));
    wanted.push_back(static_cast<float>(row[token] - lse));
  }
  const auto dz = send<float>(logits);
  const auto dHow = upload(how);
  check("sampling", "fp32", dims({draws, vocab, topK}), wanted, [&] {
    DeviceArray<int> tokens(draws);
    DeviceArray<float> lp(draws);
    sampleRows(stream_, dz.get(), ld, vocab, dHow.get(), draws, tokens.get(), lp.get());
    std::vector<int> ids(draws);
    stream_.download(ids.data(), tokens.get(), ids.size());
    const Numbers l = receive(lp);
    Numbers out;
    for (int d = 0; d < draws; ++d) {
      out.push_back(static_cast<float>(ids[d]));
      out.push_back(l[d]);
    }
    return out;
  }, 1e-4);
}

template <class T>
void everything(Bench& bench) {
  bench.product<T>();
  bench.slices<T>();
  bench.vectors<T>();
  bench.attentions<T>();
  bench.decode<T>();
  bench.norms<T>();
  bench.ropes<T>();
  bench.units<T>();
  bench.lora<T>();
  bench.lossRows<T>();
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 20, first = argc > 2 ? std::atoi(argv[2]) : 0;
  int checks = 0, failures = pureFailures(checks);
  std::map<std::string, double> worst;
  try {
    chooseGemmBackend(Stream(StreamPriority::Serving));
    std::printf("{\"gemm\":\"%s\"}\n", gemmBackendReason().c_str());
    for (int seed = first; seed < first + rounds; ++seed) {
      Bench bench(static_cast<uint64_t>(seed) + 1);
      everything<float>(bench);
      everything<Bf16>(bench);
      bench.quantized();
      bench.adam();
      bench.scores();
      bench.sampling();
      checks += bench.checks();
      failures += bench.failures();
      for (const auto& item : bench.worst) worst[item.first] = std::max(worst[item.first], item.second);
    }
  } catch (const std::exception& thrown) {
    std::printf("{\"problem\":\"%s\"}\n", thrown.what());
    ++failures;
  }
  std::printf("{\"checks\":%d,\"failures\":%d,\"worst\":{", checks, failures);
  bool comma = false;
  for (const auto& item : worst) {
    std::printf("%s\"%s\":%.3g", comma ? "," : "", item.first.c_str(), std::isfinite(item.second) ? item.second : 1e30);
    comma = true;
  }
  std::printf("}}\n");
  return failures == 0 && checks > 0 ? 0 : 1;
}
