#include "model/decoder.h"

#include <algorithm>
#include <array>
#include <string>

#include "base/error.h"

namespace lockstep {
namespace {

constexpr size_t kAlignment = 256;

}  // namespace

Decoder::Decoder(const ModelConfig& config, const RankShare& share, const Weights& weights, const KvCache& cache,
                 Backend& backend, Communicator& comm, int64_t max_tokens, int64_t overlap_tokens)
    : config_(config),
      share_(share),
      backend_(backend),
      comm_(comm),
      act_(backend.activation_dtype(weights.dtype())),
      max_tokens_(max_tokens),
      overlap_tokens_(overlap_tokens),
      eps_(static_cast<float>(config.rms_norm_eps)),
      embedding_(weights.get("embedding")),
      final_norm_(weights.get("final_norm")),
      lm_head_{config.tie_word_embeddings ? embedding_ : weights.get("lm_head")} {
  weight_bytes_per_step_ = weights.bytes() - (config.tie_word_embeddings ? 0 : embedding_.bytes());
  layers_.reserve(static_cast<size_t>(config.num_layers));
  for (int64_t i = 0; i < config.num_layers; ++i) {
    const std::string prefix = "layers." + std::to_string(i) + ".";
    Layer layer;
    layer.input_norm = weights.get(prefix + "input_norm");
    layer.post_norm = weights.get(prefix + "post_norm");
    layer.qkv = {weights.get(prefix + "qkv"), weights.find(prefix + "qkv_bias")};
    layer.q_norm = weights.find(prefix + "q_norm");
    layer.k_norm = weights.find(prefix + "k_norm");
    layer.o = {weights.get(prefix + "o"), weights.find(prefix + "o_bias")};
    layer.gate_up = {weights.get(prefix + "gate_up"), weights.find(prefix + "gate_up_bias")};
    layer.down = {weights.get(prefix + "down"), weights.find(prefix + "down_bias")};
    layer.kv = cache.layer(i);
    layers_.push_back(layer);
  }
  const std::vector<float> inv_freq = config.rope_inv_freq();
  inv_freq_ = Buffer(backend, inv_freq.size() * sizeof(float), "rotary frequencies");
  backend.copy_to_device(inv_freq_.data(), inv_freq.data(), inv_freq.size() * sizeof(float));
  activation_bytes_ = activation_bytes(config, share, act_, max_tokens);
  activations_ = static_cast<char*>(comm.allocate(
      backend, activation_bytes_, "activations of " + std::to_string(max_tokens) + " tokens (--max-num-batched-tokens)"));
  backend.synchronize();
}

size_t Decoder::activation_bytes(const ModelConfig& config, const RankShare& share, DType act, int64_t max_tokens) {
  Activations unused;
  return lay_out(config, share, act, max_tokens, nullptr, unused);
}

Decoder::Activations Decoder::Activations::rows(int64_t begin, int64_t count) const {
  const auto part = [&](const TensorView& view) { return view.slice_rows(begin, count); };
  return {part(residual), part(hidden), part(partial), part(qkv), part(attention), part(gate_up), part(ffn), part(cos_sin)};
}

size_t Decoder::lay_out(const ModelConfig& config, const RankShare& share, DType act, int64_t tokens, char* base,
                        Activations& out) {
  size_t used = 0;
  const auto place = [&](DType dtype, int64_t cols) {
    const TensorView view(base == nullptr ? nullptr : base + used, dtype, tokens, cols);
    used += (view.bytes() + kAlignment - 1) / kAlignment * kAlignment;
    return view;
  };
  const int64_t hidden = config.hidden_size;
  const int64_t head_dim = config.head_dim;
  // First what is the same size on every rank and takes part in collectives, so that it is in the same place.
  out.residual = place(DType::kFloat32, hidden);
  out.hidden = place(act, hidden);
  out.partial = place(act, hidden);
  out.cos_sin = place(DType::kFloat32, head_dim);
  out.qkv = place(act, (share.heads.q_heads + 2 * share.heads.kv_heads) * head_dim);
  out.attention = place(act, share.heads.q_heads * head_dim);
  out.gate_up = place(act, 2 * share.ffn.size());
  out.ffn = place(act, share.ffn.size());
  return used;
}

TensorView Decoder::forward(const BatchView& batch) {
  check(batch.num_tokens > 0 && batch.num_tokens <= max_tokens_, "a step of {} tokens; this decoder takes 1 to {}",
        batch.num_tokens, max_tokens_);
  Ops& ops = backend_.ops();
  Activations a;
  lay_out(config_, share_, act_, batch.num_tokens, activations_, a);

  ops.rope_table(a.cos_sin, inv_freq_.as<float>(), batch);
  // Vocab-parallel embedding: each rank looks up the ids of its shard and leaves zeros elsewhere; the sum is the lookup.
  ops.embedding(a.residual, embedding_, share_.vocab.begin, batch);
  comm_.all_reduce(a.residual);
  ops.rms_norm(a.hidden, a.residual, layers_.front().input_norm, eps_);
  if (overlap_tokens_ > 0 && batch.num_tokens >= std::max<int64_t>(overlap_tokens_, 2) && comm_.size() > 1) {
    run_layers_in_halves(a, batch);
    return a.hidden;
  }
  // For gathering rows and for the LM head, a norm that is finished.
  if (run_layers(a, batch).squares.data != nullptr) ops.rms_norm(a.hidden, a.residual, final_norm_, eps_);
  return a.hidden;
}

TensorView Decoder::norm_after(size_t layer) const {
  return layer + 1 < layers_.size() ? layers_[layer + 1].input_norm : final_norm_;
}

Rows Decoder::run_layers(const Activations& a, const BatchView& batch) {
  Ops& ops = backend_.ops();
  Rows hidden = a.hidden;
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    hidden = reduce_add_norm(comm_, ops, a.hidden, a.residual, attention(layer, hidden, a, batch), layer.post_norm, eps_);
    hidden = reduce_add_norm(comm_, ops, a.hidden, a.residual, mlp(layer, hidden, a), norm_after(i), eps_);
  }
  return hidden;
}

