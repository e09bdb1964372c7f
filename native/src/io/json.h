// A strict JSON reader (RFC 8259) for config files and safetensors headers. Bounded depth, no
// trailing commas, no duplicate keys: two readers of one file must never disagree on it.
#pragma once
#include <string>
#include <utility>
#include <vector>

namespace hindsight {

class Json {
 public:
  enum class Type { Null, Bool, Number, String, Array, Object };
  Type type = Type::Null;
  bool boolean = false;
  double number = 0;
  std::string text;
  std::vector<Json> items;
  std::vector<std::pair<std::string, Json>> members;

  /// Member of an object, or null where it is absent.
  const Json* find(const std::string& key) const;
  bool isNull() const { return type == Type::Null; }

  /// @throws std::runtime_error saying what is wrong and at which byte.
  static Json parse(const char* begin, size_t size);
};

std::string quoteJson(const std::string& text);

}  // namespace hindsight
