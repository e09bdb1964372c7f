// Serving half of CudaModel: prefill, scoring and decode over pages of keys and values.
#include <algorithm>
#include <tuple>

#include "io/failure.h"
#include "model/cuda/model.h"

namespace hindsight {
namespace cuda {

template <class T>
LayerBuffers CudaModel<T>::serveLayer() const {
  LayerBuffers b;
  b.hIn = serve_.h[0];
  b.hMid = serve_.h[1];
  b.qkv = serve_.qkv;
  b.attn = serve_.attn;
  b.both = serve_.both;
  for (void*& xa : b.xa) xa = serve_.xa;  // used up before the next group
  return b;
}

template <class T>
float* CudaModel<T>::serveForward(const Batch& batch, const PassLora<T>& lora, int splits) {
  embed(serving_, weights_.embedding, batch.tokens, batch.rows, serve_.h[0]);
  PassBuffers p;
  p.x = serve_.x;
  p.qk = serve_.qk;
  p.act = serve_.act;
  p.slices = serve_.slices;
  p.partial = splits > 0 ? serve_.partial : nullptr;
  for (int layer = 0; layer < config_.layers; ++layer) layers_->forward(serving_, layer, batch, serveLayer(), p, lora, pagesOf(layer), pageStride(), splits, serve_.h[0]);
  return serve_.h[0];
}

template <class T>
void CudaModel<T>::prefill(const int32_t* tokens, int rows, int start, const std::vector<int>& pages, int handle) {
  if (rows < 1 || rows > extent_.prefillRows || static_cast<int>(pages.size()) * kPageTokens < start + rows) throw Failure("INTERNAL", "A prefill does not fit its pages: this is a defect.");
  std::vector<int> positions(rows), of(rows, 0);
  std::vector<AttentionTile> tiles;
  for (int r = 0; r < rows; ++r) positions[r] = start + r;
  for (int r = 0; r < rows; r += kAttentionRows) tiles.push_back({0, r});
  const Segment segment{0, rows, start, 0};
  serving_.upload(serve_.tokens, tokens, static_cast<size_t>(rows));
  serving_.upload(serve_.positions, positions.data(), positions.size());
  serving_.upload(serve_.segmentOfRow, of.data(), of.size());
  serving_.upload(serve_.segments, &segment, 1);
  serving_.upload(serve_.tiles, tiles.data(), tiles.size());
  serving_.upload(serve_.table, pages.data(), pages.size());
  Batch batch;
  batch.rows = rows;
  batch.tileCount = static_cast<int>(tiles.size());
  batch.tokens = serve_.tokens;
  batch.positions = serve_.positions;
  batch.segmentOfRow = serve_.segmentOfRow;
  batch.segments = serve_.segments;
  batch.tiles = serve_.tiles;
  batch.table = serve_.table;
  PassLora<T> lora;
  if (handle != 0) {
    const DeviceAdapter<T>& a = adapter(handle);
    lora.packed = a.serving();
    lora.layout = &a.layout;
  }
  lastHidden_ = serveForward(batch, lora, 0);
  serving_.wait();
}

template <class T>
void CudaModel<T>::keep(const std::vector<int>& rows, int at) {
  if (rows.empty()) return;
  if (at + static_cast<int>(rows.size()) > extent_.keptRows) throw Failure("INTERNAL", "More rows are kept than there are slots: this is a defect.");
  serving_.upload(serve_.keepIndex, rows.data(), rows.size());
  rmsnorm<T>(serving_, lastHidden_, serve_.keepIndex, weights_.finalNorm, static_cast<int>(rows.size()), config_.hidden, config_.normEps, static_cast<T*>(serve_.kept) + static_cast<size_t>(at) * config_.hidden);
  serving_.wait();
}

template <class T>
void CudaModel<T>::score(int rows, DeviceScore& s) {
  const size_t vocab = config_.vocab, padded = paddedVocab(config_);
  s.logprobs.resize(static_cast<size_t>(rows) * s.each);
  s.topIds.resize(static_cast<size_t>(rows) * s.topK);
  s.topLogprobs.resize(s.topIds.size());
  if (s.wantLogits) s.logits.resize(rows * vocab);
  std::vector<float> whole;
  for (int first = 0; first < rows; first += extent_.headRows) {
    const int count = std::min(extent_.headRows, rows - first);
    layers_->head(serving_, Layers<T>::Pass::Rows, count, static_cast<const T*>(serve_.kept) + static_cast<size_t>(first) * config_.hidden, serve_.logits);
    // At most kScoreEach numbers a row fit the buffers; top ids come with the first part.
    for (int from = 0; from < std::max(1, s.each); from += kScoreEach) {
      const int each = std::min(kScoreEach, s.each - from), k = from == 0 ? std::min(s.topK, kScoreEach) : 0;
      std::vector<int> tokens(static_cast<size_t>(count) * each);
      for (int r = 0; r < count; ++r) std::copy_n(s.tokens.begin() + static_cast<long>(first + r) * s.each + from, each, tokens.begin() + static_cast<long>(r) * each);
      serving_.upload(serve_.scoreTokens, tokens.data(), tokens.size());
      ScoreArgs g;
      g.rows = count;
      g.vocab = config_.vocab;
      g.each = each;
      g.k = k;
      g.ld = static_cast<long>(padded);
      g.logits = serve_.logits;
      g.inverseTemperature = 1 / s.temperature;
      g.tokens = serve_.scoreTokens;
      g.logprobs = serve_.logprobs;
      g.topIds = serve_.topIds;
      g.topLogprobs = serve_.topLogprobs;
      scoreRows(serving_, g);
      std::vector<float> logprobs(tokens.size());
      serving_.download(logprobs.data(), serve_.logprobs, logprobs.size());
      if (k > 0) {
        serving_.download(s.topIds.data() + static_cast<size_t>(first) * k, serve_.topIds, static_cast<size_t>(count) * k);
        serving_.download(s.topLogprobs.data() + static_cast<size_t>(first) * k, serve_.topLogprobs, static_cast<size_t>(count) * k);
      }
      serving_.wait();
      for (int r = 0; r < count; ++r) std::copy_n(logprobs.begin() + static_cast<long>(r) * each, each, s.logprobs.begin() + static_cast<long>(first + r) * s.each + from);
    }
    if (s.wantLogits) {
      whole.resize(count * padded);
      serving_.download(whole.data(), serve_.logits, whole.size());
      serving_.wait();
      for (int r = 0; r < count; ++r) std::copy_n(whole.begin() + static_cast<long>(r * padded), vocab, s.logits.begin() + static_cast<long>((first + r) * vocab));
    }
  }
}

template <class T>
void CudaModel<T>::decodePass(int rows, int splits, bool withLora) {
  Batch batch;
  batch.rows = rows;
  batch.tokens = serve_.tokens;
  batch.positions = serve_.positions;
  batch.segmentOfRow = serve_.segmentOfRow;
  batch.segments = serve_.segments;
  batch.table = serve_.table;
  PassLora<T> lora;
  if (withLora) {
    lora.pointers = serve_.loraPointers;
    lora.widths = serve_.loraWidths;
    lora.stride = extent_.decodeRows;
    lora.rank = extent_.rank;
  }
  float* h = serveForward(batch, lora, splits);
  rmsnorm<T>(serving_, h, nullptr, weights_.finalNorm, rows, config_.hidden, config_.normEps, static_cast<T*>(serve_.x));
  layers_->head(serving_, Layers<T>::Pass::Decode, rows, static_cast<const T*>(serve_.x), serve_.logits);
  sampleRows(serving_, serve_.logits, paddedVocab(config_), config_.vocab, serve_.how, rows, serve_.next, serve_.logprobs);
}

template <class T>
void CudaModel<T>::decode(std::vector<DecodeRow>& rows) {
  const int count = static_cast<int>(rows.size()), perRow = (config_.maxPositions + kPageTokens - 1) / kPageTokens;
  if (count < 1 || count > extent_.decodeRows) throw Failure("INTERNAL", "A decode batch does not fit: this is a defect.");
  std::vector<int> tokens, positions, of;
  std::vector<Segment> segments;
  std::vector<SampleRow> how;
  std::vector<int> adapters;
  int longest = 0;
  bool withLora = false;
  for (int i = 0; i < count; ++i) {
    const DecodeRow& row = rows[i];
    tokens.push_back(row.token);
    positions.push_back(row.position);
    of.push_back(i);
    segments.push_back({i, 1, row.position, i * perRow});
    how.push_back({row.sampling.temperature, row.sampling.topP, row.sampling.topK, row.sampling.logprobTemperature, row.sampling.uniform});
    longest = std::max(longest, row.position + 1);
    adapters.push_back(row.adapter);
    adapters.push_back(row.adapter ? adapter(row.adapter).active : 0);
    withLora = withLora || row.adapter != 0;
    serving_.upload(serve_.table + i * perRow, row.pages->data(), row.pages->size());
  }
  serving_.upload(serve_.tokens, tokens.data(), tokens.size());
  serving_.upload(serve_.positions, positions.data(), positions.size());
  serving_.upload(serve_.segmentOfRow, of.data(), of.size());
  serving_.upload(serve_.segments, segments.data(), segments.size());
  serving_.upload(serve_.how, how.data(), how.size());
  if (withLora && adapters != decodeAdapters_) {
    const size_t stride = extent_.decodeRows;
    std::vector<const void*> pointers(static_cast<size_t>(config_.layers) * kGroupCount * 2 * stride, nullptr);
    std::vector<int> widths(kGroupCount * stride, 0);
    for (int i = 0; i < count; ++i) {
      if (rows[i].adapter == 0) continue;
      const DeviceAdapter<T>& a = adapter(rows[i].adapter);
      for (int g = 0; g < kGroupCount; ++g) {
        widths[g * stride + i] = loraWidth(g, a.layout.rank);
        for (int layer = 0; layer < config_.layers; ++layer) {
          const T* base = a.serving() + layer * a.layout.layer;
          const size_t at = static_cast<size_t>(layer * kGroupCount + g) * 2 * stride + i;
          pointers[at] = base + a.layout.a[g];
          pointers[at + stride] = base + a.layout.b[g];
        }
      }
    }
    serving_.upload(serve_.loraPointers, pointers.data(), pointers.size());
    serving_.upload(serve_.loraWidths, widths.data(), widths.size());
    serving_.wait();
    decodeAdapters_ = adapters;
  }
  int splits = 1;
  while (splits < extent_.splits && longest > splits * 128) splits *= 2;
  Graph& graph = decodeGraphs_[std::make_tuple(count, splits, withLora ? 1 : 0)];
  if (!graph) graph = Graph::capture(serving_, [&] { decodePass(count, splits, withLora); });
  graph.launch(serving_);
  std::vector<float> logprobs(count);
  std::vector<int> next(count);
  serving_.download(next.data(), serve_.next, next.size());
  serving_.download(logprobs.data(), serve_.logprobs, logprobs.size());
  for (int i = 0; i < count; ++i) {
    if (!rows[i].wantLogits) continue;
    rows[i].logits.resize(config_.vocab);
    serving_.download(rows[i].logits.data(), serve_.logits + static_cast<size_t>(i) * paddedVocab(config_), rows[i].logits.size());
  }
  serving_.wait();
  for (int i = 0; i < count; ++i) {
    rows[i].next = next[i];
    rows[i].logprob = logprobs[i];
  }
}

#define HINDSIGHT_SERVE(T)                                                                                    \
  template LayerBuffers CudaModel<T>::serveLayer() const;                                                     \
  template float* CudaModel<T>::serveForward(const Batch&, const PassLora<T>&, int);                          \
  template void CudaModel<T>::prefill(const int32_t*, int, int, const std::vector<int>&, int);                \
  template void CudaModel<T>::keep(const std::vector<int>&, int);                                             \
  template void CudaModel<T>::score(int, DeviceScore&);                                                       \
  template void CudaModel<T>::decodePass(int, int, bool);                                                     \
  template void CudaModel<T>::decode(std::vector<DecodeRow>&);
HINDSIGHT_SERVE(float)
HINDSIGHT_SERVE(Bf16)

}  // namespace cuda
}  // namespace hindsight
