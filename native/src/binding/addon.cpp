// The addon: a handful of functions over a model handle. Arguments are copied on the event loop,
// the work runs on the model's compute thread, results come back through its channel.

#include <cmath>
#include <cstdlib>
#include <set>
#include <thread>

#include "binding/channel.h"
#include "binding/gemmbench.h"
#include "binding/selftest.h"
#include "binding/values.h"
#include "model/device_library.h"
#include "model/peft.h"
#include "serve/device_engine.h"
#include "serve/engine.h"
#include "train/memory.h"

namespace hindsight {
namespace {

/// What a JavaScript model object holds. The engine outlives it while jobs are under way.
struct Handle {
  std::shared_ptr<Engine> engine;
  std::shared_ptr<Channel> channel;
  /// Generations in flight, so that cancel() finds them. Event loop only.
  std::map<int, std::shared_ptr<Job>> generations;
};

/// Adapter bookkeeping is quick and goes before requests; training goes after everything.
constexpr int64_t kAdapterPriority = INT64_MAX;
constexpr int64_t kTrainingPriority = INT64_MIN + 1;

struct Call {
  napi_env env;
  napi_value args[4];
  size_t count;

  napi_value arg(size_t i) const {
    if (i >= count) throw Failure("BAD_ARGUMENT", "An argument is missing: correct the call.");
    return args[i];
  }
};

template <napi_value (*body)(Call&)>
napi_value entry(napi_env env, napi_callback_info info) {
  Call call{env, {}, 4};
  try {
    check(env, napi_get_cb_info(env, info, &call.count, call.args, nullptr, nullptr));
    return body(call);
  } catch (...) {
    const Failure failure = describe(std::current_exception());
    bool pending = false;
    napi_is_exception_pending(env, &pending);
    if (!pending) napi_throw(env, makeError(env, failure.code, failure.what()));
    return nullptr;
  }
}

std::shared_ptr<Handle> handleOf(Call& call) {
  void* data = nullptr;
  if (napi_get_value_external(call.env, call.arg(0), &data) != napi_ok || !data) throw Failure("BAD_ARGUMENT", "The first argument must be a model: correct the call.");
  auto handle = *static_cast<std::shared_ptr<Handle>*>(data);
  if (!handle->engine) throw Failure("MODEL_CLOSED", "The model is closed: load it again.");
  return handle;
}

struct Nothing {};
napi_value convertNothing(napi_env env, Nothing&) {
  napi_value value = nullptr;
  check(env, napi_get_undefined(env, &value));
  return value;
}
napi_value convertInt(napi_env env, int& value) { return makeNumber(env, value); }

/// Puts work on the compute thread and returns its promise.
template <class T, class Work>
napi_value submit(Call& call, const std::shared_ptr<Handle>& handle, const std::shared_ptr<Job>& job, Work work, typename Pending<T>::Convert convert) {
  napi_value promise = nullptr;
  auto pending = Pending<T>::create(call.env, handle->channel, std::move(convert), &promise);
  std::shared_ptr<Engine> engine = handle->engine;
  const auto closed = [pending] { Pending<T>::reject(pending, Failure("MODEL_CLOSED", "The model was closed before the request was served: load it again.")); };
  job->run = [engine, pending, work, closed](Job& self) mutable {
    try {
      Pending<T>::resolve(pending, work(*engine, self));
    } catch (const Cancelled&) {
      if (engine->scheduler().closing()) closed();
      else Pending<T>::reject(pending, describe(std::current_exception()));
    } catch (...) {
      Pending<T>::reject(pending, describe(std::current_exception()));
    }
  };
  job->abandon = closed;
  if (!engine->scheduler().submit(job)) closed();
  return promise;
}

std::shared_ptr<Job> makeJob(int64_t priority, int adapter, Access access) {
  auto job = std::make_shared<Job>();
  job->priority = priority;
  job->adapter = adapter;
  job->access = access;
  return job;
}

int adapterArg(Call& call, size_t i) {
  const double value = readNumber(call.env, call.arg(i), "adapter");
  if (value < 1 || value != std::floor(value) || value > 2147483647.0) throw Failure("ADAPTER_UNKNOWN", "An adapter handle is a whole number above 0: create or load an adapter first.");
  return static_cast<int>(value);
}

int adapterOr0(napi_env env, napi_value request) {
  const int adapter = intOr(env, request, "adapter", 0);
  if (adapter < 0) throw Failure("ADAPTER_UNKNOWN", "An adapter handle must not be negative: use 0 for the base model.");
  return adapter;
}

// ---- load --------------------------------------------------------------------------------------

Isa parseIsa(const std::string& name) {
  static constexpr std::pair<const char*, Isa> names[] = {{"reference", Isa::Reference}, {"portable", Isa::Portable}, {"avx2", Isa::Avx2},
                                                          {"avx512", Isa::Avx512}, {"avx512vnni", Isa::Avx512Vnni}, {"avx512bf16", Isa::Avx512Bf16}, {"avx512amx", Isa::Avx512Amx}};
  for (const auto& item : names)
    if (name == item.first) return item.second;
  throw Failure("ISA_UNAVAILABLE", "\"" + name + "\" is no instruction set: use reference, portable, avx2, avx512, avx512vnni, avx512bf16 or avx512amx.");
}

/// What the request names, else HINDSIGHT_ISA, else the best.
Isa chooseIsa(const std::string& requested) {
  if (!requested.empty()) return parseIsa(requested);
  const char* forced = std::getenv("HINDSIGHT_ISA");
  return forced && *forced ? parseIsa(forced) : bestIsa();
}

const char* const kDtypes[] = {"fp32", "bf16", "int8"};
Dtype parseDtype(const std::string& name) {
  for (int i = 0; i < 3; ++i)
    if (name == kDtypes[i]) return static_cast<Dtype>(i);
  throw Failure("DTYPE_UNSUPPORTED", "Weights in memory can be fp32, bf16 or int8, not \"" + name + "\": choose one of them.");
}

constexpr std::pair<const char*, DeviceFormat> kDeviceFormats[] = {{"auto", DeviceFormat::Auto}, {"fp32", DeviceFormat::Fp32}, {"bf16", DeviceFormat::Bf16}, {"int8", DeviceFormat::Int8}, {"nf4", DeviceFormat::Nf4}};
const char* deviceFormatName(DeviceFormat format) {
  for (const auto& item : kDeviceFormats)
    if (format == item.second) return item.first;
  return "auto";
}
DeviceFormat parseDeviceFormat(const std::string& name) {
  for (const auto& item : kDeviceFormats)
    if (name == item.first) return item.second;
  throw Failure("DTYPE_UNSUPPORTED", "Weights on a GPU can be auto, fp32, bf16, int8 or nf4, not \"" + name + "\": choose one of them.");
}

napi_value makeInfo(napi_env env, const Engine& engine) {
  const ModelConfig& c = engine.config();
  napi_value info = makeObject(env);
  set(env, info, "architecture", makeString(env, architectureName(c.architecture)));
  const std::pair<const char*, double> numbers[] = {
      {"vocabSize", c.vocab},       {"hiddenSize", c.hidden},           {"layers", c.layers},
      {"heads", c.heads},           {"kvHeads", c.kvHeads},             {"headDim", c.headDim},
      {"intermediateSize", c.intermediate}, {"maxPositions", c.maxPositions}, {"threads", engine.threads()},
      {"parameters", static_cast<double>(engine.weights().parameters)}};
  for (const auto& item : numbers) set(env, info, item.first, makeNumber(env, item.second));
  napi_value tied = nullptr, eos = nullptr;
  check(env, napi_get_boolean(env, c.tiedHead, &tied));
  set(env, info, "tiedHead", tied);
  check(env, napi_create_array(env, &eos));
  for (size_t i = 0; i < c.eosIds.size(); ++i) check(env, napi_set_element(env, eos, static_cast<uint32_t>(i), makeNumber(env, c.eosIds[i])));
  set(env, info, "eosIds", eos);
  const DeviceEngine* device = engine.device();
  set(env, info, "dtype", makeString(env, device ? deviceFormatName(device->plan().linears) : kDtypes[static_cast<int>(engine.weights().dtype)]));
  set(env, info, "isa", makeString(env, engine.ops().name));
  set(env, info, "device", makeString(env, device ? "cuda" : "cpu"));
  if (device) set(env, info, "deviceText", makeString(env, device->describe()));
  set(env, info, "fingerprint", makeString(env, engine.weights().fingerprint));
  return info;
}

/// Ends a model: pending work is cancelled and its thread goes away by itself.
void closeHandle(Handle& handle) {
  if (!handle.engine) return;
  std::shared_ptr<Engine> engine = std::move(handle.engine);
  handle.engine = nullptr;
  engine->scheduler().close();
  // The last owner joins the compute thread; on the event loop that could take a layer's time.
  std::thread([engine = std::move(engine)]() mutable {
    engine->scheduler().join();
    engine.reset();
  }).detach();
}

/// Per environment (the main thread, or a worker): the way back and the open models.
struct Environment {
  std::shared_ptr<Channel> channel;
  std::set<std::shared_ptr<Handle>> handles;
};

Environment& environmentOf(napi_env env) {
  void* data = nullptr;
  check(env, napi_get_instance_data(env, &data));
  return *static_cast<Environment*>(data);
}

/// Before the environment goes away no thread may still compute for it.
void closeAll(void* data) {
  auto* environment = static_cast<Environment*>(data);
  for (const auto& handle : environment->handles) {
    if (!handle->engine) continue;
    handle->engine->scheduler().close();
    handle->engine->scheduler().join();
  }
  environment->channel->die();
}

napi_value makeModel(napi_env env, const std::shared_ptr<Channel>& channel, std::shared_ptr<Engine> engine) {
  auto handle = std::make_shared<Handle>();
  handle->engine = std::move(engine);
  handle->channel = channel;
  environmentOf(env).handles.insert(handle);
  napi_value result = makeObject(env), external = nullptr;
  auto* boxed = new std::shared_ptr<Handle>(handle);
  const auto finalize = [](napi_env e, void* data, void*) {
    auto* owner = static_cast<std::shared_ptr<Handle>*>(data);
    closeHandle(**owner);
    environmentOf(e).handles.erase(*owner);
    delete owner;
  };
  check(env, napi_create_external(env, boxed, finalize, nullptr, &external));
  set(env, result, "handle", external);
  set(env, result, "info", makeInfo(env, *handle->engine));
  return result;
}

napi_value load(Call& call) {
  napi_env env = call.env;
  napi_value request = call.arg(0);
  LoadOptions options;
  options.shape = stringOr(env, request, "shape", "");
  if (options.shape.empty()) options.dir = readString(env, property(env, request, "dir"), "dir");
  const std::string device = stringOr(env, request, "device", "cpu"), dtype = stringOr(env, request, "dtype", device == "cuda" ? "auto" : "fp32"), isa = stringOr(env, request, "isa", "");
  if (device != "cpu" && device != "cuda") throw Failure("BAD_ARGUMENT", "\"" + device + "\" is no device: use cpu or cuda.");
  options.cuda = device == "cuda";
  if (options.cuda) {
    deviceLibrary();  // its sentence, before a thread is started
    options.device.format = parseDeviceFormat(dtype);
    options.device.trainTokens = intOr(env, request, "trainTokens", options.device.trainTokens);
    options.device.rank = intOr(env, request, "maxRank", options.device.rank);
    options.device.budgetBytes = static_cast<size_t>(numberOr(env, request, "deviceBytes", 0));
    if (options.device.trainTokens < 1 || options.device.rank < 1) throw Failure("BAD_ARGUMENT", "trainTokens and maxRank must be above 0: correct the call.");
  } else {
    options.dtype = parseDtype(dtype);
  }
  options.isa = chooseIsa(isa);
  options.threads = requireInt(env, request, "threads");
  if (options.threads < 1 || options.threads > 256) throw Failure("BAD_ARGUMENT", "threads must be between 1 and 256: correct the call.");
  options.cacheBytes = static_cast<size_t>(numberOr(env, request, "cacheBytes", 268435456.0));
  options.memoryBytes = static_cast<size_t>(numberOr(env, request, "memoryBytes", 0));
  auto channel = environmentOf(env).channel;
  napi_value promise = nullptr;
  using Loaded = std::shared_ptr<Engine>;
  auto pending = Pending<Loaded>::create(env, channel, [channel](napi_env e, Loaded& engine) { return makeModel(e, channel, std::move(engine)); }, &promise);
  std::thread([options, pending] {
    try {
      Pending<Loaded>::resolve(pending, std::make_shared<Engine>(options));
    } catch (...) {
      Pending<Loaded>::reject(pending, describe(std::current_exception()));
    }
  }).detach();
  return promise;
}

napi_value quantize(Call& call) {
  napi_env env = call.env;
  const std::string dir = readString(env, call.arg(0), "dir");
  napi_value promise = nullptr;
  auto pending = Pending<Nothing>::create(env, environmentOf(env).channel, convertNothing, &promise);
  std::thread([dir, pending] {
    try {
      quantizeWeights(dir, readConfig(dir));
      Pending<Nothing>::resolve(pending, Nothing{});
    } catch (...) {
      Pending<Nothing>::reject(pending, describe(std::current_exception()));
    }
  }).detach();
  return promise;
}

/// Empty where `device: cuda` can work, else why not.
napi_value whyNoCuda(Call& call) { return makeString(call.env, whyNoDevice()); }
napi_value cudaName(Call& call) { return makeString(call.env, deviceName()); }

napi_value isas(Call& call) {
  napi_value list = nullptr;
  check(call.env, napi_create_array(call.env, &list));
  uint32_t count = 0;
  for (const Isa isa : kIsas)
    if (const Ops* ops = opsFor(isa)) check(call.env, napi_set_element(call.env, list, count++, makeString(call.env, ops->name)));
  return list;
}

// ---- serve -------------------------------------------------------------------------------------

napi_value setVocabulary(Call& call) {
  const auto handle = handleOf(call);
  const std::vector<uint8_t> bytes = readBytes(call.env, call.arg(1), "vocabulary bytes");
  const std::vector<int32_t> ends = readInts(call.env, call.arg(2), "vocabulary ends");
  std::vector<std::string> tokens;
  size_t at = 0;
  for (const int32_t end : ends) {
    if (end < 0 || static_cast<size_t>(end) < at || static_cast<size_t>(end) > bytes.size()) throw Failure("BAD_ARGUMENT", "Vocabulary offsets must ascend: correct the call.");
    tokens.emplace_back(bytes.begin() + static_cast<long>(at), bytes.begin() + end);
    at = static_cast<size_t>(end);
  }
  auto shared = std::make_shared<std::vector<std::string>>(std::move(tokens));
  const std::vector<int32_t> special = readInts(call.env, call.arg(3), "special ids");
  auto job = makeJob(kAdapterPriority, 0, Access::Read);
  return submit<Nothing>(call, handle, job, [shared, special](Engine& engine, Job&) {
    engine.setVocabulary(std::move(*shared), special);
    return Nothing{};
  }, convertNothing);
}

napi_value convertGenerate(napi_env env, GenerateResult& r) {
  static const char* reasons[] = {"stop", "eos", "length", "cancelled"};
  napi_value out = makeObject(env);
  set(env, out, "tokens", makeInts(env, r.tokens));
  set(env, out, "logprobs", makeFloats(env, r.logprobs));
  set(env, out, "finishReason", makeString(env, reasons[static_cast<int>(r.finish)]));
  set(env, out, "cachedTokens", makeNumber(env, r.cachedTokens));
  set(env, out, "draftedTokens", makeNumber(env, r.drafted));
  set(env, out, "acceptedTokens", makeNumber(env, r.accepted));
  return out;
}

/// Calls a JavaScript function from the compute thread; freed on the event loop.
struct TokenCallback {
  napi_ref function = nullptr;

