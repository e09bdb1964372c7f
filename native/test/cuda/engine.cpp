// The whole engine on the device library, without Node: numbers of transformers and peft
// (testdata/parity), generation, prefix cache, packing, checkpointing, several weight formats.
//   cuda_engine FIXTURES DTYPE [FIXTURE]: one JSON line a check, then a summary; exit code 1 where one fails.
// HINDSIGHT_CUDA_LIBRARY names the library.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>

#include "io/failure.h"
#include "io/json.h"
#include "model/device_library.h"
#include "model/peft.h"
#include "io/safetensors.h"
#include "serve/device_engine.h"
#include "serve/engine.h"

using namespace hindsight;

namespace {

using Numbers = std::vector<float>;
int checks = 0, failures = 0;

void report(const std::string& name, double error, double bar, const std::string& problem = "") {
  const bool pass = error <= bar && problem.empty();
  ++checks;
  if (!pass) ++failures;
  std::printf("{\"check\":\"%s\",\"error\":%.3g,\"bar\":%.3g,\"pass\":%s%s}\n", name.c_str(), std::isfinite(error) ? error : 1e30, bar, pass ? "true" : "false", problem.empty() ? "" : (",\"problem\":\"" + problem + "\"").c_str());
  std::fflush(stdout);
}
/// A check that throws is reported and hides no other.
void attempt(const std::string& name, const std::function<void()>& body) {
  try {
    body();
  } catch (const std::exception& thrown) {
    report(name, INFINITY, 0, thrown.what());
  }
}
/// |a - b| / |b|
double distance(const Numbers& a, const Numbers& b) {
  if (a.size() != b.size() || a.empty()) return INFINITY;
  double off = 0, all = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    off += (static_cast<double>(a[i]) - b[i]) * (static_cast<double>(a[i]) - b[i]);
    all += static_cast<double>(b[i]) * b[i];
  }
  return all > 0 ? std::sqrt(off / all) : std::sqrt(off);
}
double furthest(const Numbers& a, const Numbers& b) {
  double worst = a.size() == b.size() ? 0 : INFINITY;
  for (size_t i = 0; i < a.size() && i < b.size(); ++i) {
    const double d = std::fabs(static_cast<double>(a[i]) - b[i]);
    if (!(d <= worst)) worst = d;
  }
  return worst;
}

DeviceFormat formatNamed(const std::string& name) {
  return name == "fp32" ? DeviceFormat::Fp32 : name == "int8" ? DeviceFormat::Int8 : name == "nf4" ? DeviceFormat::Nf4 : DeviceFormat::Bf16;
}

class Fixture {
 public:
  Fixture(const std::string& dir, const std::string& dtype) : dir_(dir), dtype_(dtype), name_(dir.substr(dir.rfind('/') + 1) + " " + dtype), file_(dir + "/expected.safetensors") {
    const std::string text = readText(dir + "/expected.json", 1 << 20);
    json_ = Json::parse(text.data(), text.size());
    const TensorEntry* ids = file_.find("input_ids");
    batch_ = static_cast<int>(ids->shape[0]);
    length_ = static_cast<int>(ids->shape[1]);
    ids_ = integers("input_ids");
    options_.dir = dir;
    options_.cuda = true;
    options_.device.format = formatNamed(dtype);
    options_.device.rank = 4;
    options_.device.trainTokens = 96;
    options_.device.servedAdapters = 2;
    options_.device.trainedAdapters = 1;
    options_.cacheBytes = size_t{4} << 20;
  }

  void run() {
    engine_ = std::make_unique<Engine>(options_);
    handle_ = engine_->addAdapter(std::make_unique<Adapter>(readPeft(dir_ + "/adapter", engine_->config())));
    const bool exact = dtype_ == "fp32", compared = exact || dtype_ == "bf16";
    bar_ = exact ? 1e-3 : 2e-2;
    if (compared) attempt(name_ + " scores", [&] { scores(); });
    for (const char* term : {"pg", "opd", "ce"})
      if (compared) attempt(name_ + " " + term, [&] { gradients(term); });
    attempt(name_ + " generate", [&] { generation(); });
    attempt(name_ + " repeat", [&] { repeatable(); });
    attempt(name_ + " checkpoint", [&] { checkpointed(); });
    if (compared) attempt(name_ + " adamw", [&] { adamw(); });
    attempt(name_ + " learning", [&] { learning(); });
  }

