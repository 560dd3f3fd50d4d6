// Tables, JSON, SVG, and predicted beside measured.
#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"
#include "plan/bench_file.h"
#include "plan/plan_plot.h"
#include "plan/plan_report.h"
#include "unit/config/temp_dir.h"
#include "unit/plan/planning.h"

namespace lockstep {
namespace {

using testing::cluster_of;
using testing::planned;

TEST(ReportTest, ColumnsLineUpAndMarkdownHasAsManyCells) {
  Section s{.title = "T", .lines = {"a line"}, .table = {{"name", "×"}, {{"é", "1.50"}, {"longer", "12"}}}, .notes = {}};
  EXPECT_EQ(to_text({s}), "T\na line\nname       ×\né       1.50\nlonger    12\n");
  EXPECT_EQ(to_markdown({s}), "## T\n\n- a line\n\n| name | × |\n| --- | --- |\n| é | 1.50 |\n| longer | 12 |\n");
  s.table.rows[0][0] = "a|b";
  EXPECT_NE(to_markdown({s}).find("a\\|b"), std::string::npos);
}

TEST(ReportTest, APlanSaysTheSameInAllForms) {
  const Plan plan = make_plan(testing::request_of(planned("qwen2.5-72b"), cluster_of("h100-80gb", 8, 2), 8192, 4));
  const std::string text = to_text(sections_of(plan)), markdown = to_markdown(sections_of(plan));
  for (const char* part : {"72.706 billion parameters", "weights 145.41 GB in bfloat16", "327680 bytes a token",
                           "NVIDIA H100 SXM5 80 GB", "tp × pp", "64×2048", "Take tp"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
    EXPECT_NE(markdown.find(part), std::string::npos) << part;
  }
  const nlohmann::ordered_json json = to_json(plan);
  EXPECT_EQ(json["rows"].size(), 16u);
  EXPECT_EQ(json["rows"][7]["tp"], 8);
  EXPECT_EQ(json["rows"][7]["memory"]["weights"], plan.row(8)->memory.weights);
  EXPECT_EQ(json["model"]["parameters"], plan.request.model.num_parameters());
  EXPECT_EQ(json["decision"]["tp"], plan.decision.tp);
  EXPECT_TRUE(json["model"]["runs"].get<bool>());
  EXPECT_FALSE(
      to_json(make_plan(testing::request_of(planned("deepseek-v2"), cluster_of("h100-80gb", 8), 4096, 1)))["model"]["runs"]
          .get<bool>());
}

TEST(PlotTest, EveryPointIsDrawn) {
  const Plan plan = make_plan(testing::request_of(planned("llama-3-8b"), cluster_of("h100-80gb", 4), 8192, 1));
  const std::string svg = plot_of(plan);
  const auto count = [&](const std::string& what) {
    size_t n = 0;
    for (size_t at = svg.find(what); at != std::string::npos; at = svg.find(what, at + 1)) ++n;
    return n;
  };
  EXPECT_EQ(count("<circle"), 8u);  // two batches, four degrees
  EXPECT_EQ(count("<polyline"), 2u);
  EXPECT_EQ(count("<rect"), 1u + 16 + 6);  // background; four parts of four degrees; legends
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_TRUE(svg.ends_with("</svg>\n"));
}

// As `lockstep bench latency --json` writes it, in part.
constexpr const char* kLatency = R"json({
  "benchmark": "latency", "model": "qwen2.5-7b", "dtype": "bfloat16",
  "device": "cuda:0 NVIDIA H100 80GB HBM3 (GPU-1)", "ranks": 1, "output_len": 148, "skip": 20,
  "limits": {"max_model_len": 212, "max_num_seqs": 8, "max_num_batched_tokens": 1696, "block_size": 16, "gpu_memory_utilization": 0.9},
  "memory": {"weights": 15231233024, "activations": 100, "buffers": 100, "kv_cache": 102760448, "kv_tokens": 1792,
             "device_total": 85029158912, "device_used_before_weights": 600000000, "device_used_before_steps": 16000000000,
             "device_used": 16010000000, "cuda_graphs": 4},
  "rows": [{"batch": 1, "context": 64, "fits": true, "seconds_per_step": 0.00501},
           {"batch": 8, "context": 64, "fits": true, "seconds_per_step": 0.00504}, {"batch": 900, "context": 64, "fits": false}]
})json";

BenchFile bench_of(const std::string& text) {
  const TempDir dir;
  const auto file = dir.path() / "bench.json";
  std::ofstream(file) << text;
  return read_bench_file(file);
}

TEST(BenchFileTest, PredictedBesideMeasured) {
  const BenchFile bench = bench_of(kLatency);
  EXPECT_EQ(bench.device, "NVIDIA H100 80GB HBM3");
  ASSERT_EQ(bench.points.size(), 2u);
  EXPECT_EQ(bench.points[1].batch, 8);
  EXPECT_EQ(bench.points[1].length, 64 + 83);
  const BenchComparison c = compare(bench, planned("qwen2.5-7b"), cluster_of("h100-80gb", 1));
  ASSERT_EQ(c.seconds.size(), 2u);
  for (const auto& row : c.seconds) EXPECT_LT(std::abs(row.error()), 0.15) << row.what;
  ASSERT_EQ(c.bytes.size(), 8u);
  EXPECT_LT(std::abs(c.bytes[0].error()), 1e-4) << c.bytes[0].predicted;  // the weights, to the rounding of each parameter
  EXPECT_DOUBLE_EQ(c.bytes[3].error(), 0.0);                              // 1792 tokens of 57344 bytes
  const std::string text = to_text(sections_of(bench, c, cluster_of("h100-80gb", 1)));
  EXPECT_NE(text.find("5.010"), std::string::npos) << text;
}

TEST(BenchFileTest, AFileOfSomethingElseIsRefused) {
  const auto refusal = [](const std::string& from, const std::string& to) {
    std::string text = kLatency;
    text.replace(text.find(from), from.size(), to);
    try {
      bench_of(text);
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  EXPECT_NE(refusal("\"latency\"", "\"comm\"").find("latency or prefill"), std::string::npos);
  EXPECT_NE(refusal("0.00501", "-1").find("rows[0].seconds_per_step"), std::string::npos);
  EXPECT_NE(refusal("\"batch\": 8", "\"batch\": 0").find("rows[1].batch"), std::string::npos);
  EXPECT_NE(refusal("\"skip\": 20", "\"skip\": 148").find("skip"), std::string::npos);
  EXPECT_NE(refusal("\"ranks\"", "\"rank\"").find("ranks"), std::string::npos);
}

}  // namespace
}  // namespace lockstep
