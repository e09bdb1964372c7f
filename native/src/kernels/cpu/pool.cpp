#include "kernels/cpu/pool.h"

#include <chrono>

#include "kernels/cpu/thread.h"

namespace hindsight {
namespace {

constexpr int kSpins = 4000;

/// A wait at the end of a loop that no chunk of it explains: the worker was not running.
constexpr double kLateChunks = 3, kLateSeconds = 300e-6;
constexpr double kFirstRest = 0.02, kLastRest = 1.0;
/// Seconds without a late worker after which the next rest is short again.
constexpr double kCalm = 0.5;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

Pool::Pool(int threads) : tickets_(threads), active_(threads) {
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { work(i); });
}

Pool::~Pool() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : workers_) thread.join();
}

/// The owner of a stretch takes its next chunk, another thread its last one.
bool Pool::claim(std::atomic<uint64_t>& ticket, uint64_t epoch, bool own, int& index) {
  uint64_t seen = ticket.load(std::memory_order_acquire);
  for (;;) {
    const uint64_t end = (seen >> kIndexBits) & kIndexMask, next = seen & kIndexMask;
    if (seen >> (2 * kIndexBits) != epoch || next >= end) return false;
    if (ticket.compare_exchange_weak(seen, own ? seen + 1 : seen - (uint64_t{1} << kIndexBits), std::memory_order_acq_rel)) {
      index = static_cast<int>(own ? next : end - 1);
      return true;
    }
  }
}

int Pool::drain(uint64_t epoch, int worker) {
  const int stretches = stretches_.load(std::memory_order_relaxed);
  int index = 0, count = 0;
  for (int i = 0; i < stretches; ++i)
    while (claim(tickets_[(worker + i) % stretches].word, epoch, i == 0 && worker < stretches, index)) {
      ++count;
      (*body_.load(std::memory_order_relaxed))(index, worker);
      if (left_.fetch_sub(1, std::memory_order_acq_rel) == 1 && worker != 0) {
        std::lock_guard<std::mutex> lock(mutex_);
        finished_.notify_one();
      }
    }
  return count;
}

void Pool::follow(double chunkSeconds, double waitSeconds) {
  const double at = now();
  if (waitSeconds > kLateSeconds && waitSeconds > kLateChunks * chunkSeconds) {
    rest_ = at - lastLate_ > kCalm + rest_ ? kFirstRest : rest_ * 2 < kLastRest ? rest_ * 2 : kLastRest;
    lastLate_ = at;
    restUntil_ = at + rest_;
    if (active() > 1) active_.store(active() - 1, std::memory_order_relaxed);
  }
}

void Pool::work(int worker) {
  yieldToEventLoop();
  uint64_t done = 0;
  for (;;) {
    uint64_t epoch = announced_.load(std::memory_order_acquire);
    for (int spin = 0; epoch == done && spin < kSpins; ++spin) {
      pause();
      epoch = announced_.load(std::memory_order_acquire);
    }
    if (epoch == done) {
      std::unique_lock<std::mutex> lock(mutex_);
      parked_.fetch_add(1);
      wake_.wait(lock, [&] { return stop_ || announced_.load() != done; });
      parked_.fetch_sub(1);
      if (stop_) return;
      epoch = announced_.load();
    }
    if (stop_) return;
    done = epoch;
    if (worker < active()) drain(epoch, worker);
  }
}

void Pool::run(int count, const std::function<void(int, int)>& body) {
  if (active() < threads() && now() >= restUntil_) {
    active_.store(active() + 1, std::memory_order_relaxed);
    restUntil_ = now() + kFirstRest;
  }
  if (active() == 1 || count <= 1) {
    for (int i = 0; i < count; ++i) body(i, 0);
    return;
  }
  const uint64_t epoch = (announced_.load(std::memory_order_relaxed) + 1) & 0xffffff;
  const int stretches = active();
  body_.store(&body, std::memory_order_relaxed);
  left_.store(count, std::memory_order_relaxed);
  stretches_.store(stretches, std::memory_order_relaxed);
  for (int i = 0; i < stretches; ++i) {
    const uint64_t first = static_cast<uint64_t>(count) * i / stretches, end = static_cast<uint64_t>(count) * (i + 1) / stretches;
    tickets_[i].word.store(epoch << (2 * kIndexBits) | end << kIndexBits | first, std::memory_order_release);
  }
  announced_.store(epoch);
  if (parked_.load() > 0) {
    std::lock_guard<std::mutex> lock(mutex_);
    wake_.notify_all();
  }
  const double start = now();
  const int own = drain(epoch, 0);
  const double end = now();
  for (int spin = 0; spin < kSpins && left_.load(std::memory_order_acquire) > 0; ++spin) pause();
  if (left_.load(std::memory_order_acquire) > 0) {
    std::unique_lock<std::mutex> lock(mutex_);
    finished_.wait(lock, [&] { return left_.load(std::memory_order_acquire) == 0; });
  }
  follow(own ? (end - start) / own : 0, now() - end);
}

}  // namespace hindsight
