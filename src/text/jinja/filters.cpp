#include "text/jinja/filters.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace lockstep::text::jinja {

namespace {

// What Jinja has and we have not: they make HTML, or something else each time.
constexpr std::array<std::string_view, 9> kRefused = {"e",         "escape", "forceescape", "pprint", "random",
                                                      "striptags", "urlize", "wordwrap",    "xmlattr"};

}  // namespace

const Builtin* find_filter(std::string_view name) {
  for (const auto filters : {text_filters(), list_filters(), selection_filters(), number_filters()}) {
    for (const Builtin& filter : filters) {
      if (filter.name == name) return &filter;
    }
  }
  return nullptr;
}

std::string unknown_filter(std::string_view name) {
  if (std::find(kRefused.begin(), kRefused.end(), name) != kRefused.end()) {
    return fmt::format("the filter '{}' is not supported: it is not for chat templates", name);
  }
  return fmt::format("there is no filter '{}'", name);
}

}  // namespace lockstep::text::jinja
