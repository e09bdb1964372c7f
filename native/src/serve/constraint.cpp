#include "serve/constraint.h"

#include <algorithm>
#include <cmath>

#include "io/failure.h"
#include "serve/sampler.h"

namespace hindsight {
namespace {

/// Masks kept per schema: 20 KB each with a vocabulary of 150,000.
constexpr size_t kMasks = 256;
constexpr size_t kSchemas = 8;

/// Characters of ASCII text that may stand in a JSON string as it is; -1 of other text.
int plainCharacters(const std::string& text) {
  // Of what is not ASCII the grammar itself is the judge.
  const auto plain = [](char c) { return static_cast<uint8_t>(c) >= 0x20 && static_cast<uint8_t>(c) < 0x80 && c != '"' && c != '\\'; };
  return std::all_of(text.begin(), text.end(), plain) ? static_cast<int>(text.size()) : -1;
}

TokenTrie::Trie build(const std::vector<std::string>& bytes, std::vector<int32_t> tokens) {
  std::sort(tokens.begin(), tokens.end(), [&](int32_t a, int32_t b) { return bytes[a] != bytes[b] ? bytes[a] < bytes[b] : a < b; });
  TokenTrie::Trie trie;
  trie.tokens = tokens;
  std::vector<uint32_t> open;  // nodes of the current path
  const std::string* before = nullptr;
  for (uint32_t i = 0; i < tokens.size(); ++i) {
    const std::string& text = bytes[tokens[i]];
    size_t shared = 0;
    if (before)
      while (shared < open.size() && shared < text.size() && (*before)[shared] == text[shared]) ++shared;
    while (open.size() > shared) {
      trie.nodes[open.back()].after = static_cast<uint32_t>(trie.nodes.size());
      open.pop_back();
    }
    for (size_t at = shared; at < text.size(); ++at) {
      open.push_back(static_cast<uint32_t>(trie.nodes.size()));
      trie.nodes.push_back({static_cast<uint8_t>(text[at]), static_cast<uint8_t>(at + 1), 0, i, i});
    }
    trie.nodes[open.back()].endToken = i + 1;
    before = &text;
  }
  for (const uint32_t node : open) trie.nodes[node].after = static_cast<uint32_t>(trie.nodes.size());
  return trie;
}

void setBit(std::vector<uint64_t>& bits, int32_t token) { bits[token >> 6] |= uint64_t{1} << (token & 63); }

}  // namespace

TokenTrie::TokenTrie(const std::vector<std::string>& tokens) : bytes_(tokens), plain_((tokens.size() + 63) / 64) {
  std::vector<int32_t> all, notPlain;
  std::vector<bool> single(256);
  for (size_t id = 0; id < bytes_.size(); ++id) {
    const std::string& text = bytes_[id];
    if (text.empty() || text.size() > 255) continue;
    all.push_back(static_cast<int32_t>(id));
    longest_ = std::max(longest_, static_cast<int>(text.size()));
    if (text.size() == 1) single[static_cast<uint8_t>(text[0])] = true;
    const int characters = plainCharacters(text);
    if (characters < 0) notPlain.push_back(static_cast<int32_t>(id));
    else setBit(plain_, static_cast<int32_t>(id));
    longestPlain_ = std::max(longestPlain_, characters);
  }
  for (int byte = 0x20; byte < 0x7F; ++byte)
    if (!single[byte]) throw Failure("VOCABULARY_UNFIT", "The model's vocabulary has no token for the single character \"" + std::string(1, static_cast<char>(byte)) + "\", so constrained sampling cannot be promised: use another model.");
  all_ = build(bytes_, std::move(all));
  notPlain_ = build(bytes_, std::move(notPlain));
}

std::shared_ptr<const std::vector<uint64_t>> CompiledSchema::allowed(const Grammar::State& state, int left) {
  // Where the end is far, how many tokens are left decides nothing.
  if (left < grammar_.farthest()) return std::make_shared<std::vector<uint64_t>>(walk(state, left));
  const std::string key = grammar_.key(state, trie_->longest());
  const auto found = known_.find(key);
  if (found != known_.end()) return found->second;
  if (known_.size() >= kMasks) known_.clear();
  return known_[key] = std::make_shared<std::vector<uint64_t>>(walk(state, left));
}

std::vector<uint64_t> CompiledSchema::walk(const Grammar::State& state, int left) const {
  std::vector<uint64_t> bits(trie_->plain().size());
  const bool anyPlain = grammar_.freeCharacters(state) >= trie_->longestPlain() && grammar_.shortest(state) <= left;
  if (anyPlain) bits = trie_->plain();
  walkTrie(anyPlain ? trie_->notPlain() : trie_->all(), state, left, bits);
  return bits;
}

void CompiledSchema::walkTrie(const TokenTrie::Trie& trie, const Grammar::State& state, int left, std::vector<uint64_t>& bits) const {
  std::vector<Grammar::State> path(trie_->longest() + 1);
  path[0] = state;
  for (uint32_t i = 0; i < trie.nodes.size();) {
    const TokenTrie::Node& node = trie.nodes[i];
    Grammar::State& here = path[node.depth];
    here.clear();
    for (const Grammar::Stack& stack : path[node.depth - 1]) grammar_.step(stack, node.byte, here);
    if (here.empty()) {
      i = node.after;
      continue;
    }
    if (node.endToken > node.firstToken && grammar_.shortest(here) <= left)
      for (uint32_t t = node.firstToken; t < node.endToken; ++t) setBit(bits, trie.tokens[t]);
    ++i;
  }
}

void SchemaCache::setVocabulary(std::vector<std::string> tokens) {
  tokens_ = std::move(tokens);
  trie_ = nullptr;
  compiled_.clear();
}

std::shared_ptr<CompiledSchema> SchemaCache::compile(const std::string& schema) {
  const auto found = std::find_if(compiled_.begin(), compiled_.end(), [&](const auto& one) { return one.first == schema; });
  if (found != compiled_.end()) {
    compiled_.splice(compiled_.begin(), compiled_, found);
    return found->second;
  }
  if (tokens_.empty()) throw Failure("VOCABULARY_MISSING", "Constrained sampling needs the vocabulary: call setVocabulary first.");
  if (!trie_) trie_ = std::make_shared<TokenTrie>(tokens_);
  compiled_.emplace_front(schema, std::make_shared<CompiledSchema>(schema, trie_));
  if (compiled_.size() > kSchemas) compiled_.pop_back();
  return compiled_.front().second;
}

Constraint::Constraint(std::shared_ptr<CompiledSchema> schema, std::vector<int32_t> ends, int maxTokens)
    : schema_(std::move(schema)), ends_(std::move(ends)), state_(schema_->grammar().start()), left_(maxTokens) {
  const int least = schema_->grammar().shortest(state_);
  if (least > maxTokens)
    throw Failure("BAD_ARGUMENT", "The shortest answer that satisfies the schema has " + std::to_string(least) + " characters and maxTokens is " + std::to_string(maxTokens) + ": allow more tokens.");
}

bool Constraint::isEnd(int32_t token) const { return std::find(ends_.begin(), ends_.end(), token) != ends_.end(); }

bool Constraint::follow(int32_t token, Grammar::State& to) const {
  if (token >= schema_->trie().size()) return false;
  const std::string& bytes = schema_->trie().bytes(token);
  if (bytes.empty() || bytes.size() > 255) return false;
  to = state_;
  for (const char byte : bytes) {
    Grammar::State next;
    for (const Grammar::Stack& stack : to) schema_->grammar().step(stack, static_cast<uint8_t>(byte), next);
    to = std::move(next);
  }
  return !to.empty();
}

void Constraint::mask(float* logits, int vocab, bool greedy) {
  const bool complete = schema_->grammar().complete(state_);
  if (greedy) {
    const int best = argmax(logits, vocab);
    if (isEnd(best) && complete) return;
    Grammar::State next;
    if (!isEnd(best) && follow(best, next) && schema_->grammar().shortest(next) <= left_ - 1) return;
  }
  const auto bits = schema_->allowed(state_, left_ - 1);
  const int known = std::min(vocab, schema_->trie().size());
  std::vector<std::pair<int32_t, float>> ends;
  for (const int32_t end : ends_) ends.emplace_back(end, logits[end]);
  for (int i = 0; i < known; ++i)
    if (!((*bits)[i >> 6] >> (i & 63) & 1)) logits[i] = -INFINITY;
  for (int i = known; i < vocab; ++i) logits[i] = -INFINITY;
  for (const auto& [end, logit] : ends) logits[end] = complete ? logit : -INFINITY;
}

void Constraint::advance(int32_t token) {
  --left_;
  if (isEnd(token)) return;
  Grammar::State next;
  if (follow(token, next)) state_ = std::move(next);
}

}  // namespace hindsight
