#include "serve/device_pages.h"

namespace hindsight {

DevicePages::DevicePages(int pages, int pageTokens) : pageTokens_(pageTokens) {
  for (int i = pages; i > 0; --i) free_.push_back(i - 1);
}

std::vector<int32_t> DevicePages::pageOf(const std::vector<int32_t>& tokens, int index) const {
  return {tokens.begin() + static_cast<long>(index) * pageTokens_, tokens.begin() + static_cast<long>(index + 1) * pageTokens_};
}

int DevicePages::child(const Key& key, int parent, const std::vector<int32_t>& tokens, int index) const {
  const auto found = children_.find({key, {parent, pageOf(tokens, index)}});
  return found == children_.end() ? -1 : found->second;
}

DeviceSequence DevicePages::match(const Key& key, const std::vector<int32_t>& tokens, int limit) {
  DeviceSequence sequence;
  int parent = -1;
  for (int i = 0; (i + 1) * pageTokens_ <= limit; ++i) {
    const int node = child(key, parent, tokens, i);
    if (node < 0) break;
    ++nodes_[node].users;
    nodes_[node].used = ++clock_;
    sequence.nodes.push_back(node);
    sequence.pages.push_back(nodes_[node].page);
    parent = node;
  }
  sequence.length = static_cast<int>(sequence.pages.size()) * pageTokens_;
  return sequence;
}

void DevicePages::forget(int index) {
  Node& node = nodes_[index];
  children_.erase({node.key, {node.parent, node.tokens}});
  if (node.parent >= 0) --nodes_[node.parent].children;
  free_.push_back(node.page);
  node = Node();
  unusedNodes_.push_back(index);
  --remembered_;
}

int DevicePages::take() {
  if (free_.empty()) {
    int oldest = -1;
    for (size_t i = 0; i < nodes_.size(); ++i) {
      const Node& n = nodes_[i];
      if (n.page >= 0 && n.users == 0 && n.children == 0 && (oldest < 0 || n.used < nodes_[oldest].used)) oldest = static_cast<int>(i);
    }
    if (oldest < 0) return -1;
    forget(oldest);
  }
  const int page = free_.back();
  free_.pop_back();
  return page;
}

bool DevicePages::extend(DeviceSequence& sequence, int length) {
  while (static_cast<int>(sequence.pages.size()) * pageTokens_ < length) {
    const int page = take();
    if (page < 0) return false;
    sequence.pages.push_back(page);
  }
  return true;
}

void DevicePages::finish(const Key& key, const std::vector<int32_t>& tokens, DeviceSequence& sequence) {
  const int whole = sequence.length / pageTokens_;
  int parent = sequence.nodes.empty() ? -1 : sequence.nodes.back();
  for (size_t i = sequence.nodes.size(); i < sequence.pages.size(); ++i) {
    const int page = sequence.pages[i];
    if (static_cast<int>(i) >= whole) {
      free_.push_back(page);
      continue;
    }
    const int known = child(key, parent, tokens, static_cast<int>(i));
    if (known >= 0) {
      free_.push_back(page);
      parent = known;
      continue;
    }
    int index = static_cast<int>(nodes_.size());
    if (unusedNodes_.empty()) {
      nodes_.emplace_back();
    } else {
      index = unusedNodes_.back();
      unusedNodes_.pop_back();
    }
    Node& node = nodes_[index];
    node.parent = parent;
    node.page = page;
    node.used = ++clock_;
    node.key = key;
    node.tokens = pageOf(tokens, static_cast<int>(i));
    if (parent >= 0) ++nodes_[parent].children;
    children_[{key, {parent, node.tokens}}] = index;
    ++remembered_;
    parent = index;
  }
  for (const int node : sequence.nodes) --nodes_[node].users;
  sequence = DeviceSequence();
}

void DevicePages::dropAdapter(int adapter, uint64_t keepVersion) {
  // Leaves first: a page goes once nothing hangs on it. A page in use stays until the next call.
  for (bool again = true; again;) {
    again = false;
    for (size_t i = 0; i < nodes_.size(); ++i) {
      const Node& n = nodes_[i];
      if (n.page < 0 || n.users > 0 || n.children > 0 || n.key.first != adapter || n.key.second == keepVersion) continue;
      forget(static_cast<int>(i));
      again = true;
    }
  }
}

void DevicePages::clear() {
  for (bool again = true; again;) {
    again = false;
    for (size_t i = 0; i < nodes_.size(); ++i) {
      if (nodes_[i].page < 0 || nodes_[i].users > 0 || nodes_[i].children > 0) continue;
      forget(static_cast<int>(i));
      again = true;
    }
  }
}

}  // namespace hindsight
