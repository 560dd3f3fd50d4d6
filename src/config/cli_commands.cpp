// The flags of each subcommand.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "config/cli_flags.h"
#include "config/cli_handlers.h"
#include "config/flag_values.h"

namespace lockstep {
namespace {

using Times = CliFlags::Times;

}  // namespace

void add_sampling_flags(CliFlags& flags, SamplingParams& s) {
  const char* group = "Sampling";
  flags
      .value("--max-tokens", "N", fmt::format("Most tokens to produce per prompt (default: {})", s.max_tokens),
             into_integer(s.max_tokens, 1, kMaxInt32))
      ->group(group);
  flags
      .value("--min-tokens", "N", "Tokens to produce before an end of sequence may come (default: 0)",
             into_integer(s.min_tokens, 0, kMaxInt32))
      ->group(group);
  flags
      .value("--temperature", "T", "0 takes the likeliest token (default: 0)", into_number(s.temperature, {.min = 0, .max = 100}))
      ->group(group);
  flags.value("--top-k", "K", "Sample from the K likeliest tokens; 0: off (default: 0)", into_integer(s.top_k, 0, kMaxInt32))
      ->group(group);
  flags
      .value("--top-p", "P", "Sample from the likeliest tokens that make up this probability (default: 1)",
             into_number(s.top_p, {.min = 0, .max = 1, .open_min = true}))
      ->group(group);
  flags
      .value("--min-p", "P", "Drop tokens less likely than this share of the likeliest (default: 0)",
             into_number(s.min_p, {.min = 0, .max = 1}))
      ->group(group);
  flags
      .value("--repetition-penalty", "F", "Above 1 discourages tokens of prompt and output (default: 1)",
             into_number(s.repetition_penalty, {.min = 0, .max = 100, .open_min = true}))
      ->group(group);
  flags
      .value("--presence-penalty", "F", "Above 0 discourages tokens of the output (default: 0)",
             into_number(s.presence_penalty, {.min = -2, .max = 2}))
      ->group(group);
  flags
      .value("--frequency-penalty", "F", "The same, times their count (default: 0)",
             into_number(s.frequency_penalty, {.min = -2, .max = 2}))
      ->group(group);
  flags
      .value("--seed", "N", "Seed of the sampling (default: drawn anew)",
             [&s](const std::string& text) { s.seed = parse_seed(text); })
      ->group(group);
  flags
      .value(
          "--stop", "TEXT", "End when this text appears, which is left out; may be repeated",
          [&s](const std::string& text) {
            check(!text.empty(), "'' is not allowed; allowed: text that is not empty");
            s.stop.push_back(text);
          },
          Times::kMany)
      ->group(group);
  flags
      .value(
          "--stop-token-ids", "ID,...", "End when one of these tokens appears; may be repeated",
          [&s](const std::string& text) {
            const std::vector<int64_t> ids = parse_integers(text, 0, kMaxInt32);
            s.stop_token_ids.insert(s.stop_token_ids.end(), ids.begin(), ids.end());
          },
          Times::kMany)
      ->group(group);
  const auto form = [&s](GrammarKind kind) {
    return [&s, kind](const std::string& text) {
      check(s.grammar.kind == GrammarKind::kNone,
            "a second form of the output; allowed: one of --json-schema, --regex, --json-object");
      check(kind == GrammarKind::kJsonObject || !text.empty(), "'' is not allowed; allowed: text that is not empty");
      s.grammar = {kind, kind == GrammarKind::kJsonObject ? std::string() : text};
    };
  };
  flags
      .value("--json-schema", "FILE|TEXT", "The output is JSON of this schema: a file, or the schema itself",
             form(GrammarKind::kJsonSchema))
      ->group(group);
  flags.value("--regex", "PATTERN", "The output matches this regular expression as a whole", form(GrammarKind::kRegex))
      ->group(group);
  flags.flag("--json-object", "The output is a JSON object", form(GrammarKind::kJsonObject))->group(group);
  flags.flag("--ignore-eos", "Go on after an end of sequence", s.ignore_eos)->group(group);
  // 20: what the sampling kernels report at most (kMaxTopLogprobs in kernels/ops.h).
  flags.value("--logprobs", "K", "Report the log-probability of each token and of the K best", into_integer(s.logprobs, 0, 20))
      ->group(group);
}

void add_api_flags(CliFlags& flags, ApiOptions& api) {
  const char* group = "Requests";
  flags
      .value(
          "--served-model-name", "NAME",
          "What requests may call the model; may be repeated, the first is that of answers (default: as --model, or its last "
          "part)",
          [&api](const std::string& text) { api.served_model_names.push_back(text); }, Times::kMany)
      ->group(group);
  flags
      .value("--chat-template", "FILE", "A Jinja template to put chats through (default: the model's)",
             into_text(api.chat_template, "a file"))
      ->group(group);
  flags
      .value("--tool-call-parser", "FORM",
             "How the model writes calls of tools: auto (as its chat template tells), none, hermes, llama3_json, mistral "
             "(default: auto)",
             [&api](const std::string& text) {
               api.tool_call_parser = parse_choice<std::optional<ToolFormat>>(text, {{"auto", std::nullopt},
                                                                                     {"none", ToolFormat::kNone},
                                                                                     {"hermes", ToolFormat::kHermes},
                                                                                     {"llama3_json", ToolFormat::kLlama3Json},
                                                                                     {"mistral", ToolFormat::kMistral}});
             })
      ->group(group);
}

void add_generate(CliFlags& flags, CommandLine& result) {
  GenerateOptions& g = result.generate;
  add_model(flags, result);
  flags.value("--tokenizer", "DIR", "Directory with tokenizer.json (default: the model's)",
              into_text(result.engine.tokenizer, "a directory"));
  flags.value(
      "-p,--prompt", "TEXT", "A prompt; may be repeated", [&g](const std::string& text) { g.prompts.emplace_back(text); },
      Times::kMany);
  flags.value("--prompts", "FILE", "A file with one prompt a line", into_text(g.prompts_file, "a file"));
  flags.value(
      "--prompt-token-ids", "ID,...", "A prompt as token ids; may be repeated",
      [&g](const std::string& text) {
        const std::vector<int64_t> ids = parse_integers(text, 0, kMaxInt32);
        g.prompts.emplace_back(std::vector<int32_t>(ids.begin(), ids.end()));
      },
      Times::kMany);
  flags.flag("--chat", "Put each prompt through the model's chat template", g.chat);
  flags.value("--output-format", "text|json", "json prints one object a prompt (default: text)", [&g](const std::string& text) {
    g.output_format = parse_choice<OutputFormat>(text, {{"text", OutputFormat::kText}, {"json", OutputFormat::kJson}});
  });
  add_sampling_flags(flags, g.sampling);
  add_profile_flags(flags, g.profile);
  add_engine_flags(flags, result, false);
  flags.app()->footer(
      "Examples:\n"
      "  mpirun -np 2 lockstep generate --model DIR -p \"The capital of France is\"\n"
      "  mpirun -np 4 lockstep generate --model DIR --chat -p \"Hello\" --temperature 0.7 --max-tokens 200\n"
      "  lockstep generate --model qwen2.5-0.5b --load-format dummy --prompt-token-ids 1,2,3 --output-format json");
}

void add_chat(CliFlags& flags, CommandLine& result) {
  ChatOptions& c = result.chat;
  add_model(flags, result);
  flags.value("--tokenizer", "DIR", "Directory with tokenizer.json and the chat template (default: the model's)",
              into_text(result.engine.tokenizer, "a directory"));
  flags.value("--system", "TEXT", "The system message (default: none, or what the model's template writes)",
              into_text(c.system, "text that is not empty"));
  add_sampling_flags(flags, c.sampling);
  add_engine_flags(flags, result, false);
  flags.app()->footer(
      "Lines are questions; /help lists the commands. Ctrl-C stops the answer, Ctrl-D ends the chat. In a terminal lines can be\n"
      "edited; through a pipe each line gets its answer on stdout. Under mpirun rank 0 reads what mpirun passes on, plainly.\n"
      "Examples:\n"
      "  lockstep chat --model DIR --system \"Answer in one sentence.\" --temperature 0.7\n"
      "  echo \"Name three rivers.\" | mpirun -np 2 lockstep chat --model DIR\n"
      "  srun --pty -n 1 lockstep chat --model DIR");
}

void add_bench_comm(CliFlags& flags, CommandLine& result) {
  BenchCommOptions& b = result.bench_comm;
  flags.value("--sizes", "BYTES,...", fmt::format("Sizes of one AllReduce (default: {})", fmt::join(b.sizes, ",")),
              [&b](const std::string& text) { b.sizes = parse_integers(text, 4, int64_t{1} << 34); });
  flags.value("--model", "DIR|YAML|NAME", "Sizes of this model's AllReduces, and what they cost in its step",
              into_text(result.engine.model, "a model"));
  flags.value("--tokens", "N,...", fmt::format("Tokens of a step of the model (default: {})", fmt::join(b.tokens, ",")),
              [&b](const std::string& text) { b.tokens = parse_integers(text, 1, int64_t{1} << 20); });
  flags.value("--hidden-size", "N", fmt::format("Row on which a norm follows, without a model (default: {})", b.hidden_size),
              into_integer(b.hidden_size, 1, int64_t{1} << 20));
  flags.value("--repeats", "N", fmt::format("Measurements of each size (default: {})", b.repeats),
              into_integer(b.repeats, 1, 1000000));
  flags.value("--json", "FILE", "Write the results here, too", into_text(b.json, "a file"));
  add_engine_flags(flags, result, true);
}

void add_inspect(CliFlags& flags, CommandLine& result) {
  InspectOptions& i = result.inspect;
  flags.value("DIR", "DIR", "Hugging Face directory", into_text(i.directory, "a directory"))->required();
  flags.value("--tensor-parallel-size,--tp", "N", "Show what each of N ranks gets (also -tp N)",
              into_integer(i.tensor_parallel_size, 1, 65536));
  flags.flag("--check",
             "Read all weights and name the tensors that hold NaN or Inf; compare configuration, weights and tokenizer", i.check);
}

void add_config(CliFlags& flags, CommandLine& result) {
  add_model(flags, result);
  flags.value("--tokenizer", "DIR", "Directory with tokenizer.json (default: the model's)",
              into_text(result.engine.tokenizer, "a directory"));
  add_engine_flags(flags, result, false);
}

void add_bench_tokenize(CliFlags& flags, CommandLine& result) {
  BenchTokenizeOptions& b = result.bench_tokenize;
  flags.value("--model", "DIR", "Directory with tokenizer.json", into_text(b.directory, "a directory"))->required();
  flags.value("--text", "FILE", "A text to encode (default: English words made up by rule)", into_text(b.text, "a file"));
  flags.value("--megabytes", "N", fmt::format("Size of the text made up (default: {})", b.megabytes),
              into_integer(b.megabytes, 1, 1000));
  flags.value("--repeats", "N", fmt::format("Measurements of each figure, of which the best counts (default: {})", b.repeats),
              into_integer(b.repeats, 1, 100000));
  flags.value("--json", "FILE", "Write the results here, too", into_text(b.json, "a file"));
}

void add_tokenize(CliFlags& flags, CommandLine& result) {
  TokenizeOptions& t = result.tokenize;
  flags.value("--model", "DIR", "Directory with tokenizer.json", into_text(t.directory, "a directory"))->required();
  flags.flag("--add-special-tokens", "Add what the tokenizer puts around a text (BOS and the like)", t.add_special_tokens);
  flags.flag("--decode", "Read JSON arrays of ids and print their text", t.decode);
  flags.flag("--skip-special-tokens", "With --decode: leave special tokens out", t.skip_special_tokens);
  flags.flag("--json", "Texts are JSON strings, one a line, so that they may contain line ends", t.json);
}

}  // namespace lockstep
