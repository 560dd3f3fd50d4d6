#include "comm/communicator.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "base/error.h"
#include "comm/device_communicator.h"
#include "comm/host_communicator.h"
#include "kernels/ops.h"

namespace lockstep {
namespace {

// One rank: a sum over one is what it was; gathering from one is a copy.
class NullCommunicator : public Communicator {
 public:
  explicit NullCommunicator(Backend& backend) : backend_(backend) {}
  int rank() const override { return 0; }
  int size() const override { return 1; }
  std::string description() const override { return "one rank, nothing to exchange"; }

 protected:
  void do_all_reduce(TensorView) override {}
  void do_all_gather(void* recv, const void* send, size_t bytes) override {
    if (recv != send) backend_.copy_on_device(recv, send, bytes);
  }

 private:
  Backend& backend_;
};

}  // namespace

std::unique_ptr<Communicator> make_null_communicator(Backend& backend) { return std::make_unique<NullCommunicator>(backend); }

void* Communicator::allocate(Backend& backend, size_t bytes, const std::string& what) {
  buffers_.emplace_back(backend, bytes, what);
  return buffers_.back().data();
}

void Communicator::count_all_reduce(const TensorView& x) {
  check(x.dtype == DType::kFloat32 || x.dtype == DType::kBFloat16 || x.dtype == DType::kFloat16,
        "all_reduce: dtype {} is not supported; use float32, bfloat16 or float16", name_of(x.dtype));
  check(x.contiguous(), "all_reduce: a tensor [{}, {}] with stride {} is not contiguous", x.rows, x.cols, x.stride);
  ++counters_.all_reduce_calls;
  counters_.all_reduce_bytes += static_cast<int64_t>(x.bytes());
  last_bytes_.store(static_cast<int64_t>(x.bytes()), std::memory_order_relaxed);
  last_number_.store(counters_.all_reduce_calls, std::memory_order_relaxed);
  last_kind_.store(Kind::kAllReduce, std::memory_order_relaxed);
}

void Communicator::all_reduce(TensorView x) {
  if (x.empty()) return;
  count_all_reduce(x);
  do_all_reduce(x);
}

void Communicator::all_reduce_add_norm(Ops& ops, TensorView x, const ResidualNorm& norm) {
  if (x.empty()) return;
  count_all_reduce(x);
  if (do_all_reduce_add_norm(x, norm)) return;
  do_all_reduce(x);
  ops.add_rms_norm(norm.out, norm.residual, x, norm.bias, norm.weight, norm.eps);
}

void Communicator::all_gather(void* recv, const void* send, size_t bytes) {
  if (bytes == 0) return;
  ++counters_.all_gather_calls;
  counters_.all_gather_bytes += static_cast<int64_t>(bytes);
  last_bytes_.store(static_cast<int64_t>(bytes), std::memory_order_relaxed);
  last_number_.store(counters_.all_gather_calls, std::memory_order_relaxed);
  last_kind_.store(Kind::kAllGather, std::memory_order_relaxed);
  do_all_gather(recv, send, bytes);
}

void Communicator::count(const CommCounters& more) {
  counters_.all_reduce_calls += more.all_reduce_calls;
  counters_.all_reduce_bytes += more.all_reduce_bytes;
  counters_.all_gather_calls += more.all_gather_calls;
  counters_.all_gather_bytes += more.all_gather_bytes;
  const bool reduced_last = last_kind_.load(std::memory_order_relaxed) == Kind::kAllReduce;
  last_number_.store(reduced_last ? counters_.all_reduce_calls : counters_.all_gather_calls, std::memory_order_relaxed);
}

std::string Communicator::last_collective() const {
  const Kind kind = last_kind_.load(std::memory_order_relaxed);
  if (kind == Kind::kNone) return "none yet";
  return fmt::format("{} number {}, {} bytes", kind == Kind::kAllReduce ? "all_reduce" : "all_gather",
                     last_number_.load(std::memory_order_relaxed), last_bytes_.load(std::memory_order_relaxed));
}

std::unique_ptr<Communicator> make_communicator(const World& world, Backend& backend, AllReduceChoice choice,
                                                size_t max_all_reduce_bytes, size_t max_all_gather_bytes) {
  if (world.size() == 1) return make_null_communicator(backend);
  if (backend.kind() == DeviceKind::kCuda) {
    return make_device_communicator(world, backend, choice, max_all_reduce_bytes, max_all_gather_bytes);
  }
  check(choice == AllReduceChoice::kAuto,
        "--allreduce peer and nccl are for --device cuda; the CPU's ranks use shared memory and MPI");
  auto communicator = std::make_unique<HostCommunicator>(world, max_all_reduce_bytes);
  if (world.is_root()) spdlog::info("collectives: {}", communicator->description());
  return communicator;
}

}  // namespace lockstep
