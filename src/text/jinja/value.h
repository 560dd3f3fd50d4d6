// The values of a template: Python's, as far as templates meet them. A Value is small; strings, lists and the rest are objects
// with a count of references. One rendering uses them in one thread; what a parsed template holds (literals) is never counted, so
// that renderings in several threads may share it.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lockstep::text::jinja {

class Run;
class Heap;
class Value;
struct Arguments;
struct Builtin;

enum class Kind : uint8_t {
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kBuiltin,  // a function such as range
  // What follows is an object.
  kString,
  kList,
  kTuple,
  kDict,
  kRange,
  kView,      // of a dictionary: its keys, values or items
  kIterator,  // generators and other things that are gone through once
  kNamespace,
  kMethod,  // a method with its object
  kMacro,
  kLoop,
  kCycler,
  kJoiner,
};

struct Object {
  explicit Object(Kind k) : kind(k) {}
  virtual ~Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;

  Heap* heap = nullptr;  // null: belongs to a parsed template, not counted
  Object* next_dead = nullptr;
  int64_t bytes = 0;  // what it was counted with on the heap
  int32_t references = 0;
  int16_t depth = 1;  // levels of values in values, this one included
  Kind kind;
};

// Why a value is undefined, for the message when something is done with it.
enum class Reason : uint8_t { kHint, kName, kAttribute, kUnsafe };

class Value {
 public:
  Value() : kind_(Kind::kNone) { data_.integer = 0; }
  Value(bool value) : kind_(Kind::kBool) { data_.integer = value ? 1 : 0; }
  Value(int64_t value) : kind_(Kind::kInt) { data_.integer = value; }
  Value(int value) : Value(static_cast<int64_t>(value)) {}
  Value(double value) : kind_(Kind::kFloat) { data_.number = value; }
  explicit Value(const Builtin* function) : kind_(Kind::kBuiltin) { data_.builtin = function; }
  template <typename T>
  requires std::derived_from<T, Object>
  explicit Value(T* object) : kind_(object->kind) {
    data_.object = object;
    acquire();
  }
  Value(const void*) = delete;  // would be a bool
  // name must outlive the value: a name of the template or a literal. owner: what has no such attribute.
  static Value undefined(Reason reason, const char* name, Kind owner = Kind::kUndefined) {
    Value v;
    v.kind_ = Kind::kUndefined;
    v.reason_ = reason;
    v.owner_ = owner;
    v.data_.name = name;
    return v;
  }

  Value(const Value& other) : kind_(other.kind_), reason_(other.reason_), owner_(other.owner_), data_(other.data_) { acquire(); }
  Value(Value&& other) noexcept : kind_(other.kind_), reason_(other.reason_), owner_(other.owner_), data_(other.data_) {
    other.kind_ = Kind::kNone;
  }
  Value& operator=(Value other) noexcept {
    std::swap(kind_, other.kind_);
    std::swap(reason_, other.reason_);
    std::swap(owner_, other.owner_);
    std::swap(data_, other.data_);
    return *this;
  }
  ~Value() { release(); }

  Kind kind() const { return kind_; }
  bool is(Kind kind) const { return kind_ == kind; }
  bool is_object() const { return kind_ >= Kind::kString; }
  bool is_undefined() const { return kind_ == Kind::kUndefined; }
  bool is_none() const { return kind_ == Kind::kNone; }
  bool is_string() const { return kind_ == Kind::kString; }
  bool is_integer() const { return kind_ == Kind::kInt || kind_ == Kind::kBool; }  // as in Python, True is 1
  bool is_number() const { return is_integer() || kind_ == Kind::kFloat; }
  bool is_sequence() const { return kind_ == Kind::kList || kind_ == Kind::kTuple; }

  int64_t integer() const { return data_.integer; }
  double number() const { return kind_ == Kind::kFloat ? data_.number : static_cast<double>(data_.integer); }
  const Builtin* builtin() const { return data_.builtin; }
  Object* object() const { return data_.object; }
  template <typename T>
  T& as() const {
    return *static_cast<T*>(data_.object);
  }
  const std::string& text() const;          // of a string
  const std::vector<Value>& items() const;  // of a list or tuple
  int depth() const { return is_object() ? data_.object->depth : 0; }
  Reason reason() const { return reason_; }
  Kind owner() const { return owner_; }
  const char* undefined_name() const { return data_.name; }

 private:
  void acquire() const {
    if (is_object() && data_.object->heap != nullptr) ++data_.object->references;
  }
  void release();

  Kind kind_;
  Reason reason_ = Reason::kHint;
  Kind owner_ = Kind::kUndefined;
  union {
    int64_t integer;
    double number;
    Object* object;
    const Builtin* builtin;
    const char* name;
  } data_;
};

