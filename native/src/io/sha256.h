// SHA-256 (FIPS 180-4), to name a base model by its bytes.
#pragma once
#include <array>
#include <cstdint>
#include <string>

namespace hindsight {

class Sha256 {
 public:
  void update(const void* data, size_t bytes);
  void update(const std::string& text) { update(text.data(), text.size()); }
  std::array<uint8_t, 32> digest();
  std::string hex();

 private:
  std::array<uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  uint8_t block_[64];
  size_t filled_ = 0;
  uint64_t total_ = 0;
};

}  // namespace hindsight
