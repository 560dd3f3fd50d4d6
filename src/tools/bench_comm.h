// `lockstep bench comm`: time and bandwidth of AllReduce over message sizes, with a check of every element.
#pragma once

#include "comm/world.h"
#include "config/command_line.h"

namespace lockstep {

// Collective; rank 0 prints a table in the manner of nccl-tests: time (median over repeats, slowest rank), algorithm bandwidth
// (bytes ÷ time), bus bandwidth (× 2 (N - 1) / N, comparable for all N), the floor, and wrong elements. The floor is the bytes
// that every rank must take in, 2 (N - 1) / N of the message, ÷ the memory read bandwidth measured now by all ranks together;
// links between GPUs or hosts are slower than that. Returns the exit code: 1 when an element was wrong.
int run_bench_comm(const World& world, const CommandLine& command_line);

}  // namespace lockstep
