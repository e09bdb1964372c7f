// One compute thread per model and the order of its work: the highest priority first, the oldest
// first among equals. A job is a plain function; long ones call yield() at points where their
// scratch is free, and every runnable job of higher priority then runs inside that call. So a
// token, a prefill chunk or a training layer is the longest that a typing request waits.
//
// Jobs on one adapter keep their order where it matters: a job that changes weights waits for all
// earlier jobs on the adapter and holds up all later ones; gradient jobs keep their order among
// themselves; readers pass freely.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <thread>

namespace hindsight {

enum class Access { Read, Gradient, Write };

struct Generation;

struct Job {
  int64_t priority = 0;
  int adapter = 0;
  Access access = Access::Read;
  std::function<void(Job&)> run;      // on the compute thread; reports its own errors
  std::function<void()> abandon;      // instead of run, when the model closes first
  std::atomic<bool> cancelled{false};
  bool running = false;
  /// A request that may join the batch of another; its job ends when the batch is done with it.
  std::shared_ptr<Generation> generation;
};

class Scheduler {
 public:
  Scheduler();
  ~Scheduler();

  /// False once closed: the job was not taken.
  bool submit(std::shared_ptr<Job> job);
  /// Runs waiting jobs above this priority. Compute thread only.
  void yield(int64_t priority);
  /// The priority of the job that waits below the running one.
  int64_t floor() const { return floor_; }
  /// For a batch: the best waiting job above `top`, or, where it may join, above `floor`; null if none.
  std::shared_ptr<Job> next(int64_t top, int64_t floor);
  void execute(const std::shared_ptr<Job>& job);
  /// A generation has ended: what it held up may run.
  void done(const std::shared_ptr<Job>& job);
  /// Cancels everything, returns at once; the thread ends soon after.
  void close();
  void join();
  bool closing() const { return closing_.load(std::memory_order_relaxed); }
  size_t queued() const { return waiting_.load(std::memory_order_relaxed); }

 private:
  void loop();
  std::shared_ptr<Job> pick(int64_t above, int64_t joinAbove);
  bool blocked(std::list<std::shared_ptr<Job>>::iterator job);

  std::mutex mutex_;
  std::condition_variable wake_;
  std::list<std::shared_ptr<Job>> jobs_;  // waiting and running, in order of arrival
  std::atomic<size_t> waiting_{0};
  std::atomic<bool> closing_{false};
  int64_t floor_ = INT64_MIN;  // compute thread only
  std::thread thread_;
};

}  // namespace hindsight
