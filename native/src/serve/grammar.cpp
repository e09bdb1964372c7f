#include "serve/grammar.h"

#include <algorithm>
#include <cmath>

#include "io/failure.h"

namespace hindsight {
namespace {

constexpr int kBlanks = 40, kDigits = 15, kDepth = 32;

/// Phases of the kinds of frames; 0 is "nothing of it is written yet" everywhere.
enum : uint8_t {
  kStart = 0,
  kBody, kEscape, kHex1, kHex2, kHex3, kHex4, kContinue,                       // string
  kMinus, kZero, kInteger, kPoint, kFraction, kExponent, kSign, kPower,        // number
  kOpened, kKey, kColon, kAfter, kComma,                                       // object; array: kOpened, kAfter
};

bool blank(uint8_t byte) { return byte == ' ' || byte == '\n' || byte == '\t' || byte == '\r'; }
bool digit(uint8_t byte) { return byte >= '0' && byte <= '9'; }
bool hexDigit(uint8_t byte) { return digit(byte) || (byte >= 'a' && byte <= 'f') || (byte >= 'A' && byte <= 'F'); }

Failure unsupported(const std::string& what) {
  return Failure("SCHEMA_UNSUPPORTED", "The schema has " + what + ", which constrained sampling does not know: leave it out or check it after the answer.");
}
Failure invalid(const std::string& what) { return Failure("SCHEMA_INVALID", "The schema is wrong, " + what + ": correct it."); }

std::string scalar(const Json& value) {
  switch (value.type) {
    case Json::Type::Null: return "null";
    case Json::Type::Bool: return value.boolean ? "true" : "false";
    case Json::Type::String: return quoteJson(value.text);
    case Json::Type::Number:
      if (value.number == std::floor(value.number) && std::fabs(value.number) < 1e15) return std::to_string(static_cast<long long>(value.number));
      throw unsupported("a fraction as a constant");
    default: throw unsupported("an object or array as a constant");
  }
}

uint32_t countOf(const Json& schema, const char* name, uint32_t otherwise) {
  const Json* found = schema.find(name);
  if (!found) return otherwise;
  if (found->type != Json::Type::Number || found->number < 0 || found->number != std::floor(found->number)) throw invalid(std::string(name) + " is not a whole number");
  return static_cast<uint32_t>(std::min(found->number, 1e9));
}

/// Keywords of a kind; annotations are everybody's.
void allowOnly(const Json& schema, const std::vector<std::string>& known) {
  static const std::vector<std::string> annotations = {"$schema", "title", "description", "default", "examples", "$comment"};
  for (const auto& [name, value] : schema.members) {
    const auto in = [&](const std::vector<std::string>& names) { return std::find(names.begin(), names.end(), name) != names.end(); };
    if (!in(annotations) && !in(known)) throw unsupported("`" + name + "`");
  }
}

}  // namespace

Grammar::Grammar(const std::string& schema) {
  Json json;
  try {
    json = Json::parse(schema.data(), schema.size());
  } catch (const std::runtime_error& error) {
    throw invalid(error.what());
  }
  compile(json, 0);
}

// ── compiling ──────────────────────────────────────────────────────────────────────────────────

uint16_t Grammar::compile(const Json& schema, int depth) {
  if (schema.type != Json::Type::Object) throw invalid("it is not an object");
  if (depth > kDepth || nodes_.size() > 4096) throw unsupported("more nesting than 32 levels or 4,096 parts");
  const uint16_t index = static_cast<uint16_t>(nodes_.size());
  nodes_.emplace_back();
  if (const Json* alternatives = schema.find("anyOf")) {
    allowOnly(schema, {"anyOf"});
    if (alternatives->type != Json::Type::Array || alternatives->items.empty()) throw invalid("anyOf is not a list");
    std::vector<uint16_t> nodes;
    for (const Json& one : alternatives->items) nodes.push_back(compile(one, depth + 1));
    return compileAlternatives(nodes, index);
  }
  if (const Json* choices = schema.find("enum")) {
    allowOnly(schema, {"enum", "type"});
    if (choices->type != Json::Type::Array || choices->items.empty()) throw invalid("enum is not a list");
    std::vector<std::string> texts;
    for (const Json& one : choices->items) texts.push_back(scalar(one));
    compileLiterals(texts, nodes_[index]);
    return index;
  }
  if (const Json* constant = schema.find("const")) {
    allowOnly(schema, {"const", "type"});
    compileLiterals({scalar(*constant)}, nodes_[index]);
    return index;
  }
  const Json* type = schema.find("type");
  if (!type) throw unsupported("a part without type, enum, const or anyOf");
  if (type->type == Json::Type::String) {
    Node node;
    compileType(schema, type->text, depth, node);
    nodes_[index] = std::move(node);
    return index;
  }
  if (type->type != Json::Type::Array || type->items.empty()) throw invalid("type is neither a name nor a list of names");
  std::vector<uint16_t> nodes;
  for (const Json& one : type->items) {
    if (one.type != Json::Type::String) throw invalid("a type is not a name");
    nodes.push_back(static_cast<uint16_t>(nodes_.size()));
    nodes_.emplace_back();
    Json narrowed = schema;
    // Each type reads its own keywords of a list's.
    narrowed.members.erase(std::remove_if(narrowed.members.begin(), narrowed.members.end(), [&](const auto& member) {
      const bool string = member.first == "maxLength" || member.first == "minLength", number = member.first == "minimum" || member.first == "maximum" || member.first == "exclusiveMinimum";
      return (string && one.text != "string") || (number && one.text != "integer" && one.text != "number") || (one.text == "null" || one.text == "boolean" ? member.first != "type" : false);
    }), narrowed.members.end());
    Node node;
    compileType(narrowed, one.text, depth + 1, node);
    nodes_[nodes.back()] = std::move(node);
  }
  return compileAlternatives(nodes, index);
}

uint16_t Grammar::compileAlternatives(const std::vector<uint16_t>& alternatives, uint16_t index) {
  Node node;
  node.kind = Kind::AnyOf;
  node.alternatives = alternatives;
  node.least = INT32_MAX;
  for (const uint16_t one : alternatives) {
    node.least = std::min(node.least, nodes_[one].least);
    node.worst = std::max(node.worst, nodes_[one].worst);
  }
  nodes_[index] = std::move(node);
  return index;
}

void Grammar::compileType(const Json& schema, const std::string& type, int depth, Node& node) {
  if (type == "null" || type == "boolean") {
    allowOnly(schema, {"type"});
    compileLiterals(type == "null" ? std::vector<std::string>{"null"} : std::vector<std::string>{"true", "false"}, node);
  } else if (type == "string") {
    allowOnly(schema, {"type", "minLength", "maxLength"});
    node.kind = Kind::String;
    node.min = countOf(schema, "minLength", 0);
    node.max = countOf(schema, "maxLength", UINT32_MAX);
    if (node.min > node.max) throw invalid("minLength is above maxLength");
    node.least = 2 + static_cast<int>(node.min);
    node.worst = node.least + 8;
  } else if (type == "integer" || type == "number") {
    compileNumber(schema, type == "number", node);
  } else if (type == "array") {
    allowOnly(schema, {"type", "items", "minItems", "maxItems"});
    const Json* items = schema.find("items");
    if (!items) throw unsupported("an array without items");
    node.kind = Kind::Array;
    node.items = compile(*items, depth + 1);
    node.min = countOf(schema, "minItems", 0);
    node.max = countOf(schema, "maxItems", UINT32_MAX);
    if (node.min > node.max || node.min > 1000) throw invalid("minItems is above maxItems or 1,000");
    const Node& item = nodes_[node.items];
    const int many = static_cast<int>(node.min);
    node.least = 2 + (many == 0 ? 0 : many * (item.least + 1) - 1);
    node.worst = 2 + many * (item.least + 1) + item.worst;
  } else if (type == "object") {
    compileObject(schema, depth, node);
  } else {
    throw invalid("there is no type " + type);
  }
}

void Grammar::compileNumber(const Json& schema, bool fraction, Node& node) {
  allowOnly(schema, {"type", "minimum", "maximum", "exclusiveMinimum"});
  node.kind = Kind::Number;
  node.fraction = fraction;
  node.least = 1;
  node.worst = 3;
  // The bounds of exactly represented integers hold by the number of digits.
  const double safe = 9007199254740991.0;
  if (const Json* maximum = schema.find("maximum"))
    if (maximum->type != Json::Type::Number || maximum->number < safe) throw unsupported("`maximum`");
  const Json *minimum = schema.find("minimum"), *above = schema.find("exclusiveMinimum");
  if (above && (above->type != Json::Type::Number || above->number != 0 || fraction)) throw unsupported("this `exclusiveMinimum`");
  if (minimum && minimum->type != Json::Type::Number) throw invalid("minimum is not a number");
  const double from = above ? 1 : minimum ? minimum->number : -safe;
  if (from > -safe && from != 0 && (from != 1 || fraction)) throw unsupported("a `minimum` other than 0 or 1");
  node.negative = from < 0;
  node.zero = from < 1;
}

void Grammar::compileObject(const Json& schema, int depth, Node& node) {
  allowOnly(schema, {"type", "properties", "required", "additionalProperties"});
  const Json* others = schema.find("additionalProperties");
  // zod writes an empty schema for "not checked"; here no others are written in any case.
  if (others && !(others->type == Json::Type::Bool && !others->boolean)) throw unsupported("`additionalProperties` other than false");
  node.kind = Kind::Object;
  node.least = node.worst = 2;
  if (const Json* properties = schema.find("properties")) {
    if (properties->type != Json::Type::Object) throw invalid("properties is not an object");
    if (properties->members.size() > 64) throw unsupported("an object of more than 64 properties");
    for (const auto& [name, value] : properties->members) {
      const std::string quoted = quoteJson(name);
      node.properties.push_back({quoted.substr(1, quoted.size() - 2), compile(value, depth + 1), false});
    }
  }
  if (const Json* required = schema.find("required")) {
    if (required->type != Json::Type::Array) throw invalid("required is not a list");
    for (const Json& one : required->items) {
      const std::string quoted = one.type == Json::Type::String ? quoteJson(one.text) : "";
      const auto found = std::find_if(node.properties.begin(), node.properties.end(), [&](const Property& p) { return '"' + p.key + '"' == quoted; });
      if (found == node.properties.end()) throw invalid("required names no property");
      found->required = true;
      node.required |= uint64_t{1} << (found - node.properties.begin());
    }
  }
  node.least = 2 + std::max(0, requiredRest(node, 0) - 1);
  for (const Property& property : node.properties) node.worst += static_cast<int>(property.key.size()) + 4 + nodes_[property.node].worst;
}

void Grammar::compileLiterals(const std::vector<std::string>& texts, Node& node) {
  node.kind = Kind::Literal;
  node.literals.emplace_back();
  for (const std::string& text : texts) {
    uint32_t at = 0;
    for (const char c : text) {
      const auto& next = node.literals[at].next;
      const auto found = std::find_if(next.begin(), next.end(), [&](const auto& edge) { return edge.first == static_cast<uint8_t>(c); });
      if (found != next.end()) {
        at = found->second;
      } else {
        const uint32_t fresh = static_cast<uint32_t>(node.literals.size());
        node.literals[at].next.emplace_back(static_cast<uint8_t>(c), fresh);
        node.literals.emplace_back();
        at = fresh;
      }
    }
    node.literals[at].end = true;
    node.worst = std::max(node.worst, static_cast<int>(text.size()));
  }
  for (size_t i = node.literals.size(); i-- > 0;) {  // children come after their parents
    TrieNode& one = node.literals[i];
    one.shortest = one.end ? 0 : INT32_MAX;
    for (const auto& edge : one.next) one.shortest = std::min(one.shortest, 1 + node.literals[edge.second].shortest);
  }
  node.least = node.literals[0].shortest;
}

// ── reading ────────────────────────────────────────────────────────────────────────────────────

Grammar::State Grammar::start() const {
  State state;
  begin(Stack(), 0, state);
  return state;
}

/// Opens a value; each alternative is a reading of its own.
void Grammar::begin(Stack stack, uint16_t index, State& out) const {
  const Node& node = nodes_[index];
  if (node.kind == Kind::AnyOf) {
    for (const uint16_t one : node.alternatives) begin(stack, one, out);
    return;
  }
  Frame frame;
  frame.node = index;
  stack.frames.push_back(frame);
  out.push_back(std::move(stack));
}

void Grammar::step(const Stack& from, uint8_t byte, State& out) const {
  if (from.frames.empty()) {
    if (!blank(byte) || from.blanks >= kBlanks) return;
    Stack next = from;
    ++next.blanks;
    out.push_back(std::move(next));
    return;
  }
  Stack next = from;
  Frame& frame = next.frames.back();
  const Node& node = nodes_[frame.node];
  const bool inside = (node.kind == Kind::String && frame.phase != kStart) || (node.kind == Kind::Object && frame.phase == kKey);
  const bool between = frame.phase == kStart || node.kind == Kind::Object || node.kind == Kind::Array;
  if (!inside && between && blank(byte)) {
    if (next.blanks >= kBlanks) return;
    ++next.blanks;
    out.push_back(std::move(next));
    return;
  }
  next.blanks = 0;
  switch (node.kind) {
    case Kind::String: return stepString(node, next, byte, out);
    case Kind::Object: return stepObject(node, next, byte, out);
    case Kind::Array: return stepArray(node, next, byte, out);
    case Kind::AnyOf: return;
    case Kind::Number:
      if (stepNumber(node, frame, byte)) return out.push_back(std::move(next));
      break;
    case Kind::Literal: {
      const auto& edges = node.literals[frame.count].next;
      const auto edge = std::find_if(edges.begin(), edges.end(), [&](const auto& one) { return one.first == byte; });
      if (edge == edges.end()) break;
      frame.count = edge->second;
      frame.phase = kBody;
      if (node.literals[frame.count].next.empty()) next.frames.pop_back();
      return out.push_back(std::move(next));
    }
  }
  // A number ends where something else begins.
  if (!mayEnd(frame)) return;
  next.frames.pop_back();
  step(next, byte, out);
}

void Grammar::stepString(const Node& node, Stack& next, uint8_t byte, State& out) const {
  Frame& f = next.frames.back();
  const auto go = [&](uint8_t phase) {
    f.phase = phase;
    out.push_back(std::move(next));
  };
  const auto character = [&] {
    ++f.count;
    go(kBody);
  };
  switch (f.phase) {
    case kStart:
      if (byte == '"') go(kBody);
      return;
    case kBody:
      if (byte == '"') {
        if (f.count < node.min) return;
        next.frames.pop_back();
        return out.push_back(std::move(next));
      }
      if (f.count >= node.max || byte < 0x20) return;
      if (byte == '\\') return go(kEscape);
      if (byte < 0x80) return character();
      // UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF.
      if (byte < 0xC2 || byte > 0xF4) return;
      f.left = byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3;
      f.low = byte == 0xE0 ? 0xA0 : byte == 0xF0 ? 0x90 : 0x80;
      f.high = byte == 0xED ? 0x9F : byte == 0xF4 ? 0x8F : 0xBF;
      return go(kContinue);
    case kContinue:
      if (byte < f.low || byte > f.high) return;
      f.low = 0x80;
      f.high = 0xBF;
      if (--f.left > 0) return go(kContinue);
      f.low = f.high = 0;
      return character();
    case kEscape:
      if (byte == 'u') return go(kHex1);
      if (std::string("\"\\/bfnrt").find(static_cast<char>(byte)) != std::string::npos) return character();
      return;
    case kHex1:
      f.left = byte == 'd' || byte == 'D';  // a surrogate would follow: characters beyond U+FFFF are written as they are
      if (hexDigit(byte)) go(kHex2);
      return;
    case kHex2:
      if (!hexDigit(byte) || (f.left && byte > '7')) return;
      f.left = 0;
      return go(kHex3);
    case kHex3:
      if (hexDigit(byte)) go(kHex4);
      return;
    default:
      if (hexDigit(byte)) character();
  }
}

bool Grammar::stepNumber(const Node& node, Frame& f, uint8_t byte) const {
  const auto to = [&](uint8_t phase) {
    f.phase = phase;
    return true;
  };
  const bool isDigit = digit(byte), room = f.left < kDigits;
  if (isDigit && room) ++f.left;
  switch (f.phase) {
    case kStart:
      if (byte == '-') return node.negative && to(kMinus);
      if (byte == '0') return (node.zero || node.fraction) && to(kZero);
      return isDigit && to(kInteger);
    case kMinus: return byte == '0' ? to(kZero) : isDigit && to(kInteger);
    case kInteger:
      if (isDigit) return room;
      [[fallthrough]];
    case kZero:
      if (node.fraction && byte == '.' && room) return to(kPoint);
      break;
    case kPoint: return isDigit && to(kFraction);
    case kFraction:
      if (isDigit) return room;
      break;
    case kExponent:
      f.left = isDigit ? 1 : 0;
      if (byte == '+' || byte == '-') return to(kSign);
      return isDigit && to(kPower);
    case kSign:
      f.left = 1;
      return isDigit && to(kPower);
    case kPower: return isDigit && ++f.count < 2;  // at most e99: within a double
  }
  if (node.fraction && (byte == 'e' || byte == 'E')) return to(kExponent);
  return false;
}

void Grammar::stepObject(const Node& node, Stack& next, uint8_t byte, State& out) const {
  Frame& f = next.frames.back();
  const uint64_t all = node.properties.size() == 64 ? UINT64_MAX : (uint64_t{1} << node.properties.size()) - 1;
  const auto go = [&](uint8_t phase) {
    f.phase = phase;
    out.push_back(std::move(next));
  };
  switch (f.phase) {
    case kStart:
      if (byte == '{') go(kOpened);
      return;
    case kOpened:
    case kAfter:
      if (byte == '}' && (node.required & ~f.seen) == 0) {
        next.frames.pop_back();
        return out.push_back(std::move(next));
      }
      if (f.phase == kAfter) {
        if (byte == ',' && f.seen != all) go(kComma);
        return;
      }
      [[fallthrough]];
    case kComma:
      if (byte != '"' || f.seen == all) return;
      f.count = 0;
      f.candidates = all & ~f.seen;
      return go(kKey);
    case kKey: {
      uint64_t left = 0;
      int ended = -1;
      for (size_t i = 0; i < node.properties.size(); ++i) {
        const std::string& key = node.properties[i].key;
        if (!(f.candidates >> i & 1)) continue;
        if (f.count < key.size() && static_cast<uint8_t>(key[f.count]) == byte) left |= uint64_t{1} << i;
        if (f.count == key.size() && byte == '"') ended = static_cast<int>(i);
      }
      if (ended >= 0) {
        f.candidates = uint64_t{1} << ended;
        return go(kColon);
      }
      if (left == 0) return;
      f.candidates = left;
      ++f.count;
      return go(kKey);
    }
    case kColon: {
      if (byte != ':') return;
      uint16_t value = 0;
      for (size_t i = 0; i < node.properties.size(); ++i)
        if (f.candidates >> i & 1) value = node.properties[i].node;
      f.seen |= f.candidates;
      f.candidates = 0;
      f.count = 0;
      f.phase = kAfter;
      return begin(std::move(next), value, out);
    }
  }
}

void Grammar::stepArray(const Node& node, Stack& next, uint8_t byte, State& out) const {
  Frame& f = next.frames.back();
  const auto item = [&](Stack stack) {
    Frame& own = stack.frames.back();
    own.phase = kAfter;
    // Beyond both bounds a count says nothing more.
    if (own.count < node.min || node.max != UINT32_MAX) ++own.count;
    begin(std::move(stack), node.items, out);
  };
  switch (f.phase) {
    case kStart:
      if (byte != '[') return;
      if (node.max > 0) item(next);
      if (node.min == 0) {
        f.phase = kOpened;
        out.push_back(std::move(next));
      }
      return;
    case kOpened:
      if (byte == ']') {
        next.frames.pop_back();
        out.push_back(std::move(next));
      }
      return;
    case kAfter:
      if (byte == ']' && f.count >= node.min) {
        next.frames.pop_back();
        out.push_back(std::move(next));
      } else if (byte == ',' && f.count < node.max) {
        item(next);
      }
  }
}

// ── ends ───────────────────────────────────────────────────────────────────────────────────────

/// A value that is complete as it stands, though it could go on: numbers, and literals that are
/// beginnings of others.
bool Grammar::mayEnd(const Frame& f) const {
  const Node& node = nodes_[f.node];
  if (node.kind == Kind::Literal) return node.literals[f.count].end;
  return node.kind == Kind::Number && (f.phase == kZero || f.phase == kInteger || f.phase == kFraction || f.phase == kPower);
}

bool Grammar::complete(const State& state) const {
  return std::any_of(state.begin(), state.end(), [&](const Stack& stack) { return stack.frames.empty() || (stack.frames.size() == 1 && mayEnd(stack.frames[0])); });
}

int Grammar::shortest(const State& state) const {
  int least = INT32_MAX;
  for (const Stack& stack : state) {
    int sum = 0;
    for (const Frame& frame : stack.frames) sum += rest(frame);
    least = std::min(least, sum);
  }
  return least;
}

/// Bytes of the required properties that are missing, each with its comma.
int Grammar::requiredRest(const Node& node, uint64_t seen) const {
  int sum = 0;
  for (size_t i = 0; i < node.properties.size(); ++i)
    if ((node.required & ~seen) >> i & 1) sum += static_cast<int>(node.properties[i].key.size()) + 4 + nodes_[node.properties[i].node].least;
  return sum;
}

int Grammar::rest(const Frame& f) const {
  const Node& node = nodes_[f.node];
  if (f.phase == kStart) return node.least;
  const auto missing = [&](uint32_t characters) { return static_cast<int>(characters < node.min ? node.min - characters : 0); };
  switch (node.kind) {
    case Kind::Literal: return node.literals[f.count].shortest;
    case Kind::Number: return mayEnd(f) ? 0 : 1;
    case Kind::String:
      if (f.phase == kBody) return missing(f.count) + 1;
      if (f.phase == kContinue) return f.left + missing(f.count + 1) + 1;
      return (f.phase == kEscape ? 1 : 5 - (f.phase - kHex1) - 1) + missing(f.count + 1) + 1;
    case Kind::Array: {
      if (f.phase == kOpened) return 1;
      const int missingItems = f.count < node.min ? static_cast<int>(node.min - f.count) : 0;
      return missingItems * (nodes_[node.items].least + 1) + 1;
    }
    case Kind::Object: {
      if (f.phase == kOpened) return std::max(0, requiredRest(node, f.seen) - 1) + 1;
      if (f.phase == kAfter) return requiredRest(node, f.seen) + 1;
      int least = INT32_MAX;
      for (size_t i = 0; i < node.properties.size(); ++i) {
        const Property& property = node.properties[i];
        if (f.phase == kComma ? (f.seen >> i & 1) : !(f.candidates >> i & 1)) continue;
        const int written = f.phase == kComma ? -1 : static_cast<int>(f.count);
        const int keyRest = f.phase == kColon ? 1 : static_cast<int>(property.key.size()) - written + 2;
        least = std::min(least, keyRest + nodes_[property.node].least + requiredRest(node, f.seen | uint64_t{1} << i) + 1);
      }
      return least;
    }
    case Kind::AnyOf: break;
  }
  return node.least;
}

int64_t Grammar::freeCharacters(const State& state) const {
  if (state.size() != 1 || state[0].frames.empty()) return -1;
  const Frame& f = state[0].frames.back();
  const Node& node = nodes_[f.node];
  if (node.kind != Kind::String || f.phase != kBody || f.count > node.max) return -1;
  return node.max == UINT32_MAX ? INT64_MAX : static_cast<int64_t>(node.max) - f.count;
}

std::string Grammar::key(const State& state, int bytes) const {
  std::string key;
  const auto put = [&](uint64_t value) {
    do key += static_cast<char>((value & 127) | (value > 127 ? 128 : 0)), value >>= 7;
    while (value > 0);
  };
  for (const Stack& stack : state) {
    put(stack.blanks);
    put(stack.frames.size());
    for (const Frame& f : stack.frames) {
      const Node& node = nodes_[f.node];
      uint32_t count = f.count;
      // Far from its longest, and past its least, a string's length decides nothing yet.
      const bool far = node.max == UINT32_MAX || static_cast<int64_t>(node.max) - count > bytes;
      if (node.kind == Kind::String && count >= node.min && far) count = node.min;
      for (const uint64_t value : {uint64_t{f.node}, uint64_t{f.phase}, uint64_t{f.left}, uint64_t{f.low}, uint64_t{f.high}, uint64_t{count}, f.seen, f.candidates}) put(value);
    }
  }
  return key;
}

}  // namespace hindsight
