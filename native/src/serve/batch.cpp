// Continuous batching: the requests that are being served share every pass over the weights, whatever
// adapters they use; they join and leave between tokens. The pass of a token takes the rows of the
// highest priorities first; a prompt is computed in chunks, one between two tokens, and waits while a
// request of higher priority is being answered.
#include <algorithm>
#include <cstring>

#include "io/failure.h"
#include "kernels/cpu/few.h"
#include "serve/engine.h"

namespace hindsight {

void Engine::begin(Generation& g) {
  const GenerateRequest& r = g.request;
  checkTokens(r.prompt);
  for (const int32_t id : r.stopIds)
    if (id < 0 || id >= config_.vocab) throw Failure("TOKEN_OUT_OF_RANGE", "Stop token " + std::to_string(id) + " is outside the vocabulary: use the tokenizer of this model.");
  if (!r.stop.empty() && vocabulary_.empty()) throw Failure("VOCABULARY_MISSING", "Stop strings need the vocabulary: call setVocabulary first.");
  g.constraint = constraintOf(r);
  if (device_) return;
  for (const std::string& stop : r.stop) g.longestStop = std::max(g.longestStop, stop.size());
  cache_.match(cacheKey(r.adapter), g.ids, static_cast<int>(g.ids.size()) - 1, g.sequence);
  g.result.cachedTokens = g.sequence.length;
  g.ended = r.maxTokens == 0;
}

/// One chunk of a prompt, and the first token after the last one.
void Engine::prefillChunk(Generation& g, Job& job) {
  const int end = static_cast<int>(g.ids.size()), first = g.sequence.length, rows = std::min(kChunk, end - first);
  float* hidden = hidden_.atLeast(static_cast<size_t>(rows) * config_.hidden);
  math_.byteActivations(weights_.byteActivations);
  model_.forward(g.ids.data() + first, rows, g.sequence, adapterOrBase(g.request.adapter), &job.cancelled, hidden);
  if (g.sequence.length < end) return;
  cache_.insert(cacheKey(g.request.adapter), g.ids, end / kPage * kPage, g.sequence);  // whole pages: never written again
  noteCache();
  float *x = normed_.atLeast(config_.hidden), *logits = logits_.atLeast(config_.vocab);
  math_.byteActivations(weights_.byteActivations);
  model_.headOfFew(hidden + static_cast<size_t>(rows - 1) * config_.hidden, 1, x, logits);
  g.take(logits, math_.ops(), config_.vocab, config_.eosIds, vocabulary_, config_.maxPositions);
}

/// The next tokens of as many requests as one pass takes.
void Engine::decodeStep(const std::vector<Generation*>& running) {
  std::vector<Slice> slices;
  std::vector<Generation*> taken;
  int rows = 0;
  const int share = kFewRows / std::min<int>(kFewRows, static_cast<int>(running.size()));
  for (Generation* g : running) {
    if (rows == kFewRows) break;
    g->propose(std::min(share, kFewRows - rows), config_.maxPositions);
    taken.push_back(g);
    rows += static_cast<int>(g->fed.size());
  }
  // Neighbours on one adapter share its product.
  std::stable_sort(taken.begin(), taken.end(), [](const Generation* a, const Generation* b) { return a->request.adapter < b->request.adapter; });
  for (Generation* g : taken) slices.push_back({g->fed.data(), static_cast<int>(g->fed.size()), &g->sequence, adapterOrBase(g->request.adapter)});
  float* hidden = hidden_.atLeast(static_cast<size_t>(rows) * config_.hidden);
  math_.byteActivations(weights_.byteActivations);
  model_.decode(slices, hidden);
  float *x = normed_.atLeast(static_cast<size_t>(rows) * config_.hidden), *logits = logits_.atLeast(static_cast<size_t>(rows) * config_.vocab);
  model_.headOfFew(hidden, rows, x, logits);
  ++passes_;
  passRows_ += rows;
  int row = 0;
  for (Generation* g : taken) {
    const int drafted = static_cast<int>(g->fed.size()) - 1, before = g->sequence.length - drafted;
    int accepted = 0;
    for (int i = 0; i <= drafted && !g->ended; ++i) {
      g->take(logits + static_cast<size_t>(row + i) * config_.vocab, math_.ops(), config_.vocab, config_.eosIds, vocabulary_, config_.maxPositions);
      if (i == drafted || g->ids.back() != g->fed[i + 1]) break;
      if (!g->ended) ++accepted;
    }
    g->sequence.length = before + accepted;
    g->draftLength.note(drafted, accepted);
    g->result.drafted += drafted;
    g->result.accepted += accepted;
    drafted_ += drafted;
    accepted_ += accepted;
    row += drafted + 1;
  }
}

void Engine::finish(Generation& g, Job& job) {
  if (job.cancelled && !g.ended) g.result.finish = Finish::Cancelled;
  // The last sampled token was never fed: the sequence holds one token less than `ids`.
  cache_.insert(cacheKey(g.request.adapter), g.ids, g.sequence.length, g.sequence);
  noteCache();
  g.resolve(g.result);
}

/// A device answers one request at a time.
void Engine::serveOnDevice(const std::shared_ptr<Job>& job) {
  Generation& g = *job->generation;
  try {
    begin(g);
    GenerateResult result = generateOnDevice(g.request, g.constraint.get(), *job);
    g.resolve(result);
  } catch (...) {
    g.reject(std::current_exception());
  }
  scheduler_.done(job);
}

void Engine::serve(const std::shared_ptr<Job>& first) {
  if (device_) return serveOnDevice(first);
  const int64_t floor = scheduler_.floor();
  std::vector<std::shared_ptr<Job>> members;
  const auto join = [&](const std::shared_ptr<Job>& job) {
    try {
      begin(*job->generation);
      members.push_back(job);
    } catch (...) {
      job->generation->reject(std::current_exception());
      scheduler_.done(job);
    }
  };
  join(first);
  while (!members.empty()) {
    std::stable_sort(members.begin(), members.end(), [](const auto& a, const auto& b) { return a->priority > b->priority; });
    while (const std::shared_ptr<Job> job = scheduler_.next(members.empty() ? floor : members.front()->priority, floor)) {
      if (job->generation) join(job);
      else scheduler_.execute(job);
    }
    std::stable_sort(members.begin(), members.end(), [](const auto& a, const auto& b) { return a->priority > b->priority; });
    try {
      for (const auto& job : members) {
        Generation& g = *job->generation;
        if (job->priority < members.front()->priority) break;
        if (!g.prefilling() || g.ended || job->cancelled) continue;
        prefillChunk(g, *job);
        break;
      }
      std::vector<Generation*> running;
      for (const auto& job : members)
        if (!job->generation->prefilling() && !job->generation->ended && !job->cancelled) running.push_back(job->generation.get());
      if (!running.empty()) decodeStep(running);
    } catch (const Cancelled&) {  // of a prompt's chunk: its job is marked
    } catch (...) {  // the pass failed (memory): nobody's numbers can be trusted
      for (const auto& job : members) {
        job->generation->reject(std::current_exception());
        scheduler_.done(job);
      }
      return;
    }
    for (size_t i = 0; i < members.size();) {
      const std::shared_ptr<Job> job = members[i];
      if (!job->generation->ended && !job->cancelled) {
        ++i;
        continue;
      }
      members.erase(members.begin() + static_cast<long>(i));
      finish(*job->generation, *job);
      scheduler_.done(job);
    }
  }
}

}  // namespace hindsight
