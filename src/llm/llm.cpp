#include "llm/llm.h"

#include <unordered_map>
#include <utility>

#include "base/env.h"
#include "base/error.h"
#include "comm/own_mpi.h"
#include "config/command_line.h"
#include "config/engine_flags.h"
#include "config/model_files.h"
#include "engine/load_tokenizer.h"
#include "llm/check_sampling.h"
#include "llm/llm_impl.h"

namespace lockstep {
namespace {

// What the application set wins over the `engine:` section of a YAML file. Every value goes through its flag, which knows what is
// allowed.
EngineOptions resolve_options(const EngineOptions& given) {
  CommandLine line;
  line.engine.model = given.model;
  line.engine.tokenizer = given.tokenizer;
  const EngineOptions defaults;
  for (const EngineFlag& flag : engine_flags()) {
    try {
      const std::string value = flag.get(given);
      if (value == flag.get(defaults)) continue;
      EngineOptions ignored;
      flag.set(ignored, value);
      line.engine_flags.emplace_back(flag.names.front(), value);
    } catch (const Error& error) {
      fail("option {}: {}", flag.names.front(), error.what());
    }
  }
  return resolve_engine_options(line);
}

// Of ranks that may have been given different ones.
EngineOptions agree_on_options(const World& world, const EngineOptions& given) {
  EngineOptions options;
  world.phase("reading the options", [&] {
    options = resolve_options(given);
    const int32_t tp = options.tensor_parallel_size;
    check(tp == 0 || tp == world.size(), "tensor_parallel_size is {} but {} ranks take part; give 0, or start as many ranks", tp,
          world.size());
  });
  world.phase("comparing the ranks", [&] {
    world.require_same("the options",
                       fmt::format("model {}, tokenizer '{}', {}", options.model, options.tokenizer, engine_yaml(options)));
  });
  return options;
}

// Collects what becomes of each prompt, and tells the application on the way.
class Collector {
 public:
  Collector(Engine& engine, const Follow& follow) : engine_(engine), follow_(follow) {}

  void add(const std::vector<int32_t>& prompt, const SamplingParams& sampling) {
    places_[engine_.add(prompt, sampling)] = outputs_.size();
    RequestOutput& output = outputs_.emplace_back();
    output.prompt_token_ids = prompt;
    output.completions.resize(static_cast<size_t>(sampling.n));
    for (int32_t i = 0; i < sampling.n; ++i) output.completions[static_cast<size_t>(i)].index = i;
  }

  void take(SequenceOutput& part) {
    const auto found = places_.find(part.id);
    if (found == places_.end()) return;  // cancelled by what came before it in this step
    const size_t place = found->second;
    RequestOutput& output = outputs_[place];
    Completion& completion = output.completions[static_cast<size_t>(part.index)];
    if (part.token >= 0) completion.token_ids.push_back(part.token);
    completion.text += part.text;
    completion.finish = part.finish;
    if (part.logprobs) completion.logprobs.push_back(std::move(*part.logprobs));
    if (!part.prompt_logprobs.empty()) output.prompt_logprobs = std::move(part.prompt_logprobs);
    if (part.index == 0) output.num_cached_tokens = part.num_cached_tokens;
    if (!follow_.on_token || follow_.on_token({place, part.index, part.token, part.text, part.finish})) return;
    engine_.cancel(part.id);
    places_.erase(found);
  }

  void cancel_all() {
    for (const auto& [id, place] : places_) engine_.cancel(id);
    places_.clear();
  }

  std::vector<RequestOutput> outputs() && { return std::move(outputs_); }

