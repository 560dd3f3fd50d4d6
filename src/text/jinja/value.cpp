#include "text/jinja/value.h"

#include <algorithm>

#include "text/jinja/operators.h"
#include "text/utf8.h"

namespace lockstep::text::jinja {

namespace {

constexpr size_t kIndexedSize = 16;  // entries of a dictionary from which on keys are looked up in a tree

// Kinds of keys in the order of the tree; numbers and booleans are one kind, because 1 == 1.0 == True.
int key_rank(const Value& key) { return key.is_number() ? 0 : static_cast<int>(key.kind()); }

}  // namespace

bool Dict::Less::operator()(const Value& a, const Value& b) const {
  const int rank_a = key_rank(a), rank_b = key_rank(b);
  if (rank_a != rank_b) return rank_a < rank_b;
  switch (a.kind()) {
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kFloat: return compare_numbers(a, b) == Order::kLess;
    case Kind::kString: return a.text() < b.text();
    case Kind::kTuple:
      return std::lexicographical_compare(a.items().begin(), a.items().end(), b.items().begin(), b.items().end(), Less());
    default: return false;
  }
}

const Value* Dict::find(std::string_view key) const {
  if (entries.size() < kIndexedSize) {
    for (const auto& [name, value] : entries) {
      if (name.is_string() && name.text() == key) return &value;
    }
    return nullptr;
  }
  String text{std::string(key)};
  return find(Value(&text));
}

const Value* Dict::find(const Value& key) const {
  if (entries.size() >= kIndexedSize) {
    const auto it = index.find(key);
    return it == index.end() ? nullptr : &entries[it->second].second;
  }
  if (key.is_string()) return find(std::string_view(key.text()));
  const Less less;
  for (const auto& [name, value] : entries) {
    if (!less(name, key) && !less(key, name)) return &value;
  }
  return nullptr;
}

void Dict::set(Value key, Value value) {
  if (const Value* old = find(key)) {
    *const_cast<Value*>(old) = std::move(value);
    return;
  }
  entries.emplace_back(std::move(key), std::move(value));
  if (entries.size() == kIndexedSize) {
    for (size_t i = 0; i < entries.size(); ++i) index.emplace(entries[i].first, i);
  } else if (entries.size() > kIndexedSize) {
    index.emplace(entries.back().first, entries.size() - 1);
  }
}

int64_t Range::size() const {
  if (step > 0 ? start >= stop : start <= stop) return 0;
  const auto distance = step > 0 ? static_cast<uint64_t>(stop) - static_cast<uint64_t>(start)
                                 : static_cast<uint64_t>(start) - static_cast<uint64_t>(stop);
  const uint64_t stride = step > 0 ? static_cast<uint64_t>(step) : uint64_t{0} - static_cast<uint64_t>(step);
  const uint64_t count = (distance - 1) / stride + 1;
  return count > INT64_MAX ? INT64_MAX : static_cast<int64_t>(count);
}

const Value* Namespace::find(std::string_view name) const {
  for (const auto& [key, value] : attributes) {
    if (key.is_string() && key.text() == name) return &value;
  }
  return nullptr;
}

Mutable::~Mutable() {
  if (heap == nullptr) return;
  (previous != nullptr ? previous->next : heap->first_) = next;
  if (next != nullptr) next->previous = previous;
}

void Heap::enlist(Mutable* object) {
  object->next = first_;
  if (first_ != nullptr) first_->previous = object;
  first_ = object;
}

Heap::~Heap() {
  std::vector<Value> circles;  // what is still there refers to itself
  for (Mutable* object = first_; object != nullptr; object = object->next) circles.emplace_back(object);
  for (const Value& value : circles) value.as<Mutable>().clear();
}

void Heap::free(Object* object) {
  // Not by recursion: chains of objects may be long.
  object->next_dead = dead_;
  dead_ = object;
  if (draining_) return;
  draining_ = true;
  while (dead_ != nullptr) {
    Object* last = dead_;
    dead_ = last->next_dead;
    live_bytes_ -= last->bytes;
    delete last;
  }
  draining_ = false;
}

int64_t length_of(const String& text) {
  if (text.heap == nullptr) return static_cast<int64_t>(count_code_points(text.text));  // shared between threads
  if (text.length < 0) text.length = static_cast<int64_t>(count_code_points(text.text));
  return text.length;
}

std::string_view type_name(Kind kind) {
  switch (kind) {
    case Kind::kUndefined: return "Undefined";
    case Kind::kNone: return "None";
    case Kind::kBool: return "bool";
    case Kind::kInt: return "int";
    case Kind::kFloat: return "float";
    case Kind::kBuiltin: return "function";
    case Kind::kString: return "str";
    case Kind::kList: return "list";
    case Kind::kTuple: return "tuple";
    case Kind::kDict: return "dict";
    case Kind::kRange: return "range";
    case Kind::kView: return "view of a dict";
    case Kind::kIterator: return "generator";
    case Kind::kNamespace: return "Namespace";
    case Kind::kMethod: return "method";
    case Kind::kMacro: return "Macro";
    case Kind::kLoop: return "LoopContext";
    case Kind::kCycler: return "Cycler";
    case Kind::kJoiner: return "Joiner";
  }
  return "";
}

}  // namespace lockstep::text::jinja
