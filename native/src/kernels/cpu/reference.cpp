// The plain path: every op as one would write it on a blackboard. The fast tables are tested
// against this one, and this one against numbers of transformers and peft (testdata/parity).
// Sums run in double, so that a disagreement points at the fast path. Panels are one output wide,
// so a packed weight is simply W [N,K], and a packed row block is X^T [K][rows].
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/cpu/few.h"
#include "kernels/cpu/ops.h"

namespace hindsight {
namespace {

constexpr int kRowBlock = 8;

void pack(const float* w, int n, int k, float* out) {
  for (size_t i = 0; i < static_cast<size_t>(n) * k; ++i) out[i] = w[i];
}

void packRows(const float* x, long ldx, int rows, int k, float* out) {
  for (int r = 0; r < rows; ++r)
    for (int i = 0; i < k; ++i) out[i * rows + r] = x[r * ldx + i];
}

/// One output: residual + bias + x.w + x2.w2, where x[i] lies at x[i * step].
float output(const LinearArgs& g, int row, int n, const float* x, long step, const float* x2,
             long step2) {
  double sum = g.start ? g.start[row * g.ldy + n] : g.bias ? g.bias[n] : 0.0;
  for (int i = 0; i < g.k; ++i) sum += static_cast<double>(x[i * step]) * g.w[static_cast<size_t>(n) * g.k + i];
  for (int i = 0; i < g.k2; ++i) sum += static_cast<double>(x2[i * step2]) * g.w2[static_cast<size_t>(n) * g.k2 + i];
  return static_cast<float>(sum + (g.residual ? g.residual[row * g.ldy + n] : 0.0));
}

void linear(const LinearArgs& g, int b0, int b1, int p0, int p1) {
  const int blocks = blockCount(g.m, kRowBlock);
  for (int b = b0; b < b1; ++b) {
    const int r0 = blockStart(g.m, blocks, b), rows = blockStart(g.m, blocks, b + 1) - r0;
    for (int r = 0; r < rows; ++r)
      for (int n = p0; n < p1; ++n)
        g.y[(r0 + r) * g.ldy + n] =
            output(g, r0 + r, n, g.xPacked + static_cast<size_t>(r0) * g.k + r, rows,
                   g.x2Packed + static_cast<size_t>(r0) * g.k2 + r, rows);
  }
}

void linearSmall(const LinearArgs& g, int p0, int p1) {
  for (int r = 0; r < g.m; ++r)
    for (int n = p0; n < p1; ++n)
      g.y[r * g.ldy + n] = output(g, r, n, g.x + r * g.ldx, 1, g.x2 + r * g.ldx2, 1);
}

void rowPanels(const RowPanel* items, int count, int k) {
  for (int i = 0; i < count; ++i) {
    double sum = 0;
    for (int j = 0; j < k; ++j) sum += static_cast<double>(items[i].x[j]) * items[i].w[j];
    items[i].y[0] = static_cast<float>(sum);
  }
}

void linearDx(const LinearDxArgs& g, int b0, int b1, int p0, int p1, float*) {
  const int blocks = blockCount(g.m, kRowBlock);
  for (int b = b0; b < b1; ++b) {
    const int r0 = blockStart(g.m, blocks, b), rows = blockStart(g.m, blocks, b + 1) - r0;
    for (int r = 0; r < rows; ++r)
      for (int k = p0; k < p1; ++k) {
        float& dx = g.dx[(r0 + r) * g.lddx + k];
        double sum = g.add ? dx : 0.0;
        for (int t = 0; t < g.terms; ++t)
          for (int n = 0; n < g.term[t].n; ++n) sum += static_cast<double>(g.term[t].dyPacked[static_cast<size_t>(r0) * g.term[t].n + static_cast<size_t>(n) * rows + r]) * g.term[t].w[static_cast<size_t>(n) * g.k + k];
        dx = static_cast<float>(sum);
      }
  }
}

void linearDxWide(const LinearDxWideArgs& g, int r0, int r1, int p0, int p1, float*) {
  for (int r = r0; r < r1; ++r)
    for (int k = p0; k < p1; ++k) {
      double sum = 0;
      for (int n = 0; n < g.n; ++n) sum += static_cast<double>(g.dyPacked[static_cast<size_t>(r) * g.n + n]) * g.w[static_cast<size_t>(n) * g.k + k];
      float& dx = g.dx[r * g.lddx + k];
      dx = static_cast<float>(sum + (g.add ? dx : 0.0));
    }
}

void outer(int m, int r, const float* p, long ldp, const float* q, long ldq, int n0, int n1,
           float* out, long ldo) {
  for (int j = 0; j < r; ++j)
    for (int n = n0; n < n1; ++n) {
      double sum = 0;
      for (int i = 0; i < m; ++i) sum += static_cast<double>(p[i * ldp + j]) * q[i * ldq + n];
      out[j * ldo + n] += static_cast<float>(sum);
    }
}

/// 1 / rms(x)
double inverseRms(const float* x, int n, float eps) {
  double sum = 0;
  for (int i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * x[i];
  return 1.0 / std::sqrt(sum / n + eps);
}

void rmsnorm(const float* x, const float* weight, int n, float eps, float* out) {
  const double inverse = inverseRms(x, n, eps);
  for (int i = 0; i < n; ++i) out[i] = static_cast<float>(weight[i] * (x[i] * inverse));
}

void rmsnormBackward(const float* x, const float* weight, const float* dy, int n, float eps,
                     float* dx, bool add) {
  const double inverse = inverseRms(x, n, eps);
  double projection = 0;
  for (int i = 0; i < n; ++i) projection += static_cast<double>(dy[i]) * weight[i] * x[i];
  const double pull = projection * inverse * inverse * inverse / n;
  for (int i = 0; i < n; ++i) {
    const double d = dy[i] * weight[i] * inverse - x[i] * pull;
    dx[i] = static_cast<float>(add ? dx[i] + d : d);
  }
}

void rope(float* x, const float* cosine, const float* sine, int headDim, float sign) {
  const int half = headDim / 2;
  for (int i = 0; i < half; ++i) {
    const float a = x[i], b = x[half + i], s = sign * sine[i];
    x[i] = a * cosine[i] - b * s;
    x[half + i] = b * cosine[i] + a * s;
  }
}

double fromBf16(uint16_t half) {
  const uint32_t bits = static_cast<uint32_t>(half) << 16;
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

void toBf16(const float* x, size_t n, uint16_t* out) {
  for (size_t i = 0; i < n; ++i) {
    uint32_t bits;
    std::memcpy(&bits, x + i, 4);
    out[i] = static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
  }
}

/// What enters a product: x itself, or x rounded to bf16.
double operand(float x, bool half) {
  if (!half) return x;
  uint16_t rounded;
  toBf16(&x, 1, &rounded);
  return fromBf16(rounded);
}

/// Input i of the key (value) of token j of a page.
double keyAt(const float* page, bool half, size_t offset, size_t kvHead, int j, int i) {
  if (!half) return page[offset + kvHead + static_cast<size_t>(i) * kPage + j];
  return fromBf16(reinterpret_cast<const uint16_t*>(page + offset)[kvHead + static_cast<size_t>(i / 2) * 2 * kPage + 2 * j + i % 2]);
}
double valueAt(const float* page, bool half, size_t offset, size_t kvHead, int j, int i, int d) {
  if (!half) return page[offset + kvHead + static_cast<size_t>(j) * d + i];
  return fromBf16(reinterpret_cast<const uint16_t*>(page + offset)[kvHead + static_cast<size_t>(j / 2) * 2 * d + 2 * i + j % 2]);
}

void attention(const AttentionArgs& g, int head, int r0, int r1, float*) {
  const int d = g.headDim, width = g.heads * d;
  const size_t kvHead = static_cast<size_t>(head / (g.heads / g.kvHeads)) * d * kPage;
  for (int r = r0; r < r1; ++r) {
    const float* q = g.q + static_cast<size_t>(r) * width + head * d;
    const int keys = g.start + r + 1;
    std::vector<double> p(keys), out(d, 0.0);
    double top = -1e300, sum = 0;
    for (int j = 0; j < keys; ++j) {
      for (int i = 0; i < d; ++i) p[j] += operand(g.scale * q[i], g.half) * keyAt(g.pages[j / kPage], g.half, g.keyOffset, kvHead, j % kPage, i);
      if (p[j] > top) top = p[j];
    }
    double running = -1e300;  // maximum up to the end of the block: bf16 rounds exp(score - running)
    for (int j = 0; j < keys; ++j) {
      if (j % kAttentionBlock == 0)
        for (int i = j; i < keys && i < j + kAttentionBlock; ++i) running = p[i] > running ? p[i] : running;
      sum += std::exp(p[j] - top);
      const double weight = g.half ? operand(static_cast<float>(std::exp(p[j] - running)), true) * std::exp(running - top) : std::exp(p[j] - top);
      for (int i = 0; i < d; ++i) out[i] += weight * valueAt(g.pages[j / kPage], g.half, g.valueOffset, kvHead, j % kPage, i, d);
    }
    for (int i = 0; i < d; ++i)
      g.out[static_cast<size_t>(r) * width + head * d + i] = static_cast<float>(out[i] / sum);
    if (g.lse) g.lse[static_cast<size_t>(head) * g.rows + r] = static_cast<float>(top + std::log(sum));
  }
}
void spanAttention(const AttentionArgs& g, int head, int span, int r0, int r1, float*) {
  for (int i = 0; i < span; ++i) attention(g, head + i, r0, r1, nullptr);
}

void attentionBackward(const AttentionBackwardArgs& g, int item, float*) {
  const int d = g.headDim, s = g.rows, width = g.heads * d, kvWidth = g.kvHeads * d, first = item / g.parts * g.span, kvHead = first / (g.heads / g.kvHeads), part = item % g.parts;
  const int start = backwardStart(s, g.parts, part), end = backwardStart(s, g.parts, part + 1);
  std::vector<double> dk(static_cast<size_t>(s) * d, 0.0), dv(static_cast<size_t>(s) * d, 0.0);
  for (int head = first; head < first + g.span; ++head)
    for (int r = start; r < end; ++r) {
      const size_t at = static_cast<size_t>(r) * width + head * d;
      const float *q = g.q + at, *dOut = g.dOut + at, *out = g.out + at;
      double delta = 0;
      for (int i = 0; i < d; ++i) delta += static_cast<double>(dOut[i]) * out[i];
      std::vector<double> dq(d, 0.0);
      for (int j = 0; j <= r; ++j) {
        const float* k = g.k + static_cast<size_t>(j) * kvWidth + kvHead * d;
        const float* v = g.v + static_cast<size_t>(j) * kvWidth + kvHead * d;
        double score = 0, dp = 0;
        for (int i = 0; i < d; ++i) {
          score += operand(g.scale * q[i], g.half) * operand(k[i], g.half);
          dp += operand(dOut[i], g.half) * operand(v[i], g.half);
        }
        const double p = std::exp(score - g.lse[static_cast<size_t>(head) * s + r]);
        const double ds = g.half ? operand(static_cast<float>(p * (dp - delta)), true) : p * (dp - delta);
        const double weight = g.half ? operand(static_cast<float>(p), true) : p;
        for (int i = 0; i < d; ++i) {
          dq[i] += ds * g.scale * operand(k[i], g.half);
          dk[static_cast<size_t>(j) * d + i] += ds * operand(g.scale * q[i], g.half);
          dv[static_cast<size_t>(j) * d + i] += weight * operand(dOut[i], g.half);
        }
      }
      for (int i = 0; i < d; ++i) g.dq[at + i] = static_cast<float>(dq[i]);
    }
  for (int r = 0; r < end; ++r)
    for (int i = 0; i < d; ++i) {
      const size_t to = g.copy(item) + static_cast<size_t>(r) * kvWidth + kvHead * d + i, from = static_cast<size_t>(r) * d + i;
      g.dk[to] = static_cast<float>(dk[from]);
      g.dv[to] = static_cast<float>(dv[from]);
    }
}

double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

void swiglu(const float* gate, const float* up, size_t n, float* out) {
  for (size_t i = 0; i < n; ++i) out[i] = static_cast<float>(gate[i] * sigmoid(gate[i]) * up[i]);
}

void swigluBackward(const float* gate, const float* up, const float* dOut, size_t n, float* dGate,
                    float* dUp) {
  for (size_t i = 0; i < n; ++i) {
    const double g = gate[i], s = sigmoid(g);
    const double d = dOut[i], u = up[i];
    dUp[i] = static_cast<float>(d * g * s);
    dGate[i] = static_cast<float>(d * u * s * (1.0 + g * (1.0 - s)));
  }
}

void halfSwigluBackward(const float* gate, const float* up, const float* dOut, size_t n, uint16_t* dGate, uint16_t* dUp) {
  std::vector<float> exactGate(n), exactUp(n);
  swigluBackward(gate, up, dOut, n, exactGate.data(), exactUp.data());
  toBf16(exactGate.data(), n, dGate);
  toBf16(exactUp.data(), n, dUp);
}

double logSumExp(const float* z, size_t n, float inverseTemperature) {
  double top = -1e300, sum = 0;
  for (size_t i = 0; i < n; ++i)
    if (z[i] > top) top = z[i];
  for (size_t i = 0; i < n; ++i) sum += std::exp((z[i] - top) * inverseTemperature);
  return top * inverseTemperature + std::log(sum);
}

void softmaxScaled(const float* z, size_t n, float inverseTemperature, float lse, float factor,
                   float* out, bool add) {
  for (size_t i = 0; i < n; ++i) {
    const double p = factor * std::exp(static_cast<double>(z[i]) * inverseTemperature - lse);
    out[i] = static_cast<float>(add ? out[i] + p : p);
  }
}

/// PyTorch's AdamW: decoupled decay first, then the bias-corrected step.
void adamw(float* w, float* m, float* v, const float* g, size_t n, const AdamArgs& a) {
  for (size_t i = 0; i < n; ++i) {
    const double grad = static_cast<double>(g[i]) * a.gradScale;
    m[i] = static_cast<float>(a.beta1 * static_cast<double>(m[i]) + (1.0 - a.beta1) * grad);
    v[i] = static_cast<float>(a.beta2 * static_cast<double>(v[i]) + (1.0 - a.beta2) * grad * grad);
    const double root = std::sqrt(static_cast<double>(v[i]) / a.correction2) + a.eps;
    w[i] = static_cast<float>(w[i] * (1.0 - static_cast<double>(a.lr) * a.weightDecay) -
                              a.lr * (m[i] / static_cast<double>(a.correction1)) / root);
  }
}

// Weights in bf16 and int8, read lane by lane out of their panels (narrow.h).

float toBytes(const float* x, int k, uint8_t* out) {
  float top = 0;
  for (int i = 0; i < k; ++i) top = std::fabs(x[i]) > top ? std::fabs(x[i]) : top;
  const float inverse = top > 0 ? 127.0f / top : 0.0f;
  for (int i = 0; i < padded4(k); ++i) out[i] = static_cast<uint8_t>(128 + (i < k ? std::nearbyint(x[i] * inverse) : 0));
  return top / 127.0f;
}

/// W[n,i], unscaled.
double narrowWeight(const void* w, bool bytes, int n, int k, int i) {
  const int lane = bytes ? 4 : 2;
  const size_t at = static_cast<size_t>(n / kNarrowPanel) * kNarrowPanel * padded4(k) + static_cast<size_t>(i / lane) * lane * kNarrowPanel + static_cast<size_t>(n % kNarrowPanel) * lane + i % lane;
  return bytes ? static_cast<const int8_t*>(w)[at] : fromBf16(static_cast<const uint16_t*>(w)[at]);
}

void narrowLinear(const NarrowArgs& g, int r0, int r1, int p0, int p1, float*) {
  const int k4 = padded4(g.k);
  for (int r = r0; r < r1; ++r)
    for (int n = p0 * kNarrowPanel; n < g.n && n < p1 * kNarrowPanel; ++n) {
      double sum = 0;
      for (int i = 0; i < g.k; ++i) {
        const double x = g.xBytes ? (g.xBytes[static_cast<size_t>(r) * k4 + i] - 128) * static_cast<double>(g.xScale[r]) : fromBf16(g.x[static_cast<size_t>(r) * k4 + i]);
        sum += x * narrowWeight(g.w, g.wScale, n, g.k, i);
      }
      if (g.wScale) sum *= g.wScale[n];
      for (int i = 0; i < g.k2; ++i) sum += fromBf16(g.x2[r * g.ldx2 + i]) * narrowWeight(g.w2, false, n, g.k2, i);
      if (g.bias) sum += g.bias[n];
      const size_t at = static_cast<size_t>(r) * g.ldy + n;
      g.y[at] = static_cast<float>(sum + (g.residual ? g.residual[at] : 0.0));
    }
}

float toWords(const float* x, int k, uint8_t* high, uint8_t* low) {
  float top = 0;
  for (int i = 0; i < k; ++i) top = std::fabs(x[i]) > top ? std::fabs(x[i]) : top;
  const float inverse = top > 0 ? 32512.0f / top : 0.0f;
  for (int i = 0; i < padded4(k); ++i) {
    const int n = i < k ? static_cast<int>(std::nearbyint(x[i] * inverse)) : 0, h = (n + 128) >> 8;
    high[i] = static_cast<uint8_t>(h + 128);
    low[i] = static_cast<uint8_t>(n - h * 256 + 128);
  }
  return top / 32512.0f;
}

void few(const FewArgs& g, int p, float*) {
  const int k4 = padded4(g.k);
  for (int r = 0; r < g.m; ++r)
    for (int n = p * kNarrowPanel; n < g.n && n < (p + 1) * kNarrowPanel; ++n) {
      const auto input = [&](int i) {
        if (!g.xBytes) return fromBf16(g.x[static_cast<size_t>(r) * k4 + i]);
        const int high = g.xBytes[static_cast<size_t>(r) * k4 + i] - 128, low = g.xBytes[static_cast<size_t>(g.m + r) * k4 + i] - 128;
        return (256 * high + low) * static_cast<double>(g.xScale[r]);
      };
      double sum = 0;
      for (int i = 0; i < g.k; ++i) sum += input(i) * narrowWeight(g.w, g.wScale, n, g.k, i);
      if (g.wScale) sum *= g.wScale[n];
      for (int s = 0; s < g.segments; ++s) {
        const FewLora& lora = g.lora[s];
        if (r < lora.first || r >= lora.first + lora.rows) continue;
        for (int i = 0; i < lora.k; ++i) sum += fromBf16(lora.inner[(r - lora.first) * lora.ld + i]) * narrowWeight(lora.b, false, n, lora.k, i);
      }
      if (g.bias) sum += g.bias[n];
      const size_t at = static_cast<size_t>(r) * g.n + n;
      g.y[at] = static_cast<float>(sum + (g.residual ? g.residual[at] : 0.0));
    }
}

void narrowDx(const NarrowDxArgs& g, int r0, int r1, int p0, int p1, float*) {
  for (int r = r0; r < r1; ++r)
    for (int i = p0 * kNarrowPanel; i < g.k && i < p1 * kNarrowPanel; ++i) {
      double sum = 0;
      for (int t = 0; t < g.terms; ++t)
        for (int n = 0; n < g.term[t].n; ++n)
          sum += fromBf16(g.term[t].dy[r * g.term[t].lddy + n]) * narrowWeight(g.term[t].w, g.term[t].bytes, n, g.k, i);
      for (int j = 0; j < g.k2; ++j) sum += fromBf16(g.x2[r * g.ldx2 + j]) * narrowWeight(g.w2, false, i, g.k2, j);
      float& dx = g.dx[static_cast<size_t>(r) * g.lddx + i];
      dx = static_cast<float>(sum + (g.add ? dx : 0.0));
    }
}

void narrowOuter(const NarrowOuterArgs& g, int p, float*) {
  for (int j = 0; j < g.r; ++j)
    for (int n = p * kNarrowPanel; n < g.n && n < (p + 1) * kNarrowPanel; ++n) {
      double sum = g.out[static_cast<size_t>(j) * g.n + n];
      for (int i = 0; i < g.m; ++i) sum += static_cast<double>(fromBf16(g.p[j * g.ldp + i])) * fromBf16(g.q[i * g.ldq + n]);
      g.out[static_cast<size_t>(j) * g.n + n] = static_cast<float>(sum);
    }
}

}  // namespace

const Ops* referenceOps() {
  static constexpr NarrowOps narrow{kNarrowRows, kDxPanels, false, toBf16, halfSwigluBackward, toBytes, toWords, [](int, int, int) { return narrowDxScratch(); }, narrowLinear, few, narrowDx, narrowOuter, spanAttention, attentionBackward, [](Dtype, long) { return 0.0; }};
  static constexpr Ops ops{"reference", 1, kRowBlock, pack, packRows, linear, linearSmall, rowPanels, linearDx, linearDxWide,
                           outer, rmsnorm, rmsnormBackward, rope, attention, attentionBackward,
                           swiglu, swigluBackward, logSumExp, softmaxScaled, adamw, &narrow};
  return &ops;
}

}  // namespace hindsight
