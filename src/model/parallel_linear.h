// Tensor-parallel linears in Megatron's terms. Column-parallel: output features are split, no communication. Row-parallel: input
// features are split, every rank ends up with a partial sum, and one AllReduce completes it.
#pragma once

#include "base/tensor.h"
#include "comm/communicator.h"
#include "kernels/backend.h"
#include "kernels/ops.h"

namespace lockstep {

class ColumnParallelLinear {
 public:
  ColumnParallelLinear() = default;
  // weight: this rank's rows [out_local, in]; bias: [1, out_local], or data == nullptr.
  ColumnParallelLinear(TensorView weight, TensorView bias) : weight_{weight}, bias_(bias) {}

  // out = x · wᵀ + bias. x: [T, in]; out: [T, out_local].
  void forward(Ops& ops, TensorView out, const Rows& x) const { ops.linear(out, x, weight_, bias_); }
  // Of gate and up side by side: out = silu(gate) * up. out: [T, out_local / 2]; gate_up: [T, out_local], for the op to use.
  void forward_gated(Ops& ops, TensorView out, TensorView gate_up, const Rows& x) const {
    ops.gated_linear(out, gate_up, x, weight_, bias_);
  }

 private:
  LinearWeight weight_;
  TensorView bias_;
};

class RowParallelLinear;

// What a row-parallel linear leaves: this rank's share of a sum over ranks, not yet usable and maybe not yet computed. How is the
// reduction's business, so only reduce_add_norm() can open it.
class PartialSum {
 private:
  friend class RowParallelLinear;
  friend Rows reduce_add_norm(Communicator&, Ops&, TensorView, TensorView, const PartialSum&, TensorView, float);
  friend void reduce_add_norm_beside(Backend&, int, Communicator&, TensorView, TensorView, const PartialSum&, TensorView, float);
  PartialSum(TensorView storage, TensorView x, const RowParallelLinear& linear) : storage_(storage), x_(x), linear_(&linear) {}
  TensorView storage_;  // [T, out]
  TensorView x_;        // [T, in_local]
  const RowParallelLinear* linear_;
};

class RowParallelLinear {
 public:
  RowParallelLinear() = default;
  // weight: this rank's columns [out, in_local]; bias: the whole [1, out], added once, after the reduce, or data == nullptr.
  RowParallelLinear(TensorView weight, TensorView bias) : weight_{weight}, bias_(bias) {}

  // x: [T, in_local]; storage: [T, out] act, where the partial sum is kept. Both must stay as they are until the reduction.
  PartialSum forward(TensorView storage, TensorView x) const { return {storage, x, *this}; }

 private:
  friend Rows reduce_add_norm(Communicator&, Ops&, TensorView, TensorView, const PartialSum&, TensorView, float);
  friend void reduce_add_norm_beside(Backend&, int, Communicator&, TensorView, TensorView, const PartialSum&, TensorView, float);
  LinearWeight weight_;
  TensorView bias_;
};

// The seam after every row-parallel linear: its product, AllReduce, + bias, + residual, RMSNorm. One call, so that they can be
// few kernels: with one rank there is nothing to exchange, and the norm goes into the linears on both sides of it; with several,
// it may go into the exchange. residual: [T, H] float32, updated as Communicator::all_reduce_add_norm says; out: [T, H] act.
// Returns rms_norm(residual) * norm_weight, in `out` or to be finished by the linears it enters.
inline Rows reduce_add_norm(Communicator& comm, Ops& ops, TensorView out, TensorView residual, const PartialSum& partial,
                            TensorView norm_weight, float eps) {
  const RowParallelLinear& linear = *partial.linear_;
  if (comm.size() == 1) {
    comm.all_reduce(partial.storage_);  // of one rank: nothing to do, but counted like any other
    return ops.linear_add_norm(out, residual, partial.storage_, partial.x_, linear.weight_, linear.bias_, norm_weight, eps);
  }
  ops.linear(partial.storage_, partial.x_, linear.weight_, TensorView{});
  comm.all_reduce_add_norm(ops, partial.storage_, {out, residual, linear.bias_, norm_weight, eps});
  return out;
}

// The same for several ranks, the exchange beside what is issued from here on: `out` and the residual may be used after
// SideStream::wait(backend, mark).
inline void reduce_add_norm_beside(Backend& backend, int mark, Communicator& comm, TensorView out, TensorView residual,
                                   const PartialSum& partial, TensorView norm_weight, float eps) {
  const RowParallelLinear& linear = *partial.linear_;
  backend.ops().linear(partial.storage_, partial.x_, linear.weight_, TensorView{});
  const SideStream side(backend, mark);
  comm.all_reduce_add_norm(backend.ops(), partial.storage_, {out, residual, linear.bias_, norm_weight, eps});
}

}  // namespace lockstep
