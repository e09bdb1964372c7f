#include "serve/prefix_cache.h"

#include <algorithm>
#include <cstring>

namespace hindsight {
namespace {

int commonPrefix(const std::vector<int32_t>& node, const int32_t* tokens, int limit) {
  int n = 0;
  while (n < limit && n < static_cast<int>(node.size()) && node[n] == tokens[n]) ++n;
  return n;
}

}  // namespace

void PrefixCache::match(const Key& key, const std::vector<int32_t>& tokens, int limit, KvSequence& sequence) {
  const auto root = roots_.find(key);
  if (root == roots_.end()) return;
  Node* node = &root->second;
  node->used = ++clock_;
  while (sequence.length < limit) {
    Node* best = nullptr;
    int common = 0;
    for (const auto& child : node->children) {
      const int n = commonPrefix(child->tokens, tokens.data() + sequence.length, limit - sequence.length);
      if (n > common) {
        common = n;
        best = child.get();
      }
    }
    if (!best) return;
    best->used = ++clock_;
    if (common == kPage) {
      sequence.pages.push_back(best->page);
      sequence.length += kPage;
      node = best;
      continue;
    }
    auto copy = std::make_shared<Page>(layout_);
    std::memcpy(copy->data.get(), best->page->data.get(), layout_.bytes());
    sequence.pages.push_back(std::move(copy));
    sequence.length += common;
    return;
  }
}

void PrefixCache::insert(const Key& key, const std::vector<int32_t>& tokens, int count, const KvSequence& sequence) {
  Node* node = &roots_[key];
  for (int at = 0; at < count; at += kPage) {
    const int size = std::min(kPage, count - at);
    Node* next = nullptr;
    for (const auto& child : node->children) {
      const int n = commonPrefix(child->tokens, tokens.data() + at, size);
      if (n < static_cast<int>(child->tokens.size()) && n < size) continue;
      next = child.get();
      if (n < size) {  // ours continues a partly filled page: ours replaces it
        tokens_ += size - child->tokens.size();
        child->tokens.assign(tokens.begin() + at, tokens.begin() + at + size);
        child->page = sequence.pages[at / kPage];
      }
      break;
    }
    if (!next) {
      auto fresh = std::make_unique<Node>();
      fresh->tokens.assign(tokens.begin() + at, tokens.begin() + at + size);
      fresh->page = sequence.pages[at / kPage];
      next = fresh.get();
      node->children.push_back(std::move(fresh));
      tokens_ += size;
      ++pages_;
    }
    next->used = ++clock_;
    node = next;
  }
  evict();
}

void PrefixCache::forget(const Node& node) {
  for (const auto& child : node.children) {
    tokens_ -= child->tokens.size();
    --pages_;
    forget(*child);
  }
}

void PrefixCache::dropAdapter(int adapter, uint64_t keepVersion) {
  for (auto it = roots_.begin(); it != roots_.end();) {
    if (it->first.first != adapter || it->first.second == keepVersion) {
      ++it;
      continue;
    }
    forget(it->second);
    it = roots_.erase(it);
  }
}

void PrefixCache::clear() {
  roots_.clear();
  tokens_ = pages_ = 0;
}

void PrefixCache::oldestLeaf(Node& node, Node*& parent, size_t& index, uint64_t& used) {
  for (size_t i = 0; i < node.children.size(); ++i) {
    Node& child = *node.children[i];
    if (!child.children.empty()) {
      oldestLeaf(child, parent, index, used);
    } else if (child.used < used) {
      used = child.used;
      parent = &node;
      index = i;
    }
  }
}

void PrefixCache::evict() {
  while (bytes() > maxBytes_) {
    Node* parent = nullptr;
    size_t index = 0;
    uint64_t used = UINT64_MAX;
    for (auto& root : roots_) oldestLeaf(root.second, parent, index, used);
    if (!parent) return;
    tokens_ -= parent->children[index]->tokens.size();
    --pages_;
    parent->children.erase(parent->children.begin() + static_cast<long>(index));
  }
}

}  // namespace hindsight
