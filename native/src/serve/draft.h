// Prompt lookup: the tokens that followed the last earlier occurrence of the newest ones. Edits repeat
// most of their prompt, so that several tokens pass through the weights at once. Verification is
// exact: each token is sampled from the model's own distribution, and a draft that it equals saves a
// pass. For a deterministic draft that is the rejection rule of Leviathan et al. 2023 (accept with
// probability p(draft), else sample from the rest), and the same seed gives the same text.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

namespace hindsight {

/// Newest tokens that must occur before.
constexpr int kDraftMatch = 3;

/// At most `most` tokens that may follow `ids`.
inline std::vector<int32_t> lookUp(const std::vector<int32_t>& ids, int most) {
  const int size = static_cast<int>(ids.size());
  for (int end = size - 1; most > 0 && end >= kDraftMatch; --end)
    if (std::equal(ids.end() - kDraftMatch, ids.end(), ids.begin() + end - kDraftMatch))
      return {ids.begin() + end, ids.begin() + std::min(size, end + most)};
  return {};
}

/// How many tokens a request may draft, from how many of its drafts were right lately.
class DraftLength {
 public:
  int next() {
    if (share_ >= kWorthwhile) return share_ > 0.75 ? kMost : 3;
    return ++idle_ % kProbe == 0 ? 2 : 0;
  }
  void note(int drafted, int accepted) {
    if (drafted) share_ += kWeight * (static_cast<double>(accepted) / drafted - share_);
  }

 private:
  static constexpr int kMost = 7, kProbe = 16;
  static constexpr double kWorthwhile = 0.3, kWeight = 0.3;
  double share_ = 0.5;
  int idle_ = 0;
};

}  // namespace hindsight
