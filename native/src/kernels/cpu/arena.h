// Bump allocation of aligned floats. Pointers stay valid until reset(); after the first pass the
// arena is one block of the right size and allocates nothing more.
#pragma once
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#include "kernels/cpu/ops.h"

namespace hindsight {

struct FreeFloats {
  bool lent = false;  // part of an arena
  void operator()(float* p) const {
    if (!lent) std::free(p);
  }
};
using Floats = std::unique_ptr<float[], FreeFloats>;

constexpr size_t kHugePage = size_t{2} << 20;

/// 64-byte aligned, with kSlack readable floats beyond the end; the slack is zero. Large blocks lie in
/// huge pages where the system has them: with small ones, one thread streams 40 % fewer bytes a second.
inline Floats allocateFloats(size_t count) {
  const size_t bytes = ((count + kSlack) * sizeof(float) + 63) / 64 * 64;
  const bool large = bytes >= kHugePage;
  auto* p = static_cast<float*>(std::aligned_alloc(large ? kHugePage : 64, large ? (bytes + kHugePage - 1) / kHugePage * kHugePage : bytes));
  if (!p) throw std::bad_alloc();
#if defined(__linux__)
  if (large) madvise(p, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);  // advice: failure changes nothing
#endif
  for (size_t i = count; i < bytes / sizeof(float); ++i) p[i] = 0.0f;
  return Floats(p);
}

class Arena {
 public:
  /// @param block  floats of a block, where no larger one is asked for. What a block has left is lost until reset().
  explicit Arena(size_t block = size_t{1} << 20) : block_(block) {}
  float* take(size_t count) {
    const size_t size = (count + kSlack + 15) / 16 * 16;
    if (blocks_.empty() || used_ + size > sizes_.back()) {
      const size_t fresh = size > block_ ? size : block_;
      blocks_.push_back(allocateFloats(fresh));
      sizes_.push_back(fresh);
      used_ = 0;
    }
    float* p = blocks_.back().get() + used_;
    used_ += size;
    total_ += size;
    return p;
  }
  void reset() {
    if (blocks_.size() > 1) {
      blocks_.clear();
      sizes_.clear();
      blocks_.push_back(allocateFloats(total_));
      sizes_.push_back(total_);
    }
    used_ = total_ = 0;
  }
  /// Makes room for `count` floats in one block.
  void reserve(size_t count) {
    release();
    blocks_.push_back(allocateFloats(count));
    sizes_.push_back(count);
  }
  /// Gives the memory back (after an unusually long sequence).
  void release() {
    blocks_.clear();
    sizes_.clear();
    used_ = total_ = 0;
  }

 private:
  size_t block_;
  std::vector<Floats> blocks_;
  std::vector<size_t> sizes_;
  size_t used_ = 0, total_ = 0;
};

/// A buffer that only grows.
class Scratch {
 public:
  float* atLeast(size_t count) {
    if (count > size_) {
      data_ = allocateFloats(count);
      size_ = count;
    }
    return data_.get();
  }

 private:
  Floats data_;
  size_t size_ = 0;
};

}  // namespace hindsight
