#include "io/json.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <stdexcept>

namespace hindsight {
namespace {

constexpr int kMaxDepth = 64;

class Parser {
 public:
  Parser(const char* begin, size_t size) : begin_(begin), at_(begin), end_(begin + size) {}

  Json document() {
    Json value = parseValue(0);
    skipSpace();
    if (at_ != end_) fail("unexpected text after the end");
    return value;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw std::runtime_error(what + " at byte " + std::to_string(at_ - begin_));
  }
  void skipSpace() {
    while (at_ != end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t')) ++at_;
  }
  char peek() {
    if (at_ == end_) fail("unexpected end");
    return *at_;
  }
  void expect(char c) {
    if (peek() != c) fail(std::string("expected '") + c + "'");
    ++at_;
  }
  bool literal(const char* word) {
    const size_t size = std::strlen(word);
    if (static_cast<size_t>(end_ - at_) < size || std::memcmp(at_, word, size) != 0) return false;
    at_ += size;
    return true;
  }

  Json parseValue(int depth) {
    if (depth > kMaxDepth) fail("nested too deeply");
    skipSpace();
    Json value;
    const char c = peek();
    if (c == '{') {
      parseObject(value, depth);
    } else if (c == '[') {
      parseArray(value, depth);
    } else if (c == '"') {
      value.type = Json::Type::String;
      value.text = parseString();
    } else if (literal("true")) {
      value.type = Json::Type::Bool;
      value.boolean = true;
    } else if (literal("false")) {
      value.type = Json::Type::Bool;
    } else if (!literal("null")) {
      value.type = Json::Type::Number;
      value.number = parseNumber();
    }
    return value;
  }

  void parseObject(Json& value, int depth) {
    value.type = Json::Type::Object;
    expect('{');
    skipSpace();
    if (peek() == '}') {
      ++at_;
      return;
    }
    std::set<std::string> seen;
    for (;;) {
      skipSpace();
      std::string key = parseString();
      if (!seen.insert(key).second) fail("duplicate key \"" + key + "\"");
      skipSpace();
      expect(':');
      value.members.emplace_back(std::move(key), parseValue(depth + 1));
      skipSpace();
      if (peek() == '}') break;
      expect(',');
    }
    ++at_;
  }

  void parseArray(Json& value, int depth) {
    value.type = Json::Type::Array;
    expect('[');
    skipSpace();
    if (peek() == ']') {
      ++at_;
      return;
    }
    for (;;) {
      value.items.push_back(parseValue(depth + 1));
      skipSpace();
      if (peek() == ']') break;
      expect(',');
    }
    ++at_;
  }

  double parseNumber() {
    const char* start = at_;
    const auto digits = [&] {
      if (at_ == end_ || *at_ < '0' || *at_ > '9') fail("unexpected character");
      while (at_ != end_ && *at_ >= '0' && *at_ <= '9') ++at_;
    };
    if (peek() == '-') ++at_;
    if (at_ != end_ && *at_ == '0') ++at_;
    else digits();
    if (at_ != end_ && *at_ == '.') {
      ++at_;
      digits();
    }
    if (at_ != end_ && (*at_ == 'e' || *at_ == 'E')) {
      ++at_;
      if (at_ != end_ && (*at_ == '+' || *at_ == '-')) ++at_;
      digits();
    }
    return std::strtod(std::string(start, at_).c_str(), nullptr);
  }

  unsigned parseHex() {
    unsigned code = 0;
    for (int i = 0; i < 4; ++i) {
      const char c = peek();
      code <<= 4;
      if (c >= '0' && c <= '9') code += c - '0';
      else if (c >= 'a' && c <= 'f') code += c - 'a' + 10;
      else if (c >= 'A' && c <= 'F') code += c - 'A' + 10;
      else fail("bad \\u escape");
      ++at_;
    }
    return code;
  }

  static void appendUtf8(std::string& out, unsigned code) {
    if (code < 0x80) {
      out += static_cast<char>(code);
    } else if (code < 0x800) {
      out += static_cast<char>(0xc0 | code >> 6);
      out += static_cast<char>(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
      out += static_cast<char>(0xe0 | code >> 12);
      out += static_cast<char>(0x80 | (code >> 6 & 0x3f));
      out += static_cast<char>(0x80 | (code & 0x3f));
    } else {
      out += static_cast<char>(0xf0 | code >> 18);
      out += static_cast<char>(0x80 | (code >> 12 & 0x3f));
      out += static_cast<char>(0x80 | (code >> 6 & 0x3f));
      out += static_cast<char>(0x80 | (code & 0x3f));
    }
  }

  std::string parseString() {
    expect('"');
    std::string out;
    for (;;) {
      const char c = peek();
      ++at_;
      if (c == '"') return out;
      if (static_cast<unsigned char>(c) < 0x20) fail("control character in a string");
      if (c != '\\') {
        out += c;
        continue;
      }
      const char e = peek();
      ++at_;
      static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
      const char* known = e ? std::strchr(from, e) : nullptr;
      if (known) {
        out += to[known - from];
      } else if (e == 'u') {
        unsigned code = parseHex();
        if (code >= 0xd800 && code < 0xdc00 && literal("\\u")) {
          const unsigned low = parseHex();
          if (low < 0xdc00 || low > 0xdfff) fail("bad surrogate pair");
          code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        }
        appendUtf8(out, code);
      } else {
        fail("unknown escape");
      }
    }
  }

  const char *begin_, *at_, *end_;
};

}  // namespace

const Json* Json::find(const std::string& key) const {
  for (const auto& member : members)
    if (member.first == key) return &member.second;
  return nullptr;
}

Json Json::parse(const char* begin, size_t size) { return Parser(begin, size).document(); }

std::string quoteJson(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char buffer[8];
      std::snprintf(buffer, sizeof buffer, "\\u%04x", c);
      out += buffer;
    } else {
      out += c;
    }
  }
  return out + "\"";
}

}  // namespace hindsight
