// Reader and writer of safetensors: 8 bytes of header length, a JSON header, raw tensors. Every
// number of the header is checked against the file before anything is read.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "io/file.h"

namespace hindsight {

struct TensorEntry {
  std::string name;
  std::string dtype;  // F32, F16, BF16, ...
  std::vector<int64_t> shape;
  uint64_t begin = 0, end = 0;  // in the file

  uint64_t elements() const;
};

class TensorFile {
 public:
  /// @throws Failure SAFETENSORS_CORRUPT, FILE_TRUNCATED, FILE_MISSING
  explicit TensorFile(const std::string& path);

  const std::vector<TensorEntry>& entries() const { return entries_; }
  const std::vector<std::pair<std::string, std::string>>& metadata() const { return metadata_; }
  const TensorEntry* find(const std::string& name) const;
  std::vector<uint8_t> readRaw(const TensorEntry& entry) const;
  void readInto(const TensorEntry& entry, void* out) const { file_.read(entry.begin, out, entry.end - entry.begin); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  InputFile file_;
  std::vector<TensorEntry> entries_;
  std::map<std::string, size_t> byName_;
  std::vector<std::pair<std::string, std::string>> metadata_;
};

/// F32, F16 or BF16 bytes as floats. @throws Failure DTYPE_UNSUPPORTED
std::vector<float> toFloats(const TensorEntry& entry, const std::vector<uint8_t>& raw);
/// Floats as bytes of F32, F16 or BF16, rounded to nearest even.
std::vector<uint8_t> fromFloats(const std::string& dtype, const float* data, size_t count);

struct TensorToWrite {
  std::string name;
  std::string dtype;
  std::vector<int64_t> shape;
  Bytes bytes;
};
void writeTensorFile(const std::string& path, const std::vector<TensorToWrite>& tensors,
                     const std::vector<std::pair<std::string, std::string>>& metadata);

}  // namespace hindsight
