#include "serve/device_engine.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <thread>

#include "io/failure.h"
#include "model/device_library.h"

namespace hindsight {
namespace {

DeviceLora loraOf(const Adapter& adapter) {
  DeviceLora lora;
  lora.rank = adapter.rank;
  lora.scale = adapter.scale();
  lora.size = adapter.weights.size();
  for (const LoraTensor& t : adapter.tensors) lora.tensors.push_back({t.layer, t.target, t.isB, t.rows, t.cols, t.offset});
  return lora;
}

float orUnknown(const std::vector<float>& values, size_t at) { return values.empty() ? NAN : values[at]; }

/// The terms of one labelled row as the device computes them; equations in train/losses.cpp.
void addEntries(const TrainSequence& s, const LossSettings& settings, const SequenceLoss& loss, int index, int32_t label, std::vector<DeviceLossEntry>& out) {
  for (const SequenceLoss::Entry& entry : loss.entries(index)) {
    if (entry.masked) continue;
    const size_t i = static_cast<size_t>(entry.slot);
    const double share = 1.0 / (loss.count(entry.term) * settings.divisor[entry.term]);
    const auto weight = [share](double factor) { return static_cast<float>(factor * share); };
    switch (entry.term) {
      case kPg: out.push_back({label, kPg, weight(settings.pgWeight), s.pg.advantages[i], orUnknown(s.pg.old, i), orUnknown(s.pg.behaviour, i)}); break;
      case kOpd:
        for (size_t at = i * s.opd.k; at < (i + 1) * s.opd.k; ++at)
          if (s.opd.tokens[at] >= 0) out.push_back({s.opd.tokens[at], kOpd, weight(settings.opdWeight * s.opd.weights[at]), s.opd.delta[at], orUnknown(s.opd.old, at), NAN});
        break;
      case kSplice:
        for (size_t at = i * s.splice.k; at < (i + 1) * s.splice.k; ++at)
          if (s.splice.tokens[at] >= 0) out.push_back({s.splice.tokens[at], kSplice, weight(settings.spliceWeight * s.splice.targets[at]), 0, NAN, NAN});
        break;
      case kKl: out.push_back({label, kKl, weight(settings.klBeta), s.kl.reference[i], NAN, NAN}); break;
      default: out.push_back({label, kCe, weight(settings.ceLambda), 0, NAN, NAN});
    }
  }
}

}  // namespace

DeviceEngine::DeviceEngine(const ModelConfig& config, const LoadOptions& options, Weights& info) : config_(config), trainTokens_(options.device.trainTokens) {
  DeviceOptions wanted = options.device;
  wanted.cacheBytes = options.cacheBytes;
  model_.reset(deviceLibrary().open(config, wanted));
  pages_ = std::make_unique<DevicePages>(model_->plan().pages, model_->pageTokens());
  if (options.shape.empty()) {
    info = streamWeights(options.dir, config, [this](const std::string& name, int rows, int cols, const float* values) { model_->setTensor(name, rows, cols, values); });
  } else {
    model_->randomize();
    info.fingerprint = "random";
  }
}

size_t DeviceEngine::cacheBytes() const {
  const MemoryPlan& plan = model_->plan();
  return plan.pages > 0 ? pages_->tokens() / static_cast<size_t>(model_->pageTokens()) * (plan.cache / static_cast<size_t>(plan.pages)) : 0;
}

void DeviceEngine::place(int handle, const Adapter& adapter) {
  Resident& resident = residents_[handle];
  if (resident.version == adapter.version + 1) return;
  model_->setAdapter(handle, loraOf(adapter), adapter.weights.data());
  resident.version = adapter.version + 1;  // 0: never placed
}

void DeviceEngine::placeTraining(int handle, Adapter& adapter) {
  place(handle, adapter);
  adapter.prepareTraining();
  Resident& resident = residents_[handle];
  if (resident.gradients) return;
  model_->writeLora(handle, LoraBuffer::Gradients, adapter.gradients.data());
  model_->writeLora(handle, LoraBuffer::Moment1, adapter.moment1.data());
  model_->writeLora(handle, LoraBuffer::Moment2, adapter.moment2.data());
  resident.gradients = true;
}

void DeviceEngine::toHost(int handle, Adapter& adapter) {
  const auto found = residents_.find(handle);
  if (found == residents_.end()) return;
  if (found->second.trained) {
    adapter.prepareTraining();
    model_->readLora(handle, LoraBuffer::Weights, adapter.weights.data());
    model_->readLora(handle, LoraBuffer::Gradients, adapter.gradients.data());
    model_->readLora(handle, LoraBuffer::Moment1, adapter.moment1.data());
    model_->readLora(handle, LoraBuffer::Moment2, adapter.moment2.data());
    found->second.trained = false;
  }
  found->second.gradients = false;  // the caller may change them
}

void DeviceEngine::drop(int handle) {
  pages_->dropAdapter(handle, UINT64_MAX);
  if (residents_.erase(handle)) model_->dropAdapter(handle);
}

void DeviceEngine::prefill(const std::vector<int32_t>& ids, int end, DeviceSequence& sequence, int handle, Job& job, Scheduler& scheduler, const std::function<void(int, int)>& after) {
  if (!pages_->extend(sequence, end)) throw Failure("OUT_OF_MEMORY", "No page for keys and values is left on the GPU: send fewer requests at a time, or raise the cache's size.");
  while (sequence.length < end) {
    if (job.cancelled) throw Cancelled();
    const int first = sequence.length, rows = std::min(model_->prefillRows(), end - first);
    model_->prefill(ids.data() + first, rows, first, sequence.pages, handle);
    sequence.length += rows;
    after(first, rows);
    if (sequence.length < end) scheduler.yield(job.priority);
  }
}

GenerateResult DeviceEngine::generate(const GenerateRequest& g, Adapter* adapter, const Response& response, Job& job, Scheduler& scheduler) {
  if (adapter) place(g.adapter, *adapter);
  const DevicePages::Key cacheKey = key(g.adapter, adapter);
  GenerateResult result;
  std::vector<int32_t> ids = g.prompt;
  DeviceSequence sequence = pages_->match(cacheKey, ids, static_cast<int>(ids.size()) - 1);
  result.cachedTokens = sequence.length;
  Random random(g.seed);
  // The mask works on logits, so a constrained token is drawn here.
  const bool onHost = static_cast<bool>(response.mask);
  try {
    while (static_cast<int>(result.tokens.size()) < g.maxTokens) {
      const int last = static_cast<int>(ids.size()) - 1;
      prefill(ids, last, sequence, g.adapter, job, scheduler, [](int, int) {});
      if (!pages_->extend(sequence, last + 1)) throw Failure("OUT_OF_MEMORY", "No page for keys and values is left on the GPU: send fewer requests at a time, or raise the cache's size.");
      std::vector<DecodeRow> rows(1);
      DecodeRow& row = rows[0];
      row.token = ids[last];
      row.position = last;
      row.adapter = g.adapter;
      row.pages = &sequence.pages;
      row.sampling = {onHost ? 0 : g.sampling.temperature, g.sampling.topP, g.logprobTemperature, onHost ? 0 : static_cast<float>(random.uniform()), g.sampling.topK};
      row.wantLogits = onHost;
      model_->decode(rows);
      sequence.length = last + 1;
      int32_t token = row.next;
      float logprob = row.logprob;
      if (onHost) {
        const float unmasked = row.logits[row.next];  // the greedy choice, whose log-prob gives the sum
        std::vector<float> masked = row.logits;
        response.mask(masked.data());
        token = sample(*opsFor(bestIsa()), masked.data(), config_.vocab, g.sampling, random);
        logprob = row.logprob + (row.logits[token] - unmasked) / g.logprobTemperature;
      }
      result.tokens.push_back(token);
      result.logprobs.push_back(logprob);
      ids.push_back(token);
      if (g.onToken) g.onToken(token, logprob);
      if (std::find(g.stopIds.begin(), g.stopIds.end(), token) != g.stopIds.end()) {
        result.finish = Finish::Stop;
        break;
      }
      if (std::find(config_.eosIds.begin(), config_.eosIds.end(), token) != config_.eosIds.end()) {
        result.finish = Finish::Eos;
        break;
      }
      if (response.ends(token)) {
        result.finish = Finish::Stop;
        break;
      }
      if (static_cast<int>(ids.size()) >= config_.maxPositions) break;
      if (job.cancelled) throw Cancelled();
      scheduler.yield(job.priority);
    }
  } catch (const Cancelled&) {
    result.finish = Finish::Cancelled;
  } catch (...) {
    pages_->finish(cacheKey, ids, sequence);
    throw;
  }
  pages_->finish(cacheKey, ids, sequence);
  return result;
}

ScoreResult DeviceEngine::score(const ScoreRequest& s, Adapter* adapter, Job& job, Scheduler& scheduler) {
  if (adapter) place(s.adapter, *adapter);
  const int count = static_cast<int>(s.positions.size()), k = std::min(s.topK, config_.vocab), c = s.candidateCount;
  if (k > 64) throw Failure("BAD_ARGUMENT", "On a GPU topK goes up to 64, not " + std::to_string(k) + ": ask for fewer.");
  ScoreResult result;
  result.candidateLogprobs.assign(static_cast<size_t>(count) * c, NAN);
  result.logprobs.resize(count);
  result.topIds.resize(static_cast<size_t>(count) * k);
  result.topLogprobs.resize(result.topIds.size());
  if (s.logits) result.logits.resize(static_cast<size_t>(count) * config_.vocab);
  if (count == 0) return result;
  std::vector<std::vector<int>> wanted(s.ids.size());  // row -> indices into positions
  int firstRow = static_cast<int>(s.ids.size()), lastRow = 0;
  for (int i = 0; i < count; ++i) {
    wanted[s.positions[i] - 1].push_back(i);
    firstRow = std::min(firstRow, s.positions[i] - 1);
    lastRow = std::max(lastRow, s.positions[i] - 1);
  }
  const DevicePages::Key cacheKey = key(s.adapter, adapter);
  DeviceSequence sequence = pages_->match(cacheKey, s.ids, firstRow);
  std::vector<int> slots;  // index into positions of each kept row
  const auto flush = [&] {
    if (slots.empty()) return;
    DeviceScore part;
    part.each = 1 + c;
    part.topK = k;
    part.temperature = s.temperature;
    part.wantLogits = s.logits;
    for (const int i : slots) {
      part.tokens.push_back(s.ids[s.positions[i]]);
      part.tokens.insert(part.tokens.end(), s.candidates.begin() + static_cast<long>(i) * c, s.candidates.begin() + static_cast<long>(i + 1) * c);
    }
    model_->score(static_cast<int>(slots.size()), part);
    for (size_t r = 0; r < slots.size(); ++r) {
      const size_t i = static_cast<size_t>(slots[r]);
      result.logprobs[i] = part.logprobs[r * part.each];
      std::copy_n(part.logprobs.begin() + static_cast<long>(r * part.each + 1), c, result.candidateLogprobs.begin() + static_cast<long>(i * c));
      std::copy_n(part.topIds.begin() + static_cast<long>(r * k), k, result.topIds.begin() + static_cast<long>(i * k));
      std::copy_n(part.topLogprobs.begin() + static_cast<long>(r * k), k, result.topLogprobs.begin() + static_cast<long>(i * k));
      if (s.logits) std::copy_n(part.logits.begin() + static_cast<long>(r) * config_.vocab, config_.vocab, result.logits.begin() + static_cast<long>(i) * config_.vocab);
    }
    slots.clear();
  };
  try {
    prefill(s.ids, lastRow + 1, sequence, s.adapter, job, scheduler, [&](int first, int rows) {
      std::vector<int> kept;
      for (int r = 0; r < rows; ++r)
        for (const int i : wanted[first + r]) {
          if (static_cast<int>(slots.size()) == model_->keptRows()) {
            model_->keep(kept, static_cast<int>(slots.size() - kept.size()));
            kept.clear();
            flush();
          }
          kept.push_back(r);
          slots.push_back(i);
        }
      model_->keep(kept, static_cast<int>(slots.size() - kept.size()));
      flush();  // before another request may use the slots
    });
  } catch (...) {
    pages_->finish(cacheKey, s.ids, sequence);
    throw;
  }
  pages_->finish(cacheKey, s.ids, sequence);
  return result;
}

ForwardBackwardResult DeviceEngine::forwardBackward(int handle, Adapter& adapter, std::vector<TrainSequence>& sequences, const LossSettings& settings, const std::function<std::vector<float>(const TrainSequence&)>& reference, const std::function<void()>& pause) {
  for (const TrainSequence& sequence : sequences) {  // all or nothing
    SequenceLoss(sequence, settings, config_.vocab);
    if (static_cast<int>(sequence.ids.size()) > trainTokens_)
      throw Failure("PROMPT_TOO_LONG", "A training sequence has " + std::to_string(sequence.ids.size()) + " tokens where the GPU's memory plan has room for " + std::to_string(trainTokens_) + ": shorten it, or load the model with more training tokens.");
  }
  for (TrainSequence& sequence : sequences)
    if (sequence.kl.used && sequence.kl.reference.empty() && !sequence.kl.positions.empty()) sequence.kl.reference = reference(sequence);
  placeTraining(handle, adapter);
  ForwardBackwardResult result;
  std::fill(std::begin(result.loss), std::end(result.loss), NAN);
  double c = 0, c2 = 0;
  for (size_t next = 0; next < sequences.size();) {
    pause();
    DeviceBatch batch;
    batch.clipLow = static_cast<float>(settings.clipLow);
    batch.clipHigh = static_cast<float>(settings.clipHigh);
    std::vector<std::unique_ptr<SequenceLoss>> losses;
    std::vector<const TrainSequence*> members;
    for (; next < sequences.size(); ++next) {
      const TrainSequence& s = sequences[next];
      auto loss = std::make_unique<SequenceLoss>(s, settings, config_.vocab);
      const int start = static_cast<int>(batch.tokens.size());
      if (start + static_cast<int>(s.ids.size()) > trainTokens_ && start > 0) break;
      result.tokens += static_cast<int64_t>(s.ids.size());
      if (!loss->rows().empty()) {
        batch.tokens.insert(batch.tokens.end(), s.ids.begin(), s.ids.end());
        batch.lengths.push_back(static_cast<int32_t>(s.ids.size()));
        for (size_t i = 0; i < loss->rows().size(); ++i) {
          const int row = loss->rows()[i];
          DeviceLossRow labelled{start + row, s.ids[row + 1], 1.0f / s.temperature, {}};
          addEntries(s, settings, *loss, static_cast<int>(i), labelled.label, labelled.entries);
          batch.rows.push_back(std::move(labelled));
        }
      }
      losses.push_back(std::move(loss));
      members.push_back(&s);
    }
    std::vector<DeviceLossResult> rows;
    if (!batch.rows.empty()) {
      residents_[handle].trained = true;
      model_->trainStart(handle, batch);
      // The batch runs on a stream of its own: requests are served meanwhile.
      while (!model_->trainDone()) {
        pause();
        std::this_thread::sleep_for(std::chrono::microseconds(50));
      }
      rows = model_->trainResults();
    }
    size_t at = 0;
    for (size_t m = 0; m < losses.size(); ++m) {
      const SequenceLoss& loss = *losses[m];
      std::vector<float> logprobs(members[m]->pg.positions.size(), NAN);
      for (int t = 0; t < kTerms; ++t) {
        const int positions = loss.count(static_cast<Term>(t));
        result.positions[t] += positions;
        if (positions > 0 && std::isnan(result.loss[t])) result.loss[t] = 0;
      }
      for (size_t i = 0; i < loss.rows().size(); ++i, ++at) {
        for (int t = 0; t < kTerms; ++t)
          if (loss.count(static_cast<Term>(t)) > 0) result.loss[t] += rows[at].loss[t];
        c += rows[at].importance;
        c2 += rows[at].importanceSquared;
        for (const SequenceLoss::Entry& entry : loss.entries(static_cast<int>(i)))
          if (entry.term == kPg) logprobs[entry.slot] = rows[at].logprob;
      }
      result.pgLogprobs.insert(result.pgLogprobs.end(), logprobs.begin(), logprobs.end());
    }
  }
  result.effectiveSampleSize = result.positions[kPg] > 0 ? c * c / (result.positions[kPg] * c2) : NAN;
  return result;
}

double DeviceEngine::optimStep(int handle, Adapter& adapter, const AdamWSettings& s) {
  placeTraining(handle, adapter);
  const DeviceAdamW settings{static_cast<float>(s.lr), static_cast<float>(s.beta1), static_cast<float>(s.beta2), static_cast<float>(s.eps), static_cast<float>(s.weightDecay), static_cast<float>(s.clipNorm), adapter.step + 1};
  const double norm = model_->optimStep(handle, settings);
  if (!std::isfinite(norm)) throw Failure("GRADIENT_NOT_FINITE", "The gradient is not finite, so no step was taken: zero the gradients and check the last batch.");
  ++adapter.step;
  ++adapter.version;
  adapter.changed = true;
  Resident& resident = residents_[handle];
  resident.version = adapter.version + 1;
  resident.trained = true;
  pages_->dropAdapter(handle, adapter.version);
  return norm;
}

}  // namespace hindsight
