// The files in configs/models: true sizes, and what `lockstep config` prints reads back equal.
#include <cmath>
#include <map>

#include "config/model_config.h"
#include "support/source_dir.h"
#include "temp_dir.h"

namespace lockstep {
namespace {

const std::filesystem::path kModels = testing::source_dir() / "configs" / "models";

// Parameter counts as published with the checkpoints (safetensors metadata on their model pages).
const std::map<std::string, int64_t> kPublishedParameters = {
    {"qwen2.5-0.5b", 494032768},  {"qwen2.5-1.5b", 1543714304}, {"qwen2.5-3b", 3085938688},   {"qwen2.5-7b", 7615616512},
    {"qwen2.5-14b", 14770033664}, {"qwen2.5-32b", 32763876352}, {"qwen2.5-72b", 72706203648}, {"qwen3-0.6b", 596049920},
    {"qwen3-8b", 8190735360},     {"qwen3-32b", 32762123264},   {"llama-3-8b", 8030261248},   {"llama-3-70b", 70553706496},
    {"llama-3.2-1b", 1235814400}, {"mistral-7b", 7248023552},   {"smollm2-135m", 134515008},
};

TEST(ModelFiles, HaveThePublishedNumberOfParameters) {
  for (const auto& [name, count] : kPublishedParameters) {
    EXPECT_EQ(load_model_config(kModels / (name + ".yaml")).num_parameters(), count) << name;
  }
}

TEST(ModelFiles, AllAreListedHere) {
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kModels)) {
    ++files;
    EXPECT_TRUE(kPublishedParameters.contains(entry.path().stem().string())) << entry.path();
  }
  EXPECT_EQ(files, kPublishedParameters.size());
}

TEST(ModelFiles, ReadBackEqualFromTheirOwnYaml) {
  const TempDir dir;
  std::map<uint64_t, std::string> hashes;
  for (const auto& [name, count] : kPublishedParameters) {
    const ModelConfig config = load_model_config(kModels / (name + ".yaml"));
    const ModelConfig again = load_model_config(dir.write("again.yaml", to_yaml(config)));
    EXPECT_EQ(again, config) << name << "\n" << to_yaml(config);
    EXPECT_EQ(again.hash(), config.hash());
    const auto [where, is_new] = hashes.emplace(config.hash(), name);
    EXPECT_TRUE(is_new) << name << " and " << where->second << " have the same hash";
  }
}

TEST(ModelFiles, AreFoundByName) {
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(testing::source_dir());
  const ModelConfig config = load_model_config("qwen2.5-7b");
  std::filesystem::current_path(before);
  EXPECT_EQ(config.architecture, "Qwen2ForCausalLM");
  EXPECT_EQ(config.num_heads, 28);
  EXPECT_EQ(config.num_kv_heads, 4);
  EXPECT_EQ(config.group(), 7);
  EXPECT_TRUE(config.qkv_bias);
  EXPECT_FALSE(config.o_bias);
  EXPECT_EQ(config.eos_token_ids, (std::vector<int32_t>{151645, 151643}));
  EXPECT_TRUE(config.weights.empty());
  EXPECT_TRUE(config.tokenizer.empty());
}

TEST(ModelFiles, AnUnknownNameSaysWhereItLookedAndWhatThereIs) {
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(testing::source_dir());
  const std::string error = error_of([] { load_model_config("qwen9-1b"); });
  std::filesystem::current_path(before);
  expect_contains(error, {"qwen9-1b", "configs/models/qwen9-1b.yaml", "smollm2-135m"});
  expect_contains(error_of([] { load_model_config("no/such"); }), {"no/such: no such file or directory"});
  expect_contains(error_of([] { load_model_config(""); }), {"--model is empty"});
}

