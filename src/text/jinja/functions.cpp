#include "text/jinja/functions.h"

#include <fmt/format.h>

#include <array>
#include <ctime>

#include "base/error.h"
#include "text/jinja/arguments.h"
#include "text/jinja/items.h"
#include "text/jinja/operators.h"
#include "text/jinja/repr.h"
#include "text/utf8.h"

namespace lockstep::text::jinja {

namespace {

Value range(Run& run, const Value&, Arguments& arguments) {
  const Bound bound(run, "range()", arguments, {"", "", ""}, 1);
  const int64_t start = bound.has(1) ? bound.integer(0) : 0;
  const int64_t stop = bound.integer(bound.has(1) ? 1 : 0), step = bound.integer(2, 1);
  if (step == 0) run.refuse("range() with step 0");
  constexpr int64_t kMaxRange = 100'000;  // as jinja2's sandbox has it
  if (Range(start, stop, step).size() > kMaxRange)
    run.refuse(fmt::format("a range is too large; the limit is {} numbers", kMaxRange));
  return run.range(start, stop, step);
}

// The key and value of an item of what dict() is made from.
std::pair<Value, Value> pair_of(Run& run, const Value& item) {
  const std::vector<Value> pair = all_items(run, item, "an item for a dict");
  if (pair.size() != 2) run.refuse(fmt::format("an item for a dict has {} parts, not 2", pair.size()));
  return {pair[0], pair[1]};
}

// Calls add(key, value) for what dict(...) is given.
template <typename Add>
void for_each_entry(Run& run, std::string_view what, const Arguments& arguments, const Add& add) {
  if (arguments.positional.size() > 1) run.refuse(fmt::format("{} takes at most one argument without a name", what));
  if (!arguments.positional.empty()) {
    const Value& from = arguments.positional[0];
    if (from.is(Kind::kDict)) {
      for (const auto& [key, value] : from.as<Dict>().entries) add(key, value);
    } else {
      Items items(run, from, what);
      for (Value item; items.next(item);) {
        const auto [key, value] = pair_of(run, item);
        add(key, value);
      }
    }
  }
  for (const auto& [name, value] : arguments.keywords) add(run.string(std::string(name)), value);
}

Value dict(Run& run, const Value&, Arguments& arguments) {
  const Value made = run.make(new Dict, sizeof(Dict));
  for_each_entry(run, "dict()", arguments, [&](const Value& key, const Value& value) { run.add(made, key, value); });
  return made;
}

Value make_namespace(Run& run, const Value&, Arguments& arguments) {
  const Value made = run.make(new Namespace, sizeof(Namespace));
  for_each_entry(run, "namespace()", arguments,
                 [&](const Value& key, const Value& value) { run.set(made.as<Namespace>(), key, value); });
  return made;
}

Value cycler(Run& run, const Value&, Arguments& arguments) {
  if (arguments.positional.empty() || !arguments.keywords.empty()) run.refuse("cycler() needs items, without names");
  run.tuple(arguments.positional);  // for its limits
  return run.make(new Cycler(arguments.positional),
                  static_cast<int64_t>(sizeof(Cycler) + arguments.positional.size() * sizeof(Value)));
}

Value joiner(Run& run, const Value&, Arguments& arguments) {
  const Bound bound(run, "joiner()", arguments, {"sep"});
  return run.make(new Joiner(bound.has(0) ? *bound[0] : run.string(", ")), sizeof(Joiner));
}

Value raise_exception(Run& run, const Value&, Arguments& arguments) {
  const Bound bound(run, "raise_exception()", arguments, {"message"}, 1);
  fail("{}: the chat template refuses these messages (line {}): {}", run.where(), run.line(), to_text(run, *bound[0]));
}

Value strftime_now(Run& run, const Value&, Arguments& arguments) {
  const Bound bound(run, "strftime_now()", arguments, {"format"}, 1);
  const std::string& format = bound.text(0);
  if (format.empty()) return run.string("");
  const std::time_t time = std::time(nullptr);
  std::tm local{};
  localtime_r(&time, &local);
  std::array<char, 4096> buffer{};
  const size_t n = format.size() > 1024 ? 0 : std::strftime(buffer.data(), buffer.size(), format.c_str(), &local);
  if (n == 0) run.refuse("strftime_now() gives no text, or more than 4096 bytes");
  return run.string(repair_utf8(std::string_view(buffer.data(), n)));
}

constexpr Builtin kFunctions[] = {
    {"cycler", cycler},
    {"dict", dict},
    {"joiner", joiner},
    {"lipsum", nullptr},
    {"namespace", make_namespace},
    {"raise_exception", raise_exception},
    {"range", range},
    {"strftime_now", strftime_now},
};

}  // namespace

std::span<const Builtin> functions() { return kFunctions; }

}  // namespace lockstep::text::jinja