void Decoder::run_layers_in_halves(const Activations& a, const BatchView& batch) {
  Ops& ops = backend_.ops();
  const int64_t first = batch.num_tokens / 2;
  const std::array<Activations, 2> halves{a.rows(0, first), a.rows(first, batch.num_tokens - first)};
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    for (int h = 0; h < 2; ++h) {
      const Activations& half = halves[static_cast<size_t>(h)];
      if (i > 0) SideStream::wait(backend_, h);
      layer.qkv.forward(ops, half.qkv, half.hidden);
    }
    attend(layer, a, batch);
    for (int h = 0; h < 2; ++h) {
      const Activations& half = halves[static_cast<size_t>(h)];
      reduce_add_norm_beside(backend_, h, comm_, half.hidden, half.residual, layer.o.forward(half.partial, half.attention),
                             layer.post_norm, eps_);
    }
    for (int h = 0; h < 2; ++h) {
      const Activations& half = halves[static_cast<size_t>(h)];
      SideStream::wait(backend_, h);
      reduce_add_norm_beside(backend_, h, comm_, half.hidden, half.residual, mlp(layer, half.hidden, half), norm_after(i), eps_);
    }
  }
  for (int h = 0; h < 2; ++h) SideStream::wait(backend_, h);
}

PartialSum Decoder::attention(const Layer& layer, const Rows& hidden, const Activations& a, const BatchView& batch) {
  Ops& ops = backend_.ops();
  layer.qkv.forward(ops, a.qkv, hidden);
  attend(layer, a, batch);
  return layer.o.forward(a.partial, a.attention);
}

void Decoder::attend(const Layer& layer, const Activations& a, const BatchView& batch) {
  Ops& ops = backend_.ops();
  ops.rope_attention(a.attention, a.qkv, share_.heads, layer.q_norm, layer.k_norm, eps_, a.cos_sin,
                     static_cast<float>(config_.attention_scale()), batch, layer.kv);
}

PartialSum Decoder::mlp(const Layer& layer, const Rows& hidden, const Activations& a) {
  Ops& ops = backend_.ops();
  layer.gate_up.forward_gated(ops, a.ffn, a.gate_up, hidden);
  return layer.down.forward(a.partial, a.ffn);
}

void Decoder::logits(TensorView out, TensorView hidden) { backend_.ops().linear(out, hidden, lm_head_, TensorView{}); }

}  // namespace lockstep
