// A JSON Schema compiled to a byte-level pushdown automaton: which bytes may follow a prefix of a
// JSON text that is to satisfy the schema. No recursion in the schema means a bounded stack, and
// alternatives (anyOf, an optional end) are a small set of stacks that is advanced byte by byte.
//
// Supported: object with `properties`, `required`, additionalProperties false or absent (never
// others than the named, at most 64, in any order); enum and const of scalars; string with minLength
// and maxLength; integer, number (at most 15 digits; a `minimum` of 0 or 1); boolean, null; array
// with items, minItems, maxItems; anyOf; a list of types. Anything else is refused by name: a keyword
// that is ignored would be a promise that is not kept.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "io/json.h"

namespace hindsight {

class Grammar {
 public:
  /// @throws Failure SCHEMA_INVALID, SCHEMA_UNSUPPORTED
  explicit Grammar(const std::string& schema);

  /// One open value: where in the node the text is.
  struct Frame {
    uint16_t node = 0;
    uint8_t phase = 0;
    /// String: continuation bytes to come, and bounds of the next one. Number: digits so far.
    uint8_t left = 0, low = 0, high = 0;
    /// String: characters so far. Array: items begun. Object key: bytes so far. Literal: trie node.
    uint32_t count = 0;
    /// Object: properties begun, and those that the key in progress may still become.
    uint64_t seen = 0, candidates = 0;
  };
  /// Open values, the innermost last; none = the text is complete.
  struct Stack {
    std::vector<Frame> frames;
    /// White space in a row outside strings; bounded, or a weak model would never come to an end.
    uint8_t blanks = 0;
  };
  /// All readings of the text so far; none = no continuation can satisfy the schema.
  using State = std::vector<Stack>;

  State start() const;
  /// Appends to `out` what `from` becomes by one more byte.
  void step(const Stack& from, uint8_t byte, State& out) const;
  /// The text so far satisfies the schema.
  bool complete(const State& state) const;
  /// Least bytes to a complete text.
  int shortest(const State& state) const;
  /// No reachable state is farther than this from a complete text, in bytes.
  int farthest() const { return nodes_[0].worst; }
  /// Characters that the string in progress may still take, if the only reading is inside a string
  /// whose next byte may be any character; -1 otherwise.
  int64_t freeCharacters(const State& state) const;
  /// Distinguishes states by what may follow within `bytes` bytes.
  std::string key(const State& state, int bytes) const;

 private:
  enum class Kind : uint8_t { Literal, String, Number, Object, Array, AnyOf };
  struct Property {
    std::string key;  // as written between the quotes
    uint16_t node = 0;
    bool required = false;
  };
  struct TrieNode {
    std::vector<std::pair<uint8_t, uint32_t>> next;
    bool end = false;
    int shortest = 0;
  };
  struct Node {
    Kind kind = Kind::Literal;
    int least = 0, worst = 0;  // bytes: shortest text; farthest that a prefix is from an end
    std::vector<TrieNode> literals;
    uint32_t min = 0, max = UINT32_MAX;  // characters, items
    bool fraction = false, negative = true, zero = true;  // numbers
    std::vector<Property> properties;
    uint64_t required = 0;
    uint16_t items = 0;
    std::vector<uint16_t> alternatives;
  };

  uint16_t compile(const Json& schema, int depth);
  void compileType(const Json& schema, const std::string& type, int depth, Node& node);
  void compileObject(const Json& schema, int depth, Node& node);
  void compileNumber(const Json& schema, bool fraction, Node& node);
  void compileLiterals(const std::vector<std::string>& texts, Node& node);
  uint16_t compileAlternatives(const std::vector<uint16_t>& alternatives, uint16_t index);

  void begin(Stack stack, uint16_t node, State& out) const;
  void stepString(const Node& node, Stack& next, uint8_t byte, State& out) const;
  bool stepNumber(const Node& node, Frame& frame, uint8_t byte) const;
  void stepObject(const Node& node, Stack& next, uint8_t byte, State& out) const;
  void stepArray(const Node& node, Stack& next, uint8_t byte, State& out) const;
  bool mayEnd(const Frame& frame) const;
  int rest(const Frame& frame) const;
  int requiredRest(const Node& node, uint64_t seen) const;

  std::vector<Node> nodes_;  // [0] = the schema itself
};

}  // namespace hindsight
