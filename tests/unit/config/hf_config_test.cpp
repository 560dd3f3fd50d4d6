// config.json and generation_config.json: what is read, what is ignored, what is refused and how.
#include <cmath>
#include <map>
#include <sstream>

#include "config/model_config.h"
#include "temp_dir.h"

namespace lockstep {
namespace {

using Keys = std::map<std::string, std::string>;  // key -> JSON text of the value

Keys llama() {
  return {{"architectures", R"(["LlamaForCausalLM"])"},
          {"model_type", "\"llama\""},
          {"vocab_size", "100"},
          {"hidden_size", "48"},
          {"intermediate_size", "96"},
          {"num_hidden_layers", "2"},
          {"num_attention_heads", "6"},
          {"num_key_value_heads", "3"},
          {"max_position_embeddings", "128"},
          {"torch_dtype", "\"float32\""}};
}

Keys with(Keys keys, const Keys& changes) {
  for (const auto& [key, value] : changes) keys[key] = value;
  return keys;
}

Keys of(const std::string& architecture, const std::string& model_type, const Keys& changes = {}) {
  return with(llama(),
              with({{"architectures", "[\"" + architecture + "\"]"}, {"model_type", "\"" + model_type + "\""}}, changes));
}

// One key a line, sorted; the first key is in line 2.
std::string json(const Keys& keys) {
  std::ostringstream out;
  out << "{";
  const char* separator = "\n";
  for (const auto& [key, value] : keys) {
    out << separator << "\"" << key << "\": " << value;
    separator = ",\n";
  }
  out << "\n}\n";
  return out.str();
}

ModelConfig load(const Keys& keys, int64_t max_model_len = 0) {
  const TempDir dir;
  dir.write("config.json", json(keys));
  return load_model_config(dir.path(), max_model_len);
}

std::string refusal(const std::string& text) {
  const TempDir dir;
  dir.write("config.json", text);
  return error_of([&] { load_model_config(dir.path()); });
}
std::string refusal(const Keys& keys) { return refusal(json(keys)); }

int line_of(const Keys& keys, const std::string& key) {
  return 2 + static_cast<int>(std::distance(keys.begin(), keys.find(key)));
}

// Refused with file, line, key and value.
void expect_refused(const Keys& base, const std::string& key, const std::string& value, const std::string& also = "allowed: ") {
  const Keys keys = with(base, {{key, value}});
  const std::string error = refusal(keys);
  expect_contains(error, {"config.json:" + std::to_string(line_of(keys, key)) + ":", "'" + key + "'", also});
}

TEST(HfConfig, Llama) {
  const ModelConfig c = load(llama());
  EXPECT_EQ(c.architecture, "LlamaForCausalLM");
  EXPECT_EQ(c.vocab_size, 100);
  EXPECT_EQ(c.hidden_size, 48);
  EXPECT_EQ(c.intermediate_size, 96);
  EXPECT_EQ(c.num_layers, 2);
  EXPECT_EQ(c.num_heads, 6);
  EXPECT_EQ(c.num_kv_heads, 3);
  EXPECT_EQ(c.head_dim, 8);
  EXPECT_EQ(c.max_position_embeddings, 128);
  EXPECT_EQ(c.rms_norm_eps, 1e-6);
  EXPECT_FALSE(c.tie_word_embeddings || c.qkv_bias || c.o_bias || c.mlp_bias || c.qk_norm);
  EXPECT_EQ(c.rope, RopeConfig{});
  EXPECT_EQ(c.dtype, DType::kFloat32);
  EXPECT_EQ(c.eos_token_ids, std::vector<int32_t>{2});  // LlamaConfig's defaults
  EXPECT_EQ(c.bos_token_id, 1);
  EXPECT_TRUE(c.weights.is_absolute());
  EXPECT_TRUE(c.tokenizer.empty());
}

TEST(HfConfig, DefaultsOfEachArchitecture) {
  Keys bare = llama();
  bare.erase("num_key_value_heads");
  bare.erase("max_position_embeddings");
  bare.erase("torch_dtype");
  const ModelConfig l = load(bare);
  EXPECT_EQ(l.num_kv_heads, 6);
  EXPECT_EQ(l.max_position_embeddings, 2048);
  EXPECT_EQ(l.dtype, DType::kFloat32);

  const auto other = [&](const char* name, const char* type, const Keys& changes) {
    Keys keys = of(name, type, changes);
    for (const char* key : {"num_key_value_heads", "max_position_embeddings"}) {
      if (!changes.contains(key)) keys.erase(key);
    }
    return load(keys);
  };
  const ModelConfig q2 = other("Qwen2ForCausalLM", "qwen2", {{"num_attention_heads", "32"}, {"hidden_size", "128"}});
  EXPECT_EQ(q2.num_kv_heads, 32);
  EXPECT_EQ(q2.head_dim, 4);
  EXPECT_EQ(q2.max_position_embeddings, 32768);
  EXPECT_TRUE(q2.qkv_bias);
  EXPECT_FALSE(q2.o_bias || q2.qk_norm);
  EXPECT_TRUE(q2.eos_token_ids.empty());
  EXPECT_FALSE(q2.bos_token_id.has_value());

  const ModelConfig q3 = other("Qwen3ForCausalLM", "qwen3", {{"num_key_value_heads", "null"}});
  EXPECT_EQ(q3.num_kv_heads, 6);
  EXPECT_EQ(q3.head_dim, 128);
  EXPECT_TRUE(q3.qk_norm);
  EXPECT_FALSE(q3.qkv_bias || q3.o_bias);

  const ModelConfig m =
      other("MistralForCausalLM", "mistral", {{"num_attention_heads", "8"}, {"hidden_size", "64"}, {"sliding_window", "null"}});
  EXPECT_EQ(m.num_kv_heads, 8);
  EXPECT_EQ(m.head_dim, 8);
  EXPECT_EQ(m.max_position_embeddings, 131072);
  EXPECT_EQ(m.eos_token_ids, std::vector<int32_t>{2});
  Keys keys = of("MistralForCausalLM", "mistral");
  keys.erase("num_key_value_heads");
  expect_contains(refusal(keys), {"missing key 'num_key_value_heads'", "8", "6"});
}

TEST(HfConfig, Biases) {
  const ModelConfig l = load(with(llama(), {{"attention_bias", "true"}, {"mlp_bias", "true"}}));
  EXPECT_TRUE(l.qkv_bias && l.o_bias && l.mlp_bias);
  const ModelConfig q3 = load(of("Qwen3ForCausalLM", "qwen3", {{"attention_bias", "true"}}));
  EXPECT_TRUE(q3.qkv_bias && q3.o_bias);
  // The classes of Qwen2 and Mistral do not read the key.
  const ModelConfig q2 = load(of("Qwen2ForCausalLM", "qwen2", {{"attention_bias", "false"}}));
  EXPECT_TRUE(q2.qkv_bias && !q2.o_bias);
  const ModelConfig m = load(of("MistralForCausalLM", "mistral", {{"attention_bias", "true"}}));
  EXPECT_FALSE(m.qkv_bias || m.o_bias);
}

TEST(HfConfig, HeadDimMayBeAnyEvenNumber) {
  EXPECT_EQ(load(with(llama(), {{"head_dim", "10"}})).head_dim, 10);
  EXPECT_EQ(load(of("Qwen2ForCausalLM", "qwen2", {{"head_dim", "34"}})).head_dim, 34);
  EXPECT_EQ(load(with(llama(), {{"hidden_size", "50"}, {"head_dim", "2"}})).head_dim, 2);
  EXPECT_EQ(load(with(llama(), {{"head_dim", "null"}})).head_dim, 8);
  expect_refused(llama(), "head_dim", "7", "even");
  expect_refused(of("Qwen3ForCausalLM", "qwen3"), "head_dim", "null");
  expect_contains(refusal(with(llama(), {{"hidden_size", "50"}})), {"num_attention_heads", "divisor of hidden_size, 50"});
  expect_contains(refusal(with(llama(), {{"hidden_size", "30"}})), {"num_attention_heads", "even"});
}

TEST(HfConfig, KeysThatCannotChangeTheResultAreIgnored) {
  const ModelConfig plain = load(llama());
  const ModelConfig c = load(with(llama(), {{"pretraining_tp", "2"},
                                            {"use_cache", "false"},
                                            {"attention_dropout", "0.5"},
                                            {"sliding_window", "4"},
                                            {"pad_token_id", "-1"},
                                            {"id2label", R"({"0": "a"})"},
                                            {"rope_interleaved", "false"},
                                            {"quantization_config", "null"}}));
  EXPECT_EQ(c.hash(), plain.hash());
}

TEST(HfConfig, ArchitectureIsRefusedByName) {
  expect_refused(llama(), "architectures", R"(["GPT2LMHeadModel"])", "GPT2LMHeadModel");
  expect_refused(llama(), "architectures", R"(["LlamaModel"])", "LlamaForCausalLM");
  expect_refused(llama(), "architectures", "[]");
  expect_refused(llama(), "architectures", "7");
  expect_refused(llama(), "model_type", "\"mixtral\"", "\"mixtral\"");
  expect_refused(llama(), "model_type", "\"qwen2\"", "the same as the architecture");
  Keys none = llama();
  none.erase("architectures");
  EXPECT_EQ(load(none).architecture, "LlamaForCausalLM");
  none.erase("model_type");
  expect_contains(refusal(none), {"config.json: missing key", "LlamaForCausalLM"});
}

TEST(HfConfig, WhatWeDoNotComputeIsRefused) {
  expect_refused(llama(), "hidden_act", "\"gelu\"", "\"gelu\"");
  expect_refused(llama(), "quantization_config", R"({"quant_method": "awq"})", "quantized");
  expect_refused(llama(), "partial_rotary_factor", "0.5", "0.5");
  expect_refused(llama(), "layer_types", R"(["full_attention", "chunked_attention"])", "chunked_attention");
  expect_refused(llama(), "layer_types", R"(["full_attention"])", "num_hidden_layers");
  expect_refused(llama(), "dtype", "\"int8\"", "bfloat16");
  expect_refused(with(llama(), {{"dtype", "\"float32\""}}), "torch_dtype", "\"float16\"", "the same as dtype");
  EXPECT_EQ(load(with(llama(), {{"torch_dtype", "\"torch.bfloat16\""}, {"hidden_act", "\"silu\""}})).dtype, DType::kBFloat16);
}

TEST(HfConfig, BadSizesAreRefused) {
  for (const char* key : {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
                          "num_key_value_heads", "max_position_embeddings"}) {
    for (const char* value : {"0", "-1", "1.5", "2147483648", "99999999999999999999999", "true", "\"48\"", "[48]", "1e3"}) {
      expect_refused(llama(), key, value, "an integer from 1 to ");
    }
  }
  for (const char* key : {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"}) {
    Keys keys = llama();
    keys.erase(key);
    expect_contains(refusal(keys), {"config.json: missing key '" + std::string(key) + "'"});
    expect_refused(llama(), key, "null");
  }
  expect_refused(llama(), "num_key_value_heads", "4", "a divisor of num_attention_heads, 6");
  expect_refused(llama(), "tie_word_embeddings", "1", "true or false");
  expect_refused(llama(), "rms_norm_eps", "0");
  expect_refused(llama(), "rms_norm_eps", "-1e-6");
  expect_refused(llama(), "rms_norm_eps", "\"1e-6\"");
}

TEST(HfConfig, SizesWhoseProductOverflowsAreRefused) {
  const Keys huge = with(llama(), {{"vocab_size", "2147483647"}, {"hidden_size", "2147483646"}, {"head_dim", "8"}});
  expect_contains(refusal(huge), {"parameters", "at most"});
  expect_contains(refusal(with(llama(), {{"num_attention_heads", "2147483646"}, {"head_dim", "64"}})),
                  {"num_attention_heads", "at most"});
}

TEST(HfConfig, RopeInBothSpellings) {
  const ModelConfig old_style =
      load(with(llama(), {{"rope_theta", "5000"}, {"rope_scaling", R"({"type": "linear", "factor": 2.5})"}}));
  EXPECT_EQ(old_style.rope.theta, 5000);
  EXPECT_EQ(old_style.rope.scaling, RopeScaling::kLinear);
  EXPECT_EQ(old_style.rope.factor, 2.5);
  const ModelConfig new_style =
      load(with(llama(), {{"rope_parameters", R"({"rope_type": "linear", "rope_theta": 5000.0, "factor": 2.5})"}}));
  EXPECT_EQ(new_style.rope, old_style.rope);
  EXPECT_EQ(load(with(llama(), {{"rope_parameters", R"({"rope_type": "default", "rope_theta": 7.5})"}, {"rope_scaling", "null"}}))
                .rope.theta,
            7.5);

  const std::string llama3 =
      R"("factor": 8, "low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 64)";
  const ModelConfig a =
      load(with(llama(), {{"rope_theta", "5e5"}, {"rope_scaling", "{\"rope_type\": \"llama3\", " + llama3 + "}"}}));
  EXPECT_EQ(a.rope.scaling, RopeScaling::kLlama3);
  EXPECT_EQ(a.rope.theta, 5e5);
  EXPECT_EQ(a.rope.original_max_position_embeddings, 64);
  const ModelConfig b =
      load(with(llama(), {{"rope_parameters", "{\"rope_type\": \"llama3\", \"rope_theta\": 500000, " + llama3 + "}"}}));
  EXPECT_EQ(a.rope, b.rope);
}

TEST(HfConfig, RopeIsRefusedWhereWeDoNotComputeIt) {
  const auto scaling = [](const std::string& map) { return refusal(with(llama(), {{"rope_scaling", map}})); };
  for (const char* type : {"yarn", "dynamic", "longrope", "su", "mrope"}) {
    expect_contains(scaling("{\"rope_type\": \"" + std::string(type) + "\", \"factor\": 4.0}"),
                    {"config.json:", "'rope_scaling.rope_type'", type, "default, linear or llama3"});
  }
  expect_contains(scaling(R"({"type": "yarn", "factor": 4.0})"), {"'rope_scaling.type'", "yarn"});
  expect_contains(scaling(R"({"rope_type": "linear"})"), {"missing key 'rope_scaling.factor'"});
  expect_contains(scaling(R"({"factor": 2.0})"), {"missing key 'rope_scaling.rope_type'"});
  expect_contains(scaling(R"({"rope_type": "linear", "factor": 0.5})"), {"'rope_scaling.factor' is 0.5", "from 1"});
  expect_contains(scaling(R"({"rope_type": "linear", "type": "llama3", "factor": 2})"),
                  {"'rope_scaling.type'", "the same as rope_type"});
  expect_contains(scaling(R"({"rope_type": "linear", "factor": 2, "partial_rotary_factor": 0.25})"),
                  {"partial_rotary_factor", "0.25"});
  expect_contains(scaling(R"({"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4,
                             "original_max_position_embeddings": 64})"),
                  {"high_freq_factor", "above low_freq_factor"});
  expect_contains(scaling(R"({"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4})"),
                  {"missing key 'rope_scaling.original_max_position_embeddings'"});
  expect_contains(scaling(R"("linear")"), {"'rope_scaling'", "a map"});
  expect_contains(refusal(with(llama(), {{"rope_parameters", R"({"full_attention": {"rope_type": "default"}})"}})),
                  {"rope_parameters.full_attention", "per layer type"});
  expect_contains(
      refusal(with(llama(), {{"rope_theta", "1e4"}, {"rope_parameters", R"({"rope_type": "default", "rope_theta": 2e4})"}})),
      {"rope_parameters.rope_theta", "the same"});
  expect_contains(refusal(with(llama(), {{"rope_scaling", R"({"rope_type": "linear", "factor": 2})"},
                                         {"rope_parameters", R"({"rope_type": "linear", "factor": 3})"}})),
                  {"'rope_scaling'", "the same parameters as rope_parameters"});
  expect_refused(llama(), "rope_theta", "0");
  expect_refused(llama(), "rope_theta", "1e300");
}

