// A small thread pool for one caller: parallel loops with dynamic chunks. Workers spin briefly for
// the next loop and then park, because on a busy machine a spinning barrier costs more than it saves.
//
// Each thread begins with its own stretch of the chunks and takes from the end of another's when it is done. So loops
// over the same rows find them in the cache of the core that wrote them; a line of another core costs as much as memory.
//
// The thread count follows the cores that are free. A worker that has lost its core to another program holds a chunk back
// for milliseconds, and so does one that pushes the caller off its core. Now and then that costs less than the worker
// gives. So the caller keeps an account: a share of the time of its loops, less what it lost in them. When that is spent
// it goes on with one thread less, for a rest that doubles while the machine stays busy.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace hindsight {

/// Share of a loop's time that may be lost before a thread rests. Decoding waits for memory, and there a second thread gives
/// a tenth to a fifth.
constexpr double kWorth = 0.2, kDecodeWorth = 0.08;

class Pool {
 public:
  explicit Pool(int threads);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }
  /// Threads that take part now.
  int active() const { return active_.load(std::memory_order_relaxed); }
  /// Runs body(i, worker) for i in [0, count); worker is in [0, threads()). Returns when all ran.
  /// @param worth  the share of the loop's time that may be lost before a thread rests
  void run(int count, const std::function<void(int, int)>& body, double worth = kWorth);

 private:
  // ticket = epoch (24 bits) | end (20 bits) | next index (20 bits) of one thread's stretch. All three in one word,
  // so that a late worker can never pair one loop's index with another loop's body.
  static constexpr int kIndexBits = 20;
  static constexpr uint64_t kIndexMask = (uint64_t{1} << kIndexBits) - 1;

  void work(int worker);
  int drain(uint64_t epoch, int worker);
  void follow(double savedSeconds);
  bool claim(std::atomic<uint64_t>& ticket, uint64_t epoch, bool own, int& index);

  struct alignas(64) Ticket {
    std::atomic<uint64_t> word{0};
  };
  std::vector<Ticket> tickets_;
  std::vector<std::thread> workers_;
  std::atomic<uint64_t> announced_{0};  // epoch of the newest loop
  std::atomic<int> stretches_{1};
  std::atomic<int> left_{0};
  std::atomic<const std::function<void(int, int)>*> body_{nullptr};
  std::atomic<int> parked_{0};
  std::atomic<bool> stop_{false};
  std::atomic<int> active_{1};
  double saved_ = 0, restUntil_ = 0, rest_ = 0;  // seconds, restUntil_ of the steady clock
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable finished_;
};

}  // namespace hindsight