 private:
  double number(const char* key) { return json_.find(key)->number; }
  Numbers stored(const std::string& name) {
    const TensorEntry* entry = file_.find(name);
    if (!entry) throw Failure("FILE_MISSING", "expected.safetensors lacks " + name);
    const std::vector<uint8_t> raw = file_.readRaw(*entry);
    if (entry->dtype == "F32") return toFloats(*entry, raw);
    Numbers out(entry->elements());
    for (size_t i = 0; i < out.size(); ++i) {
      if (entry->dtype == "I64") {
        int64_t v;
        std::memcpy(&v, &raw[i * 8], 8);
        out[i] = static_cast<float>(v);
      } else if (entry->dtype == "I32") {
        int32_t v;
        std::memcpy(&v, &raw[i * 4], 4);
        out[i] = static_cast<float>(v);
      } else {
        out[i] = raw[i];
      }
    }
    return out;
  }
  std::vector<int32_t> integers(const std::string& name) {
    const Numbers n = stored(name);
    return std::vector<int32_t>(n.begin(), n.end());
  }
  std::vector<int32_t> sequence(int b) { return {ids_.begin() + b * length_, ids_.begin() + (b + 1) * length_}; }
  std::vector<int32_t> responses(int b) {
    const Numbers mask = stored("response_mask");
    std::vector<int32_t> out;
    for (int p = 1; p < length_; ++p)
      if (mask[b * length_ + p] == 1) out.push_back(p);
    return out;
  }
  /// Values [2, length - 1, width] of the response's positions.
  Numbers pick(const std::string& name, int b, int width = 1) {
    const Numbers all = stored(name);
    Numbers out;
    for (const int32_t p : responses(b)) {
      const size_t at = (static_cast<size_t>(b) * (length_ - 1) + p - 1) * width;
      out.insert(out.end(), all.begin() + static_cast<long>(at), all.begin() + static_cast<long>(at + width));
    }
    return out;
  }

  void scores() {
    const int k = static_cast<int>(number("topk"));
    for (const int adapter : {0, handle_}) {
      Numbers logits;
      for (int b = 0; b < batch_; ++b) {
        ScoreRequest r;
        r.ids = sequence(b);
        r.ids.push_back(0);
        for (int p = 1; p <= length_; ++p) r.positions.push_back(p);
        r.adapter = adapter;
        r.logits = true;
        const ScoreResult found = engine_->score(r, job_);
        logits.insert(logits.end(), found.logits.begin(), found.logits.end());
      }
      report(name_ + (adapter ? " adapter_logits" : " base_logits"), distance(logits, stored(adapter ? "adapter_logits" : "base_logits")), bar_);
    }
    Numbers student, reference, top, teacher;
    std::vector<int32_t> topIds;
    const std::vector<int32_t> hints = integers("hint_ids"), candidates = integers("topk_ids");
    for (int b = 0; b < batch_; ++b) {
      ScoreRequest r;
      r.ids = sequence(b);
      for (int p = 1; p < length_; ++p) r.positions.push_back(p);
      r.temperature = static_cast<float>(number("temperature"));
      const ScoreResult base = engine_->score(r, job_);
      r.topK = k;
      r.adapter = handle_;
      const ScoreResult own = engine_->score(r, job_);
      student.insert(student.end(), own.logprobs.begin(), own.logprobs.end());
      top.insert(top.end(), own.topLogprobs.begin(), own.topLogprobs.end());
      topIds.insert(topIds.end(), own.topIds.begin(), own.topIds.end());
      reference.insert(reference.end(), base.logprobs.begin(), base.logprobs.end());
      const int hint = static_cast<int>(hints.size()) / batch_;
      ScoreRequest t;
      t.ids.assign(hints.begin() + b * hint, hints.begin() + (b + 1) * hint);
      const std::vector<int32_t> ids = sequence(b);
      t.ids.insert(t.ids.end(), ids.begin(), ids.end());
      for (int p = 1; p < length_; ++p) t.positions.push_back(p + hint);
      t.temperature = r.temperature;
      t.candidateCount = k;
      t.candidates.assign(candidates.begin() + static_cast<long>(b) * (length_ - 1) * k, candidates.begin() + static_cast<long>(b + 1) * (length_ - 1) * k);
      const ScoreResult hinted = engine_->score(t, job_);
      teacher.insert(teacher.end(), hinted.candidateLogprobs.begin(), hinted.candidateLogprobs.end());
    }
    report(name_ + " logprobs", distance(student, stored("logprobs")), bar_);
    report(name_ + " reference_logprobs", distance(reference, stored("reference_logprobs")), bar_);
    report(name_ + " topk_logprobs", distance(top, stored("topk_logprobs")), bar_);
    report(name_ + " teacher_topk_logprobs", distance(teacher, stored("teacher_topk_logprobs")), bar_);
    if (dtype_ == "fp32") report(name_ + " topk_ids", furthest(Numbers(topIds.begin(), topIds.end()), stored("topk_ids")), 0);
  }