TEST(HfConfig, SlidingWindow) {
  const auto mistral = [](const Keys& changes) { return of("MistralForCausalLM", "mistral", changes); };
  EXPECT_EQ(load(mistral({})).sliding_window, 0);  // the default, 4096, is beyond the context of 128
  EXPECT_EQ(load(mistral({{"sliding_window", "null"}})).sliding_window, 0);
  EXPECT_EQ(load(mistral({{"sliding_window", "128"}})).sliding_window, 0);
  expect_refused(mistral({}), "sliding_window", "127", "--max-model-len");
  expect_contains(refusal(mistral({{"max_position_embeddings", "8192"}})), {"missing key 'sliding_window'", "4096"});
  EXPECT_EQ(load(mistral({{"sliding_window", "100"}}), 100).sliding_window, 100);
  const TempDir dir;
  dir.write("config.json", json(mistral({{"sliding_window", "100"}})));
  expect_contains(error_of([&] { load_model_config(dir.path(), 101); }), {"sliding_window", "is 100"});
  expect_contains(error_of([&] { load_model_config(dir.path(), 129); }), {"129", "max_position_embeddings is 128"});

  const auto qwen = [](const Keys& changes) {
    return of("Qwen2ForCausalLM", "qwen2", with({{"sliding_window", "16"}}, changes));
  };
  EXPECT_EQ(load(qwen({})).sliding_window, 0);                                // use_sliding_window is off
  EXPECT_EQ(load(qwen({{"use_sliding_window", "true"}})).sliding_window, 0);  // max_window_layers, 28, is beyond the layers
  EXPECT_EQ(load(qwen({{"use_sliding_window", "true"}, {"max_window_layers", "1"}}), 16).sliding_window, 16);
  expect_refused(qwen({{"use_sliding_window", "true"}, {"max_window_layers", "1"}}), "sliding_window", "16");
  const std::string full = R"(["full_attention", "full_attention"])", mixed = R"(["full_attention", "sliding_attention"])";
  EXPECT_EQ(load(qwen({{"use_sliding_window", "true"}, {"max_window_layers", "0"}, {"layer_types", full}})).sliding_window, 0);
  expect_refused(qwen({{"use_sliding_window", "true"}, {"layer_types", mixed}}), "sliding_window", "16");
  expect_refused(qwen({}), "layer_types", mixed, "use_sliding_window");
}

