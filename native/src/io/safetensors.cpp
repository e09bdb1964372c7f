#include "io/safetensors.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "io/failure.h"
#include "io/json.h"

namespace hindsight {
namespace {

constexpr uint64_t kHeaderLimit = 100u << 20;

int dtypeBytes(const std::string& dtype) {
  static const std::map<std::string, int> sizes = {
      {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"I16", 2}, {"U16", 2}, {"F16", 2},
      {"BF16", 2}, {"I32", 4}, {"U32", 4}, {"F32", 4},     {"F64", 8},     {"I64", 8}, {"U64", 8}};
  const auto found = sizes.find(dtype);
  return found == sizes.end() ? 0 : found->second;
}

/// A non-negative integer that a double holds exactly.
bool wholeNumber(const Json& value, uint64_t& out) {
  if (value.type != Json::Type::Number || !(value.number >= 0) || value.number > 9007199254740992.0 ||
      value.number != std::floor(value.number))
    return false;
  out = static_cast<uint64_t>(value.number);
  return true;
}

float halfToFloat(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000) << 16;
  const uint32_t exponent = h >> 10 & 31, mantissa = h & 1023;
  uint32_t bits = 0;
  if (exponent == 31) {
    bits = sign | 0x7f800000 | mantissa << 13;
  } else if (exponent > 0) {
    bits = sign | (exponent + 112) << 23 | mantissa << 13;
  } else {
    const float value = static_cast<float>(mantissa) * 5.9604644775390625e-8f;  // 2^-24
    std::memcpy(&bits, &value, 4);
    bits |= sign;
  }
  float out;
  std::memcpy(&out, &bits, 4);
  return out;
}

uint16_t floatToHalf(float f) {
  uint32_t bits;
  std::memcpy(&bits, &f, 4);
  const uint16_t sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude < 0x38800000) {  // subnormal: scaled by 2^24 and rounded to nearest even
    float positive;
    std::memcpy(&positive, &magnitude, 4);
    return static_cast<uint16_t>(sign | static_cast<uint16_t>(std::nearbyint(positive * 16777216.0f)));
  }
  const uint32_t rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
  return static_cast<uint16_t>(sign | (rounded - 0x38000000) >> 13);
}

uint16_t floatToBrain(float f) {
  uint32_t bits;
  std::memcpy(&bits, &f, 4);
  if ((bits & 0x7fffffff) > 0x7f800000) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

}  // namespace

uint64_t TensorEntry::elements() const {
  uint64_t count = 1;
  for (const int64_t d : shape) count *= static_cast<uint64_t>(d);
  return count;
}

TensorFile::TensorFile(const std::string& path) : path_(path), file_(path) {
  const auto corrupt = [&](const std::string& what) {
    throw Failure("SAFETENSORS_CORRUPT", path + " is not a valid safetensors file (" + what + "): download it again.");
  };
  uint8_t prefix[8];
  if (file_.size() < 8) corrupt("shorter than its header length field");
  file_.read(0, prefix, 8);
  uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = length << 8 | prefix[i];
  if (length > kHeaderLimit) corrupt("header of " + std::to_string(length) + " bytes");
  if (length > file_.size() - 8)
    throw Failure("FILE_TRUNCATED", path + " ends inside its header: download it again.");
  std::string text(length, '\0');
  file_.read(8, &text[0], length);
  Json header;
  try {
    header = Json::parse(text.data(), text.size());
  } catch (const std::runtime_error& error) {
    corrupt(std::string("header: ") + error.what());
  }
  if (header.type != Json::Type::Object) corrupt("the header is not an object");
  const uint64_t dataStart = 8 + length, dataSize = file_.size() - dataStart;
  for (const auto& member : header.members) {
    const Json& value = member.second;
    if (value.type != Json::Type::Object) corrupt("entry \"" + member.first + "\" is not an object");
    if (member.first == "__metadata__") {
      for (const auto& pair : value.members) {
        if (pair.second.type != Json::Type::String) corrupt("metadata \"" + pair.first + "\" is not a string");
        metadata_.emplace_back(pair.first, pair.second.text);
      }
      continue;
    }
    const Json *dtype = value.find("dtype"), *shape = value.find("shape"), *offsets = value.find("data_offsets");
    if (!dtype || dtype->type != Json::Type::String || !shape || shape->type != Json::Type::Array || !offsets ||
        offsets->type != Json::Type::Array || offsets->items.size() != 2)
      corrupt("tensor \"" + member.first + "\" lacks dtype, shape or data_offsets");
    TensorEntry entry;
    entry.name = member.first;
    entry.dtype = dtype->text;
    const int width = dtypeBytes(entry.dtype);
    if (width == 0) corrupt("tensor \"" + member.first + "\" has the unknown dtype " + entry.dtype);
    uint64_t bytes = static_cast<uint64_t>(width), begin = 0, end = 0;
    for (const Json& item : shape->items) {
      uint64_t d = 0;
      if (!wholeNumber(item, d)) corrupt("shape of \"" + member.first + "\"");
      if (d != 0 && bytes > (uint64_t{1} << 53) / d) corrupt("shape of \"" + member.first + "\" overflows");
      bytes *= d;
      entry.shape.push_back(static_cast<int64_t>(d));
    }
    if (!wholeNumber(offsets->items[0], begin) || !wholeNumber(offsets->items[1], end) || begin > end)
      corrupt("offsets of \"" + member.first + "\"");
    if (end - begin != bytes) corrupt("offsets of \"" + member.first + "\" do not match its shape");
    if (end > dataSize)
      throw Failure("FILE_TRUNCATED", path + " ends before tensor \"" + member.first + "\": download it again.");
    entry.begin = dataStart + begin;
    entry.end = dataStart + end;
    byName_[entry.name] = entries_.size();
    entries_.push_back(std::move(entry));
  }
  std::vector<const TensorEntry*> order;
  for (const TensorEntry& entry : entries_)
    if (entry.end > entry.begin) order.push_back(&entry);
  std::sort(order.begin(), order.end(), [](const TensorEntry* a, const TensorEntry* b) { return a->begin < b->begin; });
  for (size_t i = 1; i < order.size(); ++i)
    if (order[i]->begin < order[i - 1]->end)
      corrupt("tensors \"" + order[i - 1]->name + "\" and \"" + order[i]->name + "\" overlap");
}

