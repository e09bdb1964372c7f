#include "model/cuda/layers.h"

#include <cmath>

namespace hindsight {
namespace cuda {
namespace {

long weightPitch(const Weight& w) { return w.format == Format::Int8 || w.format == Format::Nf4 ? static_cast<long>(rowPitch(w.format, w.k)) : w.k; }
void setWeight(GemmArgs& g, const Weight& w) {
  g.w = w.data;
  g.ldw = weightPitch(w);
  g.scale = w.scale;
  g.scales = scalesPerRow(w.format, w.k);
  g.rows = w.n;
}

}  // namespace

template <class T>
void Layers<T>::slicedProduct(const Stream& stream, Product product, int m, int n, int k, const T* x, long ldx, const T* w, long ldw, float* slices, T* y) const {
  GemmArgs g;
  g.m = m;
  g.n = n;
  g.k = k;
  g.x = x;
  g.ldx = ldx;
  g.w = w;
  g.ldw = ldw;
  g.rows = product == Product::Forward ? n : k;
  // By the model's widths alone, so that a row's sum does not depend on its company.
  g.splits = splitsFor(64, n, k, multiprocessors_);
  while (g.splits > 1 && static_cast<size_t>(g.splits) * m * n > sliceFloats(multiprocessors_)) g.splits = 1;
  g.ldy = n;
  const Format format = sizeof(T) == 4 ? Format::Fp32 : Format::Bf16;
  g.floats = g.splits > 1;
  g.y = g.splits > 1 ? static_cast<void*>(slices) : y;
  gemm<T>(stream, product, format, g);
  if (g.splits > 1) sumSlices<T>(stream, slices, g.splits, m, n, y, n);
}

template <class T>
void Layers<T>::outerProduct(const Stream& stream, int p, int q, int rows, const T* a, const T* b, float* slices, float* out) const {
  GemmArgs g;
  g.m = p;
  g.n = q;
  g.k = rows;
  g.x = a;
  g.ldx = p;
  g.w = b;
  g.ldw = q;
  g.splits = splitsFor(p, q, rows, multiprocessors_);
  if (static_cast<size_t>(g.splits) * p * q > sliceFloats(multiprocessors_)) g.splits = 1;
  g.floats = true;
  g.y = g.splits > 1 ? slices : out;
  g.ldy = q;
  gemm<T>(stream, Product::Outer, sizeof(T) == 4 ? Format::Fp32 : Format::Bf16, g);
  if (g.splits > 1) sumSlices<float>(stream, slices, g.splits, p, q, out, q);
}

template <class T>
void Layers<T>::linear(const Stream& stream, int layer, int group, int rows, const T* x, T* xa, const PassBuffers& p, const PassLora<T>& lora, void* y, bool floats, const float* residual) const {
  const Weight& w = weights_.layers[layer].group[group];
  if (lora.pointers || (!lora.packed && rows <= kVectorRows && p.partial)) {  // decode
    GemvArgs g;
    g.m = rows;
    g.w = w;
    g.x = x;
    g.ldx = w.k;
    g.residual = residual;
    g.y = y;
    g.ldy = w.n;
    g.floats = floats;
    if (lora.pointers) {
      const void* const* at = lora.pointers + static_cast<size_t>(layer * kGroupCount + group) * 2 * lora.stride;
      const int width = loraWidth(group, lora.rank);
      loraDown<T>(stream, rows, w.k, x, w.k, at, lora.widths + group * lora.stride, width, xa);
      g.xa = xa;
      g.ldxa = width;
      g.b = at + lora.stride;
      g.k2 = lora.widths + group * lora.stride;
    }
    gemv<T>(stream, g);
    return;
  }
  GemmArgs g;
  g.m = rows;
  g.n = w.n;
  g.k = w.k;
  g.x = x;
  g.ldx = w.k;
  setWeight(g, w);
  g.bias = w.bias;
  g.residual = residual;
  g.ldr = w.n;
  g.y = y;
  g.ldy = w.n;
  g.floats = floats;
  if (lora.packed) {
    const T* base = lora.packed + layer * lora.layout->layer;
    g.k2 = loraWidth(group, lora.layout->rank);
    slicedProduct(stream, Product::Forward, rows, g.k2, w.k, x, w.k, base + lora.layout->a[group], w.k, p.slices, xa);
    g.x2 = xa;
    g.ldx2 = g.k2;
    g.w2 = base + lora.layout->b[group];
    g.ldw2 = g.k2;
  }
  gemm<T>(stream, Product::Forward, w.format, g);
}

template <class T>
AttentionArgs Layers<T>::attentionArgs(const Batch& batch, const LayerBuffers& b, void* qk) const {
  AttentionArgs a;
  a.heads = config_.heads;
  a.kvHeads = config_.kvHeads;
  a.headDim = config_.headDim;
  a.rows = batch.rows;
  a.scale = 1.0f / std::sqrt(static_cast<float>(config_.headDim));
  a.segments = batch.segments;
  a.tiles = batch.tiles;
  a.tileCount = batch.tileCount;
  a.segmentOfRow = batch.segmentOfRow;
  a.q = qk;
  a.k = static_cast<T*>(qk) + config_.qWidth();
  a.ldq = a.ldk = config_.qWidth() + config_.kvWidth();
  a.v = static_cast<T*>(b.qkv) + config_.qWidth() + config_.kvWidth();
  a.ldv = groupShape(config_, kQkv).n;
  a.out = b.attn;
  a.ldo = config_.qWidth();
  a.lse = b.lse;
  return a;
}

template <class T>
RopeArgs Layers<T>::ropeArgs(int layer, const Batch& batch, const LayerBuffers& b, void* out, long ldOut) const {
  RopeArgs r;
  r.rows = batch.rows;
  r.heads = config_.heads;
  r.kvHeads = config_.kvHeads;
  r.headDim = config_.headDim;
  r.eps = config_.normEps;
  r.qNorm = weights_.layers[layer].qNorm;
  r.kNorm = weights_.layers[layer].kNorm;
  r.cosine = weights_.cosine;
  r.sine = weights_.sine;
  r.positions = batch.positions;
  r.in = b.qkv;
  r.ldIn = groupShape(config_, kQkv).n;
  r.out = out;
  r.ldOut = ldOut;
  return r;
}

template <class T>
void Layers<T>::forward(const Stream& stream, int layer, const Batch& batch, const LayerBuffers& b, const PassBuffers& p, const PassLora<T>& lora, T* pages, long pageStride, int splits, float* hOut) const {
  const DeviceLayer& w = weights_.layers[layer];
  const int rows = batch.rows, hidden = config_.hidden;
  T *x = static_cast<T*>(p.x), *act = static_cast<T*>(p.act);
  rmsnorm<T>(stream, b.hIn, nullptr, w.inputNorm, rows, hidden, config_.normEps, x);
  linear(stream, layer, kQkv, rows, x, static_cast<T*>(b.xa[kQkv]), p, lora, b.qkv, false, nullptr);
  rope<T>(stream, ropeArgs(layer, batch, b, p.qk, config_.qWidth() + config_.kvWidth()));
  AttentionArgs a = attentionArgs(batch, b, p.qk);
  if (pages) {
    StoreArgs s;
    s.rows = rows;
    s.kvWidth = config_.kvWidth();
    s.segments = batch.segments;
    s.segmentOfRow = batch.segmentOfRow;
    s.table = batch.table;
    s.pageStride = pageStride;
    s.k = a.k;
    s.ldk = a.ldk;
    s.v = a.v;
    s.ldv = a.ldv;
    s.keys = pages;
    s.values = pages + static_cast<size_t>(kPageTokens) * config_.kvWidth();
    storePages<T>(stream, s);
    a.k = s.keys;
    a.v = s.values;
    a.ldk = a.ldv = config_.kvWidth();
    a.table = batch.table;
    a.pageStride = pageStride;
  }
  if (splits > 0) attentionDecode<T>(stream, a, splits, p.partial);
  else attention<T>(stream, a);
  linear(stream, layer, kO, rows, static_cast<T*>(b.attn), static_cast<T*>(b.xa[kO]), p, lora, b.hMid, true, b.hIn);
  rmsnorm<T>(stream, b.hMid, nullptr, w.postNorm, rows, hidden, config_.normEps, x);
  linear(stream, layer, kGateUp, rows, x, static_cast<T*>(b.xa[kGateUp]), p, lora, b.both, false, nullptr);
  swiglu<T>(stream, static_cast<T*>(b.both), rows, config_.intermediate, act);
  linear(stream, layer, kDown, rows, act, static_cast<T*>(b.xa[kDown]), p, lora, hOut, true, b.hMid);
}

template <class T>
void Layers<T>::groupBackward(const Stream& stream, int layer, int group, int rows, const T* dy, const T* x, const T* xa, const TrainBuffers& t, const T* packed, const LoraLayout& layout, const GradientTarget& to, T* dx) const {
  const Weight& w = weights_.layers[layer].group[group];
  const T* base = packed + layer * layout.layer;
  const int k2 = loraWidth(group, layout.rank);
  T* dxa = static_cast<T*>(t.dxa);
  // dXa = dY B; dB = dY^T Xa; dA = dXa^T X. B carries alpha / r, so dA needs no factor.
  slicedProduct(stream, Product::Gradient, rows, k2, w.n, dy, w.n, base + layout.b[group], k2, t.slices, dxa);
  const std::pair<int, int>& pieces = to.ranges[layer * kGroupCount + group];
  if (pieces.second > 0) {
    float* dA = t.packedGradient;
    float* dB = dA + static_cast<size_t>(k2) * w.k;
    outerProduct(stream, k2, w.k, rows, dxa, x, t.slices, dA);
    outerProduct(stream, w.n, k2, rows, dy, xa, t.slices, dB);
    addGradients(stream, to.pieces + pieces.first, pieces.second, to.largest, t.packedGradient, layer * layout.layer + layout.a[group], to.flat);
  }
  if (!dx) return;
  GemmArgs g;
  g.m = rows;
  g.n = w.k;
  g.k = w.n;
  g.k2 = k2;
  g.x = dy;
  g.ldx = w.n;
  setWeight(g, w);
  g.x2 = dxa;
  g.ldx2 = k2;
  g.w2 = base + layout.a[group];
  g.ldw2 = w.k;
  g.y = dx;
  g.ldy = w.k;
  gemm<T>(stream, Product::Gradient, w.format, g);
}

template <class T>
void Layers<T>::backward(const Stream& stream, int layer, const Batch& batch, const LayerBuffers& b, const TrainBuffers& t, const T* packed, const LoraLayout& layout, const GradientTarget& to) const {
  const DeviceLayer& w = weights_.layers[layer];
  const int rows = batch.rows, hidden = config_.hidden;
  T *x = static_cast<T*>(t.x), *dx = static_cast<T*>(t.dx), *dhT = static_cast<T*>(t.dhT), *act = static_cast<T*>(t.act);
  // Two gradients lie where their values did, each read for the last time before: 0.2 GB of 7b's plan.
  T *both = static_cast<T*>(b.both), *dBoth = both, *dAct = act;
  const auto group = [&](int which, const T* dy, const T* input, T* out) { groupBackward(stream, layer, which, rows, dy, input, static_cast<const T*>(b.xa[which]), t, packed, layout, to, out); };

  convert<T>(stream, t.dh, static_cast<size_t>(rows) * hidden, dhT);
  swiglu<T>(stream, both, rows, config_.intermediate, act);
  group(kDown, dhT, act, dAct);
  swigluBackward<T>(stream, both, dAct, rows, config_.intermediate, dBoth);
  rmsnorm<T>(stream, b.hMid, nullptr, w.postNorm, rows, hidden, config_.normEps, x);
  group(kGateUp, dBoth, x, dx);
  rmsnormBackward<T>(stream, b.hMid, nullptr, w.postNorm, dx, rows, hidden, config_.normEps, t.dh, true, dhT);

  T *dAttn = static_cast<T*>(t.dAttn), *dqkv = static_cast<T*>(t.dqkv);
  group(kO, dhT, static_cast<const T*>(b.attn), dAttn);
  rope<T>(stream, ropeArgs(layer, batch, b, t.qk, config_.qWidth() + config_.kvWidth()));
  AttentionBackwardArgs a;
  a.forward = attentionArgs(batch, b, t.qk);
  a.dOut = dAttn;
  a.delta = t.delta;
  a.dq = dqkv;
  a.dk = dqkv + config_.qWidth();
  a.dv = dqkv + config_.qWidth() + config_.kvWidth();
  a.lddq = a.lddk = a.lddv = groupShape(config_, kQkv).n;
  attentionBackward<T>(stream, a);
  ropeBackward<T>(stream, ropeArgs(layer, batch, b, dqkv, groupShape(config_, kQkv).n));
  rmsnorm<T>(stream, b.hIn, nullptr, w.inputNorm, rows, hidden, config_.normEps, x);
  // Below the first layer there are only frozen embeddings, so its dX is never needed.
  group(kQkv, dqkv, x, layer > 0 ? dx : nullptr);
  if (layer > 0) rmsnormBackward<T>(stream, b.hIn, nullptr, w.inputNorm, dx, rows, hidden, config_.normEps, t.dh, true, static_cast<T*>(nullptr));
}

template <class T>
void Layers<T>::head(const Stream& stream, Pass pass, int rows, const T* x, float* logits) const {
  const Weight& w = weights_.head;
  if (pass == Pass::Decode) {
    GemvArgs g;
    g.m = rows;
    g.w = w;
    g.x = x;
    g.ldx = w.k;
    g.y = logits;
    g.ldy = paddedVocab(config_);
    g.floats = true;
    gemv<T>(stream, g);
    return;
  }
  GemmArgs g;
  g.m = rows;
  g.n = w.n;
  g.k = w.k;
  g.x = x;
  g.ldx = w.k;
  setWeight(g, w);
  g.y = logits;
  g.ldy = paddedVocab(config_);
  g.floats = true;
  gemm<T>(stream, Product::Forward, w.format, g);
}

template <class T>
void Layers<T>::headBackward(const Stream& stream, int rows, const T* dLogits, T* dX) const {
  const Weight& w = weights_.head;
  GemmArgs g;
  g.m = rows;
  g.n = w.k;
  g.k = w.n;
  g.x = dLogits;
  g.ldx = paddedVocab(config_);
  setWeight(g, w);
  g.y = dX;
  g.ldy = w.k;
  gemm<T>(stream, Product::Gradient, w.format, g);
}

template class Layers<float>;
template class Layers<Bf16>;

}  // namespace cuda
}  // namespace hindsight
