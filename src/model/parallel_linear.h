// Tensor-parallel linears in Megatron's terms. Column-parallel: output features are split, no communication. Row-parallel: input
// features are split, every rank ends up with a partial sum, and one AllReduce completes it.
#pragma once

#include "base/tensor.h"
#include "comm/communicator.h"
#include "kernels/ops.h"

namespace lockstep {

class ColumnParallelLinear {
 public:
  ColumnParallelLinear() = default;
  // weight: this rank's rows [out_local, in]; bias: [1, out_local], or data == nullptr.
  ColumnParallelLinear(TensorView weight, TensorView bias) : weight_{weight}, bias_(bias) {}

  // out = x · wᵀ + bias. x: [T, in]; out: [T, out_local].
  void forward(Ops& ops, TensorView out, TensorView x) const { ops.linear(out, x, weight_, bias_); }
  // Of gate and up side by side: out = silu(gate) * up. out: [T, out_local / 2]; gate_up: [T, out_local], for the op to use.
  void forward_gated(Ops& ops, TensorView out, TensorView gate_up, TensorView x) const {
    ops.gated_linear(out, gate_up, x, weight_, bias_);
  }

 private:
  LinearWeight weight_;
  TensorView bias_;
};

// What a row-parallel linear leaves: this rank's share of a sum over ranks, not yet usable. Its dtype and blocking are the
// reduction's business, so only reduce_add_norm() can open it.
class PartialSum {
 private:
  friend class RowParallelLinear;
  friend void reduce_add_norm(Communicator&, Ops&, TensorView, TensorView, const PartialSum&, TensorView, float);
  PartialSum(TensorView sum, TensorView bias) : sum_(sum), bias_(bias) {}
  TensorView sum_;   // [T, out]
  TensorView bias_;  // [1, out], whole on every rank; added once, after the reduce
};

class RowParallelLinear {
 public:
  RowParallelLinear() = default;
  // weight: this rank's columns [out, in_local]; bias: the whole [1, out], or data == nullptr.
  RowParallelLinear(TensorView weight, TensorView bias) : weight_{weight}, bias_(bias) {}

  // x: [T, in_local]; storage: [T, out] act, where the partial sum is kept.
  PartialSum forward(Ops& ops, TensorView storage, TensorView x) const {
    ops.linear(storage, x, weight_, TensorView{});
    return {storage, bias_};
  }

 private:
  LinearWeight weight_;
  TensorView bias_;
};

// The seam after every row-parallel linear: AllReduce, + bias, + residual, RMSNorm. One call, so that a transport can make it one
// kernel. residual: [T, H] float32, updated; out: [T, H] act = rms_norm(residual) * norm_weight.
inline void reduce_add_norm(Communicator& comm, Ops& ops, TensorView out, TensorView residual, const PartialSum& partial,
                            TensorView norm_weight, float eps) {
  comm.all_reduce(partial.sum_);
  ops.add_rms_norm(out, residual, partial.sum_, partial.bias_, norm_weight, eps);
}

}  // namespace lockstep
