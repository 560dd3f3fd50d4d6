// What the library promises, held to it: mpirun -np N ./checks MODEL. The model has a tokenizer and a chat template.
#include <lockstep/llm.h>

#include <cmath>
#include <cstdlib>
#include <iostream>
#include <stdexcept>

using lockstep::Delta;
using lockstep::EngineOptions;
using lockstep::FinishReason;
using lockstep::Follow;
using lockstep::LLM;
using lockstep::RequestOutput;
using lockstep::SamplingParams;

namespace {

void expect(bool ok, const char* what) {
  if (ok) return;
  std::cerr << "checks: " << what << '\n';
  std::exit(1);
}

// Runs `body`, which must throw an Error that says all of `words`.
template <typename Body>
void expect_error(const std::vector<std::string>& words, const Body& body) {
  try {
    body();
  } catch (const lockstep::Error& error) {
    for (const std::string& word : words) {
      if (std::string(error.what()).find(word) == std::string::npos)
        std::cerr << "'" << error.what() << "' lacks " << word << '\n';
      expect(std::string(error.what()).find(word) != std::string::npos, "an error says too little");
    }
    return;
  }
  expect(false, ("nothing was thrown; expected: " + words[0]).c_str());
}

SamplingParams greedy(int max_tokens) {
  SamplingParams sampling;
  sampling.max_tokens = max_tokens;
  sampling.ignore_eos = true;
  return sampling;
}

const std::vector<std::vector<int32_t>> kPrompts = {{24, 70, 327, 251}, {261, 7, 30, 39, 309}, {5}};

std::vector<RequestOutput> plain(LLM& llm) { return llm.generate_from_tokens(kPrompts, greedy(20)); }

void check_equal(const std::vector<RequestOutput>& a, const std::vector<RequestOutput>& b) {
  expect(a.size() == b.size(), "another number of outputs");
  for (size_t i = 0; i < a.size(); ++i) {
    expect(a[i].completions[0].token_ids == b[i].completions[0].token_ids, "the same prompt gave other tokens");
    expect(a[i].completions[0].text == b[i].completions[0].text, "the same tokens gave another text");
  }
}

void check_results(LLM& llm) {
  const std::vector<RequestOutput> outputs = plain(llm);
  expect(outputs.size() == kPrompts.size(), "one output a prompt");
  for (size_t i = 0; i < outputs.size(); ++i) {
    expect(outputs[i].prompt_token_ids == kPrompts[i], "outputs in the order of the prompts");
    expect(outputs[i].completions.size() == 1 && outputs[i].completions[0].token_ids.size() == 20, "20 tokens each");
    expect(outputs[i].completions[0].finish == FinishReason::kLength, "ended by length");
    expect(!outputs[i].completions[0].text.empty(), "text beside the tokens");
  }
  SamplingParams sampling = greedy(6);
  sampling.n = 3;
  sampling.temperature = 1.0f;
  sampling.seed = 7;
  sampling.logprobs = 2;
  sampling.prompt_logprobs = 0;
  const RequestOutput drawn = llm.generate_from_tokens({kPrompts[1]}, sampling)[0];
  expect(drawn.completions.size() == 3 && drawn.completions[2].index == 2, "n continuations by index");
  expect(drawn.completions[0].token_ids != drawn.completions[1].token_ids, "continuations that differ");
  expect(drawn.completions[1].logprobs.size() == 6 && drawn.completions[1].logprobs[0].top.size() == 2, "logprobs of each token");
  expect(drawn.prompt_logprobs.size() == kPrompts[1].size() - 1, "logprobs of the prompt");
}

void check_streaming(LLM& llm) {
  const std::vector<RequestOutput> whole = plain(llm);
  std::vector<std::string> texts(kPrompts.size());
  std::vector<std::vector<int32_t>> tokens(kPrompts.size());
  Follow follow;
  follow.on_token = [&](const Delta& delta) {
    texts[delta.prompt] += delta.text;
    tokens[delta.prompt].push_back(delta.token);
    return delta.prompt != 1 || tokens[1].size() < 3;  // ends the second prompt early
  };
  const std::vector<RequestOutput> outputs = llm.generate_from_tokens(kPrompts, greedy(20), follow);
  for (size_t i = 0; i < outputs.size(); ++i) {
    expect(tokens[i] == outputs[i].completions[0].token_ids && texts[i] == outputs[i].completions[0].text,
           "the stream is the output");
    if (i != 1) expect(tokens[i] == whole[i].completions[0].token_ids, "a prompt that goes on when another ends");
  }
  expect(tokens[1].size() == 3 && outputs[1].completions[0].finish == FinishReason::kNone, "ended after three tokens");

  int steps = 0;
  Follow ended;
  ended.cancelled = [&] { return ++steps > 4; };
  for (const RequestOutput& output : llm.generate_from_tokens(kPrompts, greedy(20), ended)) {
    expect(output.completions[0].token_ids.size() < 20 && output.completions[0].finish == FinishReason::kNone, "all cancelled");
  }
  Follow broken;
  broken.on_token = [](const Delta&) -> bool { throw std::logic_error("of the application"); };
  bool came_out = false;
  try {
    llm.generate_from_tokens(kPrompts, greedy(20), broken);
  } catch (const std::logic_error&) {
    came_out = true;
  }
  expect(came_out, "what a callback throws comes out");
  check_equal(whole, plain(llm));  // nothing of all this is left
}

void check_text(LLM& llm) {
  const std::string text = "ab ba";
  const RequestOutput of_text = llm.generate({text}, greedy(8))[0];
  expect(of_text.prompt_token_ids == llm.encode(text), "a text is encoded as encode() does");
  const RequestOutput answer = llm.chat({{"user", text}}, greedy(8));
  expect(answer.prompt_token_ids == llm.encode_chat({{"user", text}}), "a chat goes through the template");
  expect(answer.prompt_token_ids != of_text.prompt_token_ids, "the template adds something");
  expect(llm.decode(answer.completions[0].token_ids) == answer.completions[0].text, "text is what the tokens decode to");
}

void check_refusals(LLM& llm) {
  expect_error({"no tokens"}, [&] { llm.generate_from_tokens({kPrompts[0], {}}, greedy(4)); });
  expect_error({"331"}, [&] { llm.generate_from_tokens({{331}}, greedy(4)); });
  expect_error({"context"}, [&] { llm.generate_from_tokens({std::vector<int32_t>(300, 1)}, greedy(4)); });
  SamplingParams sampling = greedy(4);
  sampling.temperature = std::nanf("");
  expect_error({"temperature", "nan"}, [&] { llm.generate_from_tokens(kPrompts, sampling); });
  sampling = greedy(0);
  expect_error({"max_tokens is 0"}, [&] { llm.generate_from_tokens(kPrompts, sampling); });
  expect_error({"serve_rank"}, [&] { llm.serve_rank(); });
  plain(llm);  // still at work
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  EngineOptions options;
  options.model = argv[1];
  options.max_num_seqs = 4;
  options.threads = 1;

  // What is wrong is told to every rank, and the next object is none the worse for it.
  EngineOptions wrong = options;
  wrong.model += "/nothing";
  expect_error({"no such file or directory", "/nothing"}, [&] { const LLM llm(wrong); });
  wrong = options;
  wrong.dtype = "int3";
  expect_error({"dtype", "int3", "bfloat16"}, [&] { const LLM llm(wrong); });

  std::vector<RequestOutput> first;
  for (int life = 0; life < 3; ++life) {
    LLM llm(options);
    if (!llm.is_root()) {
      expect_error({"rank 0"}, [&] { plain(llm); });
      if (life != 1) llm.serve_rank();  // else its end does
      continue;
    }
    if (life == 0) {
      first = plain(llm);
      check_results(llm);
      check_streaming(llm);
      check_text(llm);
      check_refusals(llm);
      llm.shutdown();
      expect_error({"after shutdown"}, [&] { plain(llm); });
    } else {
      check_equal(first, plain(llm));
    }
  }
  std::cout << "checks passed\n";
}
