// cuBLASLt where the machine has it, opened at run time: an alternative for large bf16 products and the
// oracle of the GPU bench. Nothing of it is linked or shipped.
#pragma once
#include "kernels/cuda/gemm.h"

namespace hindsight {
namespace cuda {

/// Whether the library was found and answers.
bool openCublasLt();
/// bf16 operands; the LoRA columns as a second product onto the first. False where it does not take the
/// call: no library, a bias with bf16 outputs, slices.
bool gemmCublasLt(const Stream& stream, Product product, const GemmArgs& g);

}  // namespace cuda
}  // namespace hindsight
