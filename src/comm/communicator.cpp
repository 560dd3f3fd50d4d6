#include "comm/communicator.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "base/error.h"
#include "comm/device_communicator.h"
#include "comm/faulty_communicator.h"
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
  bool returns_when_done() const override { return true; }
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

void Communicator::begin_all_reduce(const TensorView& x) {
  check(x.dtype == DType::kFloat32 || x.dtype == DType::kBFloat16 || x.dtype == DType::kFloat16,
        "all_reduce: dtype {} is not supported; use float32, bfloat16 or float16", name_of(x.dtype));
  check(x.contiguous(), "all_reduce: a tensor [{}, {}] with stride {} is not contiguous", x.rows, x.cols, x.stride);
  ++counters_.all_reduce_calls;
  counters_.all_reduce_bytes += static_cast<int64_t>(x.bytes());
  log_.begin(CollectiveLog::Kind::kAllReduce, static_cast<int64_t>(x.bytes()));
}

void Communicator::all_reduce(TensorView x) {
  if (x.empty()) return;
  begin_all_reduce(x);
  do_all_reduce(x);
  log_.end();
}

void Communicator::all_reduce_add_norm(Ops& ops, TensorView x, const ResidualNorm& norm) {
  if (x.empty()) return;
  begin_all_reduce(x);
  const bool fused = do_all_reduce_add_norm(ops, x, norm);
  if (!fused) do_all_reduce(x);
  log_.end();
  if (!fused) ops.add_rms_norm(norm.out, norm.residual, x, norm.bias, norm.weight, norm.eps);
}

void Communicator::all_gather(void* recv, const void* send, size_t bytes) {
  if (bytes == 0) return;
  ++counters_.all_gather_calls;
  counters_.all_gather_bytes += static_cast<int64_t>(bytes);
  log_.begin(CollectiveLog::Kind::kAllGather, static_cast<int64_t>(bytes));
  do_all_gather(recv, send, bytes);
  log_.end();
}

void Communicator::count(const CommCounters& more) {
  counters_.all_reduce_calls += more.all_reduce_calls;
  counters_.all_reduce_bytes += more.all_reduce_bytes;
  counters_.all_gather_calls += more.all_gather_calls;
  counters_.all_gather_bytes += more.all_gather_bytes;
  log_.count(more.all_reduce_calls, more.all_gather_calls);
}

std::unique_ptr<Communicator> make_communicator(const World& world, Backend& backend, AllReduceChoice choice,
                                                size_t max_all_reduce_bytes, size_t max_all_gather_bytes) {
  if (world.size() == 1) return make_null_communicator(backend);
  if (backend.kind() == DeviceKind::kCuda) {
    return with_faults(make_device_communicator(world, backend, choice, max_all_reduce_bytes, max_all_gather_bytes), false);
  }
  check(
      choice == AllReduceChoice::kAuto,
      "--allreduce peer, nccl and hierarchical are for --device cuda; the CPU's ranks use shared memory and MPI, which is auto");
  std::unique_ptr<Communicator> communicator = std::make_unique<HostCommunicator>(world, max_all_reduce_bytes);
  if (world.is_root()) spdlog::info("collectives: {}", communicator->description());
  return with_faults(std::move(communicator), true);
}

}  // namespace lockstep