  std::vector<TrainSequence> sequences(const std::string& term) {
    std::vector<TrainSequence> out;
    const int k = static_cast<int>(number("topk"));
    for (int b = 0; b < batch_; ++b) {
      TrainSequence s;
      s.ids = sequence(b);
      s.temperature = static_cast<float>(number("temperature"));
      if (term == "ce") {
        s.ce.used = true;
        s.ce.positions = responses(b);
      } else if (term == "pg") {
        s.pg.used = s.kl.used = true;
        s.pg.positions = s.kl.positions = responses(b);
        s.pg.advantages = pick("advantages", b);
        s.pg.old = pick("behaviour_logprobs", b);
        s.kl.reference = pick("reference_logprobs", b);
      } else {
        s.opd.used = true;
        s.opd.k = k;
        s.opd.positions = responses(b);
        const Numbers ids = pick("topk_ids", b, k), student = pick("topk_logprobs", b, k), teacher = pick("teacher_topk_logprobs", b, k);
        s.opd.tokens.assign(ids.begin(), ids.end());
        const float bound = static_cast<float>(number("delta_clip"));
        for (size_t i = 0; i < student.size(); ++i) s.opd.delta.push_back(std::fmax(-bound, std::fmin(bound, teacher[i] - student[i])));
        for (size_t row = 0; row < student.size(); row += k) {
          double sum = 0;
          for (int j = 0; j < k; ++j) sum += std::exp(static_cast<double>(student[row + j]) - student[row]);
          for (int j = 0; j < k; ++j) s.opd.weights.push_back(static_cast<float>(std::exp(static_cast<double>(student[row + j]) - student[row]) / sum));
        }
      }
      out.push_back(std::move(s));
    }
    return out;
  }
  LossSettings settings() {
    LossSettings s;
    s.klBeta = number("kl_beta");
    s.ceLambda = 1;
    for (double& divisor : s.divisor) divisor = batch_;
    return s;
  }
  Numbers gradientOf(Engine& engine, int handle, const std::string& term, double* loss) {
    Adapter& a = engine.adapter(handle);
    a.prepareTraining();
    std::fill(a.gradients.begin(), a.gradients.end(), 0.0f);
    std::vector<TrainSequence> list = sequences(term);
    const ForwardBackwardResult result = engine.forwardBackward(handle, list, settings(), job_);
    if (loss) *loss = term == "pg" ? result.loss[kPg] + result.loss[kKl] : term == "opd" ? result.loss[kOpd] : result.loss[kCe];
    return engine.adapter(handle).gradients;
  }

