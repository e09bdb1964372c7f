// Backward half of the transformer; shapes and method in transformer.h.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "model/transformer.h"

namespace hindsight {

/// Items of attention's gradient from which each may be longer.
constexpr int kManyItems = 16;

void Transformer::headBackward(const float* hidden, Rows dy, float* dX, float* dHidden) {
  const int rows = dy.rows;
  const PackedWeight* head = &weights_.head;
  math_.linearDx(&dy, &head, 1, nullptr, nullptr, dX, false);
  math_.rmsnormBackward(hidden, weights_.finalNorm.get(), dX, rows, config_.hidden, config_.normEps, dHidden, false);
}

/// Over the linears that read x: dx (+)= sum of dy (W + s B A);  dA += s (dy B)^T x;
/// dB += s dy^T (x A^T). dx = null: inputs are leaves.
void Transformer::groupBackward(int layer, std::initializer_list<Term> terms, const Rows& x, const float* xa, Adapter& adapter, Arena& arena, float* dx, bool add) {
  const PackedGroup* group = adapter.groupFor(layer, groupOf(terms.begin()->target));
  const bool narrow = weights_.dtype != Dtype::Fp32;
  const int m = x.rows, r = adapter.rank;
  if (!group && !dx) return;
  Rows dxa, dy[3];
  const PackedWeight* w[3];
  float* dInner = nullptr;
  if (group) {
    const size_t size = static_cast<size_t>(m) * group->width;
    dInner = arena.take(size);
    if (r % 4) std::memset(dInner, 0, size * sizeof(float));  // what lies between the linears' rows
    dxa = Rows{dInner, m, group->width};
  }
  Rows input = x;
  if (group && narrow) math_.toHalf(input, 0);
  int count = 0;
  for (const Term& term : terms) {
    const int slot = layer * kTargets + term.target;
    const PackedLora* lora = adapter.packedFor(layer, term.target);
    w[count] = &weights_.layers[layer].linear[term.target];
    Rows& d = dy[count++];
    const int n = w[count - 1]->n;
    d = term.dy;
    if (lora) {
      float* slice = dInner + lora->offset;
      if (narrow) {  // s dy B
        math_.toHalf(d, 2 + count - 1);
        math_.linear(d, lora->bTransposed, nullptr, nullptr, slice, nullptr, group->width);
      } else {
        const PackedWeight* b = &lora->b;
        math_.packGradient(d, count - 1);
        math_.linearDx(&d, &b, 1, nullptr, nullptr, slice, false, group->width);
      }
      Rows mine{slice, m, r}, inner{xa + lora->offset, m, r};
      mine.ld = inner.ld = group->width;
      math_.outer(mine, input, adapter.gradients.data() + adapter.tensors[adapter.indexA[slot]].offset);
      float* turned = arena.take(static_cast<size_t>(r) * n);  // (x A^T)^T dy, [r,N]
      std::memset(turned, 0, static_cast<size_t>(r) * n * sizeof(float));
      math_.outer(inner, d, turned);
      float* dB = adapter.gradients.data() + adapter.tensors[adapter.indexB[slot]].offset;
      const float scale = adapter.scale();
      math_.ranges(n, 128, [&](int from, int to, int) {
        for (int i = from; i < to; ++i)
          for (int j = 0; j < r; ++j) dB[static_cast<size_t>(i) * r + j] += scale * turned[static_cast<size_t>(j) * n + i];
      });
    }
  }
  if (dx) math_.linearDx(dy, w, count, group ? &dxa : nullptr, group ? narrow ? &group->aTransposed : &group->a : nullptr, dx, add);
}

/// d of the rotated, normed heads in place to d of the linear's output.
void Transformer::normRopeBackward(const float* in, const float* weight, const std::vector<Place>& places, int heads, float* d) {
  const int dim = config_.headDim, half = dim / 2;
  eachStretch(places, [&](const Place& place, int first, int last) {
    for (int r = first; r < last; ++r)
      for (int h = 0; h < heads; ++h) {
        const size_t at = (static_cast<size_t>(r) * heads + h) * dim;
        const size_t angle = static_cast<size_t>(r - place.first) * half;
        math_.ops().rope(d + at, cosine_.data() + angle, sine_.data() + angle, dim, -1.0f);
        // dx may lie where dy does: each element is read before it is written.
        if (weight) math_.ops().rmsnormBackward(in + at, weight, d + at, dim, config_.normEps, d + at, false);
      }
  });
}

/// Adds the copies of dK or dV to the first.
void Transformer::addCopies(const std::vector<AttentionBackwardArgs>& sequences, const std::vector<Place>& places, float* copies) {
  const int width = config_.kvWidth();
  eachStretch(places, [&](const Place& place, int first, int last) {
    const AttentionBackwardArgs& a = sequences[&place - places.data()];
    for (int c = 1; c < a.copies(); ++c) {
      const int end = std::min(last, place.first + (c % a.parts ? backwardStart(place.rows, a.parts, 1) : place.rows));
      for (size_t i = static_cast<size_t>(first) * width; first < end && i < static_cast<size_t>(end) * width; ++i) copies[i] += copies[c * a.copySize + i];
    }
  });
}

void Transformer::layerBackward(int layer, const TrainState& state, Adapter& adapter, const LayerState& s, Arena& arena, float* dH) {
  const LayerWeights& w = weights_.layers[layer];
  const int rows = state.rows;
  const size_t m = rows, hiddenSize = m * config_.hidden, inner = m * config_.intermediate;
  // int8's dX scales the columns of dY before it rounds.
  const bool half = weights_.dtype != Dtype::Fp32, halfGradients = weights_.dtype == Dtype::Bf16;
  const auto unlessRounded = [&](bool rounded, size_t size) { return rounded ? nullptr : arena.take(size); };
  float *x = unlessRounded(half, hiddenSize), *act = unlessRounded(half, inner);
  float *dGate = unlessRounded(halfGradients, inner), *dUp = unlessRounded(halfGradients, inner);
  float *dx = arena.take(hiddenSize), *dAct = arena.take(inner);
  const Rows dHidden{dH, rows, config_.hidden};

  const Rows gated = math_.swiglu(s.gate, s.up, rows, config_.intermediate, act, {half});
  groupBackward(layer, {{kDown, dHidden}}, gated, s.xa[groupOf(kDown)], adapter, arena, dAct, false);
  const auto [toGate, toUp] = math_.swigluBackward(s.gate, s.up, dAct, rows, config_.intermediate, dGate, dUp, halfGradients);
  const Rows normed = math_.rmsnorm(s.hMid, w.postNorm.get(), rows, config_.hidden, config_.normEps, x, {half});
  groupBackward(layer, {{kGate, toGate}, {kUp, toUp}}, normed, s.xa[groupOf(kGate)], adapter, arena, dx, false);
  math_.rmsnormBackward(s.hMid, w.postNorm.get(), dx, rows, config_.hidden, config_.normEps, dH, true);

  const size_t qSize = m * config_.qWidth(), kvSize = m * config_.kvWidth();
  float *dAttn = arena.take(qSize), *q = arena.take(qSize), *k = arena.take(kvSize);
  groupBackward(layer, {{kO, dHidden}}, {s.attn, rows, config_.qWidth()}, s.xa[groupOf(kO)], adapter, arena, dAttn, false);
  // With many items for the threads, the query heads of a key head are one.
  int items = 0;
  for (const Place& place : state.places) items += config_.kvHeads * backwardParts(place.rows);
  const int group = config_.heads / config_.kvHeads, span = items >= kManyItems ? group : 1;
  const size_t copies = static_cast<size_t>(group / span) * kBackwardParts;
  float *dq = arena.take(qSize), *dk = arena.take(copies * kvSize), *dv = arena.take(copies * kvSize);
  normRope(s.q, w.qNorm.get(), state.places, config_.heads, q);
  normRope(s.k, w.kNorm.get(), state.places, config_.kvHeads, k);
  std::vector<AttentionBackwardArgs> sequences;
  for (const Place& place : state.places) {
    const size_t atQ = static_cast<size_t>(place.first) * config_.qWidth(), atKv = static_cast<size_t>(place.first) * config_.kvWidth();
    AttentionBackwardArgs a;
    a.half = layout_.half;
    a.parts = backwardParts(place.rows);
    a.span = span;
    a.headDim = config_.headDim;
    a.heads = config_.heads;
    a.kvHeads = config_.kvHeads;
    a.rows = place.rows;
    a.scale = 1.0f / std::sqrt(static_cast<float>(config_.headDim));
    a.q = q + atQ;
    a.k = k + atKv;
    a.v = s.v + atKv;
    a.out = s.attn + atQ;
    a.dOut = dAttn + atQ;
    a.lse = s.lse + static_cast<size_t>(place.first) * config_.heads;
    a.dq = dq + atQ;
    a.dk = dk + atKv;
    a.dv = dv + atKv;
    a.copySize = kvSize;
    sequences.push_back(a);
  }
  math_.attentionBackward(sequences);
  addCopies(sequences, state.places, dk);
  addCopies(sequences, state.places, dv);
  normRopeBackward(s.q, w.qNorm.get(), state.places, config_.heads, dq);
  normRopeBackward(s.k, w.kNorm.get(), state.places, config_.kvHeads, dk);

  // Below the first layer there are only frozen embeddings, so its dX is never needed.
  float* dx1 = layer > 0 ? dx : nullptr;
  const Rows first = math_.rmsnorm(s.hIn, w.inputNorm.get(), rows, config_.hidden, config_.normEps, x, {half});
  const Rows toQ{dq, rows, config_.qWidth()}, toK{dk, rows, config_.kvWidth()}, toV{dv, rows, config_.kvWidth()};
  groupBackward(layer, {{kQ, toQ}, {kK, toK}, {kV, toV}}, first, s.xa[groupOf(kQ)], adapter, arena, dx1, false);
  if (dx1) math_.rmsnormBackward(s.hIn, w.inputNorm.get(), dx, rows, config_.hidden, config_.normEps, dH, true);
}

/// Floats that layerBackward() and groupBackward() take.
size_t Transformer::backwardFloats(int rows, const Adapter& adapter) const {
  const size_t m = rows, h = config_.hidden, inner = config_.intermediate, q = config_.qWidth(), kv = config_.kvWidth(), r = adapter.rank;
  const size_t lora = m * kGroups * adapter.widest() + r * (2 * h + q + 2 * kv + 2 * inner);
  const size_t fp32 = weights_.dtype == Dtype::Fp32 ? h + inner : 0, fp32Gradients = weights_.dtype == Dtype::Bf16 ? 0 : 2 * inner;  // else rounded at once
  return m * (fp32 + fp32Gradients + h + inner + (3 + 2 * kBackwardParts) * q + kv) + lora + 48 * (kSlack + 16);
}

void Transformer::backward(const TrainState& state, Adapter& adapter, Arena& scratch, float* dHidden, const std::function<void()>& pause) {
  for (int layer = config_.layers - 1; layer >= 0; --layer) {
    pause();
    scratch.reset();
    const bool kept = state.layers[layer].q != nullptr;
    layerBackward(layer, state, adapter, kept ? state.layers[layer] : repeated(layer, state, adapter), scratch, dHidden);
  }
}

}  // namespace hindsight
