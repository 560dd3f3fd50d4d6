#include "text/jinja/loop.h"

namespace lockstep::text::jinja {

void Loop::clear() {
  source = nullptr;
  recurse = nullptr;
  previous_item = current = next_item = Value();
  last_changed.clear();
  rest_.clear();
}

bool Loop::has_next() {
  if (has_peeked_) return !is_over_;
  has_peeked_ = true;
  if (is_read_) {
    is_over_ = rest_position_ >= rest_.size();
    if (!is_over_) next_item = rest_[rest_position_++];
  } else {
    is_over_ = !source(next_item);
  }
  return !is_over_;
}

bool Loop::advance() {
  if (!has_next()) return false;
  has_peeked_ = false;
  ++index0;
  previous_item = std::move(current);
  current = std::move(next_item);
  next_item = Value();
  return true;
}

int64_t Loop::length() {
  if (known_length_ >= 0) return known_length_;
  if (!is_read_) {
    if (!(has_peeked_ && is_over_)) {
      for (Value item; source(item);) rest_.push_back(item);
    }
    is_read_ = true;
  }
  known_length_ = index0 + 1 + static_cast<int64_t>(rest_.size()) + (has_peeked_ && !is_over_ ? 1 : 0);
  return known_length_;
}

}  // namespace lockstep::text::jinja