TEST(HfConfig, SpecialTokens) {
  EXPECT_EQ(load(with(llama(), {{"eos_token_id", "[5, 99]"}, {"bos_token_id", "null"}})).eos_token_ids,
            (std::vector<int32_t>{5, 99}));
  EXPECT_TRUE(load(with(llama(), {{"eos_token_id", "null"}})).eos_token_ids.empty());
  expect_refused(llama(), "eos_token_id", "100", "from 0 to 99");
  expect_refused(llama(), "eos_token_id", "-1", "from 0 to 99");
  expect_refused(llama(), "eos_token_id", "[1, 100]", "contains 100");
  expect_refused(llama(), "eos_token_id", "\"</s>\"");
  expect_refused(llama(), "bos_token_id", "100", "from 0 to 99");

  const TempDir dir;
  dir.write("config.json", json(with(llama(), {{"eos_token_id", "7"}, {"bos_token_id", "8"}})));
  dir.write("generation_config.json", R"({"eos_token_id": [3, 4], "temperature": 0.6})");
  dir.write("tokenizer.json", "{}");
  const ModelConfig c = load_model_config(dir.path());
  EXPECT_EQ(c.eos_token_ids, (std::vector<int32_t>{3, 4}));
  EXPECT_EQ(c.bos_token_id, 8);
  EXPECT_EQ(c.tokenizer, c.weights);
  dir.write("generation_config.json", R"({"bos_token_id": 9})");
  EXPECT_EQ(load_model_config(dir.path()).eos_token_ids, std::vector<int32_t>{7});
  EXPECT_EQ(load_model_config(dir.path()).bos_token_id, 9);
  dir.write("generation_config.json", R"({"eos_token_id": 100})");
  expect_contains(error_of([&] { load_model_config(dir.path()); }), {"generation_config.json:1:", "eos_token_id"});
}

