// From one row of logits to one token. Log-probs are of the full softmax, before top-k and top-p.
#pragma once
#include <cstdint>
#include <vector>

#include "kernels/cpu/ops.h"
#include "serve/random.h"

namespace hindsight {

struct Sampling {
  float temperature = 0;  // 0 = greedy
  int topK = 0;           // 0 = all
  float topP = 1;
};

/// Largest logit; the lowest id on a tie.
int argmax(const float* z, int vocab);
int sample(const Ops& ops, const float* z, int vocab, const Sampling& sampling, Random& random);
/// Ids of the k largest logits, best first; the lowest id on a tie.
std::vector<int32_t> topIds(const float* z, int vocab, int k);

}  // namespace hindsight
