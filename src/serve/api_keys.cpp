#include "serve/api_keys.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <boost/beast/core/string.hpp>

#include "base/error.h"

namespace lockstep {
namespace {

// The password of "user:password" in base64; empty where it is none.
std::string basic_password(const std::string& encoded) {
  if (encoded.empty() || encoded.size() % 4 != 0 || encoded.size() > 8192) return {};
  std::string decoded(encoded.size() / 4 * 3, '\0');
  const int length = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(decoded.data()),
                                     reinterpret_cast<const unsigned char*>(encoded.data()), static_cast<int>(encoded.size()));
  if (length < 0) return {};
  const size_t padding = encoded.ends_with("==") ? 2 : encoded.ends_with("=") ? 1 : 0;
  decoded.resize(static_cast<size_t>(length) - padding);
  const size_t colon = decoded.find(':');
  return colon == std::string::npos ? std::string() : decoded.substr(colon + 1);
}

}  // namespace

ApiKeys::Digest ApiKeys::digest(const std::string& key) {
  Digest out{};
  unsigned int size = 0;
  check(EVP_Digest(key.data(), key.size(), out.data(), &size, EVP_sha256(), nullptr) == 1 && size == out.size(),
        "OpenSSL gives no SHA-256");
  return out;
}

ApiKeys::ApiKeys(const std::vector<std::string>& keys) {
  for (const std::string& key : keys) digests_.push_back(digest(key));
}

bool ApiKeys::allow(const std::string& authorization) const {
  if (!required()) return true;
  const size_t blank = authorization.find(' ');
  if (blank == std::string::npos) return false;
  const std::string scheme = authorization.substr(0, blank);
  std::string key = authorization.substr(authorization.find_first_not_of(' ', blank) == std::string::npos
                                             ? authorization.size()
                                             : authorization.find_first_not_of(' ', blank));
  if (boost::beast::iequals(scheme, "Basic")) {
    key = basic_password(key);
  } else if (!boost::beast::iequals(scheme, "Bearer")) {
    return false;
  }
  const Digest given = digest(key);
  bool allowed = false;
  for (const Digest& one : digests_) allowed |= CRYPTO_memcmp(given.data(), one.data(), one.size()) == 0;
  return allowed;
}

}  // namespace lockstep
