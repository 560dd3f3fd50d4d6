// Staging: everything small that a step uploads, gathered in one piece of host memory and copied in one go.
#pragma once

#include <cstddef>
#include <cstring>
#include <vector>

#include "kernels/backend.h"

namespace lockstep {

class Staging {
 public:
  explicit Staging(Backend& backend) : backend_(backend) {}
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;
  ~Staging() {
    if (host_ != nullptr) backend_.release_host(host_);
  }

  // Where an array lies; valid on the device once upload() has been called.
  template <typename T>
  struct Place {
    size_t offset = 0;
    size_t count = 0;
  };

  void clear() { bytes_.clear(); }

  template <typename T>
  Place<T> add(const std::vector<T>& values) {
    constexpr size_t kAlignment = 16;
    bytes_.resize((bytes_.size() + kAlignment - 1) / kAlignment * kAlignment);
    const Place<T> place{bytes_.size(), values.size()};
    bytes_.resize(bytes_.size() + values.size() * sizeof(T));
    if (!values.empty()) std::memcpy(bytes_.data() + place.offset, values.data(), values.size() * sizeof(T));
    return place;
  }

  // Copies all that was added to the device, on the stream. Grows the buffers at first; call only when the stream has passed the
  // copy of the step before.
  void upload() {
    if (bytes_.size() > device_.bytes()) {
      backend_.synchronize();
      if (host_ != nullptr) backend_.release_host(host_);
      host_ = nullptr;
      const size_t capacity = bytes_.size() * 2;
      device_ = Buffer(backend_, capacity, "step inputs");
      host_ = static_cast<char*>(backend_.allocate_host(capacity));
    }
    if (bytes_.empty()) return;
    std::memcpy(host_, bytes_.data(), bytes_.size());
    backend_.copy_to_device(device_.data(), host_, bytes_.size());
  }

  template <typename T>
  T* device(Place<T> place) const {
    return reinterpret_cast<T*>(device_.as<char>() + place.offset);
  }
  template <typename T>
  const T* host(Place<T> place) const {
    return reinterpret_cast<const T*>(host_ + place.offset);
  }

 private:
  Backend& backend_;
  std::vector<char> bytes_;
  char* host_ = nullptr;
  Buffer device_;
};

}  // namespace lockstep
