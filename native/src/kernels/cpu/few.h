// Products of few rows (decode): every weight is read once from memory and meets all rows, which may
// belong to different adapters. Bound by the stream of weights, so int8 weights take activations of
// 16 bits at no cost: a row is two rows of bytes, high and low, whose integer sums are put together.
//
// The invariant of ops.h holds for bf16 and fp32; with byte activations a decoded row is closer to
// the exact product than a row of the prompt.
#pragma once
#include "kernels/cpu/narrow.h"

namespace hindsight {

/// Most rows of one call.
constexpr int kFewRows = 16;

/// LoRA of the rows [first, first + rows): inner = x A^T in bf16.
struct FewLora {
  int first = 0, rows = 0, k = 0;
  const uint16_t* inner = nullptr;  // [rows][ld]
  long ld = 0;
  const uint16_t* b = nullptr;
};

/// Y[M,N] = residual + bias + X W^T + LoRA's terms, bf16 or int8 weights as in NarrowArgs.
struct FewArgs {
  int m = 0, n = 0, k = 0;
  const uint16_t* x = nullptr;      // bf16 [M][padded4(K)]
  const uint8_t* xBytes = nullptr;  // [2M][padded4(K)]: high bytes of all rows, then the low ones; instead of x
  const float* xScale = nullptr;    // [M], of the low bytes
  const void* w = nullptr;
  const float* wScale = nullptr;
  const int32_t* wOffset = nullptr;
  const float* bias = nullptr;
  const float* residual = nullptr;
  float* y = nullptr;
  int segments = 0;
  const FewLora* lora = nullptr;
};

}  // namespace hindsight
