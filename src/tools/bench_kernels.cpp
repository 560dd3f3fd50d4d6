#include "tools/bench_kernels.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>

#include "base/error.h"
#include "base/log.h"
#include "engine/bring_up.h"
#include "engine/threshold_finder.h"
#include "tools/bench_run.h"
#include "tools/device_rates.h"
#include "tools/kernel_batch.h"

namespace lockstep {
namespace {

// The smallest linear's weights of all layers together: past the L2 of any GPU several times over.
constexpr double kPastTheCache = 256e6;
// Share of a GPU's memory that the weights may take for it.
constexpr double kWeightShare = 0.33;
// One measurement goes through all layers, unless that takes longer than this.
constexpr double kLongEnough = 0.1;

struct Row {
  std::string op;
  int64_t tokens = 0;
  int64_t context = 0;   // of attention; else 0
  int64_t per_step = 0;  // calls in a step of the model
  double seconds = 0.0;  // of one call
  double bytes = 0.0;    // all operands once
  double flops = 0.0;
  double floor_seconds = 0.0;
  std::optional<double> library_seconds;
};

// Layers to make: as asked, or the model's, and on a GPU more where the cache would hide the memory.
int64_t choose_layers(const BenchKernelsOptions& options, const EngineOptions& engine, const ModelConfig& config, int tp) {
  if (options.layers > 0) return options.layers;
  if (engine.device == DeviceChoice::kCpu || probe_cuda().device_count == 0) return config.num_layers;
  const RankShare share = rank_share(config, tp, tp - 1);  // the smallest
  const auto hidden = static_cast<double>(config.hidden_size);
  const double size = 2.0;
  const double o = hidden * static_cast<double>(share.heads.q_heads * config.head_dim) * size;
  const double layer =
      o * 2.0 + hidden * size * static_cast<double>(2 * share.heads.kv_heads * config.head_dim + 3 * share.ffn.size());
  const double room = static_cast<double>(describe_cuda_device(0).total_bytes) * kWeightShare / tp;
  const auto wanted = static_cast<int64_t>(std::ceil(kPastTheCache / std::max(o, 1.0)));
  const auto possible = static_cast<int64_t>(room / std::max(layer, 1.0));
  return std::max(config.num_layers, std::min(wanted, possible));
}

class KernelBench {
 public:
  KernelBench(const World& world, ModelRunner& runner, const BenchKernelsOptions& options, int64_t model_layers,
              const DeviceRates& rates)
      : world_(world),
        runner_(runner),
        options_(options),
        model_layers_(model_layers),
        rates_(rates),
        backend_(runner.backend()),
        ops_(runner.backend().ops()),
        config_(runner.config()),
        share_(runner.partition().share),
        act_(runner.backend().activation_dtype(runner.weights().dtype())),
        eps_(static_cast<float>(config_.rms_norm_eps)) {
    fill_cache();
  }

  std::vector<Row> run(int64_t tokens) {
    rows_.clear();
    tokens_ = tokens;
    const int64_t block = runner_.cache().layout().block_size;
    // Up to so many tokens can be those of decoding sequences; more are one prompt.
    const bool decodes = tokens <= runner_.limits().max_num_seqs;
    const int64_t context = decodes ? 1 : tokens;
    if (!fits(decodes ? tokens : 1, context)) {
      if (world_.is_root()) spdlog::warn("{} tokens do not fit the KV cache and are left out", tokens);
      return {};
    }
    const KernelBatch batch(backend_, decodes ? tokens : 1, decodes ? 1 : tokens, context, block, config_.vocab_size);
    forward(batch);
    for (const int32_t length : options_.contexts) {
      if (decodes) attention("attention decode", tokens, 1, length);
    }
    if (tokens > 1) attention("attention prefill", 1, tokens, tokens);
    if (decodes) sampling(batch);
    return rows_;
  }

 private:
  using Call = std::function<void(int64_t layer)>;

  // Random K and V wherever a batch will read, so that the CPU reads memory and not one page of zeros.
  void fill_cache() {
    int64_t blocks = 0;
    const KvLayout& layout = runner_.cache().layout();
    for (const int32_t tokens : options_.tokens) {
      for (const int32_t context : options_.contexts) {
        if (tokens <= runner_.limits().max_num_seqs && fits(tokens, context)) {
          blocks = std::max(blocks, KernelBatch::blocks(tokens, context, layout.block_size));
        }
      }
      if (fits(1, tokens)) blocks = std::max(blocks, KernelBatch::blocks(1, tokens, layout.block_size));
    }
    const int64_t row = layout.kv_heads * layout.block_size * layout.head_dim;
    for (int64_t layer = 0; layer < layout.num_layers && row > 0; ++layer) {
      const PagedKv kv = runner_.cache().layer(layer);
      for (void* data : {kv.k, kv.v}) ops_.fill_random(TensorView(data, kv.dtype, blocks, row), 3, 1.0f, 0, 0, row);
    }
    backend_.synchronize();
  }

