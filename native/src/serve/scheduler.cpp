#include "serve/scheduler.h"

#include "kernels/cpu/thread.h"

namespace hindsight {
namespace {

bool conflicts(const Job& a, const Job& b) {
  if (a.adapter == 0 || a.adapter != b.adapter) return false;
  if (a.access == Access::Write || b.access == Access::Write) return true;
  return a.access == Access::Gradient && b.access == Access::Gradient;
}

}  // namespace

Scheduler::Scheduler() : thread_([this] { loop(); }) {}

Scheduler::~Scheduler() {
  close();
  join();
}

bool Scheduler::submit(std::shared_ptr<Job> job) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (closing_) return false;
    jobs_.push_back(std::move(job));
    ++waiting_;
  }
  wake_.notify_one();
  return true;
}

bool Scheduler::blocked(std::list<std::shared_ptr<Job>>::iterator job) {
  for (auto it = jobs_.begin(); it != job; ++it)
    if (conflicts(**it, **job)) return true;
  return false;
}

std::shared_ptr<Job> Scheduler::pick(int64_t above, int64_t joinAbove) {
  auto best = jobs_.end();
  for (auto it = jobs_.begin(); it != jobs_.end(); ++it) {
    if ((*it)->running || (*it)->priority <= ((*it)->generation ? joinAbove : above)) continue;
    if (best != jobs_.end() && (*it)->priority <= (*best)->priority) continue;
    if (!blocked(it)) best = it;
  }
  if (best == jobs_.end()) return nullptr;
  (*best)->running = true;
  --waiting_;
  return *best;
}

void Scheduler::execute(const std::shared_ptr<Job>& job) {
  job->run(*job);
  if (!job->generation) done(job);
}

void Scheduler::done(const std::shared_ptr<Job>& job) {
  std::lock_guard<std::mutex> lock(mutex_);
  jobs_.remove(job);
}

void Scheduler::yield(int64_t priority) {
  const int64_t below = floor_;
  while (const std::shared_ptr<Job> job = next(priority, priority)) {
    floor_ = priority;
    execute(job);
    floor_ = below;
  }
}

std::shared_ptr<Job> Scheduler::next(int64_t top, int64_t floor) {
  if (waiting_.load(std::memory_order_acquire) == 0) return nullptr;
  std::lock_guard<std::mutex> lock(mutex_);
  return closing_ ? nullptr : pick(top, floor);
}

void Scheduler::loop() {
  yieldToEventLoop();
  for (;;) {
    std::shared_ptr<Job> job;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [&] { return closing_ || (job = pick(INT64_MIN, INT64_MIN)) != nullptr; });
      if (!job) break;
    }
    execute(job);
    if (closing_) break;
  }
  std::list<std::shared_ptr<Job>> left;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    left.swap(jobs_);
    waiting_ = 0;
  }
  for (const auto& job : left) job->abandon();
}

void Scheduler::close() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    closing_ = true;
    for (const auto& job : jobs_) job->cancelled = true;
  }
  wake_.notify_all();
}

void Scheduler::join() {
  if (thread_.joinable()) thread_.join();
}

}  // namespace hindsight
