// The loops of rank_sum.cpp, included there once for each instruction set, each time into a namespace of its own that declares
// load_f16 and store_f16. No include guard, therefore.
// Only rank_sum.cpp includes it.

template <DType T>
[[gnu::always_inline]] inline void load(F32x16& v, const void* base, int64_t i) {
  const auto* p = static_cast<const char*>(base) + i * static_cast<int64_t>(kSize<T>);
  if constexpr (T == DType::kFloat32) {
    std::memcpy(&v, p, sizeof(v));
  } else if constexpr (T == DType::kBFloat16) {
    U16x16 half;
    std::memcpy(&half, p, sizeof(half));
    const U32x16 bits = __builtin_convertvector(half, U32x16) << 16;
    std::memcpy(&v, &bits, sizeof(v));
  } else {
    load_f16(v, reinterpret_cast<const uint16_t*>(p));
  }
}

template <DType T>
[[gnu::always_inline]] inline void store(void* base, int64_t i, const F32x16& v) {
  auto* p = static_cast<char*>(base) + i * static_cast<int64_t>(kSize<T>);
  if constexpr (T == DType::kFloat32) {
    std::memcpy(p, &v, sizeof(v));
  } else if constexpr (T == DType::kBFloat16) {
    U32x16 bits;
    std::memcpy(&bits, &v, sizeof(bits));
    const U32x16 rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    const U32x16 quiet_nan = (bits >> 16) | 0x40u;
    const U32x16 is_nan = (U32x16)((bits & 0x7fffffffu) > 0x7f800000u);
    const U16x16 half = __builtin_convertvector((is_nan & quiet_nan) | (~is_nan & rounded), U16x16);
    std::memcpy(p, &half, sizeof(half));
  } else {
    store_f16(reinterpret_cast<uint16_t*>(p), v);
  }
}

template <DType Out, DType In>
void sum(void* out, std::span<const void* const> in, int64_t count) {
  int64_t i = 0;
  for (; i + 2 * kWidth <= count; i += 2 * kWidth) {  // two at a time hide the latency of the additions
    F32x16 a, b, x, y;
    load<In>(a, in[0], i);
    load<In>(b, in[0], i + kWidth);
    for (size_t r = 1; r < in.size(); ++r) {
      load<In>(x, in[r], i);
      load<In>(y, in[r], i + kWidth);
      a += x;
      b += y;
    }
    store<Out>(out, i, a);
    store<Out>(out, i + kWidth, b);
  }
  // The rest through buffers of one full vector, so that it takes the same arithmetic.
  for (; i < count; i += kWidth) {
    const auto n = static_cast<size_t>(count - i < kWidth ? count - i : kWidth);
    alignas(64) char buffer[64] = {};
    const auto load_rest = [&](F32x16& v, const void* from) {
      std::memcpy(buffer, static_cast<const char*>(from) + static_cast<size_t>(i) * kSize<In>, n * kSize<In>);
      load<In>(v, buffer, 0);
    };
    F32x16 sum, x;
    load_rest(sum, in[0]);
    for (size_t r = 1; r < in.size(); ++r) {
      load_rest(x, in[r]);
      sum += x;
    }
    store<Out>(buffer, 0, sum);
    std::memcpy(static_cast<char*>(out) + static_cast<size_t>(i) * kSize<Out>, buffer, n * kSize<Out>);
  }
}