  bool fits(int64_t sequences, int64_t context) const {
    return KernelBatch::blocks(sequences, context, runner_.cache().layout().block_size) <= runner_.cache().num_blocks();
  }

  // A tensor of random numbers that lives as long as the returned buffer.
  TensorView make(Buffer& buffer, DType dtype, int64_t rows, int64_t cols) {
    buffer = Buffer(backend_, static_cast<size_t>(rows * cols) * size_of(dtype), "bench kernels: operands");
    const TensorView view(buffer.data(), dtype, rows, cols);
    if (!view.empty()) ops_.fill_random(view, 4, 1.0f, 0, 0, cols);
    return view;
  }

  // Seconds of one call, over `layers` layers in turn.
  double time(int64_t layers, const Call& call) {
    world_.barrier("bench kernels");
    const double once = backend_.time_on_device([&] { call(0); }, 1);
    // The ranks go through as many layers each.
    const auto wanted = static_cast<int64_t>(std::ceil(kLongEnough / std::max(once, 1e-9)));
    const int64_t cycle = world_.all_max(std::min(layers, std::max<int64_t>(2, wanted)), "bench kernels");
    const auto work = [&] {
      for (int64_t i = 0; i < cycle; ++i) call(i % layers);
    };
    return backend_.time_on_device(work, options_.repeats) / static_cast<double>(cycle);
  }

  Row& add(const std::string& op, int64_t context, int64_t per_step, double bytes, double flops, int64_t layers,
           const Call& call) {
    Row row{op, tokens_, context, per_step};
    row.bytes = bytes;
    row.flops = flops;
    row.floor_seconds = std::max(bytes / rates_.bandwidth, flops / rates_.flops);
    row.seconds = time(layers, call);
    rows_.push_back(row);
    return rows_.back();
  }

  TensorView weight(const char* name, int64_t layer) const {
    return runner_.weights().get(fmt::format("layers.{}.{}", layer, name));
  }
  // Or any other that a model may lack.
  TensorView bias(const char* name, int64_t layer) const {
    return runner_.weights().find(fmt::format("layers.{}.{}", layer, name));
  }

  static double bytes_of(std::initializer_list<TensorView> operands) {
    double bytes = 0.0;
    for (const TensorView& t : operands) bytes += static_cast<double>(t.bytes());
    return bytes;
  }

  // A linear and what is fused with it, over all layers. product: [rows of x, rows of the weight], what the library's GEMM alone
  // writes; out: what the operation writes; the same unless it is fused.
  void linear(const std::string& op, const char* weight_name, TensorView product, TensorView out, TensorView x,
              const Call& call) {
    linear(
        op, model_layers_, config_.num_layers, [&](int64_t layer) { return weight(weight_name, layer); }, product, out, x, call);
  }
  template <typename WeightOf>
  void linear(const std::string& op, int64_t per_step, int64_t layers, const WeightOf& weight_of, TensorView product,
              TensorView out, TensorView x, const Call& call) {
    const double flops = 2.0 * static_cast<double>(x.rows) * static_cast<double>(x.cols) * static_cast<double>(product.cols);
    Row& row = add(op, 0, per_step, bytes_of({weight_of(0), x, out}), flops, layers, call);
    const bool library = ops_.linear_by_library(product, x, {weight_of(0)});
    backend_.synchronize();
    if (world_.all_min(library ? 1 : 0, "bench kernels") == 1) {
      row.library_seconds = time(layers, [&](int64_t layer) { ops_.linear_by_library(product, x, {weight_of(layer)}); });
    }
  }

  TensorView lm_head() const {
    return config_.tie_word_embeddings ? runner_.weights().get("embedding") : runner_.weights().get("lm_head");
  }

