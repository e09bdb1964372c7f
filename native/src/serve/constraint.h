// Constrained sampling: of each step's logits only those tokens stay whose bytes keep the output on
// the way to a text that satisfies a JSON Schema (grammar.h). Tokens may cross the boundaries of
// values: a token is judged by all of its bytes. A token that would leave too few tokens to reach an
// end is masked as well, so that every output parses, also one that uses up maxTokens.
//
// The vocabulary is two tries, one of tokens that are plain characters (inside a string all of them
// may follow) and one of the others; the set that a state allows is kept by state.
#pragma once
#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "serve/grammar.h"

namespace hindsight {

/// Bytes of every token that may be text; special tokens have none.
class TokenTrie {
 public:
  struct Node {
    uint8_t byte;
    uint8_t depth;   // 1 = first byte
    uint32_t after;  // index past the subtree
    uint32_t firstToken, endToken;  // into `tokens`
  };
  struct Trie {
    std::vector<Node> nodes;  // in depth-first order
    std::vector<int32_t> tokens;
  };

  /// @param tokens   bytes by id; empty = never part of a constrained text
  /// @throws Failure VOCABULARY_UNFIT where a printable ASCII byte is not a token of its own: then
  ///         an end in as many tokens as bytes could not be promised
  explicit TokenTrie(const std::vector<std::string>& tokens);

  const std::string& bytes(int32_t token) const { return bytes_[token]; }
  int size() const { return static_cast<int>(bytes_.size()); }
  const Trie& all() const { return all_; }
  const Trie& notPlain() const { return notPlain_; }
  const std::vector<uint64_t>& plain() const { return plain_; }
  /// Characters of the longest plain token; bytes of the longest token.
  int longestPlain() const { return longestPlain_; }
  int longest() const { return longest_; }

 private:
  std::vector<std::string> bytes_;
  Trie all_, notPlain_;
  std::vector<uint64_t> plain_;
  int longestPlain_ = 0, longest_ = 0;
};

/// A schema with what it allowed so far over one vocabulary.
class CompiledSchema {
 public:
  CompiledSchema(const std::string& schema, std::shared_ptr<const TokenTrie> trie) : grammar_(schema), trie_(std::move(trie)) {}

  const Grammar& grammar() const { return grammar_; }
  const TokenTrie& trie() const { return *trie_; }
  /// Bit per token. @param left  tokens that may follow the next one
  std::shared_ptr<const std::vector<uint64_t>> allowed(const Grammar::State& state, int left);

 private:
  std::vector<uint64_t> walk(const Grammar::State& state, int left) const;
  void walkTrie(const TokenTrie::Trie& trie, const Grammar::State& state, int left, std::vector<uint64_t>& bits) const;

  Grammar grammar_;
  std::shared_ptr<const TokenTrie> trie_;
  std::unordered_map<std::string, std::shared_ptr<const std::vector<uint64_t>>> known_;
};

/// Schemas that were compiled lately, by their text: the votes of one judgement share one.
class SchemaCache {
 public:
  /// @param tokens  bytes by id; special tokens are empty
  void setVocabulary(std::vector<std::string> tokens);
  /// @throws Failure: the schema's, or the vocabulary's
  std::shared_ptr<CompiledSchema> compile(const std::string& schema);

 private:
  std::vector<std::string> tokens_;
  std::shared_ptr<const TokenTrie> trie_;
  std::list<std::pair<std::string, std::shared_ptr<CompiledSchema>>> compiled_;
};

/// One request's way through its schema.
class Constraint {
 public:
  /// @param ends  tokens that end the response, allowed where the text is complete
  /// @throws Failure BAD_ARGUMENT where maxTokens cannot hold the shortest text
  Constraint(std::shared_ptr<CompiledSchema> schema, std::vector<int32_t> ends, int maxTokens);

  /// Sets the logits of tokens that may not follow to -infinity. A greedy choice that may follow
  /// needs no more than that check.
  void mask(float* logits, int vocab, bool greedy);
  void advance(int32_t token);
  /// Nothing can follow, and there is no token that says so.
  bool finished() const { return ends_.empty() && schema_->grammar().complete(state_); }

 private:
  bool isEnd(int32_t token) const;
  bool follow(int32_t token, Grammar::State& to) const;

  std::shared_ptr<CompiledSchema> schema_;
  std::vector<int32_t> ends_;
  Grammar::State state_;
  int left_;  // tokens that may still be written
};

}  // namespace hindsight
