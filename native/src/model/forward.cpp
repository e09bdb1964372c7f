// Forward half of the transformer; shapes and method in transformer.h.
#include <cmath>
#include <cstring>

#include "io/failure.h"
#include "model/transformer.h"

namespace hindsight {
namespace {

/// silu(gate) * up has heavy tails, which a byte per input rounds away. Models with more inner units
/// keep bytes there, because a quarter of their prefill hangs on it.
constexpr int kNarrowGate = 2048;

}  // namespace

void Transformer::ensureRope(int positions) {
  if (positions <= ropePositions_) return;
  int size = ropePositions_ > 0 ? ropePositions_ : 512;
  while (size < positions) size *= 2;
  const int half = config_.headDim / 2;
  const std::vector<float> inverse = inverseFrequencies(config_);
  cosine_.resize(static_cast<size_t>(size) * half + kSlack);
  sine_.resize(cosine_.size());
  for (int p = ropePositions_; p < size; ++p)
    for (int i = 0; i < half; ++i) {
      const float angle = static_cast<float>(p) * inverse[i];
      cosine_[static_cast<size_t>(p) * half + i] = std::cos(angle);
      sine_[static_cast<size_t>(p) * half + i] = std::sin(angle);
    }
  ropePositions_ = size;
}

void Transformer::embed(const int32_t* tokens, int rows, float* out) {
  const auto gather = [&](int first, int last, int) {
    for (int r = first; r < last; ++r) {
      float* row = out + static_cast<size_t>(r) * config_.hidden;
      if (config_.tiedHead) unpackRow(math_.ops(), weights_.head, tokens[r], row);
      else std::memcpy(row, weights_.embedding.get() + static_cast<size_t>(tokens[r]) * config_.hidden, config_.hidden * sizeof(float));
    }
  };
  if (rows < 64) gather(0, rows, 0);
  else math_.ranges(rows, 64, gather);
}

LayerState Transformer::takeState(int rows, Adapter* adapter, Arena& arena, bool training) {
  const size_t m = rows;
  LayerState s{};
  s.hIn = training ? arena.take(m * config_.hidden) : nullptr;
  s.q = arena.take(m * config_.qWidth());
  s.k = arena.take(m * config_.kvWidth());
  s.v = arena.take(m * config_.kvWidth());
  s.attn = arena.take(m * config_.qWidth());
  s.lse = training ? arena.take(m * config_.heads) : nullptr;
  s.hMid = arena.take(m * config_.hidden);
  s.gate = arena.take(m * config_.intermediate);
  s.up = arena.take(m * config_.intermediate);
  if (adapter)
    for (float*& xa : s.xa) xa = arena.take(m * adapter->widest());
  return s;
}

LayerScratch Transformer::takeScratch(int rows, Arena& arena, bool training) {
  LayerScratch t{};
  t.x = arena.take(static_cast<size_t>(rows) * config_.hidden);
  t.act = arena.take(static_cast<size_t>(rows) * config_.intermediate);
  t.q = training ? arena.take(static_cast<size_t>(rows) * config_.qWidth()) : nullptr;
  t.k = training ? arena.take(static_cast<size_t>(rows) * config_.kvWidth()) : nullptr;
  return t;
}

/// Per head: optional rmsnorm, then rotation by the row's position. in and out may be the same.
void Transformer::normRope(const float* in, const float* weight, const std::vector<Place>& places, int heads, float* out) {
  const int d = config_.headDim, half = d / 2;
  eachStretch(places, [&](const Place& place, int first, int last) {
    for (int r = first; r < last; ++r)
      for (int h = 0; h < heads; ++h) {
        const size_t at = (static_cast<size_t>(r) * heads + h) * d;
        if (weight) math_.ops().rmsnorm(in + at, weight, d, config_.normEps, out + at);
        else if (in != out) std::memcpy(out + at, in + at, d * sizeof(float));
        const size_t angle = static_cast<size_t>(place.start + r - place.first) * half;
        math_.ops().rope(out + at, cosine_.data() + angle, sine_.data() + angle, d, 1.0f);
      }
  });
}

void Transformer::storeKv(const float* k, const float* v, const std::vector<Place>& places) {
  const int d = config_.headDim, width = config_.kvWidth();
  const auto row = [&](const Place& place, const float* key, const float* value, int position) {
    const int lane = position % kPage;
    float* keys = place.pages[position / kPage] + place.keyOffset;
    float* values = place.pages[position / kPage] + place.valueOffset;
    for (int i = 0; i < width; ++i) keys[static_cast<size_t>(i) * kPage + lane] = key[i];
    for (int h = 0; h < config_.kvHeads; ++h)
      std::memcpy(values + (static_cast<size_t>(h) * kPage + lane) * d, value + static_cast<size_t>(h) * d, d * sizeof(float));
  };
  const auto halfRow = [&](const Place& place, const float* key, const float* value, int position, uint16_t* line) {
    const int lane = position % kPage;
    auto* keys = reinterpret_cast<uint16_t*>(place.pages[position / kPage] + place.keyOffset);
    auto* values = reinterpret_cast<uint16_t*>(place.pages[position / kPage] + place.valueOffset);
    math_.ops().narrow->toBf16(key, width, line);
    for (int i = 0; i < width; i += 2) std::memcpy(keys + static_cast<size_t>(i) * kPage + 2 * lane, line + i, 2 * sizeof(uint16_t));
    math_.ops().narrow->toBf16(value, width, line);
    for (int h = 0; h < config_.kvHeads; ++h)
      for (int i = 0; i < d; ++i) values[static_cast<size_t>(h) * d * kPage + static_cast<size_t>(lane / 2) * 2 * d + 2 * i + lane % 2] = line[h * d + i];
  };
  eachStretch(places, [&](const Place& place, int first, int last) {
    std::vector<uint16_t> line(width);
    for (int r = first; r < last; ++r) {
      const size_t at = static_cast<size_t>(r) * width;
      const int position = place.start + r - place.first;
      if (layout_.half) halfRow(place, k + at, v + at, position, line.data());
      else row(place, k + at, v + at, position);
    }
  });
}

void Transformer::attend(const std::vector<Place>& places, const float* q, float* out, float* lse) {
  std::vector<AttentionArgs> sequences;
  for (const Place& place : places) {
    AttentionArgs a;
    a.half = layout_.half;
    a.headDim = config_.headDim;
    a.heads = config_.heads;
    a.kvHeads = config_.kvHeads;
    a.rows = place.rows;
    a.start = place.start;
    a.scale = 1.0f / std::sqrt(static_cast<float>(config_.headDim));
    a.q = q + static_cast<size_t>(place.first) * config_.qWidth();
    a.pages = place.pages;
    a.keyOffset = place.keyOffset;
    a.valueOffset = place.valueOffset;
    a.out = out + static_cast<size_t>(place.first) * config_.qWidth();
    a.lse = lse ? lse + static_cast<size_t>(place.first) * config_.heads : nullptr;
    sequences.push_back(a);
  }
  math_.attention(sequences);
}

void Transformer::layerForward(int layer, int rows, const std::vector<Place>& places, Adapter* adapter, LayerState& s, const LayerScratch& t, float* hOut) {
  const LayerWeights& w = weights_.layers[layer];
  const bool bytes = math_.byteActivations();
  const Forms forms = rowForms(adapter);
  const auto linear = [&](int target, Rows& x, float* y, const float* residual) {
    const int group = groupOf(target);
    const PackedGroup* stacked = adapter ? adapter->groupFor(layer, group) : nullptr;
    // The first linear of a group computes x A^T for all of them.
    if (stacked && (group == 0 ? target == kQ : group == 2 ? target == kGate : true)) math_.linear(x, stacked->a, nullptr, nullptr, s.xa[group], nullptr);
    const PackedLora* lora = stacked ? adapter->packedFor(layer, target) : nullptr;
    Rows inner;
    if (lora) {
      inner.data = s.xa[group] + lora->offset;
      inner.rows = rows;
      inner.cols = adapter->rank;
      inner.ld = stacked->width;
    }
    math_.linear(x, w.linear[target], lora ? &inner : nullptr, lora ? &lora->b : nullptr, y, residual);
  };
  Rows x1 = math_.rmsnorm(s.hIn, w.inputNorm.get(), rows, config_.hidden, config_.normEps, t.x, forms);
  linear(kQ, x1, s.q, nullptr);
  linear(kK, x1, s.k, nullptr);
  linear(kV, x1, s.v, nullptr);
  float *q = t.q ? t.q : s.q, *k = t.k ? t.k : s.k;
  normRope(s.q, w.qNorm.get(), places, config_.heads, q);
  normRope(s.k, w.kNorm.get(), places, config_.kvHeads, k);
  storeKv(k, s.v, places);

  attend(places, q, s.attn, s.lse);

  Rows attn{s.attn, rows, config_.qWidth(), nullptr};
  linear(kO, attn, s.hMid, s.hIn);
  Rows x2 = math_.rmsnorm(s.hMid, w.postNorm.get(), rows, config_.hidden, config_.normEps, t.x, forms);
  linear(kGate, x2, s.gate, nullptr);
  linear(kUp, x2, s.up, nullptr);
  if (config_.intermediate <= kNarrowGate) math_.byteActivations(false);
  Rows act = math_.swiglu(s.gate, s.up, rows, config_.intermediate, t.act, rowForms(adapter));
  linear(kDown, act, hOut, s.hMid);
  math_.byteActivations(bytes);
}

void Transformer::forward(const int32_t* tokens, int rows, KvSequence& kv, Adapter* adapter, const std::atomic<bool>* cancelled, float* hidden) {
  ensureRope(kv.length + rows);
  kv.extend(layout_, rows);
  if (adapter) adapter->pack(math_.ops(), weights_.dtype, Pass::Serving);
  serveArena_.reset();
  std::vector<float*> pages;
  for (const auto& page : kv.pages) pages.push_back(page->data.get());
  LayerState s = takeState(rows, adapter, serveArena_, false);
  const LayerScratch t = takeScratch(rows, serveArena_, false);
  s.hIn = hidden;
  embed(tokens, rows, hidden);
  for (int layer = 0; layer < config_.layers; ++layer) {
    if (cancelled && cancelled->load(std::memory_order_relaxed)) throw Cancelled();
    const Place place{pages.data(), layout_.keyOffset(layer), layout_.valueOffset(layer), kv.length, 0, rows};
    layerForward(layer, rows, {place}, adapter, s, t, hidden);
  }
  kv.length += rows;
}

/// Floats of takeState() without hIn.
size_t Transformer::layerFloats(int rows, const Adapter& adapter) const {
  const size_t row = 2 * static_cast<size_t>(config_.qWidth()) + 2 * config_.kvWidth() + config_.heads + config_.hidden + 2 * config_.intermediate + kGroups * adapter.widest();
  return rows * row + 16 * (kSlack + 16);
}

size_t Transformer::stateFloats(int rows, int sequences, const Adapter& adapter, int checkpointed) const {
  const size_t m = rows, h = config_.hidden, pages = (m / kPage + sequences) * 2 * layout_.kvSize;
  const size_t scratch = m * (h + config_.intermediate + config_.qWidth() + config_.kvWidth());
  const size_t states = config_.layers - checkpointed + (checkpointed > 0 ? 1 : 0);
  return pages + scratch + states * layerFloats(rows, adapter) + (config_.layers + 3) * (m * h + kSlack + 16) + 8 * (kSlack + 16);
}

TrainState Transformer::forwardTraining(const std::vector<const std::vector<int32_t>*>& sequences, Adapter& adapter, int checkpointed, Arena& arena, const std::function<void()>& pause) {
  int rows = 0;
  size_t count = 0;  // of pages
  for (const auto* tokens : sequences) {
    const int length = static_cast<int>(tokens->size());
    ensureRope(length);
    rows += length;
    count += (length + kPage - 1) / kPage;
  }
  adapter.pack(math_.ops(), weights_.dtype, Pass::Training);
  TrainState state;
  state.rows = rows;
  const size_t pageFloats = 2 * layout_.kvSize, hiddenFloats = static_cast<size_t>(rows) * config_.hidden;
  float* memory = arena.take(pageFloats * count);
  std::memset(memory, 0, pageFloats * count * sizeof(float));
  for (size_t i = 0; i < count; ++i) state.pages.push_back(memory + i * pageFloats);
  int first = 0;
  size_t page = 0;
  for (const auto* tokens : sequences) {
    const int length = static_cast<int>(tokens->size());
    state.places.push_back({state.pages.data() + page, 0, layout_.kvSize, 0, first, length});
    first += length;
    page += (length + kPage - 1) / kPage;
  }
  state.scratch = takeScratch(rows, arena, true);
  if (checkpointed > 0) {
    state.again = takeState(rows, &adapter, arena, true);
    state.dropped = state.again.hIn;
  }
  for (int layer = 0; layer < config_.layers; ++layer) {
    LayerState kept{};
    if (layer < checkpointed) kept.hIn = arena.take(hiddenFloats);
    else kept = takeState(rows, &adapter, arena, true);
    state.layers.push_back(kept);
  }
  state.hidden = arena.take(hiddenFloats);
  for (size_t i = 0; i < sequences.size(); ++i)
    embed(sequences[i]->data(), state.places[i].rows, state.layers[0].hIn + static_cast<size_t>(state.places[i].first) * config_.hidden);
  for (int layer = 0; layer < config_.layers; ++layer) {
    pause();
    math_.byteActivations(false);  // whoever ran in the pause may serve
    float* out = layer + 1 < config_.layers ? state.layers[layer + 1].hIn : state.hidden;
    LayerState here = layer < checkpointed ? state.again : state.layers[layer];
    here.hIn = state.layers[layer].hIn;
    layerForward(layer, rows, state.places, &adapter, here, state.scratch, out);
  }
  return state;
}

/// A checkpointed layer's state, computed again: the same numbers to the last bit.
LayerState Transformer::repeated(int layer, const TrainState& state, Adapter& adapter) {
  LayerState here = state.again;
  here.hIn = state.layers[layer].hIn;
  math_.byteActivations(false);
  layerForward(layer, state.rows, state.places, &adapter, here, state.scratch, state.dropped);
  return here;
}

void Transformer::head(const float* hidden, int rows, float* x, float* logits) {
  math_.rmsnorm(hidden, weights_.finalNorm.get(), rows, config_.hidden, config_.normEps, x);
  Rows normed{x, rows, config_.hidden, nullptr};
  // Logits are worth exact inputs, and reading the weights is what costs here.
  math_.byteActivations(false);
  math_.linear(normed, weights_.head, nullptr, nullptr, logits, nullptr);
}

}  // namespace hindsight