  // All of the forward pass but attention.
  void forward(const KernelBatch& batch) {
    const int64_t t = tokens_;
    const int64_t layers = config_.num_layers;
    const int64_t head_dim = config_.head_dim;
    const HeadLayout& heads = share_.heads;
    Buffer buffers[8];
    const TensorView hidden = make(buffers[0], act_, t, config_.hidden_size);
    const TensorView residual = make(buffers[1], DType::kFloat32, t, config_.hidden_size);
    const TensorView partial = make(buffers[2], act_, t, config_.hidden_size);
    const TensorView qkv = make(buffers[3], act_, t, (heads.q_heads + 2 * heads.kv_heads) * head_dim);
    const TensorView attended = make(buffers[4], act_, t, heads.q_heads * head_dim);
    const TensorView gate_up = make(buffers[5], act_, t, 2 * share_.ffn.size());
    const TensorView ffn = make(buffers[6], act_, t, share_.ffn.size());
    const TensorView cos_sin = make(buffers[7], DType::kFloat32, t, head_dim);
    const std::vector<float> frequencies = config_.rope_inv_freq();
    const Buffer inv_freq(backend_, frequencies.size() * sizeof(float), "bench kernels: rotary frequencies");
    backend_.copy_to_device(inv_freq.data(), frequencies.data(), inv_freq.bytes());
    const TensorView embedding = runner_.weights().get("embedding");
    const TensorView norm = weight("input_norm", 0);

    const auto looked_up = static_cast<double>(t * config_.hidden_size) * static_cast<double>(size_of(embedding.dtype));
    add("embedding", 0, 1, looked_up + bytes_of({residual}), 0, 1,
        [&](int64_t) { ops_.embedding(residual, embedding, share_.vocab.begin, batch.view()); });
    add("rope_table", 0, 1, bytes_of({cos_sin}), 0, 1,
        [&](int64_t) { ops_.rope_table(cos_sin, inv_freq.as<float>(), batch.view()); });
    linear("qkv", "qkv", qkv, qkv, hidden,
           [&](int64_t layer) { ops_.linear(qkv, hidden, {weight("qkv", layer)}, bias("qkv_bias", layer)); });
    const double stored =
        static_cast<double>(2 * heads.kv_heads * head_dim * t) * static_cast<double>(size_of(runner_.cache().layout().dtype));
    add("norm_rope_store", 0, model_layers_, 2.0 * bytes_of({qkv}) + stored + bytes_of({cos_sin}), 0, layers, [&](int64_t layer) {
      ops_.norm_rope_store(qkv, heads, bias("q_norm", layer), bias("k_norm", layer), eps_, cos_sin, batch.view(),
                           runner_.cache().layer(layer));
    });
    linear("o", "o", partial, partial, attended,
           [&](int64_t layer) { ops_.linear(partial, attended, {weight("o", layer)}, {}); });
    add("add_rms_norm", 0, 2 * model_layers_, 2.0 * bytes_of({residual}) + bytes_of({partial, hidden, norm}), 0, layers,
        [&](int64_t layer) {
          ops_.add_rms_norm(hidden, residual, partial, bias("o_bias", layer), weight("post_norm", layer), eps_);
        });
    linear("gate_up silu_mul", "gate_up", gate_up, ffn, hidden, [&](int64_t layer) {
      ops_.gated_linear(ffn, gate_up, hidden, {weight("gate_up", layer)}, bias("gate_up_bias", layer));
    });
    linear("down", "down", partial, partial, ffn, [&](int64_t layer) { ops_.linear(partial, ffn, {weight("down", layer)}, {}); });
    backend_.synchronize();  // before the buffers go
  }

  void attention(const char* op, int64_t sequences, int64_t queries, int64_t context) {
    if (!fits(sequences, context)) {
      if (world_.is_root()) {
        spdlog::warn("{} of {} x {} tokens does not fit the KV cache and is left out", op, sequences, context);
      }
      return;
    }
    const HeadLayout& heads = share_.heads;
    Buffer buffers[2];
    const KernelBatch batch(backend_, sequences, queries, context, runner_.cache().layout().block_size, config_.vocab_size);
    const TensorView qkv = make(buffers[0], act_, tokens_, (heads.q_heads + 2 * heads.kv_heads) * config_.head_dim);
    const TensorView out = make(buffers[1], act_, tokens_, heads.q_heads * config_.head_dim);
    StepShape shape = queries == 1 ? StepShape::decode(static_cast<double>(sequences), static_cast<double>(context))
                                   : StepShape::chunk(context - queries, context, true);
    const double kv = shape.kv_tokens * static_cast<double>(2 * heads.kv_heads * config_.head_dim) *
                      static_cast<double>(size_of(runner_.cache().layout().dtype));
    const double flops = 4.0 * shape.attended * static_cast<double>(heads.q_heads * config_.head_dim);
    add(op, context, model_layers_, kv + 2.0 * bytes_of({out}), flops, config_.num_layers, [&](int64_t layer) {
      ops_.attention(out, qkv, heads, static_cast<float>(config_.attention_scale()), batch.view(), runner_.cache().layer(layer));
    });
    backend_.synchronize();
  }