TEST(HfConfig, HostileJsonIsRefused) {
  expect_contains(refusal("{\n\"a\": 1,\n\"b\": 2,\n\"a\": 3}"), {"config.json:4:", "'a'", "twice", "line 2"});
  expect_contains(refusal("{\n  \"a\": 1,\n  \"b\" 2\n}"), {"config.json:3:", "broken JSON"});
  expect_contains(refusal(R"({"a": 1)"), {"broken JSON"});
  expect_contains(refusal(R"({"a": 1} x)"), {"broken JSON"});
  expect_contains(refusal(R"({"a": NaN})"), {"broken JSON"});
  expect_contains(refusal(R"({"a": 1e999})"), {"config.json:1:", "1e999", "out of range"});
  expect_contains(refusal(std::string("{}\0{", 4)), {"config.json", "zero byte at 2"});
  expect_contains(refusal("\xef\xbb\xbf{}"), {"architecture"});  // a byte order mark is passed over
  expect_contains(refusal("{\"model_type\": \"\x1b[2J\"}"), {"broken JSON"});
  expect_contains(refusal("{\"model_type\": \"\\u001b[2J\"}"), {"'model_type'", "\\u001b[2J"});
  expect_contains(refusal("{\"a\": \"\xff\"}"), {"broken JSON"});
  expect_contains(refusal(""), {"broken JSON"});
  expect_contains(refusal("[1]"), {"a list of 1", "a map"});
  expect_contains(refusal("3"), {"a map"});
  expect_contains(refusal(std::string(1000000, '[')), {"nested deeper than 64"});
  std::string maps;
  for (int i = 0; i < 100000; ++i) maps += "{\"a\":";
  expect_contains(refusal(maps), {"nested deeper than 64"});
  expect_contains(refusal(std::string((16 << 20) + 1, ' ')), {"larger than 16 MiB"});
}

TEST(HfConfig, WhatIsNotAModelIsRefused) {
  const TempDir dir;
  expect_contains(error_of([&] { load_model_config(dir.path()); }), {"no config.json"});
  expect_contains(error_of([&] { load_model_config(dir.write("model.bin", "x")); }), {"model.bin", "neither"});
  std::filesystem::create_directories(dir.path() / "config.json");
  expect_contains(error_of([&] { load_model_config(dir.path()); }), {"config.json: not a regular file"});
}

}  // namespace
}  // namespace lockstep