  /// What bf16 costs on these tiny random models exceeds 2 % for some terms whatever computes them (a
  /// rounded weight moves a ratio across its clip), so there the CPU's bf16 is the yardstick.
  double gradientBar(const std::string& term, const Numbers& wanted) {
    if (dtype_ != "bf16") return bar_;
    if (!cpu_) {
      LoadOptions options = options_;
      options.cuda = false;
      options.dtype = Dtype::Bf16;
      cpu_ = std::make_unique<Engine>(options);
      cpuHandle_ = cpu_->addAdapter(std::make_unique<Adapter>(readPeft(dir_ + "/adapter", cpu_->config())));
    }
    const double cpu = distance(gradientOf(*cpu_, cpuHandle_, term, nullptr), wanted);
    std::printf("{\"note\":\"%s grad_%s on the CPU in bf16\",\"error\":%.3g}\n", name_.c_str(), term.c_str(), cpu);
    return std::fmax(bar_, 1.5 * cpu);
  }

  void gradients(const std::string& term) {
    double loss = NAN;
    const Numbers got = gradientOf(*engine_, handle_, term, &loss);
    const Adapter& a = engine_->adapter(handle_);
    Numbers wanted(a.weights.size());
    double worst = 0;
    for (const LoraTensor& t : a.tensors) {
      const Numbers one = stored("grad_" + term + "." + t.name);
      std::copy(one.begin(), one.end(), wanted.begin() + static_cast<long>(t.offset));
      worst = std::fmax(worst, distance(Numbers(got.begin() + static_cast<long>(t.offset), got.begin() + static_cast<long>(t.offset + t.size())), one));
    }
    const double loss0 = number(("loss_" + term).c_str());
    report(name_ + " loss_" + term, std::fabs(loss - loss0) / std::fmax(std::fabs(loss0), 1e-30), bar_);
    report(name_ + " grad_" + term, distance(got, wanted), gradientBar(term, wanted));
    if (dtype_ == "fp32") report(name_ + " grad_" + term + ", worst tensor", worst, bar_);
  }

  void adamw() {
    Adapter& a = engine_->adapter(handle_);
    a.prepareTraining();
    for (const LoraTensor& t : a.tensors) {
      const Numbers one = stored("grad_pg." + t.name);
      std::copy(one.begin(), one.end(), a.gradients.begin() + static_cast<long>(t.offset));
    }
    AdamWSettings s;
    const Json* given = json_.find("adamw");
    s.lr = given->find("lr")->number;
    s.weightDecay = given->find("weight_decay")->number;
    s.clipNorm = given->find("clip_norm")->number;
    const double norm = engine_->optimStep(handle_, s);
    report(name_ + " norm", std::fabs(norm - number("grad_norm_pg")) / norm, 1e-5);
    Numbers wanted(a.weights.size());
    for (const LoraTensor& t : a.tensors) {
      const Numbers one = stored("adamw." + t.name);
      std::copy(one.begin(), one.end(), wanted.begin() + static_cast<long>(t.offset));
    }
    report(name_ + " adamw", furthest(engine_->adapter(handle_).weights, wanted), 1e-6);
  }

  GenerateResult generate(float temperature) {
    GenerateRequest g;
    g.prompt = sequence(0);
    for (int i = 0; i < 40; ++i) g.prompt.push_back(g.prompt[i % length_]);  // more than two pages
    g.maxTokens = 8;
    g.adapter = handle_;
    g.seed = 5;
    g.sampling.temperature = temperature;
    auto job = std::make_shared<Job>();
    job->adapter = handle_;
    job->generation = std::make_shared<Generation>(g);
    GenerateResult made;
    job->generation->resolve = [&](GenerateResult& result) { made = std::move(result); };
    job->generation->reject = [](std::exception_ptr error) { std::rethrow_exception(error); };
    engine_->serve(job);
    return made;
  }
  /// Decode agrees with scoring, a warm cache with a cold one, and a seed with itself.
  void generation() {
    engine_->clearCache();
    const GenerateResult cold = generate(0), warm = generate(0), drawn = generate(0.9f), again = generate(0.9f);
    report(name_ + " cached tokens", warm.cachedTokens >= 64 && cold.cachedTokens == 0 ? 0 : 1, 0);
    report(name_ + " warm as cold", cold.tokens == warm.tokens && furthest(cold.logprobs, warm.logprobs) < 1e-5 ? 0 : 1, 0);
    report(name_ + " same seed", drawn.tokens == again.tokens ? 0 : 1, 0);
    ScoreRequest r;
    r.ids = sequence(0);
    for (int i = 0; i < 40; ++i) r.ids.push_back(r.ids[i % length_]);
    for (const int32_t token : cold.tokens) {
      r.positions.push_back(static_cast<int32_t>(r.ids.size()));
      r.ids.push_back(token);
    }
    r.adapter = handle_;
    r.topK = 1;
    const ScoreResult scored = engine_->score(r, job_);
    // With rounded activations the two paths differ by rounding, and a near tie may turn.
    report(name_ + " decode as score", furthest(scored.logprobs, cold.logprobs), dtype_ == "fp32" ? 1e-4 : 0.1);
    double lost = 0;
    for (size_t i = 0; i < cold.tokens.size(); ++i) lost = std::fmax(lost, static_cast<double>(scored.topLogprobs[i]) - scored.logprobs[i]);
    report(name_ + " greedy is best", lost, dtype_ == "fp32" ? 1e-4 : 0.1);
  }

