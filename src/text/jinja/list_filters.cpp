// Filters that make lists, or take something of them.
#include <fmt/format.h>

#include <algorithm>

#include "text/jinja/arguments.h"
#include "text/jinja/attributes.h"
#include "text/jinja/characters.h"
#include "text/jinja/filters.h"
#include "text/jinja/items.h"
#include "text/jinja/operators.h"

namespace lockstep::text::jinja {

namespace {

Value lowered(Run& run, const Value& value) { return value.is_string() ? run.string(to_lower(value.text())) : value; }

// What a value is ordered by: that to which a path leads, texts in lower case unless case matters.
class Key {
 public:
  Key(Run& run, const Value* attribute, bool case_sensitive, const Value* fallback = nullptr)
      : run_(run), case_sensitive_(case_sensitive), fallback_(fallback) {
    if (attribute != nullptr) path_ = attribute_path(run, *attribute);
  }
  Value operator()(const Value& item) const {
    const Value value = follow(run_, item, path_, fallback_);
    return case_sensitive_ ? value : lowered(run_, value);
  }
  Value plain(const Value& item) const { return follow(run_, item, path_, fallback_); }

 private:
  Run& run_;
  std::vector<Value> path_;
  bool case_sensitive_;
  const Value* fallback_;
};

struct Keyed {
  Value key, item;
};

void sort_by_key(Run& run, std::vector<Keyed>& list, bool reverse) {
  std::stable_sort(list.begin(), list.end(), [&](const Keyed& a, const Keyed& b) {
    run.step();
    return reverse ? is_less(run, b.key, a.key) : is_less(run, a.key, b.key);
  });
}

std::vector<Value> items_of(std::vector<Keyed> list) {
  std::vector<Value> out;
  out.reserve(list.size());
  for (Keyed& keyed : list) out.push_back(std::move(keyed.item));
  return out;
}

Value list(Run& run, const Value& self, Arguments& arguments) {
  const Bound none(run, "the filter 'list'", arguments, {});
  return run.list(all_items(run, self, "the filter 'list'"));
}

Value length_filter(Run& run, const Value& self, Arguments& arguments) {
  const Bound none(run, "the filter 'length'", arguments, {});
  return length(run, self);
}

Value first(Run& run, const Value& self, Arguments& arguments) {
  const Bound none(run, "the filter 'first'", arguments, {});
  Items items(run, self, "the filter 'first'");
  Value item;
  return items.next(item) ? item : Value::undefined(Reason::kHint, "there is no first item, the sequence is empty");
}

// The items from the last to the first, of what can be gone through backwards.
std::vector<Value> reversed(Run& run, const Value& value, std::string_view what) {
  if (value.is(Kind::kIterator) || !is_iterable(value))
    run.refuse_type(fmt::format("{}: not something to go through backwards", what), value);
  std::vector<Value> items = all_items(run, value, what);
  std::reverse(items.begin(), items.end());
  return items;
}

Value last(Run& run, const Value& self, Arguments& arguments) {
  const Bound none(run, "the filter 'last'", arguments, {});
  if (self.is_sequence() || self.is_string()) {
    if (is_true(self)) return get_item(run, self, -1);
  } else {
    const std::vector<Value> items = reversed(run, self, "the filter 'last'");
    if (!items.empty()) return items[0];
  }
  return Value::undefined(Reason::kHint, "there is no last item, the sequence is empty");
}

Value iterate(Run& run, const char* type, std::vector<Value> items) {
  const Value all = run.list(std::move(items));
  return run.iterator(type, [all, i = size_t{0}](Value& item) mutable {
    if (i >= all.items().size()) return false;
    item = all.items()[i++];
    return true;
  });
}

Value reverse(Run& run, const Value& self, Arguments& arguments) {
  const Bound none(run, "the filter 'reverse'", arguments, {});
  if (self.is_string()) return slice(run, self, {}, {}, -1);
  if (!self.is(Kind::kIterator)) return iterate(run, "reversed list", reversed(run, self, "the filter 'reverse'"));
  std::vector<Value> items = all_items(run, self, "the filter 'reverse'");
  std::reverse(items.begin(), items.end());
  return run.list(std::move(items));
}

Value sort(Run& run, const Value& self, Arguments& arguments) {
  const Bound bound(run, "the filter 'sort'", arguments, {"reverse", "case_sensitive", "attribute"});
  std::vector<std::vector<Value>> paths(1);
  if (!bound.is_none(2)) {
    paths.clear();
    if (bound[2]->is_string()) {  // several, with commas between them
      std::string_view rest = bound[2]->text();
      for (;;) {
        const size_t comma = rest.find(',');
        paths.push_back(attribute_path(run, run.string(std::string(rest.substr(0, comma)))));
        if (comma == std::string_view::npos) break;
        rest.remove_prefix(comma + 1);
      }
    } else {
      paths.push_back(attribute_path(run, *bound[2]));
    }
  }
  std::vector<Keyed> keyed;
  for (Value& item : all_items(run, self, "the filter 'sort'")) {
    std::vector<Value> keys;
    for (const auto& path : paths) {
      const Value key = follow(run, item, path);
      keys.push_back(bound.flag(1) ? key : lowered(run, key));
    }
    keyed.push_back({run.list(std::move(keys)), std::move(item)});
  }
  sort_by_key(run, keyed, bound.flag(0));
  return run.list(items_of(std::move(keyed)));
}

Value dictsort(Run& run, const Value& self, Arguments& arguments) {
  const Bound bound(run, "the filter 'dictsort'", arguments, {"case_sensitive", "by", "reverse"});
  const std::string by = bound.has(1) ? bound.text(1) : "key";
  if (by != "key" && by != "value") run.refuse("the filter 'dictsort' sorts by 'key' or 'value'");
  if (!self.is(Kind::kDict)) run.refuse_type("the filter 'dictsort'", self);
  std::vector<Keyed> keyed;
  for (const auto& [key, value] : self.as<Dict>().entries) {
    const Value& order = by == "key" ? key : value;
    keyed.push_back({bound.flag(0) ? order : lowered(run, order), run.pair(key, value)});
  }
  sort_by_key(run, keyed, bound.flag(2));
  return run.list(items_of(std::move(keyed)));
}

Value unique(Run& run, const Value& self, Arguments& arguments) {
  const Bound bound(run, "the filter 'unique'", arguments, {"case_sensitive", "attribute"});
  const Key key(run, bound[1], bound.flag(0));
  const Value seen = run.make(new Dict, sizeof(Dict));
  std::vector<Value> out;
  bool has_undefined = false;
  for (Value& item : all_items(run, self, "the filter 'unique'")) {
    const Value k = key(item);
    if (k.is_undefined()) {
      if (!has_undefined) out.push_back(std::move(item));
      has_undefined = true;
      continue;
    }
    if (!run.is_key(k)) run.refuse_type("the filter 'unique': not hashable", k);
    if (seen.as<Dict>().find(k) != nullptr) continue;
    run.add(seen, k, true);
    out.push_back(std::move(item));
  }
  return iterate(run, "generator", std::move(out));
}

template <bool kMax>
Value extreme(Run& run, const Value& self, Arguments& arguments) {
  const Bound bound(run, "the filters 'min' and 'max'", arguments, {"case_sensitive", "attribute"});
  const Key key(run, bound[1], bound.flag(0));
  Items items(run, self, "the filters 'min' and 'max'");
  Value best;
  if (!items.next(best)) return Value::undefined(Reason::kHint, "there is no item to aggregate, the sequence is empty");
  Value best_key = key(best);
  for (Value item; items.next(item);) {
    const Value k = key(item);
    if (!(kMax ? is_less(run, best_key, k) : is_less(run, k, best_key))) continue;
    best = item;
    best_key = k;
  }
  return best;
}

Value sum(Run& run, const Value& self, Arguments& arguments) {
  const Bound bound(run, "the filter 'sum'", arguments, {"attribute", "start"});
  const bool has_path = !bound.is_none(0);
  const std::vector<Value> path = has_path ? attribute_path(run, *bound[0]) : std::vector<Value>();
  Value total = bound.has(1) ? *bound[1] : Value(0);
  if (total.is_string()) run.refuse("the filter 'sum' does not add texts; use the filter 'join'");
  Items items(run, self, "the filter 'sum'");
  for (Value item; items.next(item);) {
    total = calculate(run, Operator::kAdd, total, has_path ? follow(run, item, path) : item);
  }
  return total;
}

Value batch(Run& run, const Value& self, Arguments& arguments) {
  const Bound bound(run, "the filter 'batch'", arguments, {"linecount", "fill_with"}, 1);
  const int64_t size = bound.integer(0);
  std::vector<Value> out, part;
  for (Value& item : all_items(run, self, "the filter 'batch'")) {
    if (static_cast<int64_t>(part.size()) == size) {
      out.push_back(run.list(std::move(part)));
      part.clear();
    }
    part.push_back(std::move(item));
  }
  if (!part.empty()) {
    if (!bound.is_none(1)) {
      if (size > (1 << 20)) run.refuse("the filter 'batch' fills up to 1048576 items at most");
      while (static_cast<int64_t>(part.size()) < size) part.push_back(*bound[1]);
    }
    out.push_back(run.list(std::move(part)));
  }
  return iterate(run, "generator", std::move(out));
}

Value slice_filter(Run& run, const Value& self, Arguments& arguments) {
  const Bound bound(run, "the filter 'slice'", arguments, {"slices", "fill_with"}, 1);
  const int64_t slices = bound.integer(0);
  const std::vector<Value> items = all_items(run, self, "the filter 'slice'");
  if (slices == 0) run.refuse("the filter 'slice' with 0 slices");
  if (slices > (1 << 20)) run.refuse("the filter 'slice' makes 1048576 slices at most");
  std::vector<Value> out;
  if (slices > 0) {
    const auto n = static_cast<int64_t>(items.size());
    int64_t start = 0;
    for (int64_t i = 0; i < slices; ++i) {
      const int64_t end = start + n / slices + (i < n % slices ? 1 : 0);
      std::vector<Value> part(items.begin() + start, items.begin() + end);
      if (!bound.is_none(1) && i >= n % slices) part.push_back(*bound[1]);
      out.push_back(run.list(std::move(part)));
      start = end;
    }
  }
  return iterate(run, "generator", std::move(out));
}

Value groupby(Run& run, const Value& self, Arguments& arguments) {
  const Bound bound(run, "the filter 'groupby'", arguments, {"attribute", "default", "case_sensitive"}, 1);
  const Key key(run, bound[0], bound.flag(2), bound[1]);
  std::vector<Keyed> keyed;
  for (Value& item : all_items(run, self, "the filter 'groupby'")) keyed.push_back({key(item), item});
  sort_by_key(run, keyed, false);
  std::vector<Value> groups;
  for (size_t i = 0; i < keyed.size();) {
    const Value group_key = keyed[i].key, name = key.plain(keyed[i].item);
    std::vector<Value> members;
    for (; i < keyed.size() && is_equal(run, keyed[i].key, group_key); ++i) members.push_back(keyed[i].item);
    if (members.empty()) members.push_back(keyed[i++].item);  // what is not equal to itself
    const Value group = run.pair(name, run.list(std::move(members)));
    group.as<Sequence>().is_group = true;
    groups.push_back(group);
  }
  return run.list(std::move(groups));
}

Value items(Run& run, const Value& self, Arguments& arguments) {
  const Bound none(run, "the filter 'items'", arguments, {});
  if (self.is_undefined()) return iterate(run, "generator", {});
  if (!self.is(Kind::kDict)) run.refuse_type("the filter 'items'", self);
  return iterate(run, "generator", all_items(run, run.view(self, View::What::kItems), "the filter 'items'"));
}

Value attr(Run& run, const Value& self, Arguments& arguments) {
  const Bound bound(run, "the filter 'attr'", arguments, {"name"}, 1);
  const std::string& name = bound.text(0);
  if (self.is_undefined()) run.refuse_undefined(self);
  const Value none = Value::undefined(Reason::kHint, "a value has no such attribute");
  // Unlike '.', it does not look for an element.
  if (self.is(Kind::kDict) && (kinds_with_attribute(name) & (uint32_t{1} << static_cast<uint32_t>(Kind::kDict))) == 0)
    return none;
  const Value value = get_attribute(run, self, name, kinds_with_attribute(name));
  if (!value.is_undefined()) return value;
  return value.reason() == Reason::kUnsafe ? Value::undefined(Reason::kUnsafe, "attr", self.kind()) : none;
}

Value fallback(Run& run, const Value& self, Arguments& arguments) {
  const Bound bound(run, "the filter 'default'", arguments, {"default_value", "boolean"});
  if (!self.is_undefined() && (!bound.flag(1) || is_true(self))) return self;
  return bound.has(0) ? *bound[0] : run.string("");
}

constexpr Builtin kFilters[] = {
    {"attr", attr},
    {"batch", batch},
    {"count", length_filter},
    {"d", fallback},
    {"default", fallback},
    {"dictsort", dictsort},
    {"first", first},
    {"groupby", groupby},
    {"items", items},
    {"last", last},
    {"length", length_filter},
    {"list", list},
    {"max", extreme<true>},
    {"min", extreme<false>},
    {"reverse", reverse},
    {"slice", slice_filter},
    {"sort", sort},
    {"sum", sum},
    {"unique", unique},
};

}  // namespace

std::span<const Builtin> list_filters() { return kFilters; }

}  // namespace lockstep::text::jinja