struct String : Object {
  explicit String(std::string t) : Object(Kind::kString), text(std::move(t)) {}
  std::string text;
  mutable int64_t length = -1;  // in characters, once counted
  bool is_markup = false;       // made by the filter `safe`
};

struct Sequence : Object {  // kList, kTuple
  Sequence(Kind kind, std::vector<Value> v) : Object(kind), items(std::move(v)) {}
  std::vector<Value> items;
  bool is_group = false;  // a tuple of the filter groupby, which has the attributes grouper and list
};

struct Range : Object {
  Range(int64_t a, int64_t b, int64_t c) : Object(Kind::kRange), start(a), stop(b), step(c) {}
  int64_t start, stop, step;
  int64_t size() const;
};

// Keys are strings, numbers, booleans, None or tuples of them; in the order in which they came.
struct Dict : Object {
  Dict() : Object(Kind::kDict) {}
  struct Less {
    bool operator()(const Value& a, const Value& b) const;
  };
  std::vector<std::pair<Value, Value>> entries;
  std::map<Value, size_t, Less> index;  // of large ones: key -> position

  const Value* find(std::string_view key) const;
  const Value* find(const Value& key) const;  // the key must be one that can be
  void set(Value key, Value value);           // while it is made
};

struct View : Object {
  enum class What { kKeys, kValues, kItems };
  View(Value d, What w) : Object(Kind::kView), dict(std::move(d)), what(w) {}
  Value dict;
  What what;
};

struct Iterator : Object {
  // next: puts the next item into its argument, or returns false at the end.
  Iterator(const char* type_name, std::function<bool(Value&)> n) : Object(Kind::kIterator), type(type_name), next(std::move(n)) {}
  const char* type;
  std::function<bool(Value&)> next;
};

// Objects that change: references may form a circle through them only, so the heap clears them in the end.
struct Mutable : Object {
  explicit Mutable(Kind k) : Object(k) {}
  ~Mutable() override;
  virtual void clear() = 0;
  Mutable* previous = nullptr;
  Mutable* next = nullptr;
};

struct Namespace : Mutable {
  Namespace() : Mutable(Kind::kNamespace) {}
  void clear() override { attributes.clear(); }
  std::vector<std::pair<Value, Value>> attributes;  // names and values
  const Value* find(std::string_view name) const;
};

struct Cycler : Object {
  explicit Cycler(std::vector<Value> v) : Object(Kind::kCycler), items(std::move(v)) {}
  std::vector<Value> items;
  size_t position = 0;
};

struct Joiner : Object {
  explicit Joiner(Value s) : Object(Kind::kJoiner), separator(std::move(s)) {}
  Value separator;
  bool used = false;
};

using Function = Value (*)(Run& run, const Value& self, Arguments& arguments);

struct Builtin {  // a function or a method
  std::string_view name;
  Function call;
};

struct Method : Object {
  Method(Value s, const Builtin* f) : Object(Kind::kMethod), self(std::move(s)), function(f) {}
  Value self;
  const Builtin* function;
};

// What a call passes. Names are views into the template or into `keep`.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string_view, Value>> keywords;
  Value keep;
};

// Owns the objects of one rendering.
class Heap {
 public:
  Heap() = default;
  ~Heap();
  Heap(const Heap&) = delete;
  Heap& operator=(const Heap&) = delete;

  template <typename T>
  T* adopt(T* object, int64_t bytes) {
    object->heap = this;
    object->bytes = bytes;
    live_bytes_ += bytes;
    if constexpr (std::is_base_of_v<Mutable, T>) enlist(object);
    return object;
  }
  void grow(Object& object, int64_t bytes) {
    object.bytes += bytes;
    live_bytes_ += bytes;
  }
  int64_t live_bytes() const { return live_bytes_; }
  void free(Object* object);  // whose last reference is gone

 private:
  friend struct Mutable;
  void enlist(Mutable* object);

  int64_t live_bytes_ = 0;
  Mutable* first_ = nullptr;
  Object* dead_ = nullptr;
  bool draining_ = false;
};

inline const std::string& Value::text() const { return as<String>().text; }
inline const std::vector<Value>& Value::items() const { return as<Sequence>().items; }
inline void Value::release() {
  if (is_object() && data_.object->heap != nullptr && --data_.object->references == 0) data_.object->heap->free(data_.object);
}

int64_t length_of(const String& text);  // in characters
std::string_view type_name(Kind kind);  // Python's: 'str', 'dict', ...

}  // namespace lockstep::text::jinja
