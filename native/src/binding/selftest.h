// Compares every op of one table with the reference on random shapes, tails and odd sizes included.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/cpu/ops.h"

namespace hindsight {

struct OpCheck {
  std::string op, shape;
  double error;  // largest |fast - reference| / (1 + |reference|)
};
std::vector<OpCheck> selfTest(const Ops& ops, uint64_t seed);

}  // namespace hindsight
