// Filters that apply another filter or a test to each item, as it is asked for.
#include <fmt/format.h>

#include <memory>

#include "text/jinja/attributes.h"
#include "text/jinja/filters.h"
#include "text/jinja/items.h"
#include "text/jinja/operators.h"
#include "text/jinja/tests.h"

namespace lockstep::text::jinja {

namespace {

// The arguments behind the first `count`, which outlive the call.
Arguments rest_of(Run& run, const Arguments& arguments, size_t count) {
  Arguments rest;
  rest.positional.assign(arguments.positional.begin() + static_cast<int64_t>(count), arguments.positional.end());
  const Value names = run.make(new Dict, sizeof(Dict));
  for (const auto& [name, value] : arguments.keywords) run.add(names, run.string(std::string(name)), value);
  for (const auto& [name, value] : names.as<Dict>().entries) rest.keywords.emplace_back(name.text(), value);
  rest.keep = names;
  return rest;
}

const Builtin* named(Run& run, const Value& name, bool is_filter) {
  if (name.is_undefined()) run.refuse_undefined(name);
  const Builtin* found = !name.is_string() ? nullptr : is_filter ? find_filter(name.text()) : find_test(name.text());
  if (found != nullptr) return found;
  if (!name.is_string()) run.refuse_type("the name of a filter or test", name);
  run.refuse(is_filter ? unknown_filter(name.text()) : unknown_test(name.text()));
}

Value map(Run& run, const Value& self, Arguments& arguments) {
  if (!is_iterable(self)) {
    if (!is_true(self)) return run.iterator("generator", [](Value&) { return false; });
    run.refuse_type("the filter 'map'", self);
  }
  if (!arguments.positional.empty()) {
    // What is wrong with the name shows when the first item is asked for.
    auto rest = std::make_shared<Arguments>(rest_of(run, arguments, 1));
    return run.iterator("generator", [&run, rest, name = arguments.positional[0],
                                      items = Items(run, self, "the filter 'map'")](Value& item) mutable {
      if (!items.next(item)) return false;
      run.step();
      const Run::Level level(run);
      Arguments copy = *rest;
      item = named(run, name, true)->call(run, item, copy);
      return true;
    });
  }
  Value attribute, fallback;
  bool has_attribute = false;
  for (const auto& [name, value] : arguments.keywords) {
    if (name == "attribute") {
      attribute = value;
      has_attribute = true;
    } else if (name == "default") {
      fallback = value;
    } else if (is_true(self)) {
      run.refuse(fmt::format("the filter 'map' takes no argument '{}'", name));
    }
  }
  if (!has_attribute && is_true(self)) run.refuse("the filter 'map' needs the name of a filter, or attribute=NAME");
  return run.iterator("generator", [&run, path = attribute_path(run, attribute), fallback,
                                    items = Items(run, self, "the filter 'map'")](Value& item) mutable {
    if (!items.next(item)) return false;
    run.step();
    item = follow(run, item, path, &fallback);
    return true;
  });
}

// select, reject, selectattr, rejectattr: the items, or those with an attribute, that pass a test, or do not.
template <bool kSelect, bool kByAttribute>
Value select(Run& run, const Value& self, Arguments& arguments) {
  constexpr size_t kTestAt = kByAttribute ? 1 : 0;
  if (!is_true(self)) return run.iterator("generator", [](Value&) { return false; });
  if (kByAttribute && arguments.positional.empty()) run.refuse("selectattr and rejectattr need the name of an attribute");
  const bool has_test = arguments.positional.size() > kTestAt;
  auto rest = std::make_shared<Arguments>(rest_of(run, arguments, has_test ? kTestAt + 1 : arguments.positional.size()));
  const Value name = has_test ? arguments.positional[kTestAt] : Value();
  std::vector<Value> path = kByAttribute ? attribute_path(run, arguments.positional[0]) : std::vector<Value>();
  return run.iterator("generator",
                      [&run, rest, name, has_test, path, items = Items(run, self, "a filter that selects")](Value& item) mutable {
                        while (items.next(item)) {
                          run.step();
                          const Run::Level level(run);
                          const Value value = follow(run, item, path);
                          Arguments copy = *rest;
                          if (is_true(has_test ? named(run, name, false)->call(run, value, copy) : value) == kSelect) return true;
                        }
                        return false;
                      });
}

constexpr Builtin kFilters[] = {
    {"map", map},
    {"reject", select<false, false>},
    {"rejectattr", select<false, true>},
    {"select", select<true, false>},
    {"selectattr", select<true, true>},
};

}  // namespace

std::span<const Builtin> selection_filters() { return kFilters; }

}  // namespace lockstep::text::jinja
