// PCG32 seeded through splitmix64: the same numbers on every platform and compiler.
#pragma once
#include <cstdint>

namespace hindsight {

class Random {
 public:
  explicit Random(uint64_t seed) {
    state_ = split(seed);
    stream_ = split(seed) | 1;
    next();
  }
  uint32_t next() {
    const uint64_t old = state_;
    state_ = old * 6364136223846793005ULL + stream_;
    const uint32_t shifted = static_cast<uint32_t>(((old >> 18) ^ old) >> 27);
    const uint32_t turn = static_cast<uint32_t>(old >> 59);
    return shifted >> turn | shifted << ((32 - turn) & 31);
  }
  /// In [0, 1), 53 bits.
  double uniform() {
    const uint64_t high = next() >> 5, low = next() >> 6;
    return static_cast<double>(high << 26 | low) * (1.0 / 9007199254740992.0);
  }

 private:
  static uint64_t split(uint64_t& seed) {
    uint64_t z = seed += 0x9e3779b97f4a7c15ULL;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return z ^ z >> 31;
  }
  uint64_t state_ = 0, stream_ = 1;
};

}  // namespace hindsight
