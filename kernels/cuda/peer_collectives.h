// Collectives through the peers' device memory: the kernels behind comm's PeerCommunicator. Sums are made in float32 in the order
// of ranks, the same bits on every rank and in every run. All are launched with the same sizes on every rank, and may be captured
// in a CUDA graph. After view.abort is set they end, with undefined results.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/peer_view.h"

namespace lockstep::cuda {

// What follows a sum of partial sums x [T, H]: residual += sum + bias; out = rms_norm(residual) * weight.
struct SumNorm {
  TensorView out;       // [T, H], the dtype of x
  TensorView residual;  // [T, H] float32
  AnyVector bias;       // [H] or absent
  AnyVector weight;     // [H]
  float eps = 0.0f;
};

// peer_one_shot.cu: everybody sends everything to everybody. bytes <= view.mailbox_bytes.
// x[i] = sum over ranks of x[i]. Any alignment.
void launch_one_shot_all_reduce(const Launch& to, const PeerView& view, void* x, DType dtype, int64_t count);
// The sum of x and what follows it; x stays as it is. A row has the same bits here and in the other one.
bool peer_norm_supports(const TensorView& x, const SumNorm& norm);
void launch_one_shot_norm(const Launch& to, const PeerView& view, TensorView x, const SumNorm& norm);

// peer_two_shot.cu: rank r sums a part of it, out of the peers' memory and into it.
// x: by rank; 16-byte aligned. One half of it alone: after the reduce-scatter the sum of rank r's part is in its own x, and only
// that part may be used or written until the all-gather, which gives it to all. Elements of rank r's part: from
// peer_part_begin(.., r, ..) to that of r + 1, for which r = size gives the end.
enum class TwoShotPart { kBoth, kReduceScatter, kAllGather };
void launch_two_shot_all_reduce(const Launch& to, const PeerView& view, const PeerPointers& x, DType dtype, int64_t count,
                                TwoShotPart part = TwoShotPart::kBoth);
// The sum of x and what follows it, each row on one rank, which gives `out` to all: rank r has rows [T * r / N, T * (r + 1) / N),
// and only theirs of residual are updated. x, out: also by rank.
void launch_two_shot_norm(const Launch& to, const PeerView& view, TensorView x, const PeerPointers& x_of, const SumNorm& norm,
                          const PeerPointers& out_of);

// peer_all_gather.cu: recv[r * recv_stride + i] = rank r's send[i], i < bytes <= slot_bytes. Any alignment.
void launch_peer_all_gather(const Launch& to, const PeerView& view, void* recv, size_t recv_stride, const void* send,
                            size_t bytes);

}  // namespace lockstep::cuda
