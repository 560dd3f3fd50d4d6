#include "cache/block_hash.h"

#include <openssl/evp.h>

#include "base/error.h"

namespace lockstep {

struct BlockHasher::Digest {
  EVP_MD* method = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~Digest() {
    EVP_MD_CTX_free(context);
    EVP_MD_free(method);
  }
};

BlockHasher::BlockHasher() : digest_(std::make_unique<Digest>()) {
  check(digest_->method != nullptr && digest_->context != nullptr, "OpenSSL gives no SHA-256, which prefix caching needs");
}

BlockHasher::~BlockHasher() = default;

BlockHash BlockHasher::digest(std::span<const std::byte> first, std::span<const std::byte> second) {
  BlockHash hash;
  unsigned int size = 0;
  const bool ok = EVP_DigestInit_ex2(digest_->context, digest_->method, nullptr) == 1 &&
                  EVP_DigestUpdate(digest_->context, first.data(), first.size()) == 1 &&
                  EVP_DigestUpdate(digest_->context, second.data(), second.size()) == 1 &&
                  EVP_DigestFinal_ex(digest_->context, reinterpret_cast<unsigned char*>(hash.words.data()), &size) == 1;
  check(ok && size == sizeof(hash.words), "OpenSSL could not compute SHA-256 of {} bytes", first.size() + second.size());
  return hash;
}

BlockHash BlockHasher::root(std::string_view variant) { return digest(std::as_bytes(std::span(variant)), {}); }

BlockHash BlockHasher::block(const BlockHash& parent, std::span<const int32_t> tokens) {
  return digest(std::as_bytes(std::span(parent.words)), std::as_bytes(tokens));
}

}  // namespace lockstep