  /// The same bits every time, replayed from a graph or not, beside another sequence or not.
  void repeatable() {
    const Numbers one = gradientOf(*engine_, handle_, "ce", nullptr), two = gradientOf(*engine_, handle_, "ce", nullptr);
    report(name_ + " gradients repeat", furthest(one, two), 0);
    double size = 0;
    for (const float g : one) size += std::fabs(g);
    report(name_ + " gradients are there", size > 0 && std::isfinite(size) ? 0 : 1, 0);
  }

  /// A smaller budget makes the plan recompute layers; the gradients are the same bits.
  void checkpointed() {
    DeviceOptions smaller = options_.device;
    smaller.cacheBytes = options_.cacheBytes;
    MemoryPlan plan = deviceLibrary().plan(engine_->config(), smaller);
    report(name_ + " fits without", plan.fits && !plan.checkpoint ? 0 : 1, 0);
    for (smaller.budgetBytes = plan.total; smaller.budgetBytes > 0 && !(plan.checkpoint && plan.fits); smaller.budgetBytes -= 4096) plan = deviceLibrary().plan(engine_->config(), smaller);
    LoadOptions options = options_;
    options.device.budgetBytes = plan.budget;
    const Numbers before = gradientOf(*engine_, handle_, "pg", nullptr);
    Engine tight(options);
    report(name_ + " plan checkpoints", tight.device()->plan().checkpoint ? 0 : 1, 0);
    const int handle = tight.addAdapter(std::make_unique<Adapter>(readPeft(dir_ + "/adapter", tight.config())));
    report(name_ + " checkpoint", furthest(gradientOf(tight, handle, "pg", nullptr), before), 0);
  }

  /// A few steps on one batch: the loss falls, in every format of the base.
  void learning() {
    AdamWSettings s;
    s.lr = 3e-3;
    double first = NAN, last = NAN;
    for (int i = 0; i < 4; ++i) {
      gradientOf(*engine_, handle_, "ce", &last);
      if (i == 0) first = last;
      engine_->optimStep(handle_, s);
    }
    report(name_ + " loss falls", last < first ? 0 : 1, 0);
  }

  std::string dir_, dtype_, name_;
  TensorFile file_;
  Json json_;
  int batch_ = 0, length_ = 0, handle_ = 0;
  double bar_ = 0;
  std::vector<int32_t> ids_;
  LoadOptions options_;
  std::unique_ptr<Engine> engine_, cpu_;
  int cpuHandle_ = 0;
  Job job_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: cuda_engine FIXTURES DTYPE [FIXTURE]\n");
    return 2;
  }
  if (!whyNoDevice().empty()) {
    std::printf("{\"problem\":\"%s\"}\n", whyNoDevice().c_str());
    return 1;
  }
  const std::vector<std::string> names = argc > 3 ? std::vector<std::string>{argv[3]} : std::vector<std::string>{"llama", "llama3-rope", "qwen2", "qwen3"};
  for (const std::string& name : names) attempt(name, [&] { Fixture(std::string(argv[1]) + "/" + name, argv[2]).run(); });
  std::printf("{\"checks\":%d,\"failures\":%d}\n", checks, failures);
  return failures == 0 && checks > 0 ? 0 : 1;
}
