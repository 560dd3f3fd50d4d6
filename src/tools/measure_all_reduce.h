// The time of an AllReduce, with a check of every element. For `bench comm` and `doctor`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "comm/communicator.h"
#include "comm/world.h"
#include "kernels/backend.h"

namespace lockstep {

// A transport, and one of its ways to do an AllReduce; with `norm`, what follows it in a model is part of it.
struct AllReduceWay {
  Communicator* comm = nullptr;
  int algorithm = -1;  // of comm->algorithms(); -1: by size
  bool norm = false;
  std::string name;
  size_t max_bytes = SIZE_MAX;
  std::byte* message = nullptr;  // comm->allocate()d; with a norm, twice the message and 512 bytes
};

struct AllReduceFigures {
  int64_t bytes = 0;     // of the message
  double seconds = 0.0;  // of one call: median over repeats, slowest rank
  int64_t wrong = 0;     // elements, of all ranks
};

class AllReduceBench {
 public:
  // hidden_size: of the rows on which a norm follows. repeats >= 1.
  AllReduceBench(const World& world, Backend& backend, int64_t hidden_size, int repeats)
      : world_(world), backend_(backend), hidden_size_(hidden_size), repeats_(repeats) {}

  // Collective; the figures are the same on every rank. float32, or bfloat16 where a norm follows on CUDA. Calls follow each
  // other as in a forward pass, on a device in a CUDA graph.
  AllReduceFigures measure(const AllReduceWay& way, int64_t bytes) const;

 private:
  struct Message;

  double slowest(double seconds) const;
  int64_t of_all_ranks(int64_t count) const;
  void put_contribution(const TensorView& x) const;
  float expected_sum(int64_t i) const;
  int64_t count_wrong_sums(const Message& message) const;
  int64_t count_wrong_norms(const Message& message) const;

  const World& world_;
  Backend& backend_;
  int64_t hidden_size_;
  int repeats_;
};

// Collective. One transport, by its own choice of way; its memory for the message lasts as long as the transport.
AllReduceFigures measure_all_reduce(const World& world, Backend& backend, Communicator& communicator, int64_t bytes, int repeats);

}  // namespace lockstep
