// Times one product of engine.md's list, beside the peak of the processor measured around it.
#pragma once
#include <string>

#include "kernels/cpu/math.h"

namespace hindsight {

struct GemmResult {
  double peak = 0;      // operations a second in registers, best of before and after
  double forward = 0;   // Y = X W^T
  double backward = 0;  // dX = dY W; 0 for int8
};
/// Medians of `runs`.
GemmResult benchGemm(Math& math, Dtype dtype, int m, int n, int k, int runs);

}  // namespace hindsight
