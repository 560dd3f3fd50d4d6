#include "engine/step_plan.h"

#include <bit>
#include <cstring>
#include <type_traits>

#include "base/error.h"

namespace lockstep {
namespace {

constexpr int32_t kMagic = 0x4c53504c;  // "LSPL"
constexpr int32_t kVersion = 4;

// Writer and Reader visit the same fields in the same order (see `fields` below), so the two directions cannot drift apart.
class Writer {
 public:
  void operator()(const int32_t& x) { words_.push_back(x); }
  void operator()(const float& x) { words_.push_back(std::bit_cast<int32_t>(x)); }
  void operator()(const bool& x) { words_.push_back(x ? 1 : 0); }
  void operator()(const StepKind& x) { words_.push_back(static_cast<int32_t>(x)); }
  void operator()(const uint64_t& x) {
    words_.push_back(static_cast<int32_t>(x & 0xffffffffu));
    words_.push_back(static_cast<int32_t>(x >> 32));
  }
  void operator()(const int64_t& x) { (*this)(static_cast<uint64_t>(x)); }
  template <typename T>
  void operator()(const std::vector<T>& list) {
    words_.push_back(static_cast<int32_t>(list.size()));
    if constexpr (std::is_same_v<T, int32_t>) {  // long ones: masks, prompts
      words_.insert(words_.end(), list.begin(), list.end());
      return;
    }
    for (const T& x : list) {
      if constexpr (std::is_class_v<T>) {
        fields(*this, x);
      } else {
        (*this)(x);
      }
    }
  }
  std::vector<std::byte> bytes() const {
    std::vector<std::byte> out(words_.size() * sizeof(int32_t));
    std::memcpy(out.data(), words_.data(), out.size());
    return out;
  }

 private:
  std::vector<int32_t> words_;
};

class Reader {
 public:
  explicit Reader(const std::vector<std::byte>& bytes) : words_(bytes.size() / sizeof(int32_t)) {
    check(bytes.size() % sizeof(int32_t) == 0, "a step plan of {} bytes is not whole words", bytes.size());
    if (!words_.empty()) std::memcpy(words_.data(), bytes.data(), bytes.size());
  }
  void operator()(int32_t& x) { x = next(); }
  void operator()(float& x) { x = std::bit_cast<float>(next()); }
  void operator()(bool& x) {
    const int32_t word = next();
    check(word == 0 || word == 1, "a step plan has {} where it should have 0 or 1", word);
    x = word == 1;
  }
  void operator()(StepKind& x) {
    const int32_t word = next();
    check(word >= 0 && word <= static_cast<int32_t>(StepKind::kShutdown), "a step plan is of the unknown kind {}", word);
    x = static_cast<StepKind>(word);
  }
  void operator()(uint64_t& x) {
    const auto low = static_cast<uint32_t>(next());
    x = (static_cast<uint64_t>(static_cast<uint32_t>(next())) << 32) | low;
  }
  void operator()(int64_t& x) {
    uint64_t bits = 0;
    (*this)(bits);
    x = static_cast<int64_t>(bits);
  }
  template <typename T>
  void operator()(std::vector<T>& list) {
    const int32_t size = next();
    check(size >= 0 && static_cast<size_t>(size) <= words_.size() - position_,
          "a step plan has a list of {} entries but {} words left", size, words_.size() - position_);
    if constexpr (std::is_same_v<T, int32_t>) {
      const auto first = words_.begin() + static_cast<ptrdiff_t>(position_);
      list.assign(first, first + size);
      position_ += static_cast<size_t>(size);
      return;
    }
    list.resize(static_cast<size_t>(size));
    for (T& x : list) {
      if constexpr (std::is_class_v<T>) {
        fields(*this, x);
      } else {
        (*this)(x);
      }
    }
  }
  void finish() const { check(position_ == words_.size(), "a step plan has {} words too many", words_.size() - position_); }

 private:
  int32_t next() {
    check(position_ < words_.size(), "a step plan ends after {} words", words_.size());
    return words_[position_++];
  }
  std::vector<int32_t> words_;
  size_t position_ = 0;
};

template <typename Visitor, typename T>
void fields(Visitor& visit, T& x) {
  using Plain = std::remove_const_t<T>;
  if constexpr (std::is_same_v<Plain, SlotSampling>) {
    visit(x.seed), visit(x.temperature), visit(x.top_k), visit(x.top_p), visit(x.min_p), visit(x.repetition_penalty);
    visit(x.presence_penalty), visit(x.frequency_penalty), visit(x.logprobs), visit(x.prompt_logprobs), visit(x.bias_tokens),
        visit(x.bias);
    visit(x.min_tokens), visit(x.stop_tokens);
  } else if constexpr (std::is_same_v<Plain, SlotSetup>) {
    visit(x.slot), fields(visit, x.sampling), visit(x.last_token), visit(x.prompt), visit(x.outputs);
  } else if constexpr (std::is_same_v<Plain, BlockAppend>) {
    visit(x.slot), visit(x.index), visit(x.block);
  } else if constexpr (std::is_same_v<Plain, PlannedSequence>) {
    visit(x.slot), visit(x.context_start), visit(x.output_index), visit(x.sample), visit(x.prompt_logprobs);
    visit(x.next_token), visit(x.mask), visit(x.tokens);
  } else if constexpr (std::is_same_v<Plain, MaskUpdate>) {
    visit(x.index), visit(x.words);
  } else {
    static_assert(std::is_same_v<Plain, StepPlan>);
    visit(x.step), visit(x.kind), visit(x.collectives), visit(x.setups), visit(x.blocks), visit(x.sequences), visit(x.masks);
  }
}

}  // namespace

int64_t StepPlan::num_tokens() const {
  int64_t total = 0;
  for (const PlannedSequence& s : sequences) total += static_cast<int64_t>(s.tokens.size());
  return total;
}

std::vector<std::byte> StepPlan::serialize() const {
  Writer writer;
  writer(kMagic);
  writer(kVersion);
  fields(writer, *this);
  return writer.bytes();
}

StepPlan StepPlan::deserialize(const std::vector<std::byte>& bytes) {
  Reader reader(bytes);
  int32_t magic = 0, version = 0;
  reader(magic);
  reader(version);
  check(magic == kMagic && version == kVersion, "a step plan of version {} (magic {:#x}) reached a rank that speaks version {}",
        version, static_cast<uint32_t>(magic), kVersion);
  StepPlan plan;
  fields(reader, plan);
  reader.finish();
  return plan;
}

}  // namespace lockstep