const TensorEntry* TensorFile::find(const std::string& name) const {
  const auto found = byName_.find(name);
  return found == byName_.end() ? nullptr : &entries_[found->second];
}

std::vector<uint8_t> TensorFile::readRaw(const TensorEntry& entry) const {
  std::vector<uint8_t> raw(entry.end - entry.begin);
  readInto(entry, raw.data());
  return raw;
}

std::vector<float> toFloats(const TensorEntry& entry, const std::vector<uint8_t>& raw) {
  std::vector<float> out(entry.elements());
  if (entry.dtype == "F32") {
    std::memcpy(out.data(), raw.data(), raw.size());
  } else if (entry.dtype == "F16" || entry.dtype == "BF16") {
    const bool brain = entry.dtype == "BF16";
    for (size_t i = 0; i < out.size(); ++i) {
      uint16_t bits;
      std::memcpy(&bits, raw.data() + 2 * i, 2);
      if (brain) {
        const uint32_t wide = static_cast<uint32_t>(bits) << 16;
        std::memcpy(&out[i], &wide, 4);
      } else {
        out[i] = halfToFloat(bits);
      }
    }
  } else {
    throw Failure("DTYPE_UNSUPPORTED", "Tensor \"" + entry.name + "\" is stored as " + entry.dtype + ": only F32, F16 and BF16 weights can be loaded, so convert the checkpoint first.");
  }
  return out;
}

std::vector<uint8_t> fromFloats(const std::string& dtype, const float* data, size_t count) {
  std::vector<uint8_t> out(count * (dtype == "F32" ? 4 : 2));
  if (dtype == "F32") {
    std::memcpy(out.data(), data, out.size());
    return out;
  }
  for (size_t i = 0; i < count; ++i) {
    const uint16_t bits = dtype == "BF16" ? floatToBrain(data[i]) : floatToHalf(data[i]);
    std::memcpy(out.data() + 2 * i, &bits, 2);
  }
  return out;
}

void writeTensorFile(const std::string& path, const std::vector<TensorToWrite>& tensors,
                     const std::vector<std::pair<std::string, std::string>>& metadata) {
  std::string header = "{";
  if (!metadata.empty()) {
    header += "\"__metadata__\":{";
    for (size_t i = 0; i < metadata.size(); ++i)
      header += (i ? "," : "") + quoteJson(metadata[i].first) + ":" + quoteJson(metadata[i].second);
    header += "}";
  }
  uint64_t offset = 0;
  for (const TensorToWrite& t : tensors) {
    if (header.size() > 1) header += ",";
    header += quoteJson(t.name) + ":{\"dtype\":\"" + t.dtype + "\",\"shape\":[";
    for (size_t i = 0; i < t.shape.size(); ++i) header += (i ? "," : "") + std::to_string(t.shape[i]);
    header += "],\"data_offsets\":[" + std::to_string(offset) + "," + std::to_string(offset + t.bytes.count) + "]}";
    offset += t.bytes.count;
  }
  header += "}";
  while (header.size() % 8) header += ' ';
  uint8_t length[8];
  for (int i = 0; i < 8; ++i) length[i] = static_cast<uint8_t>(static_cast<uint64_t>(header.size()) >> (8 * i));
  std::vector<Bytes> pieces{{length, sizeof length}, {header.data(), header.size()}};
  for (const TensorToWrite& t : tensors) pieces.push_back(t.bytes);
  writeDurably(path, pieces);
}

}  // namespace hindsight
