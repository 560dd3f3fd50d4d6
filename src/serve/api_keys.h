// ApiKeys: who may ask.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace lockstep {

class ApiKeys {
 public:
  // None: everybody may.
  explicit ApiKeys(const std::vector<std::string>& keys);

  bool required() const { return !digests_.empty(); }
  // authorization: the header's value, "Bearer KEY", or "Basic ..." with the key as password, which is what browsers send. The
  // time it takes does not tell how much of a key was right.
  bool allow(const std::string& authorization) const;

 private:
  using Digest = std::array<unsigned char, 32>;
  static Digest digest(const std::string& key);

  std::vector<Digest> digests_;
};

}  // namespace lockstep
