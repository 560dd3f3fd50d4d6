// Norms, rotary embedding, activation, conversions and the reductions that sampling needs; see kernels.h.
#pragma once

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/simd.h"

namespace lockstep::cpu {
namespace {

// body(i, n): a vector at i, of which n elements exist; n == kLanes but for the last.
template <typename Body>
inline __attribute__((always_inline)) void for_each_vector(int64_t n, Body body) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) body(i, static_cast<int64_t>(kLanes));
  if (i < n) body(i, n - i);
}
template <typename T>
inline Vec load_n(const T* p, int64_t n) {
  return n == kLanes ? load(p) : load_part(p, n);
}
template <typename T>
inline void store_n(T* p, Vec x, int64_t n) {
  if (n == kLanes) {
    store(p, x);
  } else {
    store_part(p, x, n);
  }
}

static void add_sum(float* x, const float* sum, const void* bias, DType bias_dtype, int64_t n) {
  if (bias == nullptr) {
    for_each_vector(n, [&](int64_t i, int64_t c) { store_n(x + i, add(load_n(x + i, c), load_n(sum + i, c)), c); });
    return;
  }
  with_type(bias_dtype, [&]<typename T>(const T*) {
    const T* b = static_cast<const T*>(bias);
    for_each_vector(
        n, [&](int64_t i, int64_t c) { store_n(x + i, add(load_n(x + i, c), add(load_n(sum + i, c), load_n(b + i, c))), c); });
  });
}

// Four accumulators hide the latency of the additions.
inline float sum_of_squares(const float* x, int64_t n) {
  Vec acc[4] = {zero(), zero(), zero(), zero()};
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      const Vec v = load(x + i + j * kLanes);
      acc[j] = fma(v, v, acc[j]);
    }
  }
  for (; i < n; i += kLanes) {
    const Vec v = load_n(x + i, min64(kLanes, n - i));
    acc[0] = fma(v, v, acc[0]);
  }
  return reduce_add(add(add(acc[0], acc[1]), add(acc[2], acc[3])));
}

static void rms_norm(float* out, const float* x, const void* weight, DType weight_dtype, float eps, int64_t n) {
  const float mean = sum_of_squares(x, n) / static_cast<float>(n);
  const Vec scale = set1(1.0f / __builtin_sqrtf(mean + eps));
  with_type(weight_dtype, [&]<typename T>(const T*) {
    const T* w = static_cast<const T*>(weight);
    for_each_vector(n, [&](int64_t i, int64_t c) { store_n(out + i, mul(mul(load_n(x + i, c), scale), load_n(w + i, c)), c); });
  });
}

static void to_float(float* out, const void* in, DType in_dtype, int64_t n) {
  with_type(in_dtype, [&]<typename T>(const T*) {
    const T* from = static_cast<const T*>(in);
    for_each_vector(n, [&](int64_t i, int64_t c) { store_n(out + i, load_n(from + i, c), c); });
  });
}

static void from_float(void* out, DType out_dtype, const float* in, int64_t n) {
  with_type(out_dtype, [&]<typename T>(const T*) {
    T* to = static_cast<T*>(out);
    for_each_vector(n, [&](int64_t i, int64_t c) { store_n(to + i, load_n(in + i, c), c); });
  });
}

// rotate_half: (x1, x2) -> (x1 cos - x2 sin, x2 cos + x1 sin), x1 the first half of the head and x2 the second.
inline void rotate(float* head, const float* cosine, const float* sine, int64_t half) {
  for_each_vector(half, [&](int64_t i, int64_t c) {
    const Vec x1 = load_n(head + i, c), x2 = load_n(head + half + i, c);
    const Vec co = load_n(cosine + i, c), si = load_n(sine + i, c);
    store_n(head + i, sub(mul(x1, co), mul(x2, si)), c);
    store_n(head + half + i, add(mul(x2, co), mul(x1, si)), c);
  });
}

static void norm_rope_store(const NormRopeArgs& a) {
  const int64_t half = a.head_dim / 2;
  float cosine[kMaxHeadDim / 2], sine[kMaxHeadDim / 2];
  for (int64_t i = 0; i < half; ++i) {
    cosine[i] = a.cos_sin[2 * i];
    sine[i] = a.cos_sin[2 * i + 1];
  }
  const int64_t element = a.kv_dtype == DType::kFloat32 ? 4 : 2;
  for (int64_t h = 0; h < a.q_heads + a.kv_heads; ++h) {
    float* head = a.qkv + h * a.head_dim;
    const bool is_q = h < a.q_heads;
    const void* norm = is_q ? a.q_norm : a.k_norm;
    if (norm) rms_norm(head, head, norm, is_q ? a.q_norm_dtype : a.k_norm_dtype, a.eps, a.head_dim);
    rotate(head, cosine, sine, half);
  }
  for (int64_t h = 0; h < a.kv_heads; ++h) {
    const int64_t offset = h * a.head_stride * element;
    const float* k = a.qkv + (a.q_heads + h) * a.head_dim;
    const float* v = a.qkv + (a.q_heads + a.kv_heads + h) * a.head_dim;
    from_float(static_cast<char*>(a.k_cache) + offset, a.kv_dtype, k, a.head_dim);
    from_float(static_cast<char*>(a.v_cache) + offset, a.kv_dtype, v, a.head_dim);
  }
}

static void silu_mul(float* out, const float* gate, const float* up, int64_t n) {
  const Vec one = set1(1.0f);
  for_each_vector(n, [&](int64_t i, int64_t c) {
    const Vec g = load_n(gate + i, c);
    store_n(out + i, mul(div(g, add(one, exp(sub(zero(), g)))), load_n(up + i, c)), c);
  });
}

static void block_max(float* out, const float* x, int64_t n) {
  const float lowest = -__builtin_inff();
  for (int64_t b = 0; b * kMaxBlock < n; ++b) {
    const float* block = x + b * kMaxBlock;
    const int64_t count = min64(kMaxBlock, n - b * kMaxBlock);
    Vec top = set1(lowest);
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) top = max(load(block + i), top);
    float best = reduce_max(top);
    for (; i < count; ++i) best = block[i] > best ? block[i] : best;
    out[b] = best;
  }
}

static double sum_exp(const float* x, float max, float inv_temperature, int64_t n) {
  const Vec shift = set1(max), scale = set1(inv_temperature);
  double total = 0.0;
  constexpr int64_t kRun = 32 * kLanes;  // summed in float32
  for (int64_t begin = 0; begin < n; begin += kRun) {
    const int64_t end = min64(begin + kRun, n);
    Vec acc = zero();
    float tail = 0.0f;
    for_each_vector(end - begin, [&](int64_t i, int64_t c) {
      Vec e = exp(mul(sub(load_n(x + begin + i, c), shift), scale));
      if (c == kLanes) {
        acc = add(acc, e);
      } else {
        float part[kLanes];
        store(part, e);
        for (int64_t j = 0; j < c; ++j) tail += part[j];
      }
    });
    total += static_cast<double>(reduce_add(acc)) + static_cast<double>(tail);
  }
  return total;
}

static float read_all(const void* data, int64_t bytes) {
  const float* x = static_cast<const float*>(data);
  Vec acc[4] = {zero(), zero(), zero(), zero()};
  for (int64_t i = 0; i + 4 * kLanes <= bytes / 4; i += 4 * kLanes) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) acc[j] = add(acc[j], load(x + i + j * kLanes));
  }
  return reduce_add(add(add(acc[0], acc[1]), add(acc[2], acc[3])));
}

}  // namespace
}  // namespace lockstep::cpu
