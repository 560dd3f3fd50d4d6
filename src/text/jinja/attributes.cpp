#include "text/jinja/attributes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>

#include "text/jinja/characters.h"
#include "text/jinja/loop.h"
#include "text/jinja/macro.h"
#include "text/jinja/methods.h"
#include "text/jinja/operators.h"
#include "text/utf8.h"

namespace lockstep::text::jinja {

namespace {

constexpr uint32_t bit(Kind kind) { return uint32_t{1} << static_cast<uint32_t>(kind); }

using Names = std::span<const std::string_view>;
bool is_in(Names names, std::string_view name) { return std::find(names.begin(), names.end(), name) != names.end(); }

// What would change a value; the immutable sandbox refuses it.
constexpr std::array<std::string_view, 5> kUnsafeOfDict = {"clear", "pop", "popitem", "setdefault", "update"};
constexpr std::array<std::string_view, 8> kUnsafeOfList = {"append", "clear",  "extend",  "insert",
                                                           "pop",    "remove", "reverse", "sort"};
// Attributes that are no methods.
constexpr std::array<std::string_view, 11> kOfLoop = {"index",  "index0", "revindex", "revindex0", "first",   "last",
                                                      "length", "depth",  "depth0",   "previtem",  "nextitem"};
constexpr std::array<std::string_view, 6> kOfMacro = {"name",          "arguments", "catch_kwargs",
                                                      "catch_varargs", "caller",    "explicit_caller"};
constexpr std::array<std::string_view, 3> kOfCycler = {"items", "pos", "current"};
constexpr std::array<std::string_view, 2> kOfJoiner = {"sep", "used"};
constexpr std::array<std::string_view, 3> kOfRange = {"start", "stop", "step"};
// Of numbers; none of them is supported.
constexpr std::array<std::string_view, 13> kOfNumber = {"as_integer_ratio", "bit_count", "bit_length", "conjugate", "denominator",
                                                        "from_bytes",       "fromhex",   "hex",        "imag",      "is_integer",
                                                        "numerator",        "real",      "to_bytes"};
// What every object has.
constexpr std::array<std::string_view, 23> kDunders = {
    "__class__",        "__delattr__", "__dict__",      "__dir__",  "__doc__",           "__eq__",     "__format__", "__ge__",
    "__getattribute__", "__gt__",      "__hash__",      "__init__", "__init_subclass__", "__le__",     "__lt__",     "__ne__",
    "__new__",          "__reduce__",  "__reduce_ex__", "__repr__", "__setattr__",       "__sizeof__", "__str__"};

const Builtin* find_in(std::span<const Builtin> methods, std::string_view name) {
  for (const Builtin& method : methods) {
    if (method.name == name) return &method;
  }
  return nullptr;
}

std::span<const Builtin> methods_of(Kind kind) {
  switch (kind) {
    case Kind::kString: return string_methods();
    case Kind::kDict: return dict_methods();
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kRange: return list_methods();
    case Kind::kLoop: return loop_methods();
    case Kind::kCycler: return cycler_methods();
    default: return {};
  }
}

Value property_of(Run& run, Loop& loop, std::string_view name) {
  if (name == "index") return loop.index0 + 1;
  if (name == "index0") return loop.index0;
  if (name == "first") return loop.index0 == 0;
  if (name == "last") return !loop.has_next();
  if (name == "length") return loop.length();
  if (name == "revindex") return loop.length() - loop.index0;
  if (name == "revindex0") return loop.length() - loop.index0 - 1;
  if (name == "depth") return loop.depth0 + 1;
  if (name == "depth0") return loop.depth0;
  if (name == "previtem")
    return loop.index0 == 0 ? Value::undefined(Reason::kHint, "there is no previous item") : loop.previous_item;
  if (name == "nextitem") return loop.has_next() ? loop.next_item : Value::undefined(Reason::kHint, "there is no next item");
  run.refuse(fmt::format("the attribute '{}' of a loop is not supported", name));
}

Value property_of(Run& run, const Macro& macro, std::string_view name) {
  const Node& node = *macro.node;
  if (name == "name") return macro.name.empty() ? Value() : run.string(macro.name);
  if (name == "catch_kwargs") return node.takes_kwargs;
  if (name == "catch_varargs") return node.takes_varargs;
  if (name == "caller") return node.takes_caller;
  std::vector<Value> names;
  bool has_caller = false;
  for (const Parameter& parameter : node.parameters) {
    names.push_back(run.string(parameter.name));
    has_caller = has_caller || parameter.id == kCallerName;
  }
  return name == "arguments" ? run.tuple(std::move(names)) : Value(has_caller);
}

// An attribute that kinds_with_attribute says the object has.
Value python_attribute(Run& run, const Value& object, std::string_view name, const char* lasting_name) {
  const auto unsafe = [&] { return Value::undefined(Reason::kUnsafe, lasting_name, object.kind()); };
  if (name.starts_with('_')) return unsafe();
  const Kind kind = object.kind();
  if ((kind == Kind::kDict && is_in(kUnsafeOfDict, name)) || (kind == Kind::kList && is_in(kUnsafeOfList, name))) return unsafe();
  if (kind == Kind::kLoop && is_in(kOfLoop, name)) return property_of(run, object.as<Loop>(), name);
  if (kind == Kind::kMacro) return property_of(run, object.as<Macro>(), name);
  if (kind == Kind::kRange && is_in(kOfRange, name)) {
    const auto& range = object.as<Range>();
    return name == "start" ? range.start : name == "stop" ? range.stop : range.step;
  }
  if (kind == Kind::kCycler && is_in(kOfCycler, name)) {
    const auto& cycler = object.as<Cycler>();
    if (name == "items") return run.tuple(cycler.items);
    return name == "pos" ? Value(static_cast<int64_t>(cycler.position)) : cycler.items[cycler.position];
  }
  if (kind == Kind::kJoiner) return name == "sep" ? object.as<Joiner>().separator : Value(object.as<Joiner>().used);
  const Builtin* method = find_in(methods_of(kind), name);
  if (method == nullptr)
    run.refuse(fmt::format("the attribute '{}' of a value of type '{}' is not supported", name, type_name(kind)));
  return run.method(object, method);
}

Value namespace_attribute(const Namespace& space, std::string_view name, const char* lasting_name) {
  const Value* value = space.find(name);
  if (value == nullptr) return Value::undefined(Reason::kAttribute, lasting_name, Kind::kNamespace);
  return name.starts_with('_') ? Value::undefined(Reason::kUnsafe, lasting_name, Kind::kNamespace) : *value;
}

// getattr() where it finds something.
bool find_attribute(Run& run, const Value& object, std::string_view name, const char* lasting_name, uint32_t known_to,
                    Value& found) {
  if ((known_to & bit(object.kind())) != 0) {
    found = python_attribute(run, object, name, lasting_name);
    return true;
  }
  if (object.is(Kind::kNamespace)) {
    found = namespace_attribute(object.as<Namespace>(), name, lasting_name);
    return found.reason() != Reason::kAttribute || !found.is_undefined();
  }
  if (object.is(Kind::kTuple) && object.as<Sequence>().is_group && (name == "grouper" || name == "list")) {
    found = object.items()[name == "grouper" ? 0 : 1];
    return true;
  }
  return false;
}

constexpr const char* kNoElement = "a value has no such element";

}  // namespace

uint32_t kinds_with_attribute(std::string_view name) {
  if (is_in(kDunders, name)) return ~uint32_t{0};
  uint32_t kinds = 0;
  for (const Kind kind : {Kind::kString, Kind::kDict, Kind::kList, Kind::kTuple, Kind::kLoop, Kind::kCycler}) {
    if (find_in(methods_of(kind), name) != nullptr) kinds |= bit(kind);
  }
  if ((kinds & bit(Kind::kTuple)) != 0 && name != "copy") kinds |= bit(Kind::kRange);
  if (name == "copy") kinds &= ~bit(Kind::kTuple);
  if (is_in(kUnsafeOfDict, name)) kinds |= bit(Kind::kDict);
  if (is_in(kUnsafeOfList, name)) kinds |= bit(Kind::kList);
  if (is_in(kOfLoop, name)) kinds |= bit(Kind::kLoop);
  if (is_in(kOfMacro, name)) kinds |= bit(Kind::kMacro);
  if (is_in(kOfCycler, name)) kinds |= bit(Kind::kCycler);
  if (is_in(kOfJoiner, name)) kinds |= bit(Kind::kJoiner);
  if (is_in(kOfRange, name)) kinds |= bit(Kind::kRange);
  if (is_in(kOfNumber, name)) kinds |= bit(Kind::kInt) | bit(Kind::kBool) | bit(Kind::kFloat);
  return kinds;
}

const Builtin* find_method(const Value& object, std::string_view name, uint32_t known_to) {
  if ((known_to & bit(object.kind())) == 0 || name.starts_with('_')) return nullptr;
  return find_in(methods_of(object.kind()), name);
}

Value get_attribute(Run& run, const Value& object, const std::string& name, uint32_t known_to) {
  Value found;
  if (find_attribute(run, object, name, name.c_str(), known_to, found)) return found;
  if (object.is_undefined()) run.refuse_undefined(object);
  if (object.is(Kind::kDict)) {
    run.spend(static_cast<int64_t>(sizeof(Value)));
    if (const Value* value = object.as<Dict>().find(std::string_view(name))) return *value;
  }
  return Value::undefined(Reason::kAttribute, name.c_str(), object.kind());
}

Value get_item(Run& run, const Value& object, const Value& index) {
  switch (object.kind()) {
    case Kind::kUndefined: run.refuse_undefined(object);
    case Kind::kDict:
      if (run.is_key(index)) {
        if (const Value* value = object.as<Dict>().find(index)) return *value;
      }
      break;
    case Kind::kString:
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kRange:
      if (index.is_integer()) {
        const int64_t n = length(run, object), i = index.integer() < 0 ? index.integer() + n : index.integer();
        if (i < 0 || i >= n) return Value::undefined(Reason::kHint, "an index is outside of a list or text");
        if (object.is_string()) return run.string(std::string(characters_between(object.text(), i, i + 1)));
        if (object.is(Kind::kRange)) return object.as<Range>().start + i * object.as<Range>().step;
        return object.items()[static_cast<size_t>(i)];
      }
      break;
    default: break;
  }
  Value found;
  if (index.is_string() && find_attribute(run, object, index.text(), "", kinds_with_attribute(index.text()), found)) return found;
  return Value::undefined(Reason::kHint, kNoElement);
}

std::vector<Value> attribute_path(Run& run, const Value& path) {
  if (path.is_none()) return {};
  if (!path.is_string()) return {path};
  std::vector<Value> parts;
  std::string_view rest = path.text();
  for (;;) {
    const size_t dot = rest.find('.');
    const std::string_view part = rest.substr(0, dot);
    const bool is_number =
        !part.empty() && part.size() < 18 && std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
    parts.push_back(is_number ? Value(static_cast<int64_t>(std::stoll(std::string(part)))) : run.string(std::string(part)));
    if (dot == std::string_view::npos) return parts;
    rest.remove_prefix(dot + 1);
  }
}

Value follow(Run& run, Value item, const std::vector<Value>& path, const Value* fallback) {
  for (const Value& part : path) {
    item = get_item(run, item, part);
    if (item.is_undefined() && fallback != nullptr && !fallback->is_none()) item = *fallback;
  }
  return item;
}

}  // namespace lockstep::text::jinja
