// Element types of tensors in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace lockstep {

enum class DType : uint8_t { kFloat32, kBFloat16, kFloat16, kInt32 };

constexpr size_t size_of(DType t) { return (t == DType::kFloat32 || t == DType::kInt32) ? 4 : 2; }

// "float32", "bfloat16", "float16", "int32": the names of PyTorch and of --dtype.
std::string_view name_of(DType t);

// The inverse; also takes "torch.bfloat16". Throws Error naming the value and the allowed ones.
DType dtype_from_name(std::string_view name);

// Scalar conversions, round to nearest even; NaN stays NaN.
uint16_t float_to_bf16(float x);
float bf16_to_float(uint16_t x);
uint16_t float_to_f16(float x);
float f16_to_float(uint16_t x);

}  // namespace lockstep