  // The LM head and what chooses a token for each of the sequences.
  void sampling(const KernelBatch& batch) {
    const int64_t s = tokens_;
    Buffer buffers[3];
    const TensorView hidden = make(buffers[0], act_, s, config_.hidden_size);
    const TensorView gathered = make(buffers[1], act_, s, config_.hidden_size);
    const TensorView logits = make(buffers[2], DType::kFloat32, s, share_.vocab.size());
    add("gather_rows", 0, 1, bytes_of({hidden, gathered}), 0, 1,
        [&](int64_t) { ops_.gather_rows(gathered, hidden, batch.rows()); });
    linear(
        "lm_head", 1, 1, [&](int64_t) { return lm_head(); }, logits, logits, gathered,
        [&](int64_t) { ops_.linear(logits, gathered, {lm_head()}, {}); });

    std::vector<SamplingRow> greedy(static_cast<size_t>(s)), sampled(static_cast<size_t>(s));
    for (int64_t i = 0; i < s; ++i) {
      greedy[static_cast<size_t>(i)].slot = static_cast<int32_t>(i);
      SamplingRow& row = sampled[static_cast<size_t>(i)];
      row.slot = static_cast<int32_t>(i);
      row.seed = static_cast<uint64_t>(i);
      row.output_index = 1;
      row.temperature = 0.8f;
      row.top_k = 50;
      row.top_p = 0.9f;
      row.repetition_penalty = 1.1f;
      row.penalty_row = static_cast<int32_t>(i);
    }
    Staging staging(backend_);
    const auto p_greedy = staging.add(greedy);
    const auto p_sampled = staging.add(sampled);
    staging.upload();
    const auto n = static_cast<size_t>(s);
    const Buffer candidates(backend_, n * sizeof(Candidate), "bench kernels: candidates");
    const Buffer tokens(backend_, n * sizeof(int32_t), "bench kernels: tokens");
    const Buffer last(backend_, n * sizeof(int32_t), "bench kernels: tokens");
    const auto alone = make_null_communicator(backend_);
    ThresholdFinder finder(backend_, *alone, static_cast<int32_t>(s));
    const float* thresholds = nullptr;
    const Buffer counts(backend_, logits.bytes(), "bench kernels: token counts");
    backend_.set_zero(last.data(), last.bytes());
    backend_.set_zero(counts.data(), counts.bytes());
    const double read = bytes_of({logits});
    const auto candidates_of = [&](const SamplingRow* rows, const float* threshold) {
      ops_.sample_candidates(candidates.as<Candidate>(), logits, share_.vocab.begin, threshold, rows);
    };
    add("candidates greedy", 0, 1, read, 0, 1, [&](int64_t) { candidates_of(staging.device(p_greedy), nullptr); });
    add("choose_tokens", 0, 1, 0, 0, 1, [&](int64_t) {
      ops_.choose_tokens(tokens.as<int32_t>(), last.as<int32_t>(), candidates.as<Candidate>(), 1, static_cast<int32_t>(s),
                         staging.device(p_greedy));
    });
    // Only where requests ask for them.
    add("penalties", 0, 0, 2.0 * read + bytes_of({logits}), 0, 1, [&](int64_t) {
      ops_.process_logits(logits, share_.vocab.begin, staging.device(p_sampled), nullptr, counts.as<int32_t>(),
                          last.as<int32_t>());
    });
    if (!logits.empty()) ops_.fill_random(logits, 4, 8.0f, 0, 0, logits.cols);  // what many penalties have left is not logits
    add("top-k top-p", 0, 0, read, 0, 1,
        [&](int64_t) { thresholds = finder.find(logits, staging.device(p_sampled), {.top_k = true, .top_p = true}); });
    add("candidates sampled", 0, 0, read, 0, 1, [&](int64_t) { candidates_of(staging.device(p_sampled), thresholds); });
    add("top-p", 0, 0, read, 0, 1, [&](int64_t) { finder.find(logits, staging.device(p_sampled), {.top_p = true}); });
    backend_.synchronize();
  }

