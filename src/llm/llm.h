// LLM: Lockstep as a library. One process per GPU or CPU rank, started by mpirun or srun; every rank makes an LLM, rank 0 asks
// it, the others are in serve_rank() meanwhile:
//
//   lockstep::LLM llm({.model = "path/to/model"});
//   if (!llm.is_root()) return llm.serve_rank(), 0;
//   for (const lockstep::RequestOutput& out : llm.generate({"The capital of France is"}, {.max_tokens = 16})) {
//     std::cout << out.completions[0].text << '\n';
//   }
//
// This header and those that it includes need the standard library only. What goes wrong is a lockstep::Error. An object is used
// by one thread at a time; objects may follow one another in a process, but not overlap on a rank.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/exception.h"
#include "config/options.h"
#include "engine/outcome.h"
#include "text/chat_message.h"

namespace lockstep {

// The application's communicator: Communicator{MPI_Comm_c2f(comm)}, so that this header needs no mpi.h.
struct MpiCommunicator {
  int fortran_handle = 0;
};

// One continuation of a prompt.
struct Completion {
  int32_t index = 0;  // below SamplingParams::n
  std::string text;   // empty where the model has no tokenizer
  std::vector<int32_t> token_ids;
  FinishReason finish = FinishReason::kNone;  // kNone: cancelled before its end
  std::vector<TokenLogprobs> logprobs;        // of each token, where SamplingParams::logprobs asks for them
};

// What became of one prompt.
struct RequestOutput {
  std::vector<int32_t> prompt_token_ids;
  std::vector<Completion> completions;         // n of them, by index
  std::vector<TokenLogprobs> prompt_logprobs;  // of the prompt's tokens 1, 2, ..., where SamplingParams::prompt_logprobs asks
  int64_t num_cached_tokens = 0;               // of the prompt, that were known from earlier ones
};

// One more token of one continuation, as it is made.
struct Delta {
  size_t prompt = 0;  // its place among the prompts
  int32_t index = 0;  // of the continuation
  int32_t token = 0;
  std::string_view text;  // that the token makes certain; whole UTF-8 characters; valid during the call
  FinishReason finish = FinishReason::kNone;
};

// Ways to follow and to end what is being generated. What the functions throw ends all of it, and comes out of generate().
struct Follow {
  std::function<bool(const Delta&)> on_token;  // false: no more of this prompt
  std::function<bool()> cancelled;             // asked before each step of the model; true: no more of any prompt
};

class LLM {
 public:
  // Collective over all ranks that the launcher started; MPI is initialised where the application has not done so, and then
  // finalized at the end of the program. Reads the model and allocates. A field of `options` that has its default value may come
  // from the `engine:` section, where options.model is a YAML file. Throws Error on every rank, whichever failed.
  explicit LLM(const EngineOptions& options);
  // The same with the ranks of a communicator of the application, which initialises and finalizes MPI (best with
  // MPI_THREAD_MULTIPLE). Collective over it. Its rank 0 is the one that asks.
  LLM(const EngineOptions& options, MpiCommunicator communicator);
  // Rank 0 lets the others go, as shutdown() does; the others wait for that, as serve_rank() does. To be done before the
  // application finalizes MPI.
  ~LLM();
  LLM(LLM&&) noexcept;
  LLM& operator=(LLM&&) noexcept;

  int rank() const;
  int size() const;
  bool is_root() const { return rank() == 0; }

  // Rank 0. One output a prompt, in their order. Waits until all are done. Throws Error, with nothing left running, for a prompt
  // that is empty or does not fit the context, and for parameters that mean nothing.
  std::vector<RequestOutput> generate(const std::vector<std::string>& prompts, const SamplingParams& sampling,
                                      const Follow& follow = {});
  // Prompts as token ids, which need no tokenizer.
  std::vector<RequestOutput> generate_from_tokens(const std::vector<std::vector<int32_t>>& prompts,
                                                  const SamplingParams& sampling, const Follow& follow = {});
  // The answer to a chat, whose last message is mostly the user's, by the model's chat template.
  RequestOutput chat(const std::vector<ChatMessage>& messages, const SamplingParams& sampling, const Follow& follow = {});

  // Rank 0. Token ids of a text, with what the tokenizer puts around one (BOS); of a chat, as chat() asks it.
  std::vector<int32_t> encode(const std::string& text) const;
  std::vector<int32_t> encode_chat(const std::vector<ChatMessage>& messages) const;
  std::string decode(const std::vector<int32_t>& token_ids) const;
  bool has_tokenizer() const;
  // Tokens of prompt and continuation together.
  int64_t max_model_len() const;

  // Every other rank: works for rank 0 until that lets go. At once when it has done so before. On rank 0 it throws Error.
  void serve_rank();
  // Rank 0: the others return from serve_rank(). Nothing can be asked afterwards.
  void shutdown();

 private:
  friend class LlmOfWorld;
  struct Impl;
  explicit LLM(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace lockstep
