#include "engine/sampler.h"

#include <algorithm>

#include "base/error.h"

namespace lockstep {
namespace {

// A buffer made at first use: the features that need it are rare, and big vocabularies make it large.
void ensure(Backend& backend, Buffer& buffer, int64_t bytes, const char* what) {
  if (buffer.data() == nullptr && bytes > 0) buffer = Buffer(backend, static_cast<size_t>(bytes), what);
}

constexpr int64_t kFloat = sizeof(float);

// Bytes of a row of the buffers that every sampler has.
struct RowBytes {
  size_t logits = 0;
  size_t candidates = sizeof(Candidate);
  size_t all_candidates = 0;
  size_t token = sizeof(int32_t);  // twice: the tokens, and by slot the last ones
  size_t logprobs = sizeof(LogprobResult);
  size_t total() const { return logits + candidates + all_candidates + 2 * token + logprobs; }
};
RowBytes row_bytes(const Partition& partition) {
  return {.logits = static_cast<size_t>(partition.share.vocab.size() * kFloat),
          .all_candidates = sizeof(Candidate) * static_cast<size_t>(partition.tp)};
}

}  // namespace

Sampler::Sampler(const ModelConfig& config, const Partition& partition, Backend& backend, Communicator& comm,
                 int32_t max_num_seqs)
    : backend_(backend),
      comm_(comm),
      vocab_size_(config.vocab_size),
      max_shard_(max_vocab_shard(config, partition.tp)),
      max_num_seqs_(max_num_seqs) {
  for (int rank = 0; rank < partition.tp; ++rank) shards_.push_back(rank_share(config, partition.tp, rank).vocab);
  const RowBytes row = row_bytes(partition);
  const auto n = static_cast<size_t>(max_num_seqs);
  logits_ = Buffer(backend, n * row.logits, "logits");
  candidates_ = Buffer(backend, n * row.candidates, "sampling candidates");
  all_candidates_ = Buffer(backend, n * row.all_candidates, "sampling candidates");
  tokens_ = Buffer(backend, n * row.token, "sampled tokens");
  last_token_ = Buffer(backend, n * row.token, "last tokens");
  logprobs_ = Buffer(backend, n * row.logprobs, "logprobs");
  backend.set_zero(last_token_.data(), last_token_.bytes());
}

size_t Sampler::buffer_bytes(const Partition& partition, int32_t max_num_seqs) {
  return static_cast<size_t>(max_num_seqs) * row_bytes(partition).total();
}

size_t Sampler::max_all_gather_bytes(const ModelConfig& config, int tp, int32_t max_num_seqs) {
  const auto rows = static_cast<size_t>(max_num_seqs);
  const auto logits = static_cast<size_t>(max_vocab_shard(config, tp) * kFloat);
  return rows * std::max({sizeof(Candidate), logits, ThresholdFinder::kRowBytes});
}

TensorView Sampler::logits(int64_t rows) const {
  return {logits_.data(), DType::kFloat32, rows, shards_[static_cast<size_t>(comm_.rank())].size()};
}

int32_t* Sampler::counts() {
  const int64_t bytes = max_num_seqs_ * logits(1).cols * static_cast<int64_t>(sizeof(int32_t));
  if (counts_.data() == nullptr && bytes > 0) {
    ensure(backend_, counts_, bytes, "token counts of penalties");
    backend_.set_zero(counts_.data(), counts_.bytes());
  }
  return counts_.as<int32_t>();
}

Range Sampler::mask_words() const {
  constexpr int64_t kBits = 32;
  const Range shard = shards_[static_cast<size_t>(comm_.rank())];
  if (shard.size() == 0) return {shard.begin / kBits, shard.begin / kBits};
  return {shard.begin / kBits, (shard.end + kBits - 1) / kBits};
}

uint32_t* Sampler::masks() {
  ensure(backend_, masks_, num_masks(max_num_seqs_) * mask_words().size() * static_cast<int64_t>(sizeof(uint32_t)),
         "masks of allowed tokens");
  return masks_.as<uint32_t>();
}

void Sampler::set_mask(int32_t index, const int32_t* words) {
  check(index >= 0 && index < num_masks(max_num_seqs_), "mask {} of {}", index, num_masks(max_num_seqs_));
  const int64_t size = mask_words().size();
  if (size == 0) return;
  backend_.copy_on_device(masks() + index * size, words, static_cast<size_t>(size) * sizeof(uint32_t));
}

void Sampler::reset_counts(int32_t slot, const int32_t* prompt, int64_t prompt_len, const int32_t* outputs, int64_t num_outputs) {
  const Range shard = shards_[static_cast<size_t>(comm_.rank())];
  if (shard.size() == 0) return;
  int32_t* row = counts() + slot * shard.size();
  Ops& ops = backend_.ops();
  backend_.set_zero(row, static_cast<size_t>(shard.size()) * sizeof(int32_t));
  ops.count_tokens(row, shard.begin, shard.size(), prompt, prompt_len, /*in_prompt=*/true);
  // The last output is counted by process_logits() of the coming step, as in any step.
  if (num_outputs > 1) ops.count_tokens(row, shard.begin, shard.size(), outputs, num_outputs - 1, /*in_prompt=*/false);
}

TensorView Sampler::gather(TensorView shard, Buffer& full) {
  const int64_t rows = shard.rows;
  if (comm_.size() == 1) return shard;
  const auto travel_row = static_cast<size_t>(max_shard_ * kFloat);
  const auto full_row = static_cast<size_t>(vocab_size_ * kFloat);
  ensure(backend_, padded_, max_num_seqs_ * max_shard_ * kFloat, "logits to gather");
  ensure(backend_, gathered_, comm_.size() * max_num_seqs_ * max_shard_ * kFloat, "gathered logits");
  ensure(backend_, full, max_num_seqs_ * vocab_size_ * kFloat, "logits of the whole vocabulary");
  const auto shard_row = static_cast<size_t>(shard.cols * kFloat);
  if (shard_row > 0) {
    backend_.copy_2d_on_device(padded_.data(), travel_row, shard.data, shard_row, shard_row, static_cast<size_t>(rows));
  }
  comm_.all_gather(gathered_.data(), padded_.data(), travel_row * static_cast<size_t>(rows));
  for (size_t rank = 0; rank < shards_.size(); ++rank) {
    const auto width = static_cast<size_t>(shards_[rank].size() * kFloat);
    if (width == 0) continue;
    const char* from = gathered_.as<char>() + rank * travel_row * static_cast<size_t>(rows);
    backend_.copy_2d_on_device(full.as<float>() + shards_[rank].begin, full_row, from, travel_row, width,
                               static_cast<size_t>(rows));
  }
  return {full.data(), DType::kFloat32, rows, vocab_size_};
}

void Sampler::sample(int64_t num_rows, const SamplingRow* rows, const LogitEdit* edits, const LogprobRequest* requests,
                     const SamplingNeeds& needs) {
  check(num_rows > 0 && num_rows <= max_num_seqs_, "sampling of {} rows; at most {} (--max-num-seqs)", num_rows, max_num_seqs_);
  Ops& ops = backend_.ops();
  const TensorView shard = logits(num_rows);
  const int64_t vocab_begin = shards_[static_cast<size_t>(comm_.rank())].begin;

  TensorView raw;  // log-probabilities are of the model's own logits, before penalties
  if (needs.num_logprobs > 0) {
    raw = gather(shard, full_raw_);
    if ((needs.processing || needs.masks) && raw.data == shard.data) {  // about to be changed in place
      ensure(backend_, full_raw_, max_num_seqs_ * vocab_size_ * kFloat, "logits of the whole vocabulary");
      backend_.copy_on_device(full_raw_.data(), shard.data, shard.bytes());
      raw.data = full_raw_.data();
    }
  }
  if (needs.processing) ops.process_logits(shard, vocab_begin, rows, edits, counts(), last_token());
  if (needs.masks) ops.apply_masks(shard, vocab_begin, rows, masks(), mask_words().size());
  const float* thresholds = nullptr;
  if (needs.filters.any()) {
    if (!threshold_finder_) threshold_finder_.emplace(backend_, comm_, max_num_seqs_);
    thresholds = threshold_finder_->find(shard, rows, needs.filters);
  }
  ops.sample_candidates(candidates_.as<Candidate>(), shard, vocab_begin, thresholds, rows);
  // One rank's candidates are all there are.
  auto* all = (comm_.size() == 1 ? candidates_ : all_candidates_).as<Candidate>();
  comm_.all_gather(all, candidates_.data(), static_cast<size_t>(num_rows) * sizeof(Candidate));
  ops.choose_tokens(tokens_.as<int32_t>(), last_token(), all, comm_.size(), static_cast<int32_t>(num_rows), rows);
  if (needs.num_logprobs > 0) ops.logprobs(logprobs_.as<LogprobResult>(), raw, tokens(), requests, needs.num_logprobs);
}

void Sampler::score(int64_t num_rows, const int32_t* tokens, const LogprobRequest* requests) {
  check(num_rows > 0 && num_rows <= max_num_seqs_, "{} rows to score; at most {} (--max-num-seqs)", num_rows, max_num_seqs_);
  backend_.ops().logprobs(logprobs_.as<LogprobResult>(), gather(logits(num_rows), full_raw_), tokens, requests,
                          static_cast<int32_t>(num_rows));
}

}  // namespace lockstep
