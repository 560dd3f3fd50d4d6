#include "plan/step_time.h"

#include <algorithm>
#include <cmath>

#include "kernels/cuda/workspace.h"
#include "plan/rank_weights.h"

namespace lockstep {
namespace {

constexpr int kOverlapCapability = 90;        // from here on a kernel may start before the one before it has ended
constexpr double kKernelsBesideLayers = 8.0;  // embedding, rotary table, rows that sample, LM head, sampling, their copies
// Of a layer: qkv, attention with rotation and KV store, o, gate_up with silu·mul, down. Then the two norms, where they are
// neither in the linears around them nor in the AllReduces before them; then silu·mul, where gate_up does not have it inside.
constexpr double kFusedKernels = 5.0, kNorms = 2.0, kSiluMul = 1.0;

// The rate at which the format multiplies on this device: of 8 bits where it has such units; 4 bits become 16 on the way.
double gemm_rate(const Gpu& gpu, WeightFormat format) {
  if (format == WeightFormat::kFp8 && gpu.fp8_flops > 0.0) return gpu.fp8_flops;
  if (format == WeightFormat::kInt8 && gpu.int8_ops > 0.0) return gpu.int8_ops;
  if (format == WeightFormat::kFloat32 && !gpu.cpu) return gpu.bf16_flops / 2.0;  // TF32
  return gpu.bf16_flops;
}

bool ends_with_any(const std::string& name, std::initializer_list<const char*> ends) {
  return std::any_of(ends.begin(), ends.end(), [&](const char* end) { return name.ends_with(end); });
}

}  // namespace

const Link& Cluster::link_for(int tp) const {
  if (tp > gpus_per_node) return network;
  const int group = gpu.max_gpus_per_link_group;
  return group > 0 && tp > group ? beyond_group : node_link;
}

double all_reduce_volume(double bytes, int tp) { return 2.0 * (tp - 1) / tp * bytes; }

double all_reduce_seconds(const Cluster& cluster, double bytes, int tp) {
  if (tp == 1) return 0.0;
  const double volume = all_reduce_volume(bytes, tp);
  const int in_node = std::min(tp, cluster.gpus_per_node);
  const Link& inside = cluster.link_for(in_node);
  const double inside_rate = inside.bandwidth * inside.efficiency;
  const double inside_latency = in_node > 1 ? inside.latency_s + inside.hop_s * (in_node - 2) : 0.0;
  if (tp <= cluster.gpus_per_node) return inside_latency + volume / inside_rate;
  // A ring through all nodes: the same volume crosses the edge of a node, over all its NICs, and every link inside.
  const int nodes = (tp + cluster.gpus_per_node - 1) / cluster.gpus_per_node;
  const double edge_rate = cluster.network.bandwidth * cluster.network.efficiency * cluster.nics_per_node;
  const double rate = in_node > 1 ? std::min(inside_rate, edge_rate) : edge_rate;
  return inside_latency + cluster.network.latency_s + cluster.network.hop_s * (nodes - 2) + volume / rate;
}

double link_bytes_per_token(const PlannedModel& model, int tp) {
  return 2.0 * static_cast<double>(model.config.num_layers) *
         all_reduce_volume(static_cast<double>(model.config.hidden_size) * static_cast<double>(size_of(model.base_dtype())), tp);
}

StepTime& StepTime::operator+=(const StepTime& other) {
  linears += other.linears;
  attention += other.attention;
  elementwise += other.elementwise;
  kernels += other.kernels;
  all_reduce += other.all_reduce;
  return *this;
}

StepTimeModel::StepTimeModel(const PlannedModel& model, const Cluster& cluster, int tp)
    : model_(model), cluster_(cluster), tp_(tp) {
  // The first and the last rank bound all shares: larger ones come first (deal()); between them KV heads may be replicated.
  for (int rank = 0; rank < tp; ++rank) ranks_.push_back(costs_of(rank));
}

StepTimeModel::RankCosts StepTimeModel::costs_of(int rank) const {
  const ModelConfig& c = model_.config;
  const RankShare share = planned_share(model_, tp_, rank);
  RankCosts costs;
  const auto linear = [&](const PlannedParameter& p, double share_of = 1.0) {
    return Linear{static_cast<double>(p.parameter.rows) * share_of, static_cast<double>(p.parameter.cols),
                  static_cast<double>(parameter_bytes(model_, p)) * share_of};
  };
  // A layer with experts, if there is one, and a dense one: the layers of a kind are alike.
  PlannedModel one = model_;
  one.config.num_layers = 1;
  if (one.experts) one.experts->first_layer = 1;
  for (const PlannedParameter& p : rank_parameters(one, tp_, rank)) {
    const std::string& name = p.parameter.name;
    if (!name.starts_with("layers.") || p.parameter.rows <= 1) continue;  // norms and biases have one row
    costs.linears.push_back(linear(p));
    costs.linears.back().dense_mlp = ends_with_any(name, {".gate_up", ".down"});
  }
  if (model_.experts) {
    one.experts->first_layer = 0;
    const double count = static_cast<double>(model_.experts->count);
    for (const PlannedParameter& p : rank_parameters(one, tp_, rank)) {
      const std::string& name = p.parameter.name;
      if (name.find(".experts.") != std::string::npos) {
        costs.expert_linears.push_back(linear(p, 1.0 / count));
      } else if (ends_with_any(name, {".router", "shared.gate_up", "shared.down"})) {
        costs.shared_linears.push_back(linear(p));
      }
    }
  }
  const double hidden = static_cast<double>(c.hidden_size);
  const double element = static_cast<double>(size_of(model_.base_dtype()));
  const double head_dim = static_cast<double>(c.head_dim);
  const double q = static_cast<double>(share.heads.q_heads) * head_dim;
  const double kv = static_cast<double>(share.heads.kv_heads) * head_dim;
  costs.vocab = static_cast<double>(share.vocab.size());
  costs.lm_head = {costs.vocab, hidden, costs.vocab * hidden * element};
  costs.kv_bytes_per_token = static_cast<double>(kv_bytes_per_token(model_, share));
  costs.attention_width = model_.latent ? static_cast<double>(share.heads.q_heads) *
                                              static_cast<double>(2 * model_.latent->kv_rank + model_.latent->rope_dim)
                                        : 2.0 * q;
  // Two norms read and write the residual (float32) and read and write a row each; rotation reads and writes q and k and stores
  // K and V; silu·mul, where gate_up does not have it inside, reads gate and up and writes their product.
  const double gated = fuses_silu_mul() ? 0.0 : 3.0 * static_cast<double>(share.ffn.size());
  costs.elementwise_bytes = 2.0 * hidden * (2.0 * sizeof(float) + 2.0 * element) + (2.0 * q + 4.0 * kv + gated) * element;
  return costs;
}

double StepTimeModel::linear_seconds(const Linear& l, double tokens) const {
  const Efficiency& e = cluster_.gpu.efficiency;
  const bool few = tokens <= cuda::kMaxStreamTokens;
  const double element = static_cast<double>(size_of(model_.base_dtype()));
  const double bytes = l.weight_bytes + (few ? 0.0 : tokens * (l.columns + l.rows_of_weights) * element);
  const double read = cluster_.gpu.bandwidth * (few ? e.read : e.library_read);
  // A GEMM of few rows leaves part of its tiles empty; the library's has more to fill than the streaming one's 8 to 64.
  const double rate = gemm_rate(cluster_.gpu, model_.format) * e.gemm * (few ? 1.0 : tokens / (tokens + e.rows_for_half));
  return std::max(bytes / read, 2.0 * tokens * l.columns * l.rows_of_weights / rate);
}

bool StepTimeModel::fuses_silu_mul() const {
  return cluster_.gpu.compute_capability >= kOverlapCapability && size_of(model_.base_dtype()) == 2;
}

double StepTimeModel::kernel_seconds(double tokens) const {
  const Efficiency& e = cluster_.gpu.efficiency;
  double gap = e.kernel_us;
  if (cluster_.gpu.compute_capability >= kOverlapCapability && tokens <= cuda::kMaxStreamTokens) {
    // What hides behind the kernel before shrinks as that has more to do.
    gap = e.overlapped_us + (e.kernel_us - e.overlapped_us) * tokens / cuda::kMaxStreamTokens;
  }
  const bool in_linears = tp_ == 1 && tokens <= cuda::kMaxAddNormTokens && cluster_.gpu.compute_capability >= kOverlapCapability;
  const bool in_all_reduces = tp_ > 1 && cluster_.is_direct(tp_);  // over peer memory
  double kernels = kFusedKernels;
  if (!in_linears && !in_all_reduces) kernels += kNorms;
  if (!fuses_silu_mul()) kernels += kSiluMul;
  return (static_cast<double>(model_.config.num_layers) * kernels + kKernelsBesideLayers) * gap * 1e-6;
}

StepTime StepTimeModel::step_of(const RankCosts& rank, const StepShape& shape) const {
  const Gpu& gpu = cluster_.gpu;
  const auto layers = static_cast<double>(model_.config.num_layers);
  const double expert_layers = model_.experts ? static_cast<double>(model_.experts->layers(model_.config.num_layers)) : 0.0;
  StepTime time;
  for (const Linear& l : rank.linears) {
    time.linears += (l.dense_mlp ? layers - expert_layers : layers) * linear_seconds(l, shape.tokens);
  }
  for (const Linear& l : rank.shared_linears) time.linears += expert_layers * linear_seconds(l, shape.tokens);
  if (model_.experts) {
    // Of `count` experts, those that some token chooses, were choices even; each computes its tokens.
    const double count = static_cast<double>(model_.experts->count), k = static_cast<double>(model_.experts->per_token);
    const double touched = count * (1.0 - std::pow(1.0 - k / count, shape.tokens));
    for (const Linear& l : rank.expert_linears) {
      time.linears += expert_layers * touched * linear_seconds(l, shape.tokens * k / std::max(touched, 1e-9));
    }
  }
  if (shape.sampled > 0.0) time.linears += linear_seconds(rank.lm_head, shape.sampled);

  const double read = gpu.bandwidth * gpu.efficiency.read;
  time.attention = std::max(shape.kv_tokens * rank.kv_bytes_per_token / read,
                            2.0 * shape.attended * rank.attention_width * layers / (gpu.bf16_flops * gpu.efficiency.attention));
  // The logits are written, then read once to sample.
  time.elementwise = (shape.tokens * rank.elementwise_bytes * layers + shape.sampled * rank.vocab * 2.0 * sizeof(float)) / read;
  time.kernels = kernel_seconds(shape.tokens);
  const double row = static_cast<double>(model_.config.hidden_size);
  const double element = static_cast<double>(size_of(gpu.cpu ? DType::kFloat32 : model_.base_dtype()));
  // Two a layer, and that of the embedding, in float32.
  time.all_reduce = 2.0 * layers * all_reduce_seconds(cluster_, shape.tokens * row * element, tp_) +
                    all_reduce_seconds(cluster_, shape.tokens * row * sizeof(float), tp_);
  return time;
}

StepTime StepTimeModel::step(const StepShape& shape) const {
  StepTime longest;
  for (const RankCosts& rank : ranks_) {
    const StepTime time = step_of(rank, shape);
    if (time.total() > longest.total()) longest = time;
  }
  return longest;
}

StepTime StepTimeModel::prefill(int64_t batch, int64_t length, int64_t budget) const {
  StepTime all;
  for (const StepShape& shape : prefill_steps(batch, length, budget)) all += step(shape);
  return all;
}

namespace {

constexpr int64_t kChunksPerStage = 4;   // of a prefill: the pipe is full for most of it
constexpr int64_t kSmallestChunk = 512;  // tokens with which a GEMM still comes near its rate

// From one stage to the next: the rows of the residual, over the network where the stages are on different nodes.
double hop_seconds(const Cluster& cluster, const PlannedModel& model, int tp, int stages, double tokens) {
  const bool leaves = tp * stages > cluster.gpus_per_node;
  const Link& link = leaves ? cluster.network : cluster.link_for(std::min(tp * stages, cluster.gpus_per_node));
  return link.latency_s +
         tokens * static_cast<double>(model.config.hidden_size) * sizeof(float) / (link.bandwidth * link.efficiency);
}

}  // namespace

PipelineTime pipeline_decode(const StepTimeModel& whole, const Cluster& cluster, const PlannedModel& model, int tp, int stages,
                             double batch, double context) {
  const double part = std::max(1.0, batch / stages);                           // a micro-batch
  const double hops = stages * hop_seconds(cluster, model, tp, stages, part);  // the last one returns the token
  PipelineTime time;
  time.token_seconds = whole.decode(part, context).total() + (stages > 1 ? hops : 0.0);
  time.tokens_per_second = batch / time.token_seconds;
  return time;
}

double pipeline_prefill(const StepTimeModel& whole, const Cluster& cluster, const PlannedModel& model, int tp, int stages,
                        int64_t batch, int64_t length, int64_t budget) {
  if (stages == 1) return whole.prefill(batch, length, budget).total();
  // In chunks, so that every stage is busy: each stage takes 1 / stages of a step, and the pipe fills and drains once.
  const int64_t chunk =
      std::clamp<int64_t>(batch * length / (kChunksPerStage * stages), std::min(kSmallestChunk, budget), budget);
  const std::vector<StepShape> steps = prefill_steps(batch, length, chunk);
  double sum = 0.0;
  for (const StepShape& shape : steps) {
    sum += whole.step(shape).total() / stages + hop_seconds(cluster, model, tp, stages, shape.tokens);
  }
  return sum * (static_cast<double>(steps.size()) + stages - 1.0) / static_cast<double>(steps.size());
}

}  // namespace lockstep
