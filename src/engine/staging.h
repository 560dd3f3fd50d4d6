// Staging: everything small that a step uploads, gathered in one piece of host memory and copied in one go.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "kernels/backend.h"

namespace lockstep {

class Staging {
 public:
  static constexpr size_t kSmallestCapacity = 4096;
  // capacity: bytes to begin with.
  explicit Staging(Backend& backend, size_t capacity = kSmallestCapacity) : backend_(backend) {
    for (Turn& turn : turns_) turn.passed = backend.make_mark();
    grow(capacity);
  }
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;
  ~Staging() { release_host(); }

  // Where an array lies; valid on the device once upload() has been called.
  template <typename T>
  struct Place {
    size_t offset = 0;
    size_t count = 0;
  };

  void clear() { bytes_.clear(); }

  // Places depend on the sizes of what was added since clear() only.
  template <typename T>
  Place<T> add(const std::vector<T>& values) {
    constexpr size_t kAlignment = 16;
    bytes_.resize((bytes_.size() + kAlignment - 1) / kAlignment * kAlignment);
    const Place<T> place{bytes_.size(), values.size()};
    bytes_.resize(bytes_.size() + values.size() * sizeof(T));
    if (!values.empty()) std::memcpy(bytes_.data() + place.offset, values.data(), values.size() * sizeof(T));
    return place;
  }

  // Copies all that was added to the device, on the stream: what it holds for earlier steps has been used by then. The host may
  // be two uploads ahead of the device.
  void upload() {
    if (bytes_.size() > device_.bytes()) grow(bytes_.size() * 2);
    if (bytes_.empty()) return;
    Turn& turn = turns_[next_turn_];
    next_turn_ = (next_turn_ + 1) % turns_.size();
    turn.passed->wait();
    std::memcpy(turn.host, bytes_.data(), bytes_.size());
    backend_.copy_to_device(device_.data(), turn.host, bytes_.size());
    turn.passed->record();
  }

  template <typename T>
  T* device(Place<T> place) const {
    return reinterpret_cast<T*>(device_.as<char>() + place.offset);
  }

  // Changes when the arrays have moved on the device.
  int64_t generation() const { return generation_; }

 private:
  struct Turn {
    char* host = nullptr;
    std::unique_ptr<StreamMark> passed;  // the stream has copied `host`
  };

  void grow(size_t capacity) {
    backend_.synchronize();
    release_host();
    device_ = Buffer(backend_, capacity, "step inputs");
    for (Turn& turn : turns_) turn.host = static_cast<char*>(backend_.allocate_host(capacity));
    ++generation_;
  }
  void release_host() {
    for (Turn& turn : turns_) {
      if (turn.host != nullptr) backend_.release_host(turn.host);
      turn.host = nullptr;
    }
  }

  Backend& backend_;
  std::vector<char> bytes_;
  std::array<Turn, 2> turns_;
  size_t next_turn_ = 0;
  Buffer device_;
  int64_t generation_ = 0;
};

}  // namespace lockstep
