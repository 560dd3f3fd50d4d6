#include <fmt/format.h>

#include "text/jinja/arguments.h"
#include "text/jinja/items.h"
#include "text/jinja/loop.h"
#include "text/jinja/methods.h"
#include "text/jinja/operators.h"

namespace lockstep::text::jinja {

namespace {

template <View::What kWhat>
Value view(Run& run, const Value& self, Arguments& arguments) {
  const Bound none(run, "keys(), values() and items() of a dict", arguments, {});
  return run.view(self, kWhat);
}

Value get(Run& run, const Value& self, Arguments& arguments) {
  const Bound bound(run, "get()", arguments, {"", ""}, 1);
  if (!run.is_key(*bound[0]) && !bound[0]->is_undefined()) run.refuse_type("a key of a dict", *bound[0]);
  const Value* found = bound[0]->is_undefined() ? nullptr : self.as<Dict>().find(*bound[0]);
  return found != nullptr ? *found : bound.has(1) ? *bound[1] : Value();
}

Value copy_dict(Run& run, const Value& self, Arguments& arguments) {
  const Bound none(run, "copy()", arguments, {});
  const Value copy = run.make(new Dict, sizeof(Dict));
  for (const auto& [key, value] : self.as<Dict>().entries) run.add(copy, key, value);
  return copy;
}

Value copy_list(Run& run, const Value& self, Arguments& arguments) {
  const Bound none(run, "copy()", arguments, {});
  return run.list(all_items(run, self, "copy()"));
}

Value count(Run& run, const Value& self, Arguments& arguments) {
  const Bound bound(run, "count()", arguments, {""}, 1);
  int64_t n = 0;
  Items items(run, self, "count()");
  for (Value item; items.next(item);) n += is_same(item, *bound[0]) || is_equal(run, item, *bound[0]) ? 1 : 0;
  return n;
}

Value index(Run& run, const Value& self, Arguments& arguments) {
  const Bound bound(run, "index()", arguments, {"", "", ""}, 1);
  const int64_t n = length(run, self);
  const auto edge = [&](size_t i, int64_t fallback) {
    const int64_t at = bound.integer(i, fallback);
    return at < 0 ? std::max<int64_t>(at + n, 0) : at;
  };
  const int64_t start = edge(1, 0), stop = edge(2, n);
  Items items(run, self, "index()");
  int64_t at = 0;
  for (Value item; items.next(item); ++at) {
    if (at >= start && at < stop && (is_same(item, *bound[0]) || is_equal(run, item, *bound[0]))) return at;
  }
  run.refuse("index() of what is not in the list");
}

Value cycle(Run& run, const Value& self, Arguments& arguments) {
  if (arguments.positional.empty() || !arguments.keywords.empty()) run.refuse("loop.cycle() needs values, without names");
  return arguments.positional[static_cast<size_t>(self.as<Loop>().index0) % arguments.positional.size()];
}

Value changed(Run& run, const Value& self, Arguments& arguments) {
  if (!arguments.keywords.empty()) run.refuse("loop.changed() takes values without names");
  auto& loop = self.as<Loop>();
  bool same = loop.was_changed && loop.last_changed.size() == arguments.positional.size();
  for (size_t i = 0; same && i < arguments.positional.size(); ++i) {
    same = is_same(loop.last_changed[i], arguments.positional[i]) || is_equal(run, loop.last_changed[i], arguments.positional[i]);
  }
  if (same) return false;
  loop.was_changed = true;
  loop.last_changed = arguments.positional;
  return true;
}

Value next(Run& run, const Value& self, Arguments& arguments) {
  const Bound none(run, "next()", arguments, {});
  auto& cycler = self.as<Cycler>();
  const Value current = cycler.items[cycler.position];
  cycler.position = (cycler.position + 1) % cycler.items.size();
  return current;
}

Value reset(Run& run, const Value& self, Arguments& arguments) {
  const Bound none(run, "reset()", arguments, {});
  self.as<Cycler>().position = 0;
  return {};
}

constexpr Builtin kDictMethods[] = {
    {"copy", copy_dict},
    {"fromkeys", nullptr},
    {"get", get},
    {"items", view<View::What::kItems>},
    {"keys", view<View::What::kKeys>},
    {"values", view<View::What::kValues>},
};
constexpr Builtin kListMethods[] = {{"copy", copy_list}, {"count", count}, {"index", index}};
constexpr Builtin kLoopMethods[] = {{"changed", changed}, {"cycle", cycle}};
constexpr Builtin kCyclerMethods[] = {{"next", next}, {"reset", reset}};

}  // namespace

std::span<const Builtin> dict_methods() { return kDictMethods; }
std::span<const Builtin> list_methods() { return kListMethods; }
std::span<const Builtin> loop_methods() { return kLoopMethods; }
std::span<const Builtin> cycler_methods() { return kCyclerMethods; }

}  // namespace lockstep::text::jinja
