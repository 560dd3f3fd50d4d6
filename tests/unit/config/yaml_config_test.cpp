// Our YAML: sections, strictness, and engine options.
#include <sstream>

#include "config/command_line.h"
#include "config/engine_flags.h"
#include "config/model_config.h"
#include "temp_dir.h"

namespace lockstep {
namespace {

const std::string kModel =
    "model:\n"
    "  architecture: LlamaForCausalLM\n"
    "  vocab_size: 100\n"
    "  hidden_size: 48\n"
    "  intermediate_size: 96\n"
    "  num_hidden_layers: 2\n"
    "  num_attention_heads: 6\n"
    "  num_key_value_heads: 3\n"
    "  max_position_embeddings: 128\n";  // 9 lines

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

ModelConfig load(const std::string& yaml) {
  const TempDir dir;
  return load_model_config(dir.write("m.yaml", yaml));
}

std::string refusal(const std::string& yaml) {
  const TempDir dir;
  const auto file = dir.write("m.yaml", yaml);
  return error_of([&] { load_model_config(file); });
}

TEST(YamlConfig, DescribesAnArchitectureInFull) {
  const TempDir dir;
  dir.write("weights/model.safetensors", "");
  dir.write("text/tokenizer.json", "{}");
  const ModelConfig c = load_model_config(dir.write("sub/m.yaml", kModel + "  head_dim: 10\n"
                                                                           "  rope_theta: 5e5\n"
                                                                           "  attention_bias: true\n"
                                                                           "  torch_dtype: float16\n"
                                                                           "  eos_token_id: [3, 4]\n"
                                                                           "  use_cache: true\n"
                                                                           "weights: ../weights\n"
                                                                           "tokenizer: ../text\n"));
  EXPECT_EQ(c.head_dim, 10);
  EXPECT_EQ(c.rope.theta, 5e5);
  EXPECT_TRUE(c.qkv_bias && c.o_bias && !c.mlp_bias);
  EXPECT_EQ(c.dtype, DType::kFloat16);
  EXPECT_EQ(c.eos_token_ids, (std::vector<int32_t>{3, 4}));
  EXPECT_EQ(c.weights, dir.path() / "weights");
  EXPECT_EQ(c.tokenizer, dir.path() / "text");
  EXPECT_EQ(load_model_config(dir.write("again.yaml", to_yaml(c))), c);
}

TEST(YamlConfig, NamesAHuggingFaceDirectory) {
  const TempDir dir;
  dir.write("hf/config.json",
            R"({"architectures": ["Qwen3ForCausalLM"], "vocab_size": 10, "hidden_size": 8, "intermediate_size": 8,
      "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "some_key": 1, "attention_bias": true})");
  dir.write("hf/tokenizer.json", "{}");
  const auto file = dir.write("m.yaml", "model: {path: hf}\n");
  const ModelConfig c = load_model_config(file);
  EXPECT_EQ(c.architecture, "Qwen3ForCausalLM");
  EXPECT_EQ(c.weights, dir.path() / "hf");
  EXPECT_EQ(c.tokenizer, dir.path() / "hf");
  EXPECT_EQ(load_model_config(dir.write("again.yaml", to_yaml(c))), c);
  const ModelConfig moved = load_model_config(dir.write("moved.yaml", "model: {path: hf}\nweights: other\n"));
  EXPECT_EQ(moved.weights, dir.path() / "other");
  EXPECT_TRUE(moved.tokenizer.empty());
  expect_contains(error_of([&] { load_model_config(dir.write("b.yaml", "model: {path: hf, vocab_size: 3}\n")); }),
                  {"b.yaml:1:", "'model.vocab_size'", "allowed: path"});
  expect_contains(error_of([&] { load_model_config(dir.write("c.yaml", "model:\n  path: 3\n")); }),
                  {"c.yaml:2:", "'model.path' is 3"});
  expect_contains(error_of([&] { load_model_config(dir.write("d.yaml", "model: {path: nowhere}\n")); }),
                  {"nowhere", "no config.json"});
}

TEST(YamlConfig, EveryKindReadsBackEqual) {
  const std::vector<std::pair<std::string, std::string>> kinds = {
      {"LlamaForCausalLM",
       "  rope_scaling: {rope_type: linear, factor: 1.7}\n  mlp_bias: true\n  eos_token_id: null\n  bos_token_id: null\n"},
      {"LlamaForCausalLM",
       "  rope_parameters:\n    rope_type: llama3\n    rope_theta: 123456.789\n    factor: 8\n    low_freq_factor: 1\n"
       "    high_freq_factor: 4.5\n    original_max_position_embeddings: 77\n"},
      {"MistralForCausalLM", "  sliding_window: 20\n  rms_norm_eps: 1.2345678901234567e-05\n  eos_token_id: [1, 2]\n"},
      {"Qwen2ForCausalLM",
       "  use_sliding_window: true\n  max_window_layers: 1\n  sliding_window: 20\n  tie_word_embeddings: true\n"},
      {"Qwen3ForCausalLM", "  attention_bias: true\n  head_dim: 64\n  dtype: bfloat16\n"},
  };
  for (const auto& [architecture, extra] : kinds) {
    const TempDir dir;
    const std::string yaml = replaced(kModel, "LlamaForCausalLM", architecture) + extra;
    const ModelConfig c = load_model_config(dir.write("m.yaml", yaml), 20);
    EXPECT_EQ(load_model_config(dir.write("again.yaml", to_yaml(c)), 20), c) << to_yaml(c);
  }
}

TEST(YamlConfig, UnknownMissingAndIllTypedKeysAreRefused) {
  expect_contains(refusal(kModel + "  hiden_size: 3\n"), {"m.yaml:10:", "unknown key 'model.hiden_size'", "3", "hidden_size"});
  expect_contains(refusal(kModel + "wieghts: x\n"), {"m.yaml:10:", "unknown key 'wieghts'", "engine, model, tokenizer, weights"});
  expect_contains(refusal(replaced(kModel, "  hidden_size: 48\n", "")), {"m.yaml: missing key 'model.hidden_size'"});
  expect_contains(refusal("weights: x\n"), {"missing key 'model'"});
  expect_contains(refusal(replaced(kModel, "  architecture: LlamaForCausalLM\n", "")),
                  {"missing key 'model.architecture'", "Qwen2ForCausalLM"});
  expect_contains(refusal(replaced(kModel, "LlamaForCausalLM", "GPT2")),
                  {"m.yaml:2:", "'model.architecture' is \"GPT2\"", "LlamaForCausalLM"});
  for (const char* value :
       {"\"48\"", "48.0", "true", "[48]", "0x30", "-1", "0", "99999999999999999999", "4_8", "", "~", "abc", ".inf"}) {
    expect_contains(refusal(replaced(kModel, "hidden_size: 48", "hidden_size: " + std::string(value))),
                    {"m.yaml:4:", "'model.hidden_size'", "an integer from 1 to 2147483647"});
  }
  for (const char* value : {".inf", "-.inf", ".nan", "0", "-1", "x", "'1e-5'", "1e-999"}) {
    expect_contains(refusal(kModel + "  rms_norm_eps: " + value + "\n"),
                    {"m.yaml:10:", "'model.rms_norm_eps'", "a number above 0"});
  }
  expect_contains(refusal(kModel + "  tie_word_embeddings: yes\n"), {"m.yaml:10:", "\"yes\"", "true or false"});
  expect_contains(refusal(kModel + "weights: 3\n"), {"m.yaml:10:", "'weights' is 3", "text"});
  expect_contains(refusal("model: 3\n"), {"m.yaml:1:", "'model' is 3", "a map"});
  expect_contains(refusal("- model\n"), {"m.yaml:1:", "a list of 1"});
}

TEST(YamlConfig, ContradictionsAreRefused) {
  expect_contains(refusal(replaced(kModel, "num_key_value_heads: 3", "num_key_value_heads: 4")),
                  {"m.yaml:8:", "is 4", "divisor"});
  expect_contains(refusal(kModel + "  head_dim: 5\n"), {"m.yaml:10:", "even"});
  expect_contains(refusal(kModel + "  sliding_window: 64\n"), {"m.yaml:10:", "null", "LlamaForCausalLM has none"});
  expect_contains(refusal(kModel + "  model_type: qwen2\n"), {"m.yaml:10:", "the same as the architecture"});
  const std::string qwen2 = replaced(kModel, "LlamaForCausalLM", "Qwen2ForCausalLM");
  expect_contains(refusal(qwen2 + "  attention_bias: false\n"), {"m.yaml:10:", "true for Qwen2ForCausalLM"});
  expect_contains(refusal(qwen2 + "  mlp_bias: true\n"), {"m.yaml:10:", "false for Qwen2ForCausalLM"});
  EXPECT_TRUE(load(qwen2 + "  attention_bias: true\n").qkv_bias);
  expect_contains(refusal(kModel + "  rope_scaling: {rope_type: linear, factor: 2, beta_fast: 1}\n"),
                  {"m.yaml:10:", "unknown key 'model.rope_scaling.beta_fast'"});
  expect_contains(refusal(kModel + "  rope_scaling: {rope_type: yarn, factor: 2}\n"), {"m.yaml:10:", "\"yarn\"", "llama3"});
}

TEST(YamlConfig, HostileYamlIsRefused) {
  expect_contains(refusal(kModel + "  vocab_size: 100\n"), {"m.yaml:10:", "'vocab_size'", "twice", "line 3"});
  expect_contains(refusal(kModel + "model: {}\n"), {"m.yaml:10:", "'model'", "twice"});
  expect_contains(refusal(kModel + "  eos_token_id: &a 3\n"), {"m.yaml:10:", "anchors"});
  expect_contains(refusal("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"), {"anchors"});
  expect_contains(refusal(kModel + "  eos_token_id: !!int 3\n"), {"m.yaml:10:", "tags"});
  expect_contains(refusal(kModel + "? [a, b]\n: 3\n"), {"a key must be plain text"});
  expect_contains(refusal(kModel + "---\nmodel: {}\n"), {"more than one YAML document"});
  expect_contains(refusal(""), {"m.yaml: empty"});
  expect_contains(refusal("model: [\n"), {"m.yaml:", "broken YAML"});
  expect_contains(refusal("model:\n\t- x\n"), {"m.yaml:2:", "broken YAML"});
  expect_contains(refusal("a: *nothing\n"), {"m.yaml:1:"});
  expect_contains(refusal(std::string(200000, '[')), {"m.yaml:1:"});
  expect_contains(refusal("a: " + std::string(200000, '{')), {"m.yaml:1:"});
  expect_contains(refusal("a: " + std::string(100, '[') + std::string(100, ']')), {"m.yaml:1:", "nested deeper than 64"});
  std::string deep;
  for (int i = 0; i < 1000; ++i) deep += std::string(static_cast<size_t>(i), ' ') + "a:\n";
  expect_contains(refusal(deep), {"nested deeper than 64"});
  expect_contains(refusal(std::string((1 << 20) + 1, ' ')), {"m.yaml", "larger than 1024 KiB"});
  expect_contains(refusal("model: {architecture: \"\xff\"}\n"), {"m.yaml", "not UTF-8"});
  expect_contains(refusal(std::string("model: {}\0x", 11)), {"m.yaml", "zero byte at 9"});
  expect_contains(refusal("\xef\xbb\xbfmodel: 3\n"), {"m.yaml:1:", "'model'"});  // a byte order mark is passed over
}

TEST(YamlConfig, EngineSectionSetsAnyEngineOption) {
  const TempDir dir;
  const auto file = dir.write("m.yaml", kModel +
                                            "engine:\n"
                                            "  device: cpu\n"
                                            "  dtype: float32\n"
                                            "  load_format: dummy\n"
                                            "  tp: 3\n"
                                            "  max-model-len: 100\n"
                                            "  max_num_seqs: 7\n"
                                            "  max-num-batched-tokens: 99\n"
                                            "  block_size: 8\n"
                                            "  gpu-memory-utilization: 0.5\n"
                                            "  kv_cache_memory_gib: 1\n"
                                            "  threads: auto\n"
                                            "  allreduce: peer\n"
                                            "  init-timeout: 9\n"
                                            "  step-timeout: 2.5\n"
                                            "  dummy-seed: 18446744073709551615\n");
  CommandLine line;
  line.engine.model = file.string();
  EngineOptions expected;
  expected.model = file.string();
  expected.device = DeviceChoice::kCpu;
  expected.dtype = "float32";
  expected.load_format = LoadFormat::kDummy;
  expected.tensor_parallel_size = 3;
  expected.max_model_len = 100;
  expected.max_num_seqs = 7;
  expected.max_num_batched_tokens = 99;
  expected.block_size = 8;
  expected.gpu_memory_utilization = 0.5;
  expected.kv_cache_memory_gib = 1;
  expected.allreduce = AllReduceChoice::kPeer;
  expected.init_timeout_s = 9;
  expected.step_timeout_s = 2.5;
  expected.seed = UINT64_MAX;
  EXPECT_EQ(resolve_engine_options(line), expected);

  // What is printed as YAML sets the same options again.
  line.engine.model = dir.write("again.yaml", kModel + engine_yaml(expected)).string();
  expected.model = line.engine.model;
  EXPECT_EQ(resolve_engine_options(line), expected);
  line.engine.model = dir.write("default.yaml", kModel + engine_yaml(EngineOptions{})).string();
  expected = {};
  expected.model = line.engine.model;
  EXPECT_EQ(resolve_engine_options(line), expected);
}

TEST(YamlConfig, TheCommandLineWinsOverTheEngineSection) {
  const TempDir dir;
  const std::string file = dir.write("m.yaml", kModel + "engine: {max-num-seqs: 7, threads: 3, step-timeout: 5}\n").string();
  const std::vector<const char*> argv = {"lockstep",           "config",    "--model", file.c_str(),
                                         "--max-num-seqs=256", "--threads", "auto"};
  const auto parsed = parse_command_line(static_cast<int>(argv.size()), argv.data(), "v");
  ASSERT_TRUE(std::holds_alternative<CommandLine>(parsed));
  const EngineOptions options = resolve_engine_options(std::get<CommandLine>(parsed));
  EXPECT_EQ(options.max_num_seqs, 256);  // given, though it is the default
  EXPECT_EQ(options.threads, 0);
  EXPECT_EQ(options.step_timeout_s, 5);
}

TEST(YamlConfig, EngineSectionIsRefusedWhereItIsWrong) {
  const auto engine = [](const std::string& lines) { return refusal(kModel + "engine:\n" + lines); };
  expect_contains(engine("  max_seqs: 3\n"), {"m.yaml:11:", "unknown key 'engine.max_seqs'", "max-num-seqs"});
  expect_contains(engine("  model: x\n"), {"m.yaml:11:", "unknown key 'engine.model'"});
  expect_contains(engine("  tp: 2\n  tensor_parallel_size: 2\n"), {"m.yaml:12:", "given twice"});
  expect_contains(engine("  block-size: 4\n  block_size: 4\n"), {"m.yaml:12:", "given twice"});
  expect_contains(engine("  device: gpu\n"), {"m.yaml:11:", "'engine.device'", "'gpu'", "auto, cpu, cuda"});
  expect_contains(engine("  block-size: 0\n"), {"m.yaml:11:", "'0'", "an integer from 1 to"});
  expect_contains(engine("  block-size: \"16\"\n"), {"m.yaml:11:", "'engine.block-size'"});
  expect_contains(engine("  block-size: auto\n"), {"m.yaml:11:", "'auto'"});
  expect_contains(engine("  dtype: 16\n"), {"m.yaml:11:", "'engine.dtype'"});
  expect_contains(engine("  gpu-memory-utilization: 1.5\n"), {"m.yaml:11:", "at most 1"});
  expect_contains(engine("  step-timeout: .nan\n"), {"m.yaml:11:", "'engine.step-timeout'"});
  expect_contains(engine("  step-timeout: [1]\n"), {"m.yaml:11:", "'engine.step-timeout'"});
  expect_contains(refusal(kModel + "engine: 3\n"), {"m.yaml:10:", "'engine' is 3", "a map"});
  // The context that the engine section asks for is held against the model.
  expect_contains(engine("  max-model-len: 129\n"), {"129", "max_position_embeddings is 128"});
}

}  // namespace
}  // namespace lockstep
