// Times one product of engine.md's list, beside the peak of the processor measured around each run.
#pragma once
#include <string>

#include "kernels/cpu/math.h"

namespace hindsight {

struct GemmResult {
  double peak = 0;           // operations a second in registers, the best seen beside the runs
  double forwardShare = 0;   // Y = X W^T; of the peak right before or after, whichever was more
  double backwardShare = 0;  // dX = dY W; 0 for int8
  double error = 0;          // worst of some results against double precision, in root-sum-squares of their terms
};
/// Medians of `runs`. The clock of a shared machine drifts, so each run has its own peak.
GemmResult benchGemm(Math& math, Dtype dtype, int m, int n, int k, int runs);

}  // namespace hindsight
