// One request on its way: prompt, sampled tokens, keys and values, and when it ends. It knows nothing
// of the batch that it is computed in.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cpu/ops.h"
#include "model/pages.h"
#include "serve/constraint.h"
#include "serve/draft.h"
#include "serve/sampler.h"
#include "serve/scheduler.h"

namespace hindsight {

enum class Finish { Stop, Eos, Length, Cancelled };

struct GenerateRequest {
  std::vector<int32_t> prompt, stopIds;
  std::vector<std::string> stop;
  int maxTokens = 0, adapter = 0;
  Sampling sampling;
  std::string schema;  // JSON Schema that the text is to satisfy; empty = free
  float logprobTemperature = 1;
  uint64_t seed = 0;
  bool speculate = true;  // prompt lookup
  std::function<void(int32_t, float)> onToken;  // may be empty
};
struct GenerateResult {
  std::vector<int32_t> tokens;
  std::vector<float> logprobs;
  Finish finish = Finish::Length;
  int cachedTokens = 0;
  int drafted = 0, accepted = 0;  // tokens of prompt lookup
};

struct Generation {
  explicit Generation(GenerateRequest r) : request(std::move(r)), random(request.seed), ids(request.prompt) {}

  GenerateRequest request;
  std::function<void(GenerateResult&)> resolve;
  std::function<void(std::exception_ptr)> reject;

  std::unique_ptr<Constraint> constraint;
  Random random;
  std::vector<int32_t> ids;  // prompt and response; the last one is not fed yet
  KvSequence sequence;
  GenerateResult result;
  std::string tail;  // bytes that may still become a stop string
  size_t longestStop = 0;
  DraftLength draftLength;
  std::vector<int32_t> fed;  // of the running pass: the last token, then its drafts
  bool ended = false;

  bool prefilling() const { return result.tokens.empty(); }
  /// Tokens of the next pass: the last one and, where drafts pay, at most `room - 1` more.
  void propose(int room, int maxPositions);
  /// Samples the next token from one row of logits (which it may mask) and sets `ended`.
  void take(float* logits, const Ops& ops, int vocab, const std::vector<int>& eosIds, const std::vector<std::string>& vocabulary, int maxPositions);
};

}  // namespace hindsight
