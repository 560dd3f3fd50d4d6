// Sampler: from this rank's shard of the logits to one token per sequence, the same on every rank.
//
// Greedy and plain temperature exchange one Candidate per sequence and rank (Gumbel-max: a sample is an arg max, so shards can be
// reduced like greedy ones); top-k, top-p and min-p exchange weights (ThresholdFinder). Full logits are gathered only for
// logprobs.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "comm/communicator.h"
#include "config/model_config.h"
#include "engine/staging.h"
#include "engine/threshold_finder.h"
#include "kernels/backend.h"
#include "kernels/ops.h"
#include "partition/partition.h"

namespace lockstep {

// What the rows of a step need beyond greedy; known on the host, the same on every rank.
struct SamplingNeeds {
  bool processing = false;  // a penalty or an edit applies to some row
  bool masks = false;       // some row has a mask
  FilterNeeds filters;
  int32_t num_logprobs = 0;  // entries in the list of LogprobRequest
};

class Sampler {
 public:
  Sampler(const ModelConfig& config, const Partition& partition, Backend& backend, Communicator& comm, int32_t max_num_seqs);

  // Where the LM head writes: this rank's shard for `rows` sequences, [rows, V] float32.
  TensorView logits(int64_t rows) const;

  // Chooses a token per row from logits(rows) and leaves it in tokens() and last_token(). Device pointers: rows [S], edits,
  // requests [needs.num_logprobs]. AllGathers: one of 8 bytes a row, those of ThresholdFinder, and one of the
  // logits for logprobs.
  void sample(int64_t num_rows, const SamplingRow* rows, const LogitEdit* edits, const LogprobRequest* requests,
              const SamplingNeeds& needs);

  // Log-probabilities of given tokens [num_rows] from the logits in logits(num_rows); the results are in logprobs(). requests:
  // [num_rows], device. One AllGather.
  void score(int64_t num_rows, const int32_t* tokens, const LogprobRequest* requests);

  // A sequence takes the slot: forgets the counts of the one before and counts its tokens (device ids).
  void reset_counts(int32_t slot, const int32_t* prompt, int64_t prompt_len, const int32_t* outputs, int64_t num_outputs);

  // How many masks are kept; a step has at most one for each sequence, and those of the steps before stay for a while.
  static int32_t num_masks(int32_t max_num_seqs) { return 2 * max_num_seqs; }
  // The words of a mask of the whole vocabulary that this rank's shard needs.
  Range mask_words() const;
  // Mask number `index` becomes `words` (device, [mask_words().size()]).
  void set_mask(int32_t index, const int32_t* words);

  int32_t* last_token() const { return last_token_.as<int32_t>(); }                // device, [max_num_seqs] by slot
  const int32_t* tokens() const { return tokens_.as<int32_t>(); }                  // device, [S] of the last sample()
  const LogprobResult* logprobs() const { return logprobs_.as<LogprobResult>(); }  // device, of the last sample() or score()

  // What the constructor allocates. Further buffers are made when a request first needs them.
  static size_t buffer_bytes(const Partition& partition, int32_t max_num_seqs);
  static size_t max_all_gather_bytes(const ModelConfig& config, int tp, int32_t max_num_seqs);

 private:
  // The logits of the whole vocabulary, [S, vocab_size]: a view of `shard` where this rank has it all, else gathered into `full`.
  TensorView gather(TensorView shard, Buffer& full);
  int32_t* counts();
  uint32_t* masks();

  Backend& backend_;
  Communicator& comm_;
  int64_t vocab_size_;
  std::vector<Range> shards_;  // by rank
  int64_t max_shard_;          // columns that travel per rank
  int32_t max_num_seqs_;
  Buffer logits_;          // [max_num_seqs, V]
  Buffer candidates_;      // [max_num_seqs] Candidate of this rank
  Buffer all_candidates_;  // [tp, max_num_seqs] Candidate
  Buffer tokens_;
  Buffer last_token_;
  Buffer logprobs_;
  // Made when first needed:
  Buffer counts_;    // [max_num_seqs, V] int32
  Buffer masks_;     // [num_masks, mask_words] uint32
  Buffer padded_;    // [max_num_seqs, max_shard]
  Buffer gathered_;  // [tp, max_num_seqs, max_shard]
  Buffer full_raw_;  // [max_num_seqs, vocab_size]
  std::optional<ThresholdFinder> threshold_finder_;
};

}  // namespace lockstep
