#include "text/jinja/items.h"

#include <fmt/format.h>

#include "text/utf8.h"

namespace lockstep::text::jinja {

bool is_iterable(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kString:
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kDict:
    case Kind::kRange:
    case Kind::kView:
    case Kind::kIterator:
    case Kind::kLoop: return true;
    default: return false;
  }
}

Items::Items(Run& run, Value over, std::string_view what) : run_(run), over_(std::move(over)) {
  if (over_.is(Kind::kLoop)) run.refuse(fmt::format("{}: the variable 'loop' itself cannot be gone through", what));
  if (!is_iterable(over_)) run.refuse_type(fmt::format("{}: not something to go through", what), over_);
}

bool Items::next(Value& item) {
  run_.spend(static_cast<int64_t>(sizeof(Value)));
  switch (over_.kind()) {
    case Kind::kString: {
      const std::string& text = over_.text();
      if (position_ >= text.size()) return false;
      const size_t length = utf8_length(text[position_]);
      item = run_.string(text.substr(position_, length));
      position_ += length;
      return true;
    }
    case Kind::kList:
    case Kind::kTuple:
      if (position_ >= over_.items().size()) return false;
      item = over_.items()[position_++];
      return true;
    case Kind::kRange: {
      const auto& range = over_.as<Range>();
      if (static_cast<int64_t>(position_) >= range.size()) return false;
      item = range.start + static_cast<int64_t>(position_++) * range.step;
      return true;
    }
    case Kind::kDict:
    case Kind::kView: {
      const bool is_view = over_.is(Kind::kView);
      const View::What what = is_view ? over_.as<View>().what : View::What::kKeys;
      const auto& entries = (is_view ? over_.as<View>().dict : over_).as<Dict>().entries;
      if (position_ >= entries.size()) return false;
      const auto& [key, value] = entries[position_++];
      item = what == View::What::kKeys ? key : what == View::What::kValues ? value : run_.pair(key, value);
      return true;
    }
    case Kind::kIterator: return over_.as<Iterator>().next(item);
    default: return false;
  }
}

std::vector<Value> all_items(Run& run, const Value& value, std::string_view what) {
  if (value.is_sequence()) {
    run.spend(static_cast<int64_t>(value.items().size() * sizeof(Value)));
    return value.items();
  }
  std::vector<Value> out;
  Items items(run, value, what);
  for (Value item; items.next(item);) {
    run.step();
    out.push_back(item);
    if (out.size() > (1 << 20)) run.refuse("a list grows beyond all measure; the limit is 1048576 items");
  }
  return out;
}

}  // namespace lockstep::text::jinja
