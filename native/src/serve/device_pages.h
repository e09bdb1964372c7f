// Who owns which page of keys and values on a device, and which prefixes they hold: whole pages of
// sequences seen before, as a tree per (adapter, version of its weights). Pure bookkeeping: pages are
// numbers. Least recently used leaves go first when pages run out.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

namespace hindsight {

/// One running sequence: its pages, the first `shared` of which belong to the tree.
struct DeviceSequence {
  std::vector<int> pages;
  std::vector<int> nodes;  // of the shared ones
  int length = 0;
};

class DevicePages {
 public:
  using Key = std::pair<int, uint64_t>;

  DevicePages(int pages, int pageTokens);

  /// The longest known prefix of at most `limit` tokens, whole pages.
  DeviceSequence match(const Key& key, const std::vector<int32_t>& tokens, int limit);
  /// Makes room for `length` tokens; false where no page is left.
  bool extend(DeviceSequence& sequence, int length);
  /// Gives the sequence's pages back; its whole pages are remembered under their tokens.
  void finish(const Key& key, const std::vector<int32_t>& tokens, DeviceSequence& sequence);
  /// Forgets an adapter, except the given version of it.
  void dropAdapter(int adapter, uint64_t keepVersion);
  void clear();

  size_t tokens() const { return remembered_ * pageTokens_; }

 private:
  struct Node {
    int parent = -1, page = -1, users = 0, children = 0;
    uint64_t used = 0;
    Key key;
    std::vector<int32_t> tokens;
  };
  int child(const Key& key, int parent, const std::vector<int32_t>& tokens, int at) const;
  int take();
  void forget(int node);
  std::vector<int32_t> pageOf(const std::vector<int32_t>& tokens, int index) const;

  int pageTokens_;
  size_t remembered_ = 0;
  uint64_t clock_ = 0;
  std::vector<int> free_, unusedNodes_;
  std::vector<Node> nodes_;
  std::map<std::pair<Key, std::pair<int, std::vector<int32_t>>>, int> children_;
};

}  // namespace hindsight
