#include "train/losses.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "io/failure.h"

namespace hindsight {
namespace {

/// min(rho d, clip(rho) d) and its derivative in log rho: rho d on the unclipped branch, else 0.
struct Surrogate {
  double value, slope;
};
Surrogate surrogate(double logRatio, double d, const LossSettings& s) {
  const double rho = std::exp(std::clamp(logRatio, -20.0, 20.0));
  const double clipped = std::clamp(rho, 1 - s.clipLow, 1 + s.clipHigh);
  if (rho * d <= clipped * d) return {rho * d, rho * d};
  return {clipped * d, 0};
}

[[noreturn]] void bad(const std::string& what) {
  throw Failure("BAD_ARGUMENT", what + ": correct the training sequence.");
}

void checkPositions(const char* term, const std::vector<int32_t>& positions, size_t length) {
  for (const int32_t p : positions)
    if (p < 1 || static_cast<size_t>(p) >= length)
      bad(std::string(term) + " position " + std::to_string(p) + " is outside [1, " + std::to_string(length) + ")");
}

void checkSize(const char* what, size_t actual, size_t expected) {
  if (actual != expected) bad(std::string(what) + " has " + std::to_string(actual) + " values where " + std::to_string(expected) + " belong");
}

void checkTokens(const char* term, const std::vector<int32_t>& tokens, int vocab) {
  for (const int32_t t : tokens)
    if (t < -1 || t >= vocab) bad(std::string(term) + " token " + std::to_string(t) + " is outside the vocabulary");
}

}  // namespace

SequenceLoss::SequenceLoss(const TrainSequence& s, const LossSettings& settings, int vocab) : sequence_(s), settings_(settings), vocab_(vocab) {
  if (!(s.temperature > 0) || !std::isfinite(s.temperature)) bad("temperature must be above 0");
  const size_t length = s.ids.size();
  checkPositions("pg", s.pg.positions, length);
  checkSize("pg.advantages", s.pg.advantages.size(), s.pg.positions.size());
  if (!s.pg.old.empty()) checkSize("pg.old", s.pg.old.size(), s.pg.positions.size());
  if (!s.pg.behaviour.empty()) checkSize("pg.behaviour", s.pg.behaviour.size(), s.pg.positions.size());
  const size_t opdSlots = s.opd.positions.size() * static_cast<size_t>(s.opd.k);
  checkPositions("opd", s.opd.positions, length);
  checkSize("opd.tokens", s.opd.tokens.size(), opdSlots);
  checkSize("opd.delta", s.opd.delta.size(), opdSlots);
  checkSize("opd.weights", s.opd.weights.size(), opdSlots);
  if (!s.opd.old.empty()) checkSize("opd.old", s.opd.old.size(), opdSlots);
  checkTokens("opd", s.opd.tokens, vocab);
  checkPositions("splice", s.splice.positions, length);
  checkSize("splice.tokens", s.splice.tokens.size(), s.splice.positions.size() * static_cast<size_t>(s.splice.k));
  checkSize("splice.targets", s.splice.targets.size(), s.splice.tokens.size());
  checkTokens("splice", s.splice.tokens, vocab);
  checkPositions("kl", s.kl.positions, length);
  if (!s.kl.reference.empty()) checkSize("kl.reference", s.kl.reference.size(), s.kl.positions.size());
  checkPositions("ce", s.ce.positions, length);

  std::map<int, std::vector<Entry>> byRow;
  const std::vector<int32_t>* positions[kTerms] = {&s.pg.positions, &s.opd.positions, &s.splice.positions, &s.kl.positions, &s.ce.positions};
  for (int term = 0; term < kTerms; ++term)
    for (size_t i = 0; i < positions[term]->size(); ++i) {
      const Entry entry{static_cast<Term>(term), static_cast<int>(i), masked(static_cast<Term>(term), static_cast<int>(i))};
      if (!entry.masked) ++counts_[term];
      // A masked pg position still reports its log-prob; any other needs no logits.
      if (!entry.masked || term == kPg) byRow[(*positions[term])[i] - 1].push_back(entry);
    }
  for (auto& item : byRow) {
    rows_.push_back(item.first);
    entries_.push_back(std::move(item.second));
  }
  pgLogprobs_.assign(s.pg.positions.size(), NAN);
}

bool SequenceLoss::masked(Term term, int slot) const {
  const TrainSequence& s = sequence_;
  const auto unknown = [slot](const std::vector<float>& values) { return !values.empty() && !std::isfinite(values[slot]); };
  const auto anyUnknown = [slot](int k, const std::vector<int32_t>& tokens, std::initializer_list<const std::vector<float>*> inputs) {
    bool some = false;
    for (int j = 0; j < k; ++j) {
      const size_t at = static_cast<size_t>(slot) * k + j;
      if (tokens[at] < 0) continue;
      some = true;
      for (const std::vector<float>* values : inputs)
        if (!values->empty() && !std::isfinite((*values)[at])) return true;
    }
    return !some;
  };
  switch (term) {
    case kPg: return unknown(s.pg.advantages) || unknown(s.pg.old) || unknown(s.pg.behaviour);
    case kOpd: return anyUnknown(s.opd.k, s.opd.tokens, {&s.opd.delta, &s.opd.weights, &s.opd.old});
    case kSplice: return anyUnknown(s.splice.k, s.splice.tokens, {&s.splice.targets});
    case kKl: return unknown(s.kl.reference);
    default: return false;
  }
}

RowResult SequenceLoss::row(const Ops& ops, int index, const float* z, float* dz) {
  const TrainSequence& s = sequence_;
  RowResult result;
  const float inverse = 1.0f / s.temperature;
  const double lse = ops.logSumExp(z, vocab_, inverse);
  const int token = s.ids[rows_[index] + 1];
  // Rounded to fp32 as scoring hands log-probs out: a constant that came from score() then gives a
  // ratio of exactly 1 and a KL of exactly 0.
  const auto logp = [&](int v) { return static_cast<double>(static_cast<float>(static_cast<double>(z[v]) * inverse - lse)); };
  const double l = logp(token);
  std::vector<std::pair<int, double>> gradient;  // d loss / d log p(v)
  double ceSlope = 0;
  for (const Entry& entry : entries_[index]) {
    const int i = entry.slot;
    if (entry.term == kPg) pgLogprobs_[i] = static_cast<float>(l);
    if (entry.masked) continue;
    const double share = 1.0 / (counts_[entry.term] * settings_.divisor[entry.term]);
    switch (entry.term) {
      case kPg: {
        const double old = s.pg.old.empty() ? l : s.pg.old[i];
        const double c = s.pg.behaviour.empty() ? 1.0 : std::min(std::exp(old - s.pg.behaviour[i]), 2.0);
        const Surrogate part = surrogate(l - old, s.pg.advantages[i], settings_);
        const double weight = settings_.pgWeight * share * c;
        result.loss[kPg] -= weight * part.value;
        gradient.emplace_back(token, -weight * part.slope);
        result.importance += c;
        result.importanceSquared += c * c;
        break;
      }
      case kOpd: {
        const double weight = settings_.opdWeight * share;
        for (int j = 0; j < s.opd.k; ++j) {
          const size_t at = static_cast<size_t>(i) * s.opd.k + j;
          const int v = s.opd.tokens[at];
          if (v < 0) continue;
          const double lv = logp(v), old = s.opd.old.empty() ? lv : s.opd.old[at];
          const Surrogate part = surrogate(lv - old, s.opd.delta[at], settings_);
          result.loss[kOpd] -= weight * s.opd.weights[at] * part.value;
          gradient.emplace_back(v, -weight * s.opd.weights[at] * part.slope);
        }
        break;
      }
      case kSplice: {
        const double weight = settings_.spliceWeight * share;
        for (int j = 0; j < s.splice.k; ++j) {
          const size_t at = static_cast<size_t>(i) * s.splice.k + j;
          const int v = s.splice.tokens[at];
          if (v < 0) continue;
          result.loss[kSplice] -= weight * s.splice.targets[at] * logp(v);
          gradient.emplace_back(v, -weight * s.splice.targets[at]);
        }
        break;
      }
      case kKl: {
        const double raw = l - s.kl.reference[i], d = std::clamp(raw, -10.0, 10.0);
        const double weight = settings_.klBeta * share;
        result.loss[kKl] += weight * (std::exp(-d) - 1 + d);
        if (raw == d) gradient.emplace_back(token, weight * (1 - std::exp(-d)));
        break;
      }
      default: {
        const double lse1 = inverse == 1.0f ? lse : ops.logSumExp(z, vocab_, 1.0f);
        const double weight = settings_.ceLambda * share;
        result.loss[kCe] -= weight * (z[token] - lse1);
        ceSlope += weight;
      }
    }
  }
  double total = 0;
  for (const auto& item : gradient) total += item.second;
  if (!gradient.empty() || ceSlope == 0) ops.softmaxScaled(z, vocab_, inverse, static_cast<float>(lse), static_cast<float>(-total * inverse), dz, false);
  for (const auto& item : gradient) dz[item.first] += static_cast<float>(item.second * inverse);
  if (ceSlope != 0) {
    const double lse1 = inverse == 1.0f ? lse : ops.logSumExp(z, vocab_, 1.0f);
    ops.softmaxScaled(z, vocab_, 1.0f, static_cast<float>(lse1), static_cast<float>(ceSlope), dz, !gradient.empty());
    dz[token] -= static_cast<float>(ceSlope);
  }
  return result;
}

}  // namespace hindsight
