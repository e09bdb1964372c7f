// The way back to JavaScript: one thread-safe function per environment carries closures that run
// on the event loop. It keeps the process alive only while something is under way.
#pragma once
#include <node_api.h>

#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <utility>

#include "binding/values.h"

namespace hindsight {

class Channel {
 public:
  explicit Channel(napi_env env) {
    napi_value name = makeString(env, "hindsight");
    check(env, napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, nullptr, &Channel::deliver, &function_));
    check(env, napi_unref_threadsafe_function(env, function_));
  }
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  /// Any thread. Dropped when the environment is going away.
  void post(std::function<void(napi_env)> action) {
    auto boxed = std::make_unique<std::function<void(napi_env)>>(std::move(action));
    std::lock_guard<std::mutex> lock(mutex_);
    if (alive_ && napi_call_threadsafe_function(function_, boxed.get(), napi_tsfn_nonblocking) == napi_ok) boxed.release();
  }
  /// Environment cleanup: Node frees the function next, and no thread may touch it any more.
  void die() {
    std::lock_guard<std::mutex> lock(mutex_);
    alive_ = false;
  }
  /// Event loop only: counts calls under way.
  void begin(napi_env env) {
    if (pending_++ == 0) napi_ref_threadsafe_function(env, function_);
  }
  void end(napi_env env) {
    if (--pending_ == 0) napi_unref_threadsafe_function(env, function_);
  }

 private:
  static void deliver(napi_env env, napi_value, void*, void* data) {
    std::unique_ptr<std::function<void(napi_env)>> action(static_cast<std::function<void(napi_env)>*>(data));
    if (!env) return;
    napi_handle_scope scope = nullptr;
    if (napi_open_handle_scope(env, &scope) != napi_ok) return;
    (*action)(env);
    napi_close_handle_scope(env, scope);
  }

  std::mutex mutex_;
  bool alive_ = true;
  napi_threadsafe_function function_ = nullptr;
  int pending_ = 0;
};

/// How an exception looks to JavaScript.
inline Failure describe(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const Failure& failure) {
    return failure;
  } catch (const Cancelled&) {
    return Failure("CANCELLED", "The request was cancelled before it finished: send it again if it is still wanted.");
  } catch (const std::bad_alloc&) {
    return Failure("OUT_OF_MEMORY", "There is not enough memory for this request: use a smaller model or shorter sequences.");
  } catch (const std::exception& other) {
    return Failure("INTERNAL", std::string("The engine failed (") + other.what() + "): report this as a bug.");
  }
}

/// One promise: settles exactly once, on the event loop.
template <class T>
class Pending {
 public:
  using Convert = std::function<napi_value(napi_env, T&)>;

  static std::shared_ptr<Pending> create(napi_env env, std::shared_ptr<Channel> channel, Convert convert, napi_value* promise) {
    auto pending = std::make_shared<Pending>();
    check(env, napi_create_promise(env, &pending->deferred_, promise));
    pending->channel_ = std::move(channel);
    pending->convert_ = std::move(convert);
    pending->channel_->begin(env);
    return pending;
  }
  static void resolve(std::shared_ptr<Pending> self, T value) {
    auto boxed = std::make_shared<T>(std::move(value));
    Channel& channel = *self->channel_;
    channel.post([self, boxed](napi_env env) {
      try {
        napi_resolve_deferred(env, self->deferred_, self->convert_(env, *boxed));
      } catch (const Failure& failure) {
        napi_reject_deferred(env, self->deferred_, makeError(env, failure.code, failure.what()));
      }
      self->channel_->end(env);
    });
  }
  static void reject(std::shared_ptr<Pending> self, Failure failure) {
    Channel& channel = *self->channel_;
    channel.post([self, failure](napi_env env) {
      napi_reject_deferred(env, self->deferred_, makeError(env, failure.code, failure.what()));
      self->channel_->end(env);
    });
  }

 private:
  std::shared_ptr<Channel> channel_;
  napi_deferred deferred_ = nullptr;
  Convert convert_;
};

}  // namespace hindsight