  const World& world_;
  ModelRunner& runner_;
  const BenchKernelsOptions& options_;
  int64_t model_layers_;
  DeviceRates rates_;
  Backend& backend_;
  Ops& ops_;
  const ModelConfig& config_;
  const RankShare& share_;
  DType act_;
  float eps_;
  int64_t tokens_ = 0;
  std::vector<Row> rows_;
};

void print(const std::vector<Row>& rows) {
  fmt::print("{:<19} {:>6} {:>8} {:>8} {:>11} {:>11} {:>9} {:>9} {:>9} {:>11}\n", "operation", "tokens", "context", "per step",
             "time us", "floor us", "of floor", "GB/s", "TFLOP/s", "library us");
  for (const Row& row : rows) {
    fmt::print("{:<19} {:>6} {:>8} {:>8} {:>11.2f} {:>11.2f} {:>9} {:>9.1f} {:>9.2f} {:>11}\n", row.op, row.tokens,
               row.context > 0 ? std::to_string(row.context) : "-", row.per_step, row.seconds * 1e6, row.floor_seconds * 1e6,
               share_of_floor(row.floor_seconds, row.seconds), row.bytes / row.seconds / 1e9, row.flops / row.seconds / 1e12,
               row.library_seconds ? fmt::format("{:.2f}", *row.library_seconds * 1e6) : "-");
  }
  std::fflush(stdout);
}

// What a step takes by its operations alone: those of attention at one context, everything else as often as a step does it.
void print_sums(const std::vector<Row>& rows) {
  for (const Row& attention : rows) {
    if (attention.op != "attention decode") continue;
    double seconds = 0.0, floor = 0.0;
    for (const Row& row : rows) {
      if (row.context > 0 && &row != &attention) continue;
      seconds += static_cast<double>(row.per_step) * row.seconds;
      floor += static_cast<double>(row.per_step) * row.floor_seconds;
    }
    fmt::print("sum of a decode step of {} at context {}: {:.3f} ms, floors {:.3f} ms\n", attention.tokens, attention.context,
               seconds * 1e3, floor * 1e3);
  }
  std::fflush(stdout);
}

nlohmann::ordered_json to_json(const Row& row) {
  nlohmann::ordered_json json = {
      {"operation", row.op}, {"tokens", row.tokens}, {"per_step", row.per_step},          {"seconds", row.seconds},
      {"bytes", row.bytes},  {"flops", row.flops},   {"floor_seconds", row.floor_seconds}};
  if (row.context > 0) json["context"] = row.context;
  if (row.library_seconds) json["library_seconds"] = *row.library_seconds;
  return json;
}

}  // namespace

int run_bench_kernels(const World& world, const CommandLine& command_line) {
  const BenchKernelsOptions& options = command_line.bench_kernels;
  EngineOptions engine;
  ModelConfig config;
  Workload workload;
  int64_t model_layers = 0;
  world.phase("reading the model's configuration", [&] {
    engine = resolve_engine_options(command_line);
    engine.load_format = LoadFormat::kDummy;
    config = load_model_config(engine.model, engine.max_model_len);
    model_layers = config.num_layers;
    config.num_layers = choose_layers(options, engine, config, world.size());
    for (const int32_t tokens : options.tokens) {
      workload.longest = std::max<int64_t>(workload.longest, tokens);
      if (tokens > engine.max_num_seqs) continue;
      workload.num_sequences = std::max<int64_t>(workload.num_sequences, tokens);
      for (const int32_t context : options.contexts) {
        workload.total_tokens = std::max(workload.total_tokens, int64_t{tokens} * context);
      }
    }
    for (const int32_t context : options.contexts) workload.longest = std::max<int64_t>(workload.longest, context);
    workload.num_sequences = std::max<int64_t>(workload.num_sequences, 1);
    workload.total_tokens = std::max(workload.total_tokens, workload.longest);
    workload.prompt_tokens = workload.total_tokens;
    check(workload.longest <= config.max_position_embeddings,
          "--tokens and --context ask for {} tokens; the model's context is {}", workload.longest,
          config.max_position_embeddings);
  });
  const std::unique_ptr<ModelRunner> runner = bring_up(world, engine, config, workload);
  const std::vector<DeviceRates> rates = measure_rates(world, *runner, options.flops_rate);
  if (world.is_root()) {
    print_device(world, runner->backend(), rates);
    fmt::print("{} layers in turn; the model has {}\n", config.num_layers, model_layers);
  }
  KernelBench bench(world, *runner, options, model_layers, rates[static_cast<size_t>(world.rank())]);
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const int32_t tokens : options.tokens) {
    const std::vector<Row> rows = bench.run(tokens);
    if (!world.is_root() || rows.empty()) continue;
    print(rows);
    print_sums(rows);
    for (const Row& row : rows) all.push_back(to_json(row));
  }
  if (world.is_root()) {
    nlohmann::ordered_json results = describe_bench("kernels", world, *runner, engine, rates);
    results["layers"] = config.num_layers;
    results["rows"] = all;
    write_results(options.json, results);
  }
  return 0;
}

}  // namespace lockstep
