#include "serve/generation.h"

#include <algorithm>

namespace hindsight {

void Generation::propose(int room, int maxPositions) {
  fed.assign(1, ids.back());
  if (!request.speculate || constraint) return;
  const int left = request.maxTokens - static_cast<int>(result.tokens.size()) - 1;
  const int most = std::min({room - 1, left, maxPositions - static_cast<int>(ids.size()) - 1, draftLength.next()});
  const std::vector<int32_t> draft = lookUp(ids, most);
  fed.insert(fed.end(), draft.begin(), draft.end());
}

void Generation::take(float* logits, const Ops& ops, int vocab, const std::vector<int>& eosIds, const std::vector<std::string>& vocabulary, int maxPositions) {
  const float inverse = 1.0f / request.logprobTemperature;
  const double total = ops.logSumExp(logits, vocab, inverse);  // of the full softmax, before any mask
  if (constraint) constraint->mask(logits, vocab, request.sampling.temperature <= 0);
  const int token = sample(ops, logits, vocab, request.sampling, random);
  const float logprob = static_cast<float>(static_cast<double>(logits[token]) * inverse - total);
  result.tokens.push_back(token);
  result.logprobs.push_back(logprob);
  ids.push_back(token);
  if (request.onToken) request.onToken(token, logprob);
  const auto end = [&](Finish finish) {
    result.finish = finish;
    ended = true;
  };
  const auto holds = [token](const auto& list) { return std::find(list.begin(), list.end(), token) != list.end(); };
  if (holds(request.stopIds)) return end(Finish::Stop);
  if (holds(eosIds)) return end(Finish::Eos);
  if (longestStop > 0 && token < static_cast<int>(vocabulary.size())) {
    tail += vocabulary[token];
    if (std::any_of(request.stop.begin(), request.stop.end(), [&](const std::string& stop) { return !stop.empty() && tail.find(stop) != std::string::npos; })) return end(Finish::Stop);
    if (tail.size() >= longestStop) tail.erase(0, tail.size() - longestStop + 1);
  }
  if (constraint) {
    constraint->advance(token);
    if (constraint->finished()) return end(Finish::Stop);
  }
  if (static_cast<int>(result.tokens.size()) >= request.maxTokens || static_cast<int>(ids.size()) >= maxPositions) end(Finish::Length);
}

}  // namespace hindsight
