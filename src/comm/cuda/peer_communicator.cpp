#include "comm/cuda/peer_communicator.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "comm/agree.h"
#include "comm/backoff.h"
#include "comm/peer_memory_size.h"

namespace lockstep {
namespace {

using cuda::check_cuda;

int attribute(cudaDeviceAttr which) {
  int device = 0, value = 0;
  check_cuda(cudaGetDevice(&device), "cudaGetDevice");
  check_cuda(cudaDeviceGetAttribute(&value, which, device), "cudaDeviceGetAttribute");
  return value;
}

// Blocks that wait on every rank of a device must leave room for the kernels of a rank that is late, among them clusters of whole
// multiprocessors: half of the device.
int max_blocks(int ranks_per_gpu) {
  const int multiprocessors = attribute(cudaDevAttrMultiProcessorCount);
  return std::clamp(ranks_per_gpu == 1 ? multiprocessors : multiprocessors / (2 * ranks_per_gpu), 1, cuda::kPeerBlocks);
}

// Up to which a message goes whole to every peer. With two ranks that is no more traffic than the other way, and one wait less;
// with more, each makes more of it. Measured with bench comm (docs/performance.md): three and four GPUs over NVLink, and ranks
// that share one, whose memory carries the traffic of all.
size_t find_one_shot_limit(int ranks, bool shares_gpu) {
  constexpr size_t kMiB = size_t{1} << 20;
  const size_t traffic = shares_gpu ? kMiB : 2 * kMiB;  // that a rank sends
  const size_t of_two = shares_gpu ? 5 * kMiB / 8 : 2 * kMiB;
  return std::min(ranks == 2 ? of_two : traffic / static_cast<size_t>(ranks - 1), cuda::peer_mailbox_bytes(ranks));
}

// Integers that float16 holds, as does their sum over kMaxPeers ranks.
float test_value(int64_t i, int rank) { return static_cast<float>((i * 5 + rank * 3) % 17 - 8); }

cuda::AnyVector any_vector(const TensorView& x) { return {x.data, x.dtype}; }

}  // namespace

PeerCommunicator::PeerCommunicator(const World& world, Backend& backend, size_t max_bytes, int max_ranks_per_gpu)
    : world_(world),
      backend_(backend),
      exceptions_at_start_(std::uncaught_exceptions()),
      one_shot_limit_(find_one_shot_limit(world.size(), max_ranks_per_gpu > 1)) {
  view_.rank = world.rank();
  view_.size = world.size();
  view_.mailbox_bytes = cuda::peer_mailbox_bytes(view_.size);
  view_.slot_bytes = peer_slot_bytes(max_bytes);
  view_.shares_device = max_ranks_per_gpu > 1;
  try {
    int blocks = 1;
    void* words = nullptr;
    agree(world, "peer memory: prepare", [&] {
      check(view_.size <= cuda::kMaxPeers, "peer memory serves at most {} ranks, not {}", cuda::kMaxPeers, view_.size);
      blocks = max_blocks(max_ranks_per_gpu);
      launch_.sm_count = attribute(cudaDevAttrMultiProcessorCount);
      launch_.overlap = attribute(cudaDevAttrComputeCapabilityMajor) >= 9;
      check_cuda(cudaHostAlloc(reinterpret_cast<void**>(&host_words_), 2 * sizeof(uint32_t), cudaHostAllocMapped),
                 "cudaHostAlloc");
      std::fill_n(host_words_, 2, 0u);
      check_cuda(cudaHostGetDevicePointer(&words, host_words_, 0), "cudaHostGetDevicePointer");
    });
    view_.max_blocks = static_cast<int>(world.all_min(blocks, "peer memory: size of grids"));
    view_.abort = static_cast<uint32_t*>(words);
    view_.failed = static_cast<uint32_t*>(words) + 1;
    memories_.push_back(std::make_unique<PeerMemory>(world, cuda::peer_region_bytes(view_.slot_bytes), "collectives"));
    view_.region = memories_[0]->at(memories_[0]->data());
    agree(world, "peer memory: empty the mailboxes", [&] {
      std::byte* const mailboxes = view_.region.of[view_.rank] + cuda::kPeerMailboxOffset;
      check_cuda(cudaMemset(mailboxes, 0xff, 2 * cuda::kPeerMailboxSetBytes), "cudaMemset");
      check_cuda(cudaDeviceSynchronize(), "cudaMemset");
    });
  } catch (...) {
    release_all();  // no kernel has run
    throw;
  }
}

PeerCommunicator::~PeerCommunicator() {
  if (aborted_ || std::uncaught_exceptions() > exceptions_at_start_) return;
  try {
    cudaDeviceSynchronize();
    world_.barrier("peer memory: last use");  // nobody reads our memory any more
    for (const auto& memory : memories_) memory->unmap();
    world_.barrier("peer memory: all have unmapped");
    release_all();
  } catch (const std::exception&) {
    // A peer is gone; the job is about to end.
  }
}

void PeerCommunicator::release_all() noexcept {
  for (const auto& memory : memories_) memory->unmap();
  for (const auto& memory : memories_) memory->release();
  if (host_words_) cudaFreeHost(host_words_);
  host_words_ = nullptr;
}

std::string PeerCommunicator::description() const { return fmt::format("peer memory (CUDA IPC), {} ranks", view_.size); }

void* PeerCommunicator::allocate(Backend& /*backend*/, size_t bytes, const std::string& what) {
  memories_.push_back(std::make_unique<PeerMemory>(world_, std::max(bytes, size_t{1}), what));
  return memories_.back()->data();
}

std::optional<std::string> PeerCommunicator::async_error() {
  if (*static_cast<volatile uint32_t*>(host_words_ + 1) == 0) return {};
  return "a collective over peer memory was given up";
}

void PeerCommunicator::abort() noexcept {
  aborted_ = true;
  *static_cast<volatile uint32_t*>(host_words_) = 1;
}

cuda::Launch PeerCommunicator::launch() const {
  cuda::Launch launch = launch_;
  launch.stream = static_cast<cudaStream_t>(backend_.stream());
  return launch;
}

PeerCommunicator::Way PeerCommunicator::choose(size_t bytes) const {
  if (bytes > view_.mailbox_bytes) return kTwoShot;
  if (forced_ >= 0) return static_cast<Way>(forced_);
  return bytes <= one_shot_limit_ ? kOneShot : kTwoShot;
}

const PeerMemory* PeerCommunicator::find(const void* p, size_t bytes) const {
  for (const auto& memory : memories_) {
    if (memory->contains(p, bytes)) return memory.get();
  }
  return nullptr;
}

void PeerCommunicator::do_all_reduce(TensorView x) {
  if (choose(x.bytes()) == kOneShot) return cuda::launch_one_shot_all_reduce(launch(), view_, x.data, x.dtype, x.count());
  where_peers_see(x, [this](TensorView seen) { reduce_two_shot(seen, cuda::TwoShotPart::kBoth); });
}

void PeerCommunicator::reduce_two_shot(TensorView x, cuda::TwoShotPart part) {
  const PeerMemory* const memory = find(x.data, x.bytes());
  check(memory != nullptr, "a part of an AllReduce of {} bytes is not in memory that the peers see", x.bytes());
  cuda::launch_two_shot_all_reduce(launch(), view_, memory->at(x.data), x.dtype, x.count(), part);
}

TensorView PeerCommunicator::x_part(TensorView x) const {
  const auto element = static_cast<int64_t>(size_of(x.dtype));
  const int64_t begin = cuda::peer_part_begin(x.count(), 16 / element, view_.rank, view_.size);
  const int64_t end = cuda::peer_part_begin(x.count(), 16 / element, view_.rank + 1, view_.size);
  return {x.as<std::byte>() + begin * element, x.dtype, 1, end - begin};
}

// Peers have left the staging alone again when a sum ends.
void PeerCommunicator::where_peers_see(TensorView x, const std::function<void(TensorView)>& body) {
  if (find(x.data, x.bytes()) != nullptr && reinterpret_cast<uintptr_t>(x.data) % 16 == 0) return body(x);
  const auto element = static_cast<int64_t>(size_of(x.dtype));
  const int64_t piece = static_cast<int64_t>(view_.slot_bytes) / element;
  std::byte* const staging = view_.region.of[view_.rank] + cuda::peer_staging_offset(view_.slot_bytes);
  for (int64_t begin = 0; begin < x.count(); begin += piece) {
    const int64_t count = std::min(piece, x.count() - begin);
    std::byte* const part = x.as<std::byte>() + begin * element;
    const auto bytes = static_cast<size_t>(count * element);
    backend_.copy_on_device(staging, part, bytes);
    body({staging, x.dtype, 1, count});
    backend_.copy_on_device(part, staging, bytes);
  }
}

bool PeerCommunicator::do_all_reduce_add_norm(Ops& /*ops*/, TensorView x, const ResidualNorm& norm) {
  const cuda::SumNorm sum_norm{norm.out, norm.residual, any_vector(norm.bias), any_vector(norm.weight), norm.eps};
  if (!cuda::peer_norm_supports(x, sum_norm)) return false;
  const PeerMemory* const of_x = find(x.data, x.bytes());
  const PeerMemory* const of_out = find(norm.out.data, norm.out.bytes());
  if (choose(x.bytes()) == kOneShot) {
    cuda::launch_one_shot_norm(launch(), view_, x, sum_norm);
  } else if (of_x != nullptr && of_out != nullptr) {
    cuda::launch_two_shot_norm(launch(), view_, x, of_x->at(x.data), sum_norm, of_out->at(norm.out.data));
  } else {
    return false;
  }
  return true;
}

void PeerCommunicator::do_all_gather(void* recv, const void* send, size_t bytes) {
  for (size_t begin = 0; begin < bytes; begin += view_.slot_bytes) {
    cuda::launch_peer_all_gather(launch(), view_, static_cast<std::byte*>(recv) + begin, bytes,
                                 static_cast<const std::byte*>(send) + begin, std::min(view_.slot_bytes, bytes - begin));
  }
}

void PeerCommunicator::self_test(Seconds deadline) {
  agree(world_, "peer memory: self-test", [&] {
    // All of it also after a wrong result: the other ranks wait for their peers in every collective.
    std::string wrong;
    for (const int64_t count : {int64_t{1}, int64_t{4097}, int64_t{100'003}}) {
      for (int round = 0; round < 3; ++round) {  // both slots, and the first again
        const std::string now = test_size(count, deadline);
        if (wrong.empty()) wrong = now;
      }
    }
    check(wrong.empty(), "peer memory fails its self-test: {}", wrong);
  });
}

std::string PeerCommunicator::test_size(int64_t count, Seconds deadline) {
  const size_t bytes = static_cast<size_t>(count) * sizeof(float), ranks = static_cast<size_t>(size());
  const Buffer x(backend_, bytes, "self-test of collectives"), all(backend_, bytes * ranks, "self-test of collectives");
  std::vector<float> mine(static_cast<size_t>(count)), sum(mine.size()), gathered(mine.size() * ranks);
  for (int64_t i = 0; i < count; ++i) mine[static_cast<size_t>(i)] = test_value(i, rank());
  backend_.copy_to_device(x.data(), mine.data(), bytes);
  do_all_gather(all.data(), x.data(), bytes);
  do_all_reduce({x.data(), DType::kFloat32, 1, count});
  wait_for_stream(deadline);
  backend_.copy_to_host(sum.data(), x.data(), bytes);
  backend_.copy_to_host(gathered.data(), all.data(), bytes * ranks);
  wait_for_stream(deadline);
  for (int64_t i = 0; i < count; ++i) {
    float expected = 0.0f;
    for (int r = 0; r < size(); ++r) {
      const float theirs = gathered[static_cast<size_t>(r * count + i)];
      expected += test_value(i, r);
      if (theirs != test_value(i, r)) {  // NaN is wrong
        return fmt::format("gathering {} floats, element {} of rank {} is {}, expected {}", count, i, r, theirs,
                           test_value(i, r));
      }
    }
    const float value = sum[static_cast<size_t>(i)];
    if (value != expected) return fmt::format("in a sum of {} floats, element {} is {}, expected {}", count, i, value, expected);
  }
  return "";
}

void PeerCommunicator::wait_for_stream(Seconds deadline) {
  const auto stream = static_cast<cudaStream_t>(backend_.stream());
  Backoff backoff(world_.cores_are_scarce());
  while (true) {
    const cudaError_t status = cudaStreamQuery(stream);
    if (status == cudaSuccess) return;
    if (status != cudaErrorNotReady) check_cuda(status, "peer memory: self-test");
    if (backoff.elapsed() > deadline) {
      abort();  // the kernels give up, here now and on the other ranks at their own deadline
      cudaStreamSynchronize(stream);
      fail("peer memory fails its self-test: no result within {:.0f} s", deadline.count());
    }
    backoff.pause();
  }
}

}  // namespace lockstep
