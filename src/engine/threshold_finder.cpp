#include "engine/threshold_finder.h"

namespace lockstep {

ThresholdFinder::ThresholdFinder(Backend& backend, Communicator& comm, int32_t max_rows) : backend_(backend), comm_(comm) {
  const auto rows = static_cast<size_t>(max_rows), all_rows = rows * static_cast<size_t>(comm.size());
  search_ = Buffer(backend, rows * sizeof(ThresholdSearch), "search for thresholds");
  maxima_ = Buffer(backend, rows * sizeof(uint32_t), "maxima of logits");
  weights_ = Buffer(backend, rows * kRowBytes, "weights of digits");
  thresholds_ = Buffer(backend, rows * sizeof(float), "sampling thresholds");
  if (comm.size() == 1) return;
  all_maxima_ = Buffer(backend, all_rows * sizeof(uint32_t), "maxima of logits");
  all_weights_ = Buffer(backend, all_rows * kRowBytes, "weights of digits");
}

const void* ThresholdFinder::exchange(const Buffer& mine, Buffer& all, int64_t num_rows, size_t bytes_of_row) {
  if (comm_.size() == 1) return mine.data();
  comm_.all_gather(all.data(), mine.data(), static_cast<size_t>(num_rows) * bytes_of_row);
  return all.data();
}

void ThresholdFinder::descend(TensorView logits, const SamplingRow* rows, TokenFilter filter) {
  Ops& ops = backend_.ops();
  auto* const search = search_.as<ThresholdSearch>();
  for (int32_t digit = 0; digit < kSearchDigits; ++digit) {
    ops.weigh_digits(weights_.as<uint64_t>(), logits, search, rows, filter, digit);
    const auto* const all = static_cast<const uint64_t*>(exchange(weights_, all_weights_, logits.rows, kRowBytes));
    ops.choose_digits(search, all, comm_.size(), static_cast<int32_t>(logits.rows), rows, filter, digit);
  }
}

const float* ThresholdFinder::find(TensorView logits, const SamplingRow* rows, const FilterNeeds& needs) {
  Ops& ops = backend_.ops();
  auto* const search = search_.as<ThresholdSearch>();
  const auto num_rows = static_cast<int32_t>(logits.rows);
  ops.shard_maxima(maxima_.as<uint32_t>(), logits);
  const auto* const maxima = static_cast<const uint32_t*>(exchange(maxima_, all_maxima_, logits.rows, sizeof(uint32_t)));
  ops.begin_search(search, maxima, comm_.size(), num_rows);
  if (needs.top_k) descend(logits, rows, TokenFilter::kTopK);
  if (needs.top_p) descend(logits, rows, TokenFilter::kTopP);
  ops.end_search(thresholds_.as<float>(), search, num_rows, rows);
  return thresholds_.as<float>();
}

}  // namespace lockstep
