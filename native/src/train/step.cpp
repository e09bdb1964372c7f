#include "train/step.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <numeric>
#include <vector>

#include "io/failure.h"
#include "train/memory.h"

namespace hindsight {
namespace {

/// Most floats of one chunk of logits: 64 MB, so that the head is read few times, and at least enough rows to fill the register tiles.
constexpr size_t kLogitFloats = size_t{16} << 20;
/// Rows of a chunk of so many labelled ones: chunks are about equal, for the head's gradient transposes its weights in each.
int headRows(int vocab, int labelled) {
  const size_t rows = kLogitFloats / vocab;
  const int most = rows < 24 ? 24 : rows > 512 ? 512 : static_cast<int>(rows), chunks = (labelled + most - 1) / most;
  return chunks ? (labelled + chunks - 1) / chunks : 0;
}
/// An arena larger than this is given back after the batch.
constexpr size_t kLongSequence = 4096;
/// Rows up to which short sequences share a pass: reading and transposing the weights is then a small part of it.
constexpr size_t kPackedRows = 256;

}  // namespace

/// How many layers must be checkpointed for a pass to stay within the memory bound. With a bound, both arenas are
/// laid out anew for each pass: what they held is given back first, so that the rest can be measured.
/// @throws Failure MEMORY_SHORT
int Trainer::fit(int rows, int sequences, int labelled, const Adapter& adapter) {
  if (!memoryBytes_) return 0;
  states_.release();
  scratch_.release();
  const ModelConfig& config = model_.config();
  const size_t logits = headRows(config.vocab, labelled), vocab = config.vocab;
  const size_t head = logits * (2 * config.hidden + 2 * vocab) + (model_.math().threads() + 4) * (vocab + 2 * kSlack), layer = model_.backwardFloats(rows, adapter);
  const size_t scratch = head > layer ? head : layer, gradient = static_cast<size_t>(rows) * config.hidden + 2 * kSlack;
  // What the kernels keep per thread and for rounded rows.
  const size_t kernels = static_cast<size_t>(rows) * 4 * (config.intermediate + config.hidden) + model_.math().threads() * attentionBackwardScratch(rows, config.headDim);
  const size_t others = residentBytes() + (kernels + scratch + gradient) * sizeof(float);
  for (int checkpointed = 0; checkpointed <= config.layers; ++checkpointed) {
    const size_t states = model_.stateFloats(rows, sequences, adapter, checkpointed) + gradient;
    if (others + states * sizeof(float) > memoryBytes_) continue;
    states_.reserve(states);
    scratch_.reserve(scratch);
    return checkpointed;
  }
  const size_t needed = others + (model_.stateFloats(rows, sequences, adapter, config.layers) + gradient) * sizeof(float);
  throw Failure("MEMORY_SHORT", std::string("Training on ") + (sequences > 1 ? "sequences of together " : "a sequence of ") + std::to_string(rows) + " tokens takes " + std::to_string(needed / 1000000) + " MB even with every layer checkpointed, more than the " +
                                    std::to_string(memoryBytes_ / 1000000) + " MB allowed: allow more, or train on shorter sequences.");
}

/// Some rows of the loss; @returns their dLogits, in bf16 where the head is: a row is
/// rounded while it lies in the cache.
Rows Trainer::gradients(const LabelledRow* labelled, int count, const float* logits, std::vector<RowResult>& parts) {
  Math& math = model_.math();
  const size_t vocab = model_.config().vocab, width = spacedRow(static_cast<int>(vocab));
  const bool narrow = model_.headDtype() == Dtype::Bf16;  // int8 scales the columns before it rounds
  float* out = scratch_.take(count * (narrow ? width / 2 : vocab));
  auto* half = reinterpret_cast<uint16_t*>(out);
  float* lines = narrow ? scratch_.take(vocab * math.threads()) : nullptr;
  math.ranges(count, 4, [&](int from, int to, int worker) {
    for (int i = from; i < to; ++i) {
      float* dz = narrow ? lines + worker * vocab : out + i * vocab;
      parts[i] = labelled[i].loss->row(math.ops(), labelled[i].index, logits + i * vocab, dz);
      if (!narrow) continue;
      math.ops().narrow->toBf16(dz, vocab, half + i * width);
      for (size_t j = vocab; j < width; ++j) half[i * width + j] = 0;
    }
  });
  Rows rows{narrow ? nullptr : out, count, static_cast<int>(vocab)};
  if (narrow) {
    rows.half = half;
    rows.halfLd = static_cast<long>(width);
  }
  return rows;
}

void Trainer::micro(Adapter& adapter, TrainSequence* sequences, size_t count, const LossSettings& settings, const std::function<void()>& pause, ForwardBackwardResult& result, double& c, double& c2) {
  const ModelConfig& config = model_.config();
  std::vector<std::unique_ptr<SequenceLoss>> losses;
  std::vector<const std::vector<int32_t>*> ids;  // of the sequences with labels
  std::vector<LabelledRow> labelled;
  int rows = 0;
  for (TrainSequence* sequence = sequences; sequence < sequences + count; ++sequence) {
    if (sequence->kl.used && sequence->kl.reference.empty() && !sequence->kl.positions.empty())
      sequence->kl.reference = reference_(sequence->ids, sequence->kl.positions, sequence->temperature);
    losses.push_back(std::make_unique<SequenceLoss>(*sequence, settings, config.vocab));
    const SequenceLoss& loss = *losses.back();
    if (loss.rows().empty()) continue;
    for (size_t i = 0; i < loss.rows().size(); ++i) labelled.push_back({losses.back().get(), static_cast<int>(i), rows + loss.rows()[i]});
    ids.push_back(&sequence->ids);
    rows += static_cast<int>(sequence->ids.size());
  }
  int checkpointed = 0;
  try {
    if (!labelled.empty()) checkpointed = fit(rows, static_cast<int>(ids.size()), static_cast<int>(labelled.size()), adapter);
  } catch (const Failure& failure) {
    // What is short of memory together may fit apart.
    if (failure.code != "MEMORY_SHORT" || count == 1) throw;
    micro(adapter, sequences, count / 2, settings, pause, result, c, c2);
    return micro(adapter, sequences + count / 2, count - count / 2, settings, pause, result, c, c2);
  }
  for (size_t i = 0; i < count; ++i) {
    result.tokens += static_cast<int64_t>(sequences[i].ids.size());
    for (int t = 0; t < kTerms; ++t) {
      const int positions = losses[i]->count(static_cast<Term>(t));
      result.positions[t] += positions;
      if (positions > 0 && std::isnan(result.loss[t])) result.loss[t] = 0;
    }
  }
  if (!labelled.empty()) {
    if (checkpointed > result.checkpointed) result.checkpointed = checkpointed;
    states_.reset();
    const TrainState state = model_.forwardTraining(ids, adapter, checkpointed, states_, pause);
    const int h = config.hidden, chunk = headRows(config.vocab, static_cast<int>(labelled.size()));
    float* dHidden = states_.take(static_cast<size_t>(state.rows) * h);
    std::memset(dHidden, 0, static_cast<size_t>(state.rows) * h * sizeof(float));
    for (size_t first = 0; first < labelled.size(); first += chunk) {
      pause();
      scratch_.reset();
      const LabelledRow* here = labelled.data() + first;
      const int some = static_cast<int>(labelled.size() - first < static_cast<size_t>(chunk) ? labelled.size() - first : chunk);
      float *gathered = scratch_.take(static_cast<size_t>(some) * h), *x = scratch_.take(static_cast<size_t>(some) * h);
      float* logits = scratch_.take(static_cast<size_t>(some) * config.vocab);
      for (int i = 0; i < some; ++i)
        std::memcpy(gathered + static_cast<size_t>(i) * h, state.hidden + static_cast<size_t>(here[i].row) * h, h * sizeof(float));
      model_.head(gathered, some, x, logits);
      std::vector<RowResult> parts(some);
      const Rows dLogits = gradients(here, some, logits, parts);
      for (int i = 0; i < some; ++i) {
        for (int t = 0; t < kTerms; ++t)
          if (here[i].loss->count(static_cast<Term>(t)) > 0) result.loss[t] += parts[i].loss[t];
        c += parts[i].importance;
        c2 += parts[i].importanceSquared;
      }
      model_.headBackward(gathered, dLogits, x, gathered);
      for (int i = 0; i < some; ++i)
        std::memcpy(dHidden + static_cast<size_t>(here[i].row) * h, gathered + static_cast<size_t>(i) * h, h * sizeof(float));
    }
    model_.backward(state, adapter, scratch_, dHidden, pause);
  }
  for (const auto& loss : losses) {
    const std::vector<float>& logprobs = loss->pgLogprobs();
    result.pgLogprobs.insert(result.pgLogprobs.end(), logprobs.begin(), logprobs.end());
  }
}

ForwardBackwardResult Trainer::run(Adapter& adapter, std::vector<TrainSequence>& sequences, const LossSettings& settings, const std::function<void()>& pause) {
  adapter.prepareTraining();
  for (const TrainSequence& sequence : sequences) SequenceLoss(sequence, settings, model_.config().vocab);  // all or nothing
  ForwardBackwardResult result;
  for (double& value : result.loss) value = NAN;
  double c = 0, c2 = 0;
  size_t longest = 0;
  for (const TrainSequence& sequence : sequences) longest = std::max(longest, sequence.ids.size());
  // No more rows than the longest sequence has anyway, or than cost little memory.
  const size_t most = std::max(longest, kPackedRows);
  for (size_t first = 0, end = 0; first < sequences.size(); first = end) {
    pause();
    size_t rows = 0;
    while (end < sequences.size() && (end == first || rows + sequences[end].ids.size() <= most)) rows += sequences[end++].ids.size();
    micro(adapter, sequences.data() + first, end - first, settings, pause, result, c, c2);
  }
  if (longest > kLongSequence) {
    states_.release();
    scratch_.release();
  }
  result.effectiveSampleSize = result.positions[kPg] > 0 ? c * c / (result.positions[kPg] * c2) : NAN;
  return result;
}

double Trainer::optimStep(Adapter& adapter, const AdamWSettings& s) {
  adapter.prepareTraining();
  // In pieces of one length, so that the sum does not depend on the threads.
  Math& math = model_.math();
  constexpr int piece = 1 << 14;
  const size_t size = adapter.gradients.size();
  const int pieces = static_cast<int>((size + piece - 1) / piece);
  const auto each = [&](const std::function<void(int, size_t, size_t)>& body) {
    math.ranges(pieces, 1, [&](int i, int, int) { body(i, static_cast<size_t>(i) * piece, std::min(size - static_cast<size_t>(i) * piece, static_cast<size_t>(piece))); });
  };
  std::vector<double> sums(pieces);
  each([&](int i, size_t first, size_t count) {
    const float* g = adapter.gradients.data() + first;
    for (size_t j = 0; j < count; ++j) sums[i] += static_cast<double>(g[j]) * g[j];
  });
  const double sum = std::accumulate(sums.begin(), sums.end(), 0.0);
  const double norm = std::sqrt(sum);
  if (!std::isfinite(norm))
    throw Failure("GRADIENT_NOT_FINITE", "The gradient is not finite, so no step was taken: zero the gradients and check the last batch.");
  ++adapter.step;
  AdamArgs a;
  a.lr = static_cast<float>(s.lr);
  a.beta1 = static_cast<float>(s.beta1);
  a.beta2 = static_cast<float>(s.beta2);
  a.eps = static_cast<float>(s.eps);
  a.weightDecay = static_cast<float>(s.weightDecay);
  a.gradScale = s.clipNorm > 0 && norm > s.clipNorm ? static_cast<float>(s.clipNorm / (norm + 1e-6)) : 1.0f;
  a.correction1 = static_cast<float>(1 - std::pow(s.beta1, static_cast<double>(adapter.step)));
  a.correction2 = static_cast<float>(1 - std::pow(s.beta2, static_cast<double>(adapter.step)));
  each([&](int, size_t first, size_t count) {
    math.ops().adamw(adapter.weights.data() + first, adapter.moment1.data() + first, adapter.moment2.data() + first, adapter.gradients.data() + first, count, a);
    std::memset(adapter.gradients.data() + first, 0, count * sizeof(float));
  });
  ++adapter.version;
  adapter.changed = true;
  return norm;
}

}  // namespace hindsight
