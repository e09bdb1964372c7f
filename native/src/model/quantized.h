// The int8 form of a model in one safetensors file beside it, packed as the kernels read it. What it gives is, byte for
// byte, what quantising at load gives, without reading the large tensors and rounding them.
//
// It belongs to the weights that it was made of: its metadata keeps the size and time of change of their files, and
// where those differ, as in a copied folder, the fingerprint of the weights decides.
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "io/safetensors.h"
#include "model/weights.h"

namespace hindsight {

using NamedMatrix = std::pair<std::string, const PackedWeight*>;

class QuantizedCopy {
 public:
  /// The copy in `dir`, or null where there is none. @throws Failure QUANTIZED_UNUSABLE
  static std::unique_ptr<QuantizedCopy> in(const std::string& dir);
  /// @throws Failure WRITE_FAILED
  static void write(const std::string& dir, const std::string& stamp, const Weights& weights, const std::vector<NamedMatrix>& matrices);

  /// Of the weights it was made of.
  const std::string& stamp() const { return stamp_; }
  const std::string& fingerprint() const { return fingerprint_; }
  uint64_t parameters() const { return parameters_; }
  /// @throws Failure QUANTIZED_UNUSABLE
  PackedWeight read(const std::string& name, int n, int k, Dtype dtype) const;
  [[noreturn]] void refuse(const std::string& why) const;

 private:
  explicit QuantizedCopy(const std::string& path);
  void fill(const std::string& name, const char* dtype, size_t bytes, void* out) const;

  TensorFile file_;
  std::string stamp_, fingerprint_;
  uint64_t parameters_ = 0;
};

}  // namespace hindsight
