#include "model/quantized.h"

#include <cstdlib>

#include "io/failure.h"

namespace hindsight {
namespace {

const char* const kFile = "/model.int8.safetensors";
/// Of the packed layout and of what stays bf16: a copy of another version is not read.
const char* const kFormat = "hindsight-int8-1";

[[noreturn]] void unusable(const std::string& path, const std::string& why) {
  throw Failure("QUANTIZED_UNUSABLE", path + " " + why + ": delete it, and the weights are quantised at load, or import the model again with --quantize int8.");
}

size_t paddedRows(int n) { return narrowPanels(n) * kNarrowPanel; }

}  // namespace

std::unique_ptr<QuantizedCopy> QuantizedCopy::in(const std::string& dir) {
  const std::string path = dir + kFile;
  if (!fileExists(path)) return nullptr;
  try {
    return std::unique_ptr<QuantizedCopy>(new QuantizedCopy(path));
  } catch (const Failure& failure) {
    if (failure.code == "QUANTIZED_UNUSABLE") throw;
    unusable(path, "is damaged");
  }
}

QuantizedCopy::QuantizedCopy(const std::string& path) : file_(path) {
  std::string format;
  for (const auto& item : file_.metadata()) {
    if (item.first == "format") format = item.second;
    if (item.first == "stamp") stamp_ = item.second;
    if (item.first == "fingerprint") fingerprint_ = item.second;
    if (item.first == "parameters") parameters_ = std::strtoull(item.second.c_str(), nullptr, 10);
  }
  if (format != kFormat || fingerprint_.empty()) refuse("was written by another version");
}

void QuantizedCopy::refuse(const std::string& why) const { unusable(file_.path(), why); }

void QuantizedCopy::fill(const std::string& name, const char* dtype, size_t bytes, void* out) const {
  const TensorEntry* entry = file_.find(name);
  if (!entry || entry->dtype != dtype || entry->end - entry->begin != bytes) refuse("does not fit config.json at \"" + name + "\"");
  try {
    file_.readInto(*entry, out);
  } catch (const Failure&) {
    refuse("is damaged");
  }
}

PackedWeight QuantizedCopy::read(const std::string& name, int n, int k, Dtype dtype) const {
  PackedWeight packed;
  packed.n = n;
  packed.k = k;
  packed.dtype = dtype;
  const size_t bytes = narrowBytes(dtype, n, k), rows = paddedRows(n);
  packed.data = allocateFloats((bytes + sizeof(float) - 1) / sizeof(float));
  fill(name, dtype == Dtype::Int8 ? "I8" : "BF16", bytes, packed.data.get());
  if (dtype != Dtype::Int8) return packed;
  packed.scale = allocateFloats(rows);
  packed.offset.resize(rows);
  fill(name + ".scale", "F32", rows * sizeof(float), packed.scale.get());
  fill(name + ".offset", "I32", rows * sizeof(int32_t), packed.offset.data());
  return packed;
}

void QuantizedCopy::write(const std::string& dir, const std::string& stamp, const Weights& weights, const std::vector<NamedMatrix>& matrices) {
  std::vector<TensorToWrite> tensors;
  for (const auto& [name, w] : matrices) {
    const size_t bytes = narrowBytes(w->dtype, w->n, w->k), rows = paddedRows(w->n);
    const bool int8 = w->dtype == Dtype::Int8;
    tensors.push_back({name, int8 ? "I8" : "BF16", {static_cast<int64_t>(int8 ? bytes : bytes / 2)}, {w->data.get(), bytes}});
    if (!int8) continue;
    tensors.push_back({name + ".scale", "F32", {static_cast<int64_t>(rows)}, {w->scale.get(), rows * sizeof(float)}});
    tensors.push_back({name + ".offset", "I32", {static_cast<int64_t>(rows)}, {w->offset.data(), rows * sizeof(int32_t)}});
  }
  const std::string path = dir + kFile, part = path + ".part";
  writeTensorFile(part, tensors, {{"format", kFormat}, {"stamp", stamp}, {"fingerprint", weights.fingerprint}, {"parameters", std::to_string(weights.parameters)}});
  replaceFile(part, path);
  syncDirectory(dir);
}

}  // namespace hindsight