TEST(ModelFiles, Llama3RopeAsTransformersComputesIt) {
  const ModelConfig llama = load_model_config(kModels / "llama-3.2-1b.yaml");
  const std::vector<float> scaled = llama.rope_inv_freq();
  ModelConfig plain = llama;
  plain.rope.scaling = RopeScaling::kNone;
  const std::vector<float> unscaled = plain.rope_inv_freq();
  ASSERT_EQ(scaled.size(), 32u);
  EXPECT_EQ(unscaled[0], 1.0f);
  for (size_t i = 0; i < 32; ++i) {
    EXPECT_NEAR(unscaled[i] / std::pow(500000.0, -2.0 * static_cast<double>(i) / 64), 1.0, 1e-6) << i;
    // Wavelengths below 8192/4 stay, above 8192/1 are stretched by 32, and lie between in between.
    const double wavelength = 2 * M_PI / unscaled[i];
    if (wavelength < 2048) {
      EXPECT_EQ(scaled[i], unscaled[i]) << i;
    } else if (wavelength > 8192) {
      EXPECT_EQ(scaled[i], unscaled[i] / 32) << i;
    } else {
      EXPECT_LT(scaled[i], unscaled[i]) << i;
      EXPECT_GT(scaled[i], unscaled[i] / 32) << i;
      const double smooth = (8192 / wavelength - 1) / 3;
      EXPECT_NEAR(scaled[i] / ((1 - smooth) * unscaled[i] / 32 + smooth * unscaled[i]), 1.0, 1e-6) << i;
    }
  }
}

TEST(ModelFiles, LinearRopeDividesEveryFrequency) {
  ModelConfig config = load_model_config(kModels / "smollm2-135m.yaml");
  const std::vector<float> plain = config.rope_inv_freq();
  config.rope.scaling = RopeScaling::kLinear;
  config.rope.factor = 4.0;
  const std::vector<float> scaled = config.rope_inv_freq();
  for (size_t i = 0; i < plain.size(); ++i) EXPECT_EQ(scaled[i], plain[i] / 4) << i;
  EXPECT_DOUBLE_EQ(config.attention_scale(), 0.125);
}

TEST(ModelFiles, EveryFieldThatChangesTheResultChangesTheHash) {
  const ModelConfig base = load_model_config(kModels / "llama-3.2-1b.yaml");
  const std::vector<void (*)(ModelConfig&)> changes = {
      [](ModelConfig& c) { c.architecture = "Qwen2ForCausalLM"; },
      [](ModelConfig& c) { ++c.vocab_size; },
      [](ModelConfig& c) { ++c.hidden_size; },
      [](ModelConfig& c) { ++c.intermediate_size; },
      [](ModelConfig& c) { ++c.num_layers; },
      [](ModelConfig& c) { ++c.num_heads; },
      [](ModelConfig& c) { ++c.num_kv_heads; },
      [](ModelConfig& c) { ++c.head_dim; },
      [](ModelConfig& c) { ++c.max_position_embeddings; },
      [](ModelConfig& c) { ++c.sliding_window; },
      [](ModelConfig& c) { c.rms_norm_eps *= 1.0000000000000002; },
      [](ModelConfig& c) { c.tie_word_embeddings = !c.tie_word_embeddings; },
      [](ModelConfig& c) { c.qkv_bias = !c.qkv_bias; },
      [](ModelConfig& c) { c.o_bias = !c.o_bias; },
      [](ModelConfig& c) { c.mlp_bias = !c.mlp_bias; },
      [](ModelConfig& c) { c.qk_norm = !c.qk_norm; },
      [](ModelConfig& c) { c.rope.theta += 1; },
      [](ModelConfig& c) { c.rope.scaling = RopeScaling::kLinear; },
      [](ModelConfig& c) { c.rope.factor += 1; },
      [](ModelConfig& c) { c.rope.low_freq_factor += 1; },
      [](ModelConfig& c) { c.rope.high_freq_factor += 1; },
      [](ModelConfig& c) { ++c.rope.original_max_position_embeddings; },
      [](ModelConfig& c) { c.dtype = DType::kFloat16; },
      [](ModelConfig& c) { c.eos_token_ids.pop_back(); },
      [](ModelConfig& c) { c.bos_token_id.reset(); },
  };
  for (size_t i = 0; i < changes.size(); ++i) {
    ModelConfig changed = base;
    changes[i](changed);
    EXPECT_NE(changed.hash(), base.hash()) << "change " << i;
  }
  ModelConfig moved = base;
  moved.weights = "/elsewhere";
  EXPECT_EQ(moved.hash(), base.hash());
}

}  // namespace
}  // namespace lockstep
