// Decoder: the one transformer of Lockstep, described by ModelConfig: RMSNorm, grouped-query attention with rotary embedding
// (optional biases and QK-norm), SwiGLU MLP. Llama, Qwen2, Qwen3 and Mistral are data, not classes.
//
// Two AllReduces a layer (after o and after down), plus one for the vocab-parallel embedding.
#pragma once

#include <cstdint>
#include <vector>

#include "cache/kv_cache.h"
#include "comm/communicator.h"
#include "config/model_config.h"
#include "kernels/backend.h"
#include "kernels/ops.h"
#include "model/parallel_linear.h"
#include "partition/partition.h"
#include "weights/weights.h"

namespace lockstep {

class Decoder {
 public:
  // Borrows everything; weights and cache must be this rank's share of `config`. max_tokens: the largest T of a step.
  // overlap_tokens: steps of so many tokens and more run in two halves; 0: none do. Allocates the activations.
  Decoder(const ModelConfig& config, const RankShare& share, const Weights& weights, const KvCache& cache, Backend& backend,
          Communicator& comm, int64_t max_tokens, int64_t overlap_tokens = 0);

  // Runs all layers over the step's tokens, writes their K and V, and returns the hidden states after the final norm, [T, H] act,
  // valid until the next call. AllReduces: 2 * num_layers + 1; in two halves 4 * num_layers + 1.
  TensorView forward(const BatchView& batch);

  // This rank's shard of the logits of the given rows. hidden: [S, H] act; out: [S, V] float32.
  void logits(TensorView out, TensorView hidden);

  // Bytes that a step must read on this rank whatever its batch: the weights of the layers and of the LM head.
  size_t weight_bytes_per_step() const { return weight_bytes_per_step_; }
  // Bytes of activations, for the report at start-up.
  size_t activation_bytes() const { return activation_bytes_; }
  // What activations will take, known before anything is allocated.
  static size_t activation_bytes(const ModelConfig& config, const RankShare& share, DType act, int64_t max_tokens);
  // Likewise the rotary frequencies.
  static size_t frequency_bytes(const ModelConfig& config) { return static_cast<size_t>(config.head_dim / 2) * sizeof(float); }

 private:
  struct Layer {
    TensorView input_norm, post_norm;  // [1, H]
    ColumnParallelLinear qkv;          // [(Hq + 2 Hkv) * D, H]
    TensorView q_norm, k_norm;         // [1, D], or absent
    RowParallelLinear o;               // [H, Hq * D]
    ColumnParallelLinear gate_up;      // [2F, H]
    RowParallelLinear down;            // [H, F]
    PagedKv kv;
  };
  // Activations of one step, T rows each.
  struct Activations {
    TensorView residual;   // [T, H] float32
    TensorView hidden;     // [T, H]
    TensorView partial;    // [T, H]
    TensorView qkv;        // [T, (Hq + 2 Hkv) * D]
    TensorView attention;  // [T, Hq * D]
    TensorView gate_up;    // [T, 2F]
    TensorView ffn;        // [T, F]
    TensorView cos_sin;    // [T, D] float32
    Activations rows(int64_t begin, int64_t count) const;
  };
  // Lays the activations of `tokens` tokens out from `base` on; returns the bytes used. base may be null to measure.
  static size_t lay_out(const ModelConfig& config, const RankShare& share, DType act, int64_t tokens, char* base,
                        Activations& out);

  Rows run_layers(const Activations& a, const BatchView& batch);
  // The tokens in two halves, so that the AllReduces of one run beside the linears of the other. Attention is done for all
  // tokens at once.
  void run_layers_in_halves(const Activations& a, const BatchView& batch);
  PartialSum attention(const Layer& layer, const Rows& hidden, const Activations& a, const BatchView& batch);
  void attend(const Layer& layer, const Activations& a, const BatchView& batch);
  TensorView norm_after(size_t layer) const;  // its weights, [1, H]
  PartialSum mlp(const Layer& layer, const Rows& hidden, const Activations& a);

  const ModelConfig& config_;
  RankShare share_;
  Backend& backend_;
  Communicator& comm_;
  DType act_;
  int64_t max_tokens_;
  int64_t overlap_tokens_;
  float eps_;
  TensorView embedding_;   // [V, H]
  TensorView final_norm_;  // [1, H]
  LinearWeight lm_head_;   // [V, H]; the embedding where the two are tied
  std::vector<Layer> layers_;
  Buffer inv_freq_;              // [D / 2] float32
  char* activations_ = nullptr;  // the communicator's
  size_t activation_bytes_ = 0;
  size_t weight_bytes_per_step_ = 0;
};

}  // namespace lockstep
