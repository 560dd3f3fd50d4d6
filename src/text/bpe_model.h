// Byte pair encoding. Component `model` of tokenizer.json.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/component.h"

namespace lockstep::text {

// Ids must be below this; real vocabularies have up to about 300,000 tokens, and everything that is indexed by id has this size.
inline constexpr int64_t kMaxTokenId = int64_t{1} << 22;

// std::unordered_map that finds a std::string_view without a copy.
struct StringHash {
  using is_transparent = void;
  size_t operator()(std::string_view s) const { return std::hash<std::string_view>{}(s); }
};
template <typename T>
using StringMap = std::unordered_map<std::string, T, StringHash, std::equal_to<>>;

// The merges: a pair of adjacent tokens -> rank and merged token. Open addressing, because encoding does little but look here.
class MergeTable {
 public:
  struct Merge {
    uint32_t rank;
    int32_t id;
  };
  explicit MergeTable(size_t count = 0);
  void insert(int32_t left, int32_t right, Merge merge);  // a pair that is there already gets the new value
  const Merge* find(int32_t left, int32_t right) const;

 private:
  struct Slot {
    uint64_t key = kEmpty;
    Merge merge{};
  };
  static constexpr uint64_t kEmpty = ~uint64_t{0};
  size_t slot_of(uint64_t key) const;

  std::vector<Slot> slots_;
  size_t mask_ = 0;
};

// Which characters a merge may bring together: c1 ends its left token, c2 begins its right one. A filter of bits (Bloom's, with
// one hash): it never misses a pair, and takes a few for present that are not.
class JoinedCharacters {
 public:
  void insert(char32_t c1, char32_t c2) { bits_[slot_of(c1, c2) / 64] |= uint64_t{1} << slot_of(c1, c2) % 64; }
  bool may_contain(char32_t c1, char32_t c2) const { return (bits_[slot_of(c1, c2) / 64] >> slot_of(c1, c2) % 64 & 1) != 0; }

 private:
  static constexpr int kLogBits = 20;
  static size_t slot_of(char32_t c1, char32_t c2) {
    return static_cast<size_t>((uint64_t{c1} << 21 | c2) * 0x9E3779B97F4A7C15ULL >> (64 - kLogBits));
  }
  std::vector<uint64_t> bits_ = std::vector<uint64_t>(size_t{1} << (kLogBits - 6));
};

class BpeModel {
 public:
  // Throws Error for a model that is not BPE, duplicate or out-of-range ids, merges of unknown tokens.
  explicit BpeModel(const Component& component);

  // Memory that encode() reuses from piece to piece; one per thread.
  struct Workspace {
    struct Symbol {
      int32_t id;  // -1: merged into its left neighbour
      int32_t prev;
      int32_t next;
    };
    std::vector<Symbol> symbols;
    std::vector<uint64_t> heap;  // possible merges: rank << 32 | position of the left symbol
  };

  // Appends the tokens of `piece` (valid UTF-8), in n log n. whole_token() is the caller's business. Of the possible merges that
  // of the lowest rank goes first, the leftmost among equals (Sennrich et al., arXiv:1508.07909). A character that is neither in
  // the vocabulary nor spelled by byte tokens becomes unk_token, or vanishes where there is none, as in `tokenizers`.
  void encode(std::string_view piece, Workspace& work, std::vector<int32_t>& out) const;

  // The end of a stretch of `piece` from `begin` on that can be encoded by itself: no merge can ever bring together what is
  // before and behind it. Where texts are not split into words, as in sentencepiece's models, this finds the words.
  size_t stretch_end(std::string_view piece, size_t begin) const;
  // Whether encode() takes the whole piece for a token of that spelling, without regard to merges.
  std::optional<int32_t> whole_token(std::string_view piece) const;

  std::optional<int32_t> token_to_id(std::string_view token) const;
  const std::string* id_to_token(int32_t id) const;                            // nullptr: no such token
  int64_t vocab_size() const { return static_cast<int64_t>(tokens_.size()); }  // largest id + 1
  int64_t num_tokens() const { return static_cast<int64_t>(ids_.size()); }     // less than vocab_size() where ids are missing

 private:
  void read_vocab(const Component& component);
  void read_merges(const Component& component);
  void read_merge(const Component& component, size_t rank, std::string_view left, std::string_view right);
  int32_t id_of_character(char32_t c, std::string_view character) const;
  void split_into_symbols(std::string_view piece, Workspace& work) const;
  bool append_byte_tokens(std::string_view character, Workspace& work) const;
  void merge(Workspace& work) const;

  std::string where_;
  StringMap<int32_t> ids_;
  std::vector<std::string> tokens_;  // by id; empty where absent_
  std::vector<bool> present_;
  MergeTable merges_;
  JoinedCharacters joined_;
  bool may_cut_ = true;                 // pieces may be encoded in stretches
  std::vector<int32_t> character_ids_;  // by code point, below U+3000: token of that one character or -1
  std::vector<int32_t> byte_ids_;       // [256] token "<0xHH>" or -1; empty without byte_fallback
  std::string continuing_prefix_;       // of a character that does not begin its piece
  std::string end_suffix_;              // of a character that ends its piece
  std::optional<std::string> unk_token_;
  bool fuse_unk_ = false;
  bool ignore_merges_ = false;
};

}  // namespace lockstep::text
