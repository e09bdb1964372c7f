#include "kernels/cpu/pool.h"

#include <algorithm>
#include <chrono>
#include <ctime>

#include "kernels/cpu/thread.h"

namespace hindsight {
namespace {

constexpr int kSpins = 4000;

/// Most that the account holds, so that a machine that becomes busy is noticed, and what a trial begins with.
constexpr double kSavings = 20e-3, kTrial = 4e-3;
constexpr double kFirstRest = 20e-3, kLastRest = 1.0;
/// Seconds after a rest without the next one, after which that will be short again.
constexpr double kCalm = 0.5;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

/// Processor time of the calling thread, in seconds: it stands still while another program has the core.
double ownTime() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

Pool::Pool(int threads) : tickets_(threads), active_(threads), saved_(kTrial) {
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

/// Books what a loop may have cost less what it did.
void Pool::follow(double savedSeconds) {
  saved_ = std::min(saved_ + savedSeconds, kSavings);
  if (saved_ >= 0) return;
  const double at = now();
  rest_ = at - restUntil_ > kCalm ? kFirstRest : std::min(2 * rest_, kLastRest);
  restUntil_ = at + rest_;
  saved_ = kTrial;
  active_.store(active() - 1, std::memory_order_relaxed);
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

void Pool::run(int count, const std::function<void(int, int)>& body, double worth) {
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
  const double begin = now(), start = ownTime();
  const int own = drain(epoch, 0);
  const double end = now(), used = ownTime() - start, chunk = own ? used / own : 0;
  for (int spin = 0; spin < kSpins && left_.load(std::memory_order_acquire) > 0; ++spin) pause();
  if (left_.load(std::memory_order_acquire) > 0) {
    std::unique_lock<std::mutex> lock(mutex_);
    finished_.wait(lock, [&] { return left_.load(std::memory_order_acquire) == 0; });
  }
  // Time that the caller did not have its core, and a wait that no chunk explains.
  const double late = std::max(0.0, end - begin - used) + std::max(0.0, now() - end - chunk);
  follow(worth * (now() - begin) - late);
}

}  // namespace hindsight
