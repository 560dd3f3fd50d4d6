#include "text/code_point_set.h"

#include <fmt/format.h>

#include <algorithm>

namespace lockstep::text {

void CodePointSet::unite(const CodePointSet& other) {
  ranges_.insert(ranges_.end(), other.ranges_.begin(), other.ranges_.end());
  std::sort(ranges_.begin(), ranges_.end());
  size_t kept = 0;
  for (size_t i = 0; i < ranges_.size(); ++i) {
    if (kept > 0 && ranges_[i].first <= ranges_[kept - 1].second + 1) {
      ranges_[kept - 1].second = std::max(ranges_[kept - 1].second, ranges_[i].second);
    } else {
      ranges_[kept++] = ranges_[i];
    }
  }
  ranges_.resize(kept);
}

void CodePointSet::complement() {
  CodePointSet surrogates(0xD800, 0xDFFF);
  surrogates.unite(*this);
  std::vector<std::pair<char32_t, char32_t>> gaps;
  char32_t next = 0;
  for (const auto& [first, last] : surrogates.ranges_) {
    if (next < first) gaps.emplace_back(next, first - 1);
    next = last + 1;
  }
  if (next <= 0x10FFFF) gaps.emplace_back(next, 0x10FFFF);
  ranges_ = std::move(gaps);
}

void CodePointSet::intersect(const CodePointSet& other) {
  CodePointSet outside = other;
  outside.complement();
  complement();
  unite(outside);
  complement();
}

std::string CodePointSet::pcre_members() const {
  std::string out;
  for (const auto& [first, last] : ranges_) {
    out += first == last ? fmt::format("\\x{{{:X}}}", static_cast<uint32_t>(first))
                         : fmt::format("\\x{{{:X}}}-\\x{{{:X}}}", static_cast<uint32_t>(first), static_cast<uint32_t>(last));
  }
  return out;
}

}  // namespace lockstep::text