  void call(napi_env env, int32_t token, float logprob) const {
    napi_value target = nullptr, receiver = nullptr;
    napi_value args[2] = {makeNumber(env, token), makeNumber(env, logprob)};
    check(env, napi_get_reference_value(env, function, &target));
    check(env, napi_get_undefined(env, &receiver));
    if (napi_call_function(env, receiver, target, 2, args, nullptr) != napi_pending_exception) return;
    napi_value error = nullptr;
    napi_get_and_clear_last_exception(env, &error);
    napi_fatal_exception(env, error);
  }
};

napi_value generate(Call& call) {
  napi_env env = call.env;
  const auto handle = handleOf(call);
  napi_value r = call.arg(1);
  GenerateRequest request;
  GenerateRequest* g = &request;
  const int id = requireInt(env, r, "id");
  if (handle->generations.count(id)) throw Failure("REQUEST_ID_IN_USE", "A generation with id " + std::to_string(id) + " is in flight: use another id.");
  g->prompt = readInts(env, property(env, r, "prompt"), "prompt");
  g->maxTokens = requireInt(env, r, "maxTokens");
  g->sampling.temperature = static_cast<float>(requireNumber(env, r, "temperature"));
  g->sampling.topK = intOr(env, r, "topK", 0);
  g->sampling.topP = static_cast<float>(numberOr(env, r, "topP", 1));
  g->seed = static_cast<uint64_t>(static_cast<int64_t>(numberOr(env, r, "seed", 0)));
  const float fallback = g->sampling.temperature > 0 ? g->sampling.temperature : 1.0f;
  g->logprobTemperature = static_cast<float>(numberOr(env, r, "logprobTemperature", fallback));
  if (!(g->sampling.temperature >= 0) || !(g->logprobTemperature > 0) || !(g->sampling.topP > 0) || g->sampling.topK < 0 || g->maxTokens < 0)
    throw Failure("BAD_ARGUMENT", "temperature, topK and maxTokens must not be negative, topP and logprobTemperature must be above 0: correct the request.");
  if (napi_value stopIds = property(env, r, "stopIds")) g->stopIds = readInts(env, stopIds, "stopIds");
  if (napi_value stop = property(env, r, "stop")) g->stop = readStrings(env, stop, "stop");
  if (napi_value schema = property(env, r, "schema")) g->schema = readString(env, schema, "schema");
  g->adapter = adapterOr0(env, r);
  auto job = makeJob(static_cast<int64_t>(numberOr(env, r, "priority", 0)), g->adapter, Access::Read);
  std::shared_ptr<TokenCallback> callback;
  napi_valuetype type = napi_undefined;
  if (call.count > 2) check(env, napi_typeof(env, call.args[2], &type));
  if (type == napi_function) {
    callback = std::make_shared<TokenCallback>();
    check(env, napi_create_reference(env, call.args[2], 1, &callback->function));
    auto channel = handle->channel;
    g->onToken = [channel, callback](int32_t token, float logprob) {
      channel->post([callback, token, logprob](napi_env e) { callback->call(e, token, logprob); });
    };
  }
  if (napi_value speculate = property(env, r, "speculate")) check(env, napi_get_value_bool(env, speculate, &g->speculate));
  handle->generations[id] = job;
  auto channel = handle->channel;
  // Also on failure; before the promise settles, after the last token.
  const auto settle = [handle, callback, id, channel] {
    channel->post([handle, callback, id](napi_env e) {
      handle->generations.erase(id);
      if (callback) napi_delete_reference(e, callback->function);
    });
  };
  napi_value promise = nullptr;
  auto pending = Pending<GenerateResult>::create(env, channel, convertGenerate, &promise);
  job->generation = std::make_shared<Generation>(std::move(request));
  job->generation->resolve = [pending, settle](GenerateResult& result) {
    settle();
    Pending<GenerateResult>::resolve(pending, std::move(result));
  };
  job->generation->reject = [pending, settle](std::exception_ptr error) {
    settle();
    Pending<GenerateResult>::reject(pending, describe(error));
  };
  job->abandon = [pending, settle] {
    settle();
    Pending<GenerateResult>::reject(pending, Failure("MODEL_CLOSED", "The model was closed before the request was served: load it again."));
  };
  std::weak_ptr<Job> self = job;
  job->run = [engine = handle->engine.get(), self](Job&) { engine->serve(self.lock()); };
  if (!handle->engine->scheduler().submit(job)) job->abandon();
  return promise;
}

napi_value cancel(Call& call) {
  const auto handle = handleOf(call);
  const auto found = handle->generations.find(static_cast<int>(readNumber(call.env, call.arg(1), "id")));
  if (found != handle->generations.end()) found->second->cancelled = true;
  return nullptr;
}

napi_value convertScore(napi_env env, ScoreResult& r) {
  napi_value out = makeObject(env);
  set(env, out, "logprobs", makeFloats(env, r.logprobs));
  set(env, out, "topIds", makeInts(env, r.topIds));
  set(env, out, "topLogprobs", makeFloats(env, r.topLogprobs));
  set(env, out, "candidateLogprobs", makeFloats(env, r.candidateLogprobs));
  set(env, out, "logits", makeFloats(env, r.logits));
  return out;
}

napi_value score(Call& call) {
  napi_env env = call.env;
  const auto handle = handleOf(call);
  napi_value r = call.arg(1);
  auto s = std::make_shared<ScoreRequest>();
  s->ids = readInts(env, property(env, r, "ids"), "ids");
  s->positions = readInts(env, property(env, r, "positions"), "positions");
  s->temperature = static_cast<float>(numberOr(env, r, "temperature", 1));
  s->topK = intOr(env, r, "topK", 0);
  if (napi_value candidates = property(env, r, "candidates")) s->candidates = readInts(env, candidates, "candidates");
  if (!s->candidates.empty()) {
    if (s->positions.empty() || s->candidates.size() % s->positions.size() != 0) throw Failure("BAD_ARGUMENT", "candidates must hold the same number of tokens for every position: correct the request.");
    s->candidateCount = static_cast<int>(s->candidates.size() / s->positions.size());
  }
  s->adapter = adapterOr0(env, r);
  if (napi_value logits = property(env, r, "logits")) check(env, napi_get_value_bool(env, logits, &s->logits));
  auto job = makeJob(static_cast<int64_t>(numberOr(env, r, "priority", 0)), s->adapter, Access::Read);
  return submit<ScoreResult>(call, handle, job, [s](Engine& engine, Job& self) { return engine.score(*s, self); }, convertScore);
}

napi_value clearCache(Call& call) {
  return submit<Nothing>(call, handleOf(call), makeJob(kAdapterPriority, 0, Access::Read), [](Engine& engine, Job&) {
    engine.clearCache();
    return Nothing{};
  }, convertNothing);
}

napi_value metrics(Call& call) {
  const auto handle = handleOf(call);
  napi_value out = makeObject(call.env);
  set(call.env, out, "cacheTokens", makeNumber(call.env, static_cast<double>(handle->engine->cacheTokens())));
  set(call.env, out, "cacheBytes", makeNumber(call.env, static_cast<double>(handle->engine->cacheBytes())));
  set(call.env, out, "queued", makeNumber(call.env, static_cast<double>(handle->engine->scheduler().queued())));
  const Engine::Counters counters = handle->engine->counters();
  set(call.env, out, "decodePasses", makeNumber(call.env, static_cast<double>(counters.passes)));
  set(call.env, out, "decodeRows", makeNumber(call.env, static_cast<double>(counters.rows)));
  set(call.env, out, "draftedTokens", makeNumber(call.env, static_cast<double>(counters.drafted)));
  set(call.env, out, "acceptedTokens", makeNumber(call.env, static_cast<double>(counters.accepted)));
  set(call.env, out, "peakRssBytes", makeNumber(call.env, static_cast<double>(peakResidentBytes())));
  return out;
}

napi_value close(Call& call) {
  const auto handle = handleOf(call);
  closeHandle(*handle);
  return nullptr;
}

// ---- adapters ----------------------------------------------------------------------------------

napi_value createAdapterCall(Call& call) {
  napi_env env = call.env;
  const auto handle = handleOf(call);
  napi_value r = call.arg(1);
  const int rank = requireInt(env, r, "rank");
  const double alpha = requireNumber(env, r, "alpha");
  const uint64_t seed = static_cast<uint64_t>(static_cast<int64_t>(requireNumber(env, r, "seed")));
  const std::vector<std::string> targets = readStrings(env, property(env, r, "targets"), "targets");
  return submit<int>(call, handle, makeJob(kAdapterPriority, 0, Access::Read), [=](Engine& engine, Job&) {
    auto adapter = std::make_unique<Adapter>(createAdapter(engine.config(), rank, alpha, targets, seed));
    return engine.addAdapter(std::move(adapter));
  }, convertInt);
}

/// Disk work runs on a thread of its own: an fsync must not hold up a token.
napi_value loadAdapter(Call& call) {
  napi_env env = call.env;
  const auto handle = handleOf(call);
  const std::string dir = readString(env, call.arg(1), "dir");
  bool training = false;
  if (call.count > 2) napi_get_value_bool(env, call.args[2], &training);
  napi_value promise = nullptr;
  auto pending = Pending<int>::create(env, handle->channel, convertInt, &promise);
  auto engine = handle->engine;
  std::thread([engine, pending, dir, training]() mutable {
    try {
      auto adapter = std::make_shared<std::unique_ptr<Adapter>>(std::make_unique<Adapter>(readPeft(dir, engine->config())));
      if (training) readOptimizer(dir, **adapter);
      else if (!engine->device()) (*adapter)->pack(engine->ops(), engine->weights().dtype, Pass::Serving);  // here, so that no token waits for it
      auto job = makeJob(kAdapterPriority, 0, Access::Read);
      job->abandon = [pending] { Pending<int>::reject(pending, Failure("MODEL_CLOSED", "The model was closed while the adapter was loading: load the model again.")); };
      Engine* target = engine.get();
      job->run = [pending, adapter, target](Job&) { Pending<int>::resolve(pending, target->addAdapter(std::move(*adapter))); };
      if (!engine->scheduler().submit(job)) job->abandon();
    } catch (...) {
      Pending<int>::reject(pending, describe(std::current_exception()));
    }
  }).detach();
  return promise;
}

napi_value writeAdapter(Call& call) {
  napi_env env = call.env;
  const auto handle = handleOf(call);
  const int adapter = adapterArg(call, 1);
  const std::string dir = readString(env, call.arg(2), "dir");
  bool optimizer = false;
  if (call.count > 3) napi_get_value_bool(env, call.args[3], &optimizer);
  napi_value promise = nullptr;
  auto pending = Pending<Nothing>::create(env, handle->channel, convertNothing, &promise);
  auto engine = handle->engine;
  auto job = makeJob(kAdapterPriority, adapter, Access::Read);
  job->abandon = [pending] { Pending<Nothing>::reject(pending, Failure("MODEL_CLOSED", "The model was closed before the adapter was written: load it again.")); };
  job->run = [pending, engine, adapter, dir, optimizer](Job&) {
    try {
      std::shared_ptr<Adapter> copy = engine->copyAdapter(adapter, optimizer ? AdapterParts::Optimizer : AdapterParts::Weights);
      std::thread([pending, copy, dir, optimizer] {
        try {
          writePeft(dir, *copy, optimizer);
          Pending<Nothing>::resolve(pending, Nothing{});
        } catch (...) {
          Pending<Nothing>::reject(pending, describe(std::current_exception()));
        }
      }).detach();
    } catch (...) {
      Pending<Nothing>::reject(pending, describe(std::current_exception()));
    }
  };
  if (!engine->scheduler().submit(job)) job->abandon();
  return promise;
}

napi_value cloneAdapter(Call& call) {
  const int adapter = adapterArg(call, 1);
  return submit<int>(call, handleOf(call), makeJob(kAdapterPriority, adapter, Access::Read), [adapter](Engine& engine, Job&) { return engine.cloneAdapter(adapter); }, convertInt);
}

napi_value deleteAdapter(Call& call) {
  const int adapter = adapterArg(call, 1);
  return submit<Nothing>(call, handleOf(call), makeJob(kAdapterPriority, adapter, Access::Write), [adapter](Engine& engine, Job&) {
    engine.deleteAdapter(adapter);
    return Nothing{};
  }, convertNothing);
}

struct Tensors {
  std::vector<LoraTensor> layout;
  std::vector<float> data;
};
napi_value convertTensors(napi_env env, Tensors& t) {
  napi_value list = nullptr;
  check(env, napi_create_array_with_length(env, t.layout.size(), &list));
  for (size_t i = 0; i < t.layout.size(); ++i) {
    napi_value item = makeObject(env), shape = nullptr;
    check(env, napi_create_array_with_length(env, 2, &shape));
    check(env, napi_set_element(env, shape, 0, makeNumber(env, t.layout[i].rows)));
    check(env, napi_set_element(env, shape, 1, makeNumber(env, t.layout[i].cols)));
    set(env, item, "name", makeString(env, t.layout[i].name));
    set(env, item, "shape", shape);
    set(env, item, "data", makeFloats(env, t.data.data() + t.layout[i].offset, t.layout[i].size()));
    check(env, napi_set_element(env, list, static_cast<uint32_t>(i), item));
  }
  return list;
}

napi_value adapterTensors(Call& call) {
  const int adapter = adapterArg(call, 1);
  return submit<Tensors>(call, handleOf(call), makeJob(kAdapterPriority, adapter, Access::Read), [adapter](Engine& engine, Job&) {
    const Adapter& a = engine.adapter(adapter);
    return Tensors{a.tensors, a.weights};
  }, convertTensors);
}

napi_value gradients(Call& call) {
  const int adapter = adapterArg(call, 1);
  return submit<Tensors>(call, handleOf(call), makeJob(kAdapterPriority, adapter, Access::Gradient), [adapter](Engine& engine, Job&) {
    Adapter& a = engine.adapter(adapter);
    a.prepareTraining();
    return Tensors{a.tensors, a.gradients};
  }, convertTensors);
}

napi_value setGradients(Call& call) {
  napi_env env = call.env;
  const int adapter = adapterArg(call, 1);
  uint32_t count = 0;
  bool isArray = false;
  check(env, napi_is_array(env, call.arg(2), &isArray));
  if (!isArray) throw Failure("BAD_ARGUMENT", "gradients must be an array of tensors: correct the call.");
  check(env, napi_get_array_length(env, call.arg(2), &count));
  auto given = std::make_shared<std::map<std::string, std::vector<float>>>();
  for (uint32_t i = 0; i < count; ++i) {
    napi_value item = nullptr;
    check(env, napi_get_element(env, call.arg(2), i, &item));
    (*given)[readString(env, property(env, item, "name"), "name")] = readFloats(env, property(env, item, "data"), "data");
  }
  return submit<Nothing>(call, handleOf(call), makeJob(kAdapterPriority, adapter, Access::Gradient), [adapter, given](Engine& engine, Job&) {
    Adapter& a = engine.adapter(adapter);
    a.prepareTraining();
    for (const LoraTensor& t : a.tensors) {
      const auto found = given->find(t.name);
      if (found == given->end() || found->second.size() != t.size()) throw Failure("BAD_ARGUMENT", "The gradients lack a tensor of the right size for " + t.name + ": give all tensors of the adapter.");
    }
    for (const LoraTensor& t : a.tensors) std::copy((*given)[t.name].begin(), (*given)[t.name].end(), a.gradients.begin() + static_cast<long>(t.offset));
    return Nothing{};
  }, convertNothing);
}

napi_value zeroGradients(Call& call) {
  const int adapter = adapterArg(call, 1);
  return submit<Nothing>(call, handleOf(call), makeJob(kAdapterPriority, adapter, Access::Gradient), [adapter](Engine& engine, Job&) {
    Adapter& a = engine.adapter(adapter);
    std::fill(a.gradients.begin(), a.gradients.end(), 0.0f);
    return Nothing{};
  }, convertNothing);
}

// ---- training ----------------------------------------------------------------------------------

TrainSequence readSequence(napi_env env, napi_value r) {
  TrainSequence s;
  const auto floatsOr = [&](napi_value object, const char* name) {
    napi_value value = property(env, object, name);
    return value ? readFloats(env, value, name) : std::vector<float>();
  };
  const auto positions = [&](napi_value object) { return readInts(env, property(env, object, "positions"), "positions"); };
  s.ids = readInts(env, property(env, r, "ids"), "ids");
  s.temperature = static_cast<float>(requireNumber(env, r, "temperature"));
  if (napi_value t = property(env, r, "pg")) {
    s.pg.used = true;
    s.pg.positions = positions(t);
    s.pg.advantages = readFloats(env, property(env, t, "advantages"), "advantages");
    s.pg.old = floatsOr(t, "old");
    s.pg.behaviour = floatsOr(t, "behaviour");
  }
  if (napi_value t = property(env, r, "opd")) {
    s.opd.used = true;
    s.opd.positions = positions(t);
    s.opd.k = requireInt(env, t, "k");
    s.opd.tokens = readInts(env, property(env, t, "tokens"), "tokens");
    s.opd.delta = readFloats(env, property(env, t, "delta"), "delta");
    s.opd.weights = readFloats(env, property(env, t, "weights"), "weights");
    s.opd.old = floatsOr(t, "old");
  }
  if (napi_value t = property(env, r, "splice")) {
    s.splice.used = true;
    s.splice.positions = positions(t);
    s.splice.k = requireInt(env, t, "k");
    s.splice.tokens = readInts(env, property(env, t, "tokens"), "tokens");
    s.splice.targets = readFloats(env, property(env, t, "targets"), "targets");
  }
  if (napi_value t = property(env, r, "kl")) {
    s.kl.used = true;
    s.kl.positions = positions(t);
    s.kl.reference = floatsOr(t, "reference");
  }
  if (napi_value t = property(env, r, "ce")) {
    s.ce.used = true;
    s.ce.positions = positions(t);
  }
  if (s.opd.k < 0 || s.splice.k < 0) throw Failure("BAD_ARGUMENT", "k must not be negative: correct the training sequence.");
  return s;
}

const char* const kTermNames[kTerms] = {"pg", "opd", "splice", "kl", "ce"};

LossSettings readSettings(napi_env env, napi_value r) {
  LossSettings s;
  s.clipLow = requireNumber(env, r, "clipLow");
  s.clipHigh = requireNumber(env, r, "clipHigh");
  s.klBeta = requireNumber(env, r, "klBeta");
  s.ceLambda = requireNumber(env, r, "ceLambda");
  s.spliceWeight = requireNumber(env, r, "spliceWeight");
  s.pgWeight = requireNumber(env, r, "pgWeight");
  s.opdWeight = requireNumber(env, r, "opdWeight");
  napi_value divisor = property(env, r, "divisor");
  if (!divisor) throw Failure("BAD_ARGUMENT", "divisor is missing: correct the loss settings.");
  for (int t = 0; t < kTerms; ++t) s.divisor[t] = requireNumber(env, divisor, kTermNames[t]);
  return s;
}

napi_value convertForwardBackward(napi_env env, ForwardBackwardResult& r) {
  napi_value out = makeObject(env), loss = makeObject(env), positions = makeObject(env);
  for (int t = 0; t < kTerms; ++t) {
    set(env, loss, kTermNames[t], makeNumber(env, r.loss[t]));
    set(env, positions, kTermNames[t], makeNumber(env, r.positions[t]));
  }
  set(env, out, "loss", loss);
  set(env, out, "positions", positions);
  set(env, out, "effectiveSampleSize", makeNumber(env, r.effectiveSampleSize));
  set(env, out, "tokens", makeNumber(env, static_cast<double>(r.tokens)));
  set(env, out, "checkpointed", makeNumber(env, r.checkpointed));
  set(env, out, "pgLogprobs", makeFloats(env, r.pgLogprobs));
  return out;
}

napi_value forwardBackward(Call& call) {
  napi_env env = call.env;
  const auto handle = handleOf(call);
  const int adapter = adapterArg(call, 1);
  uint32_t count = 0;
  bool isArray = false;
  check(env, napi_is_array(env, call.arg(2), &isArray));
  if (!isArray) throw Failure("BAD_ARGUMENT", "sequences must be an array: correct the call.");
  check(env, napi_get_array_length(env, call.arg(2), &count));
  auto sequences = std::make_shared<std::vector<TrainSequence>>();
  for (uint32_t i = 0; i < count; ++i) {
    napi_value item = nullptr;
    check(env, napi_get_element(env, call.arg(2), i, &item));
    sequences->push_back(readSequence(env, item));
  }
  const LossSettings settings = readSettings(env, call.arg(3));
  for (const TrainSequence& s : *sequences) {
    const bool used[kTerms] = {s.pg.used, s.opd.used, s.splice.used, s.kl.used, s.ce.used};
    for (int t = 0; t < kTerms; ++t)
      if (used[t] && !(settings.divisor[t] > 0)) throw Failure("BAD_ARGUMENT", std::string("divisor.") + kTermNames[t] + " must be above 0 where a sequence has that term: correct the loss settings.");
  }
  return submit<ForwardBackwardResult>(call, handle, makeJob(kTrainingPriority, adapter, Access::Gradient), [=](Engine& engine, Job& self) { return engine.forwardBackward(adapter, *sequences, settings, self); }, convertForwardBackward);
}

struct StepResult {
  double norm;
  int64_t step;
};

napi_value optimStep(Call& call) {
  napi_env env = call.env;
  const int adapter = adapterArg(call, 1);
  napi_value r = call.arg(2);
  AdamWSettings s;
  s.lr = requireNumber(env, r, "lr");
  s.beta1 = requireNumber(env, r, "beta1");
  s.beta2 = requireNumber(env, r, "beta2");
  s.eps = requireNumber(env, r, "eps");
  s.weightDecay = requireNumber(env, r, "weightDecay");
  s.clipNorm = requireNumber(env, r, "clipNorm");
  return submit<StepResult>(call, handleOf(call), makeJob(kAdapterPriority, adapter, Access::Write), [adapter, s](Engine& engine, Job&) {
    const double norm = engine.optimStep(adapter, s);
    return StepResult{norm, engine.stepOf(adapter)};
  }, [](napi_env e, StepResult& result) {
    napi_value out = makeObject(e);
    set(e, out, "gradNorm", makeNumber(e, result.norm));
    set(e, out, "step", makeNumber(e, static_cast<double>(result.step)));
    return out;
  });
}

/// Every op of an instruction set against the reference on random shapes (tests only).
/// On the calling thread: benchmarks have nothing else to do.
napi_value gemmBench(Call& call) {
  napi_env env = call.env;
  napi_value r = call.arg(0);
  const Ops* ops = opsFor(chooseIsa(stringOr(env, r, "isa", "")));
  if (!ops) throw Failure("ISA_UNAVAILABLE", "This processor lacks that instruction set: leave it out.");
  Math math(*ops, requireInt(env, r, "threads"));
  const GemmResult result = benchGemm(math, parseDtype(stringOr(env, r, "dtype", "fp32")), requireInt(env, r, "m"), requireInt(env, r, "n"), requireInt(env, r, "k"), requireInt(env, r, "runs"));
  napi_value out = makeObject(env);
  set(env, out, "peak", makeNumber(env, result.peak));
  set(env, out, "forwardShare", makeNumber(env, result.forwardShare));
  set(env, out, "backwardShare", makeNumber(env, result.backwardShare));
  set(env, out, "error", makeNumber(env, result.error));
  return out;
}

napi_value selfTestCall(Call& call) {
  const Ops* ops = opsFor(parseIsa(readString(call.env, call.arg(0), "isa")));
  if (!ops) throw Failure("ISA_UNAVAILABLE", "This processor lacks the requested instruction set: choose one of isas().");
  const std::vector<OpCheck> checks = selfTest(*ops, static_cast<uint64_t>(readNumber(call.env, call.arg(1), "seed")));
  napi_value list = nullptr;
  check(call.env, napi_create_array(call.env, &list));
  for (size_t i = 0; i < checks.size(); ++i) {
    napi_value item = makeObject(call.env);
    set(call.env, item, "op", makeString(call.env, checks[i].op));
    set(call.env, item, "shape", makeString(call.env, checks[i].shape));
    set(call.env, item, "error", makeNumber(call.env, checks[i].error));
    check(call.env, napi_set_element(call.env, list, static_cast<uint32_t>(i), item));
  }
  return list;
}

template <napi_value (*body)(Call&)>
void define(napi_env env, napi_value exports, const char* name) {
  napi_value function = nullptr;
  check(env, napi_create_function(env, name, NAPI_AUTO_LENGTH, entry<body>, nullptr, &function));
  set(env, exports, name, function);
}

napi_value initialise(napi_env env, napi_value exports) {
  define<load>(env, exports, "load");
  define<quantize>(env, exports, "quantize");
  define<isas>(env, exports, "isas");
  define<setVocabulary>(env, exports, "setVocabulary");
  define<generate>(env, exports, "generate");
  define<cancel>(env, exports, "cancel");
  define<score>(env, exports, "score");
  define<clearCache>(env, exports, "clearCache");
  define<metrics>(env, exports, "metrics");
  define<close>(env, exports, "close");
  define<createAdapterCall>(env, exports, "createAdapter");
  define<loadAdapter>(env, exports, "loadAdapter");
  define<writeAdapter>(env, exports, "writeAdapter");
  define<cloneAdapter>(env, exports, "cloneAdapter");
  define<deleteAdapter>(env, exports, "deleteAdapter");
  define<adapterTensors>(env, exports, "adapterTensors");
  define<gradients>(env, exports, "gradients");
  define<setGradients>(env, exports, "setGradients");
  define<zeroGradients>(env, exports, "zeroGradients");
  define<forwardBackward>(env, exports, "forwardBackward");
  define<optimStep>(env, exports, "optimStep");
  define<whyNoCuda>(env, exports, "whyNoCuda");
  define<cudaName>(env, exports, "cudaName");
  define<selfTestCall>(env, exports, "selfTest");
  define<gemmBench>(env, exports, "gemmBench");
  // Never freed: compute threads may still hold the channel when the environment is gone. The hook
  // is added after the channel's function, so it runs before Node frees that.
  auto* environment = new Environment{std::make_shared<Channel>(env), {}};
  check(env, napi_set_instance_data(env, environment, nullptr, nullptr));
  check(env, napi_add_env_cleanup_hook(env, closeAll, environment));
  return exports;
}

}  // namespace
}  // namespace hindsight

extern "C" __attribute__((visibility("default"))) napi_value napi_register_module_v1(napi_env env, napi_value exports) {
  return hindsight::initialise(env, exports);
}
extern "C" __attribute__((visibility("default"))) int32_t node_api_module_get_api_version_v1() { return 8; }
