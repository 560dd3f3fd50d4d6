// BlockHash: what a full block of the KV cache holds, as SHA-256 of everything that its K and V depend on: the tokens of the
// block, those before it (through the hash of the block before), and what else changes them (through the root). Blocks with equal
// hashes hold equal K and V, so that one can stand for the other; the hash is a cryptographic one, for nobody may craft a prompt
// that is taken for another's.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>

namespace lockstep {

struct BlockHash {
  std::array<uint64_t, 4> words{};
  bool operator==(const BlockHash&) const = default;
};

// Makes hashes; holds the state of the digest between calls, so one thread at a time.
class BlockHasher {
 public:
  BlockHasher();
  ~BlockHasher();
  // The parent of a sequence's first block. variant: whatever changes K and V besides the token ids, as bytes.
  BlockHash root(std::string_view variant);
  BlockHash block(const BlockHash& parent, std::span<const int32_t> tokens);

 private:
  BlockHash digest(std::span<const std::byte> first, std::span<const std::byte> second);

  struct Digest;
  std::unique_ptr<Digest> digest_;
};

}  // namespace lockstep

template <>
struct std::hash<lockstep::BlockHash> {
  size_t operator()(const lockstep::BlockHash& hash) const noexcept { return hash.words[0]; }
};
