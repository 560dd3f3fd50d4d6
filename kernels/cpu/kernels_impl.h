// The table of one instruction set's kernels; the last include of kernels_<isa>.cpp.
#pragma once

#include "kernels/cpu/attention_impl.h"
#include "kernels/cpu/digit_weights_impl.h"
#include "kernels/cpu/elementwise_impl.h"
#include "kernels/cpu/linear_impl.h"

namespace lockstep::cpu {
namespace {

constexpr CpuKernels make_kernels(const char* isa) {
#ifdef LOCKSTEP_BF16
  constexpr bool kBf16Products = true;
#else
  constexpr bool kBf16Products = false;
#endif
  return {.isa = isa,
          .bf16_products = kBf16Products,
          .tile_n = kTileN,
          .max_stream_rows = kMaxStreamRows,
          .linear_stream = linear_stream,
          .linear_blocked = linear_blocked,
          .pack_operand = nullptr,
          .attention_chunk = attention_chunk,
          .attention_merge = attention_merge,
          .divide = divide,
          .add_sum = add_sum,
          .rms_norm = rms_norm,
          .norm_rope_store = norm_rope_store,
          .silu_mul = silu_mul,
          .to_float = to_float,
          .from_float = from_float,
          .block_max = block_max,
          .sum_exp = sum_exp,
          .digit_weights = digit_weights,
          .read_all = read_all};
}

}  // namespace
}  // namespace lockstep::cpu