 private:
  Engine& engine_;
  const Follow& follow_;
  std::unordered_map<int64_t, size_t> places_;  // by the engine's request
  std::vector<RequestOutput> outputs_;
};

}  // namespace

LLM::Impl::~Impl() {
  part();
  session.reset();
  own_world.reset();
  if (logger_before != nullptr) spdlog::set_default_logger(logger_before);
}

void LLM::Impl::open(const World& world, const std::function<EngineOptions()>& resolve) {
  session = std::make_unique<Session>(world, resolve);
  session->bring_up(Workload{});
  if (!world.is_root() || session->tokenizer() == nullptr) return;
  try {
    chat_template = ChatTemplate::load(tokenizer_directory(session->config(), session->options()));
  } catch (const Error& error) {
    why_no_template = error.what();  // of interest where a chat comes
  }
}

void LLM::Impl::part() noexcept {
  if (session == nullptr || !session->is_up() || std::exchange(done, true)) return;
  try {
    if (session->world().is_root()) {
      session->shutdown();
    } else {
      session->serve_rank();  // the application forgot
    }
  } catch (const std::exception& error) {
    spdlog::error("the ranks could not part in order: {}", error.what());
  }
}

Session& LLM::Impl::root(const char* what) const {
  check(session->world().is_root(), "{} is for rank 0; the others, and this is rank {}, call serve_rank()", what,
        session->world().rank());
  check(!done, "{} after shutdown()", what);
  return *session;
}

std::vector<int32_t> LLM::Impl::encode_chat(const std::vector<ChatMessage>& messages) const {
  const Session& session = root("a chat");
  check(session.tokenizer() != nullptr, "a chat needs a tokenizer, and {} has none", session.options().model);
  check(chat_template.has_value(), "a chat needs a chat template: {}", why_no_template);
  // The template spells its special tokens out.
  return session.tokenizer()->encode(chat_template->render(plain_chat(messages)), /*add_special_tokens=*/false);
}

std::vector<RequestOutput> LLM::Impl::generate(const std::vector<std::vector<int32_t>>& prompts, const SamplingParams& sampling,
                                               const Follow& follow) const {
  Session& session = root("generate()");
  check_sampling(sampling);
  Collector collector(session.engine(), follow);
  try {
    for (const std::vector<int32_t>& prompt : prompts) collector.add(prompt, sampling);
    session.run([&] { return follow.cancelled && follow.cancelled(); },
                [&](Session::Step& step) {
                  for (SequenceOutput& part : step.outputs) collector.take(part);
                });
  } catch (...) {
    collector.cancel_all();
    throw;
  }
  collector.cancel_all();  // what is left after `cancelled`
  return std::move(collector).outputs();
}

LLM::LLM(const EngineOptions& options) : LLM(options, MpiCommunicator{MPI_Comm_c2f(own_mpi())}) {}

LLM::LLM(const EngineOptions& options, MpiCommunicator communicator) : impl_(std::make_unique<Impl>()) {
  const Env env = Env::read();
  impl_->logger_before = spdlog::default_logger();
  try {
    impl_->own_world = std::make_unique<World>(MPI_Comm_f2c(communicator.fortran_handle));
    World& world = *impl_->own_world;
    set_up_logging(env.log_level.value_or("warn"), world.rank(), world.size(), world.host());
    world.set_timeout(Seconds(options.init_timeout_s));
    impl_->open(world, [agreed = agree_on_options(world, options)] { return agreed; });
  } catch (const PhaseFailed& failure) {
    fail("{}", failure.what());
  }
}

LLM::LLM(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
LLM::~LLM() = default;
LLM::LLM(LLM&&) noexcept = default;
LLM& LLM::operator=(LLM&&) noexcept = default;

int LLM::rank() const { return impl_->session->world().rank(); }
int LLM::size() const { return impl_->session->world().size(); }
bool LLM::has_tokenizer() const { return impl_->session->tokenizer() != nullptr; }
int64_t LLM::max_model_len() const { return impl_->session->max_model_len(); }

std::vector<int32_t> LLM::encode(const std::string& text) const {
  const Session& session = impl_->root("encode()");
  check(session.tokenizer() != nullptr, "a prompt is text, and {} has no tokenizer; give token ids", session.options().model);
  return session.tokenizer()->encode(text, /*add_special_tokens=*/true);
}

std::vector<int32_t> LLM::encode_chat(const std::vector<ChatMessage>& messages) const { return impl_->encode_chat(messages); }

std::string LLM::decode(const std::vector<int32_t>& token_ids) const {
  const Session& session = impl_->root("decode()");
  check(session.tokenizer() != nullptr, "{} has no tokenizer", session.options().model);
  return session.tokenizer()->decode(token_ids, /*skip_special_tokens=*/true);
}

std::vector<RequestOutput> LLM::generate(const std::vector<std::string>& prompts, const SamplingParams& sampling,
                                         const Follow& follow) {
  std::vector<std::vector<int32_t>> ids;
  for (const std::string& prompt : prompts) ids.push_back(encode(prompt));
  return impl_->generate(ids, sampling, follow);
}

std::vector<RequestOutput> LLM::generate_from_tokens(const std::vector<std::vector<int32_t>>& prompts,
                                                     const SamplingParams& sampling, const Follow& follow) {
  return impl_->generate(prompts, sampling, follow);
}

RequestOutput LLM::chat(const std::vector<ChatMessage>& messages, const SamplingParams& sampling, const Follow& follow) {
  return std::move(impl_->generate({impl_->encode_chat(messages)}, sampling, follow).front());
}

void LLM::serve_rank() {
  check(!is_root(), "serve_rank() is for the ranks other than 0, which asks them");
  if (std::exchange(impl_->done, true)) return;
  impl_->session->serve_rank();
}

void LLM::shutdown() {
  if (impl_->done) return;
  Session& session = impl_->root("shutdown()");
  impl_->done = true;
  session.shutdown();
}

LLM LlmOfWorld::make(const World& world, const std::function<EngineOptions()>& resolve) {
  auto impl = std::make_unique<LLM::Impl>();
  impl->open(world, resolve);
  return LLM(std::move(impl));
}

}  // namespace lockstep
