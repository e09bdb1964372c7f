// Training half of CudaModel: one packed batch forward and backward, captured as a graph per shape.
#include <algorithm>

#include "io/failure.h"
#include "model/cuda/model.h"

namespace hindsight {
namespace cuda {
namespace {

/// Batches are filled up to a multiple of this, so that few shapes are captured. The filling is a sequence
/// of its own without labels: it costs time and changes nothing.
int filled(int rows) { return rows <= 256 ? (rows + 31) / 32 * 32 : (rows + 127) / 128 * 128; }
constexpr size_t kGraphs = 16;

}  // namespace

template <class T>
void CudaModel<T>::trainPass(DeviceAdapter<T>& a, const Batch& batch, int lossRows, const LossEntry* entries, LossLimits limits) {
  const T* packed = a.serving();
  PassLora<T> lora;
  lora.packed = packed;
  lora.layout = &a.layout;
  PassBuffers p;
  p.x = train_.x;
  p.qk = train_.qk;
  p.act = train_.act;
  p.slices = train_.slices;
  const auto forward = [&](int layer, float* out) { layers_->forward(training_, layer, batch, train_.layers[layer], p, lora, nullptr, 0, 0, out); };
  embed(training_, weights_.embedding, batch.tokens, batch.rows, train_.layers[0].hIn);
  for (int layer = 0; layer < config_.layers; ++layer) forward(layer, layer + 1 < config_.layers ? train_.layers[layer + 1].hIn : train_.hidden);

  training_.zero(train_.dh, static_cast<size_t>(batch.rows) * config_.hidden);
  T *x = static_cast<T*>(train_.headX), *dLogits = static_cast<T*>(train_.dLogits);
  for (int first = 0; first < lossRows; first += extent_.headRows) {
    const int count = std::min(extent_.headRows, lossRows - first);
    const int* index = train_.labelled + first;
    rmsnorm<T>(training_, train_.hidden, index, weights_.finalNorm, count, config_.hidden, config_.normEps, x);
    layers_->head(training_, Layers<T>::Pass::Rows, count, x, train_.logits);
    losses<T>(training_, train_.logits, paddedVocab(config_), config_.vocab, train_.lossRows + first, entries, count, limits, dLogits, train_.results + first);
    layers_->headBackward(training_, count, dLogits, x);
    rmsnormBackward<T>(training_, train_.hidden, index, weights_.finalNorm, x, count, config_.hidden, config_.normEps, train_.dh, false, static_cast<T*>(nullptr));
  }
  for (int layer = config_.layers - 1; layer >= 0; --layer) {
    // The last layer's buffers are still its own; `hidden` is used up.
    if (extent_.checkpoint && layer + 1 < config_.layers) forward(layer, train_.hidden);
    layers_->backward(training_, layer, batch, train_.layers[layer], train_, packed, a.layout, a.target);
  }
}

template <class T>
void CudaModel<T>::trainStart(int handle, const DeviceBatch& from) {
  DeviceAdapter<T>& a = adapter(handle);
  training_.wait();  // a cancelled batch may still run
  a.prepareTraining(serving_);
  const int used = static_cast<int>(from.tokens.size()), rows = std::min(filled(used), extent_.trainRows);
  if (used < 1 || used > extent_.trainRows) throw Failure("PROMPT_TOO_LONG", "A training batch has " + std::to_string(used) + " tokens where the memory plan has room for " + std::to_string(extent_.trainRows) + ": start the engine with more training tokens, or shorten the sequence.");
  std::vector<int> tokens = from.tokens, positions, of, lengths = from.lengths;
  tokens.resize(rows, 0);
  if (rows > used) lengths.push_back(rows - used);
  std::vector<Segment> segments;
  std::vector<AttentionTile> tiles;
  for (const int length : lengths) {
    const int segment = static_cast<int>(segments.size());
    segments.push_back({static_cast<int>(positions.size()), length, 0, 0});
    for (int r = 0; r < length; r += kAttentionRows) tiles.push_back({segment, r});
    for (int r = 0; r < length; ++r) {
      positions.push_back(r);
      of.push_back(segment);
    }
  }
  tiles.resize((tiles.size() + 7) / 8 * 8);
  std::vector<LossRow> lossRows;
  std::vector<LossEntry> entries;
  std::vector<int> labelled;
  for (const DeviceLossRow& row : from.rows) {
    lossRows.push_back({static_cast<int>(entries.size()), static_cast<int>(row.entries.size()), row.label, row.inverseTemperature});
    for (const DeviceLossEntry& e : row.entries) entries.push_back({e.token, e.kind, e.weight, e.a, e.old, e.behaviour});
    labelled.push_back(row.row);
  }
  trainedRows_ = static_cast<int>(lossRows.size());
  const size_t padded = (lossRows.size() + 31) / 32 * 32;
  if (padded > static_cast<size_t>(extent_.trainRows)) throw Failure("INTERNAL", "A batch has more labelled rows than rows: this is a defect.");
  lossRows.resize(padded, {0, 0, -1, 1});
  labelled.resize(padded, -1);
  if (entries.size() > entries_.size()) {
    trainGraphs_.clear();
    entries_ = DeviceArray<LossEntry>(entries.size() * 2);
  }
  training_.upload(train_.tokens, tokens.data(), tokens.size());
  training_.upload(train_.positions, positions.data(), positions.size());
  training_.upload(train_.segmentOfRow, of.data(), of.size());
  training_.upload(train_.segments, segments.data(), segments.size());
  training_.upload(train_.tiles, tiles.data(), tiles.size());
  training_.upload(train_.lossRows, lossRows.data(), lossRows.size());
  training_.upload(train_.labelled, labelled.data(), labelled.size());
  training_.upload(entries_.get(), entries.data(), entries.size());
  training_.wait();  // the vectors go away
  Batch batch;
  batch.rows = rows;
  batch.tileCount = static_cast<int>(tiles.size());
  batch.tokens = train_.tokens;
  batch.positions = train_.positions;
  batch.segmentOfRow = train_.segmentOfRow;
  batch.segments = train_.segments;
  batch.tiles = train_.tiles;
  const LossLimits limits{from.clipLow, from.clipHigh};
  const std::vector<long> key = {handle, a.active, rows, batch.tileCount, static_cast<long>(padded), static_cast<long>(toBits(limits.clipLow)), static_cast<long>(toBits(limits.clipHigh))};
  if (trainGraphs_.size() >= kGraphs && !trainGraphs_.count(key)) trainGraphs_.clear();
  Graph& graph = trainGraphs_[key];
  if (!graph) graph = Graph::capture(training_, [&] { trainPass(a, batch, static_cast<int>(padded), entries_.get(), limits); });
  graph.launch(training_);
  training_.mark();
}

template <class T>
std::vector<DeviceLossResult> CudaModel<T>::trainResults() {
  std::vector<LossRowResult> raw(trainedRows_);
  training_.download(raw.data(), train_.results, raw.size());
  training_.wait();
  std::vector<DeviceLossResult> out;
  for (const LossRowResult& r : raw) {
    DeviceLossResult result{};
    std::copy(r.loss, r.loss + kLossKinds, result.loss);
    result.logprob = r.logprob;
    result.importance = r.importance;
    result.importanceSquared = r.importanceSquared;
    out.push_back(result);
  }
  return out;
}

#define HINDSIGHT_TRAIN(T)                                                                                                 \
  template void CudaModel<T>::trainPass(DeviceAdapter<T>&, const Batch&, int, const LossEntry*, LossLimits);               \
  template void CudaModel<T>::trainStart(int, const DeviceBatch&);                                                         \
  template std::vector<DeviceLossResult> CudaModel<T>::trainResults();
HINDSIGHT_TRAIN(float)
HINDSIGHT_TRAIN(Bf16)

}  // namespace cuda
}  // namespace hindsight
