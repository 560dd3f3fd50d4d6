#include "text/jinja/run.h"

#include "base/error.h"

namespace lockstep::text::jinja {

namespace {

constexpr int64_t kMaxTextBytes = 1 << 26;  // a template that doubles a string in a loop must not take the machine
constexpr int64_t kMaxListLength = 1 << 20;
constexpr int kMaxValueDepth = 100;
constexpr int kMaxLevels = 1500;

}  // namespace

void Run::refuse(std::string_view what) const { fail("{}: chat template, line {}: {}", where_, line_, what); }

void Run::refuse_undefined(const Value& value) const {
  const char* name = value.undefined_name();
  switch (value.reason()) {
    case Reason::kHint: refuse(name);
    case Reason::kName: refuse(fmt::format("'{}' is undefined", name));
    case Reason::kAttribute:
      refuse(fmt::format("a value of type '{}' has no attribute or element '{}'", type_name(value.owner()), name));
    case Reason::kUnsafe:
      refuse(fmt::format("the attribute '{}' of a value of type '{}' is unsafe, which the sandbox of templates refuses", name,
                         type_name(value.owner())));
  }
  refuse("a value is undefined");
}

void Run::refuse_type(std::string_view what, const Value& value) const {
  if (value.is_undefined()) refuse_undefined(value);
  refuse(fmt::format("{}: not of a value of type '{}'", what, type_name(value.kind())));
}

void Run::step() {
  if (++steps_ > limits_.steps) refuse(fmt::format("the template takes too many steps; the limit is {}", limits_.steps));
}

void Run::spend(int64_t bytes) {
  bytes_ += bytes;
  if (bytes_ > limits_.bytes) {
    refuse(fmt::format("the template makes too much text or too large lists; the limit is {} bytes made and looked through",
                       limits_.bytes));
  }
}

void Run::check_output(int64_t bytes) const {
  if (bytes > limits_.output_bytes)
    refuse(fmt::format("the template writes too much text; the limit is {} bytes", limits_.output_bytes));
}

void Run::count(int64_t bytes) {
  spend(bytes);
  if (heap_.live_bytes() > limits_.live_bytes) {
    refuse(fmt::format("the template holds too large values; the limit is {} bytes at a time", limits_.live_bytes));
  }
}

void Run::deepen(Object& object, const Value& item) {
  const int depth = item.depth() + 1;
  if (depth > kMaxValueDepth) refuse(fmt::format("a value is nested deeper than {} levels", kMaxValueDepth));
  if (depth > object.depth) object.depth = static_cast<int16_t>(depth);
}

Value Run::string(std::string text) {
  const auto size = static_cast<int64_t>(text.size());
  if (size > kMaxTextBytes) refuse(fmt::format("a text grows beyond all measure; the limit is {} bytes", kMaxTextBytes));
  return make(new String(std::move(text)), static_cast<int64_t>(sizeof(String)) + (size > 15 ? size : 0));
}

Value Run::sequence(Kind kind, std::vector<Value> items) {
  const auto size = static_cast<int64_t>(items.size());
  if (size > kMaxListLength) refuse(fmt::format("a list grows beyond all measure; the limit is {} items", kMaxListLength));
  const Value value = make(new Sequence(kind, std::move(items)),
                           static_cast<int64_t>(sizeof(Sequence)) + size * static_cast<int64_t>(sizeof(Value)));
  for (const Value& item : value.items()) {
    if (item.is_object()) deepen(*value.object(), item);
  }
  return value;
}

Value Run::pair(Value first, Value second) {
  std::vector<Value> items;
  items.reserve(2);
  items.push_back(std::move(first));
  items.push_back(std::move(second));
  return tuple(std::move(items));
}

Value Run::range(int64_t start, int64_t stop, int64_t step) { return make(new Range(start, stop, step), sizeof(Range)); }

bool Run::is_key(const Value& key) const {
  if (key.is_number() || key.is_string() || key.is_none()) return true;
  if (!key.is(Kind::kTuple)) return false;
  for (const Value& item : key.items()) {
    if (!is_key(item)) return false;
  }
  return true;
}

void Run::add(const Value& dict, Value key, Value value) {
  if (!is_key(key)) refuse_type("a key of a dict", key);
  auto& object = dict.as<Dict>();
  deepen(object, key);
  deepen(object, value);
  const size_t size = object.entries.size();
  object.set(std::move(key), std::move(value));
  if (object.entries.size() == size) return;
  if (static_cast<int64_t>(size) >= kMaxListLength)
    refuse(fmt::format("a dict grows beyond all measure; the limit is {} keys", kMaxListLength));
  constexpr int64_t kEntryBytes = sizeof(std::pair<Value, Value>) + 64;  // with its node in the index
  heap_.grow(object, kEntryBytes);
  count(kEntryBytes);
}

void Run::set(Namespace& space, const Value& name, Value value) {
  deepen(space, value);
  for (auto& [key, old] : space.attributes) {
    if (key.is_string() && name.is_string() && key.text() == name.text()) {
      old = std::move(value);
      return;
    }
  }
  constexpr int64_t kEntryBytes = sizeof(std::pair<Value, Value>);
  spend(static_cast<int64_t>(space.attributes.size()) * kEntryBytes);
  heap_.grow(space, kEntryBytes);
  count(kEntryBytes);
  space.attributes.emplace_back(name, std::move(value));
}

Run::Level::Level(Run& run) : run_(run) {
  if (run_.level_ >= kMaxLevels)
    run_.refuse(fmt::format("expressions, statements and macros are nested deeper than {} levels", kMaxLevels));
  ++run_.level_;
}

}  // namespace lockstep::text::jinja
