// Backward half of the transformer; shapes and method in transformer.h.
#include <cmath>
#include <cstring>

#include "model/transformer.h"

namespace hindsight {

void Transformer::headBackward(const float* hidden, const float* dLogits, int rows, float* dX, float* dHidden) {
  Rows dy{dLogits, rows, config_.vocab, nullptr};
  math_.packDy(dy, 0);
  math_.linearDx(dy, weights_.head, nullptr, nullptr, dX, false);
  math_.rmsnormBackward(hidden, weights_.finalNorm.get(), dX, rows, config_.hidden, config_.normEps, dHidden, false);
}

/// dx (+)= dy (W + s B A);  dA += s (dy B)^T x;  dB += s dy^T (x A^T). dx = null: inputs are leaves.
void Transformer::linearBackward(int layer, int target, Rows dy, const Rows& x, const float* xa, Adapter& adapter, Arena& arena, float* dx, bool add) {
  const PackedWeight& w = weights_.layers[layer].linear[target];
  const PackedLora* lora = adapter.packedFor(layer, target);
  if (!lora && !dx) return;
  math_.packDy(dy, 0);
  if (!lora) {
    math_.linearDx(dy, w, nullptr, nullptr, dx, add);
    return;
  }
  const int slot = layer * kTargets + target, r = adapter.rank;
  float* inner = arena.take(static_cast<size_t>(dy.rows) * r);
  math_.linearDx(dy, lora->b, nullptr, nullptr, inner, false);  // s dy B
  Rows dxa{inner, dy.rows, r, nullptr};
  math_.outer(dxa, x, adapter.gradients.data() + adapter.tensors[adapter.indexA[slot]].offset);
  float* transposed = arena.take(static_cast<size_t>(r) * w.n);  // (x A^T)^T dy, [r,N]
  std::memset(transposed, 0, static_cast<size_t>(r) * w.n * sizeof(float));
  math_.outer({xa, dy.rows, r, nullptr}, dy, transposed);
  float* dB = adapter.gradients.data() + adapter.tensors[adapter.indexB[slot]].offset;
  const float scale = adapter.scale();
  for (int n = 0; n < w.n; ++n)
    for (int j = 0; j < r; ++j) dB[static_cast<size_t>(n) * r + j] += scale * transposed[static_cast<size_t>(j) * w.n + n];
  if (!dx) return;
  math_.packDy(dxa, 1);
  math_.linearDx(dy, w, &dxa, &lora->a, dx, add);
}

/// d of the rotated, normed heads in place to d of the linear's output.
void Transformer::normRopeBackward(const float* in, const float* weight, int rows, int heads, float* d) {
  const int dim = config_.headDim, half = dim / 2;
  math_.ranges(rows, 64, [&](int first, int last, int) {
    for (int r = first; r < last; ++r)
      for (int h = 0; h < heads; ++h) {
        const size_t at = (static_cast<size_t>(r) * heads + h) * dim;
        const size_t angle = static_cast<size_t>(r) * half;
        math_.ops().rope(d + at, cosine_.data() + angle, sine_.data() + angle, dim, -1.0f);
        // dx may lie where dy does: each element is read before it is written.
        if (weight) math_.ops().rmsnormBackward(in + at, weight, d + at, dim, config_.normEps, d + at, false);
      }
  });
}

void Transformer::layerBackward(int layer, int rows, Adapter& adapter, const LayerState& s, Arena& arena, float* dH) {
  const LayerWeights& w = weights_.layers[layer];
  const size_t m = rows, hiddenSize = m * config_.hidden, inner = m * config_.intermediate;
  float *x = arena.take(hiddenSize), *dx = arena.take(hiddenSize);
  float *act = arena.take(inner), *dAct = arena.take(inner), *dGate = arena.take(inner), *dUp = arena.take(inner);

  math_.swiglu(s.gate, s.up, inner, act);
  linearBackward(layer, kDown, {dH, rows, config_.hidden, nullptr}, {act, rows, config_.intermediate, nullptr}, s.xa[kDown], adapter, arena, dAct, false);
  math_.swigluBackward(s.gate, s.up, dAct, inner, dGate, dUp);
  math_.rmsnorm(s.hMid, w.postNorm.get(), rows, config_.hidden, config_.normEps, x);
  const Rows x2{x, rows, config_.hidden, nullptr};
  linearBackward(layer, kGate, {dGate, rows, config_.intermediate, nullptr}, x2, s.xa[kGate], adapter, arena, dx, false);
  linearBackward(layer, kUp, {dUp, rows, config_.intermediate, nullptr}, x2, s.xa[kUp], adapter, arena, dx, true);
  math_.rmsnormBackward(s.hMid, w.postNorm.get(), dx, rows, config_.hidden, config_.normEps, dH, true);

  const size_t qSize = m * config_.qWidth(), kvSize = m * config_.kvWidth();
  float *dAttn = arena.take(qSize), *q = arena.take(qSize), *k = arena.take(kvSize);
  linearBackward(layer, kO, {dH, rows, config_.hidden, nullptr}, {s.attn, rows, config_.qWidth(), nullptr}, s.xa[kO], adapter, arena, dAttn, false);
  normRope(s.q, w.qNorm.get(), rows, config_.heads, 0, q);
  normRope(s.k, w.kNorm.get(), rows, config_.kvHeads, 0, k);
  AttentionBackwardArgs a;
  a.headDim = config_.headDim;
  a.heads = config_.heads;
  a.kvHeads = config_.kvHeads;
  a.rows = rows;
  a.scale = 1.0f / std::sqrt(static_cast<float>(config_.headDim));
  a.q = q;
  a.k = k;
  a.v = s.v;
  a.out = s.attn;
  a.dOut = dAttn;
  a.lse = s.lse;
  a.dq = arena.take(qSize);
  a.dk = arena.take(qSize);
  a.dv = arena.take(qSize);
  math_.attentionBackward(a);

  // Query heads of one group share their key head: sum their copies, head by head.
  float *dk = arena.take(kvSize), *dv = arena.take(kvSize);
  const int group = config_.heads / config_.kvHeads, d = config_.headDim;
  math_.ranges(rows, 64, [&](int first, int last, int) {
    for (int r = first; r < last; ++r)
      for (int h = 0; h < config_.kvHeads; ++h)
        for (int i = 0; i < d; ++i) {
          float sumK = 0, sumV = 0;
          for (int g = 0; g < group; ++g) {
            const size_t at = (static_cast<size_t>(h * group + g) * rows + r) * d + i;
            sumK += a.dk[at];
            sumV += a.dv[at];
          }
          const size_t to = static_cast<size_t>(r) * config_.kvWidth() + static_cast<size_t>(h) * d + i;
          dk[to] = sumK;
          dv[to] = sumV;
        }
  });
  normRopeBackward(s.q, w.qNorm.get(), rows, config_.heads, a.dq);
  normRopeBackward(s.k, w.kNorm.get(), rows, config_.kvHeads, dk);

  // Below the first layer there are only frozen embeddings, so its dX is never needed.
  float* dx1 = layer > 0 ? dx : nullptr;
  math_.rmsnorm(s.hIn, w.inputNorm.get(), rows, config_.hidden, config_.normEps, x);
  const Rows x1{x, rows, config_.hidden, nullptr};
  linearBackward(layer, kQ, {a.dq, rows, config_.qWidth(), nullptr}, x1, s.xa[kQ], adapter, arena, dx1, false);
  linearBackward(layer, kK, {dk, rows, config_.kvWidth(), nullptr}, x1, s.xa[kK], adapter, arena, dx1, true);
  linearBackward(layer, kV, {dv, rows, config_.kvWidth(), nullptr}, x1, s.xa[kV], adapter, arena, dx1, true);
  if (dx1) math_.rmsnormBackward(s.hIn, w.inputNorm.get(), dx, rows, config_.hidden, config_.normEps, dH, true);
}

void Transformer::backward(const TrainState& state, Adapter& adapter, Arena& scratch, float* dHidden, const std::function<void()>& pause) {
  for (int layer = config_.layers - 1; layer >= 0; --layer) {
    pause();
    scratch.reset();
    layerBackward(layer, state.rows, adapter, state.layers[layer], scratch, dHidden);
  }
}

}  // namespace hindsight
