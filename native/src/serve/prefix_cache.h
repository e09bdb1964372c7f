// Keys and values of prefixes seen before, as a tree of pages per (adapter, version of its
// weights). A node is one page of up to kPage tokens; sequences share nodes. Least recently used
// leaves go first when the memory bound is reached.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "model/pages.h"

namespace hindsight {

class PrefixCache {
 public:
  using Key = std::pair<int, uint64_t>;  // adapter handle (0 = base), weights version

  PrefixCache(const PageLayout& layout, size_t maxBytes) : layout_(layout), maxBytes_(maxBytes) {}

  /// Fills an empty sequence with the longest known prefix of at most `limit` tokens. Whole pages
  /// are shared; the last, partly matching one is copied, because its owner will write on.
  void match(const Key& key, const std::vector<int32_t>& tokens, int limit, KvSequence& sequence);
  /// Remembers the first `count` tokens. Their pages must not be written any more.
  void insert(const Key& key, const std::vector<int32_t>& tokens, int count, const KvSequence& sequence);
  /// Forgets an adapter, except the given version of it.
  void dropAdapter(int adapter, uint64_t keepVersion);
  void clear();

  size_t tokens() const { return tokens_; }
  size_t bytes() const { return pages_ * layout_.bytes(); }

 private:
  struct Node {
    std::vector<int32_t> tokens;
    std::shared_ptr<Page> page;
    std::vector<std::unique_ptr<Node>> children;
    uint64_t used = 0;
  };
  void forget(const Node& node);
  void evict();
  /// The least recently used leaf below `node`: its parent and index.
  static void oldestLeaf(Node& node, Node*& parent, size_t& index, uint64_t& used);

  const PageLayout& layout_;
  size_t maxBytes_;
  std::map<Key, Node> roots_;
  size_t tokens_ = 0, pages_ = 0;
  uint64_t clock_ = 0;
};

}  // namespace hindsight
