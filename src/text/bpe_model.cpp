#include "text/bpe_model.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <limits>

#include "base/error.h"
#include "text/utf8.h"

namespace lockstep::text {

namespace {
constexpr char32_t kNumCachedCharacters = 0x3000;
}

MergeTable::MergeTable(size_t count) : slots_(std::bit_ceil(2 * count + 2)), mask_(slots_.size() - 1) {}

size_t MergeTable::slot_of(uint64_t key) const {
  size_t i = static_cast<size_t>((key * 0x9E3779B97F4A7C15ULL) >> 32) & mask_;
  while (slots_[i].key != key && slots_[i].key != kEmpty) i = (i + 1) & mask_;
  return i;
}

void MergeTable::insert(int32_t left, int32_t right, Merge merge) {
  const uint64_t key = static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  slots_[slot_of(key)] = {key, merge};
}

const MergeTable::Merge* MergeTable::find(int32_t left, int32_t right) const {
  const uint64_t key = static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  const Slot& slot = slots_[slot_of(key)];
  return slot.key == key ? &slot.merge : nullptr;
}

BpeModel::BpeModel(const Component& component) : where_(component.where()) {
  // Files older than `tokenizers` 0.9 do not name the type; only BPE has merges.
  if (component.has("type") ? component.type() != "BPE" : !component.has("merges")) component.refuse_type("BPE");
  component.allow_only({"vocab", "merges", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
                        "byte_fallback", "ignore_merges"});
  check(!component.has("dropout") || component.json().at("dropout") == 0.0,
        "{}: dropout {} is not supported: it would make encoding random", where_,
        component.json().value("dropout", nlohmann::json()).dump());
  if (component.has("continuing_subword_prefix")) continuing_prefix_ = component.string("continuing_subword_prefix");
  if (component.has("end_of_word_suffix")) end_suffix_ = component.string("end_of_word_suffix");
  constexpr size_t kMaxAffixBytes = 64;  // they are put around every character
  check(continuing_prefix_.size() <= kMaxAffixBytes && end_suffix_.size() <= kMaxAffixBytes,
        "{}: continuing_subword_prefix or end_of_word_suffix has more than {} bytes", where_, kMaxAffixBytes);
  if (component.has("unk_token")) unk_token_ = component.string("unk_token");
  fuse_unk_ = component.boolean("fuse_unk", false);
  ignore_merges_ = component.boolean("ignore_merges", false);
  read_vocab(component);
  if (component.boolean("byte_fallback", false)) {
    for (int b = 0; b < 256; ++b) byte_ids_.push_back(token_to_id(fmt::format("<0x{:02X}>", b)).value_or(-1));
  }
  may_cut_ = continuing_prefix_.empty() && end_suffix_.empty();
  read_merges(component);
  for (char32_t c = 0; c < kNumCachedCharacters; ++c) {
    std::string character;
    append_code_point(character, c);
    character_ids_.push_back(token_to_id(character).value_or(-1));
  }
}

void BpeModel::read_vocab(const Component& component) {
  const Component vocab = component.child("vocab");
  ids_.reserve(vocab.json().size());
  int64_t largest = -1;
  for (const auto& item : vocab.json().items()) {
    if (!item.value().is_number_unsigned() || item.value().get<uint64_t>() >= static_cast<uint64_t>(kMaxTokenId)) {
      fail("{}: token '{}' has id {}, expected an integer from 0 to {}", vocab.where(), item.key(), item.value().dump(),
           kMaxTokenId - 1);
    }
    const auto id = item.value().get<int32_t>();
    ids_.emplace(item.key(), id);
    largest = std::max<int64_t>(largest, id);
  }
  tokens_.resize(static_cast<size_t>(largest + 1));
  present_.resize(tokens_.size());
  for (const auto& [token, id] : ids_) {
    const auto i = static_cast<size_t>(id);
    check(!present_[i], "{}: tokens '{}' and '{}' have the same id {}", vocab.where(), tokens_[i], token, id);
    tokens_[i] = token;
    present_[i] = true;
  }
}

void BpeModel::read_merges(const Component& component) {
  const auto& merges = component.array("merges");
  check(merges.size() < std::numeric_limits<uint32_t>::max(), "{}.merges: has {} entries, too many", where_, merges.size());
  merges_ = MergeTable(merges.size());
  size_t rank = 0;  // position among the merges, header lines not counted
  for (size_t i = 0; i < merges.size(); ++i) {
    const auto& m = merges[i];
    if (m.is_string()) {
      const std::string_view line = m.get_ref<const std::string&>();
      if (line.starts_with("#version")) continue;  // the first line of merges.txt
      const size_t blank = line.find(' ');
      check(blank != std::string_view::npos && line.find(' ', blank + 1) == std::string_view::npos,
            "{}.merges[{}]: is '{}', expected two tokens with a blank between them", where_, i, line);
      read_merge(component, rank++, line.substr(0, blank), line.substr(blank + 1));
    } else {
      check(m.is_array() && m.size() == 2 && m[0].is_string() && m[1].is_string(),
            "{}.merges[{}]: expected a string or a pair of strings", where_, i);
      read_merge(component, rank++, m[0].get_ref<const std::string&>(), m[1].get_ref<const std::string&>());
    }
  }
}

void BpeModel::read_merge(const Component& component, size_t rank, std::string_view left, std::string_view right) {
  const auto id_of = [&](std::string_view token) {
    const auto id = token_to_id(token);
    check(id.has_value(), "{}.merges: merge {} ('{}' and '{}') needs the token '{}', which is not in vocab", component.where(),
          rank, left, right, token);
    return *id;
  };
  const int32_t left_id = id_of(left), right_id = id_of(right);
  check(right.starts_with(continuing_prefix_), "{}.merges: merge {} ('{}' and '{}') lacks continuing_subword_prefix '{}'",
        component.where(), rank, left, right, continuing_prefix_);
  // A token for a byte or for the unknown may stand for any character: then the characters around a cut say nothing.
  const auto stands_for_any = [&](int32_t id, std::string_view token) {
    return token == unk_token_ ||
           (token.starts_with("<0x") && std::find(byte_ids_.begin(), byte_ids_.end(), id) != byte_ids_.end());
  };
  if (left.empty() || right.empty() || stands_for_any(left_id, left) || stands_for_any(right_id, right)) {
    may_cut_ = false;
  } else {
    size_t last = previous_character(left, left.size()), first = 0;
    joined_.insert(next_code_point(left, last), next_code_point(right, first));
  }
  const std::string merged = std::string(left) + std::string(right.substr(continuing_prefix_.size()));
  merges_.insert(left_id, right_id, {static_cast<uint32_t>(rank), id_of(merged)});
}

std::optional<int32_t> BpeModel::token_to_id(std::string_view token) const {
  const auto it = ids_.find(token);
  return it == ids_.end() ? std::nullopt : std::optional(it->second);
}

const std::string* BpeModel::id_to_token(int32_t id) const {
  const auto i = static_cast<size_t>(id);
  return id >= 0 && i < tokens_.size() && present_[i] ? &tokens_[i] : nullptr;
}

void BpeModel::encode(std::string_view piece, Workspace& work, std::vector<int32_t>& out) const {
  if (piece.empty()) return;
  check(piece.size() < static_cast<size_t>(std::numeric_limits<int32_t>::max()), "{}: a piece of {} bytes is too long to encode",
        where_, piece.size());
  split_into_symbols(piece, work);
  merge(work);
  for (const auto& s : work.symbols) {
    if (s.id >= 0) out.push_back(s.id);
  }
}

std::optional<int32_t> BpeModel::whole_token(std::string_view piece) const {
  return ignore_merges_ ? token_to_id(piece) : std::nullopt;
}

int32_t BpeModel::id_of_character(char32_t c, std::string_view character) const {
  return c < kNumCachedCharacters ? character_ids_[c] : token_to_id(character).value_or(-1);
}

size_t BpeModel::stretch_end(std::string_view piece, size_t begin) const {
  if (!may_cut_) return piece.size();
  // Next to an unknown character there is no cut: it may vanish, or fuse with other unknown ones.
  size_t i = begin;
  char32_t last = 0;
  for (bool last_is_known = false; i < piece.size();) {
    const size_t at = i;
    const char32_t c = next_code_point(piece, i);
    const bool is_known = id_of_character(c, piece.substr(at, i - at)) >= 0;
    if (last_is_known && is_known && !joined_.may_contain(last, c)) return at;
    last = c;
    last_is_known = is_known;
  }
  return piece.size();
}

void BpeModel::split_into_symbols(std::string_view piece, Workspace& work) const {
  work.symbols.clear();
  const bool has_affixes = !continuing_prefix_.empty() || !end_suffix_.empty();
  std::string spelled;
  int32_t unk = -1;  // an unknown character that is not written yet, so that the next one can fuse with it
  const auto add = [&](int32_t id) { work.symbols.push_back({id, 0, 0}); };
  for (size_t i = 0; i < piece.size();) {
    const size_t begin = i;
    const char32_t c = next_code_point(piece, i);
    std::string_view character = piece.substr(begin, i - begin);
    int32_t id;
    if (has_affixes) {
      spelled = begin == 0 ? "" : continuing_prefix_;
      spelled += character;
      if (i == piece.size()) spelled += end_suffix_;
      character = spelled;
      id = token_to_id(character).value_or(-1);
    } else {
      id = id_of_character(c, character);
    }
    if (id >= 0) {
      if (unk >= 0) add(unk);
      unk = -1;
      add(id);
    } else if (append_byte_tokens(character, work)) {
      // The pending unknown stays pending: `tokenizers` writes it behind the bytes.
    } else if (unk_token_) {
      if (unk >= 0 && !fuse_unk_) add(unk);
      const auto unk_id = token_to_id(*unk_token_);
      check(unk_id.has_value(), "{}: the text contains '{}', which needs unk_token '{}', which is not in vocab", where_,
            character, *unk_token_);
      unk = *unk_id;
    }
  }
  if (unk >= 0) add(unk);
  const auto n = static_cast<int32_t>(work.symbols.size());
  for (int32_t i = 0; i < n; ++i) {
    work.symbols[static_cast<size_t>(i)].prev = i - 1;
    work.symbols[static_cast<size_t>(i)].next = i + 1 < n ? i + 1 : -1;
  }
}

// All bytes of the character as "<0xHH>" tokens, or nothing when one of them is missing.
bool BpeModel::append_byte_tokens(std::string_view character, Workspace& work) const {
  if (byte_ids_.empty()) return false;
  const auto id_of = [&](char b) { return byte_ids_[static_cast<unsigned char>(b)]; };
  if (!std::all_of(character.begin(), character.end(), [&](char b) { return id_of(b) >= 0; })) return false;
  for (const char b : character) work.symbols.push_back({id_of(b), 0, 0});
  return true;
}

void BpeModel::merge(Workspace& work) const {
  auto& symbols = work.symbols;
  auto& heap = work.heap;
  heap.clear();
  const auto at = [&](int32_t i) -> Workspace::Symbol& { return symbols[static_cast<size_t>(i)]; };
  const auto candidate = [&](int32_t left, int32_t right) {
    const auto* m = merges_.find(at(left).id, at(right).id);
    if (m != nullptr) heap.push_back(uint64_t{m->rank} << 32 | static_cast<uint32_t>(left));
    return m != nullptr;
  };
  const std::greater<> later;
  for (int32_t i = 0; i + 1 < static_cast<int32_t>(symbols.size()); ++i) candidate(i, i + 1);
  std::make_heap(heap.begin(), heap.end(), later);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), later);
    const auto rank = static_cast<uint32_t>(heap.back() >> 32);
    const auto position = static_cast<int32_t>(heap.back() & 0xFFFFFFFF);
    heap.pop_back();
    auto& left = at(position);
    if (left.id < 0 || left.next < 0) continue;  // merged away since, or last
    auto& right = at(left.next);
    const auto* m = merges_.find(left.id, right.id);
    if (m == nullptr || m->rank != rank) continue;  // one of the two has changed since
    left.id = m->id;
    left.next = right.next;
    right.id = -1;
    if (left.next >= 0) at(left.next).prev = position;
    if (left.prev >= 0 && candidate(left.prev, position)) std::push_heap(heap.begin(), heap.end(), later);
    if (left.next >= 0 && candidate(position, left.next)) std::push_heap(heap.begin(), heap.end(), later);
  }
}

}  // namespace lockstep::text
