#include "text/jinja/arguments.h"

#include <fmt/format.h>

#include <algorithm>

#include "text/jinja/operators.h"

namespace lockstep::text::jinja {

Bound::Bound(Run& run, std::string_view what, const Arguments& arguments, std::initializer_list<std::string_view> names,
             size_t required)
    : run_(run), what_(what) {
  if (arguments.positional.size() > names.size()) {
    run.refuse(fmt::format("{} takes at most {} arguments, not {}", what, names.size(), arguments.positional.size()));
  }
  for (size_t i = 0; i < arguments.positional.size(); ++i) values_[i] = &arguments.positional[i];
  for (const auto& [name, value] : arguments.keywords) {
    const auto it = std::find(names.begin(), names.end(), name);
    if (it == names.end() || name.empty()) run.refuse(fmt::format("{} takes no argument '{}'", what, name));
    const Value*& slot = values_[static_cast<size_t>(it - names.begin())];
    if (slot != nullptr) run.refuse(fmt::format("{} is given its argument '{}' twice", what, name));
    slot = &value;
  }
  for (size_t i = 0; i < required; ++i) {
    if (values_[i] == nullptr) run.refuse(fmt::format("{} lacks its argument {}", what, i + 1));
  }
}

bool Bound::flag(size_t i, bool fallback) const { return values_[i] == nullptr ? fallback : is_true(*values_[i]); }

int64_t Bound::integer(size_t i, int64_t fallback) const {
  return values_[i] == nullptr ? fallback : to_integer(run_, *values_[i], fmt::format("argument {} of {}", i + 1, what_));
}

const std::string& Bound::text(size_t i) const {
  if (!values_[i]->is_string()) run_.refuse_type(fmt::format("argument {} of {} must be a text", i + 1, what_), *values_[i]);
  return values_[i]->text();
}

}  // namespace lockstep::text::jinja
