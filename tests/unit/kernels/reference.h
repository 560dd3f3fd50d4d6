// What every op computes, in double on the host, written for clarity alone.
#pragma once

#include <cstdint>
#include <vector>

#include "unit/kernels/kernel_test.h"

namespace lockstep::test {

using Doubles = std::vector<double>;

Doubles to_doubles(const HostTensor& t);

// bias may be empty. [M, N].
Doubles linear_reference(const HostTensor& x, const HostTensor& w, const HostTensor& bias);
// x: [rows, cols] in double. [rows, cols].
Doubles rms_norm_reference(const Doubles& x, int64_t cols, const HostTensor& weight, double eps);
Doubles silu_mul_reference(const HostTensor& gate_up);
// [T, D]: {cos, sin} side by side; the angle is the float32 product.
Doubles rope_reference(const std::vector<int32_t>& positions, const std::vector<float>& inv_freq);
// [T, (Hq + 2 Hkv) * D] after QK-norm and rotation; v unchanged. Norm weights may be empty.
Doubles norm_rope_reference(const HostTensor& qkv, const HeadLayout& heads, const HostTensor& q_norm, const HostTensor& k_norm,
                            double eps, const HostTensor& cos_sin);
// k, v: [num_blocks * kv_heads * block_size, D]. [T, Hq * D]; zeros for a sequence without context.
Doubles attention_reference(const HostTensor& qkv, const HeadLayout& heads, double scale, const HostBatch& batch,
                            const HostTensor& k, const HostTensor& v);

// Processed logits of one row of the full vocabulary; counts is changed.
Doubles process_logits_reference(const std::vector<float>& logits, const SamplingRow& row, const std::vector<LogitEdit>& edits,
                                 std::vector<int32_t>& counts, const std::vector<int32_t>& last_token);
// Which tokens transformers' warpers leave, in the order temperature, top-k, top-p, min-p; the smallest logit among them.
double threshold_reference(const std::vector<float>& logits, const SamplingRow& row);
Doubles log_softmax_reference(const std::vector<float>& logits);

}  // namespace lockstep::test
