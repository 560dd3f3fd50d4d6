#include "text/jinja.h"

#include <ctime>
#include <map>

#include "base/error.h"
#include "text/jinja_syntax.h"
#include "text/jinja_values.h"

namespace lockstep::text {

namespace jinja {
namespace {

constexpr size_t kMaxTemplateBytes = 1 << 20;  // the longest of real models have some 30 kB

// A value that an expression gives: one of a variable or of the template itself, which is not copied, or one of its own.
class Result {
 public:
  explicit Result(const JinjaValue* shared) : shared_(shared) {}
  explicit Result(JinjaValue own) : own_(std::move(own)) {}
  const JinjaValue& operator*() const { return shared_ != nullptr ? *shared_ : own_; }
  const JinjaValue* operator->() const { return &**this; }
  const JinjaValue* shared() const { return shared_; }
  JinjaValue take() && {
    if (shared_ != nullptr) return *shared_;
    return std::move(own_);
  }

 private:
  const JinjaValue* shared_ = nullptr;
  JinjaValue own_;
};

class Renderer {
 public:
  Renderer(const std::string& where, const JinjaValue& variables, const JinjaLimits& limits)
      : where_(where), limits_(limits), scopes_(1) {
    for (const auto& item : variables.items()) scopes_[0][item.key()] = item.value();
  }

  std::string run(const std::vector<Node>& nodes) {
    std::string out;
    render(nodes, out);
    return out;
  }

 private:
  enum class Flow { kNext, kBreak, kContinue };

  Place place(int line) const { return {where_, line}; }
  void count_step(int line) {
    if (++steps_ > limits_.steps) place(line).refuse("the template takes too many steps");
  }
  void spend(int64_t bytes, int line) {
    bytes_ += bytes;
    if (bytes_ > limits_.bytes) place(line).refuse("the template makes too much text or too large lists");
  }
  void append(std::string& out, std::string_view text, int line) {
    spend(static_cast<int64_t>(text.size()), line);
    out += text;
  }

  JinjaValue* find(const std::string& name) {
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      const auto it = scope->find(name);
      if (it != scope->end()) return &it->second;
    }
    return nullptr;
  }

  Flow render(const std::vector<Node>& nodes, std::string& out) {
    for (const Node& n : nodes) {
      const Flow flow = render(n, out);
      if (flow != Flow::kNext) return flow;
    }
    return Flow::kNext;
  }

  Flow render(const Node& n, std::string& out) {
    count_step(n.line);
    switch (n.kind) {
      case Node::Kind::kText: append(out, n.text, n.line); return Flow::kNext;
      case Node::Kind::kOutput: append(out, to_text(*evaluate(*n.expr), place(n.line)), n.line); return Flow::kNext;
      case Node::Kind::kSet: assign(n, value_of(*n.expr)); return Flow::kNext;
      case Node::Kind::kSetBlock: {
        std::string text;
        const Flow flow = render(n.body, text);
        assign(n, std::move(text));
        return flow;
      }
      case Node::Kind::kIf:
        for (const auto& [condition, body] : n.branches) {
          if (condition == nullptr || is_true(*evaluate(*condition))) return render(body, out);
        }
        return Flow::kNext;
      case Node::Kind::kBlock: return render(n.body, out);
      case Node::Kind::kBreak: return Flow::kBreak;
      case Node::Kind::kContinue: return Flow::kContinue;
      case Node::Kind::kFor: render_loop(n, out); return Flow::kNext;
    }
    return Flow::kNext;
  }

  void assign(const Node& n, JinjaValue value) {
    if (n.targets.size() == 1) {
      scopes_.back()[n.targets[0]] = std::move(value);
      return;
    }
    JinjaValue* space = find(n.targets[0]);
    if (space == nullptr || !space->is_object()) place(n.line).refuse(fmt::format("'{}' is not a namespace", n.targets[0]));
    spend(size_of(*space), n.line);
    (*space)[n.targets[1]] = std::move(value);
  }

  void bind(const Node& n, const JinjaValue& item) {
    if (n.targets.size() == 1) {
      scopes_.back()[n.targets[0]] = item;
      return;
    }
    if (!item.is_array() || item.size() != n.targets.size()) {
      place(n.line).refuse(
          fmt::format("a loop over {} variables meets an item that does not have as many parts", n.targets.size()));
    }
    for (size_t i = 0; i < n.targets.size(); ++i) scopes_.back()[n.targets[i]] = item[i];
  }

  void render_loop(const Node& n, std::string& out) {
    std::vector<JinjaValue> items;
    const JinjaValue over = value_of(*n.expr);  // its own: the loop may set the variable anew
    spend(2 * weigh(over, place(n.line)), n.line);
    if (over.is_array()) {
      items.assign(over.begin(), over.end());
    } else if (over.is_object()) {
      for (const auto& item : over.items()) items.emplace_back(item.key());
    } else if (!over.is_discarded()) {
      place(n.line).refuse(fmt::format("a loop over {} is not supported", type_name(over)));
    }
    if (n.filter != nullptr) {
      scopes_.emplace_back();
      std::erase_if(items, [&](const JinjaValue& item) {
        bind(n, item);
        return !is_true(*evaluate(*n.filter));
      });
      scopes_.pop_back();
    }
    for (size_t i = 0; i < items.size(); ++i) {
      count_step(n.line);
      scopes_.emplace_back();
      bind(n, items[i]);
      JinjaValue loop = JinjaValue::object();
      loop["index"] = i + 1;
      loop["index0"] = i;
      loop["revindex"] = items.size() - i;
      loop["revindex0"] = items.size() - i - 1;
      loop["first"] = i == 0;
      loop["last"] = i + 1 == items.size();
      loop["length"] = items.size();
      if (i > 0) loop["previtem"] = items[i - 1];
      if (i + 1 < items.size()) loop["nextitem"] = items[i + 1];
      scopes_.back()["loop"] = std::move(loop);
      const Flow flow = render(n.body, out);
      scopes_.pop_back();
      if (flow == Flow::kBreak) break;
    }
    if (items.empty()) render(n.otherwise, out);
  }

  JinjaValue value_of(const Expr& e) {
    Result result = evaluate(e);
    if (result.shared() != nullptr) spend(weigh(*result, place(e.line)), e.line);
    return std::move(result).take();
  }

  // A value that was made just now.
  Result made(JinjaValue value, int line) {
    spend(weigh(value, place(line)), line);
    return Result(std::move(value));
  }

  Result evaluate(const Expr& e) {
    count_step(e.line);
    const Place at = place(e.line);
    switch (e.kind) {
      case Expr::Kind::kLiteral: return Result(&e.value);
      case Expr::Kind::kName: {
        const JinjaValue* value = find(e.name);
        if (value != nullptr) return Result(value);
        // Functions have no value here; templates ask only whether they are there.
        const bool is_function = e.name == "raise_exception" || e.name == "strftime_now" || e.name == "namespace";
        return Result(is_function ? JinjaValue(true) : undefined());
      }
      case Expr::Kind::kAttribute: {
        const Result object = evaluate(*e.args[0]);
        if (object->is_object()) spend(size_of(*object), e.line);
        if (object.shared() == nullptr || !object->is_object()) return made(get_attribute(*object, e.name, at), e.line);
        const auto it = object->find(e.name);
        return it == object->end() ? Result(undefined()) : Result(&*it);
      }
      case Expr::Kind::kIndex: {
        const Result object = evaluate(*e.args[0]);
        const Result index = evaluate(*e.args[1]);
        if (object->is_object()) spend(size_of(*object), e.line);
        if (object.shared() != nullptr) {
          if (const JinjaValue* element = find_element(*object, *index)) return Result(element);
        }
        if (object->is_string()) spend(size_of(*object), e.line);
        return made(get_index(*object, *index, at), e.line);
      }
      case Expr::Kind::kCondition:
        if (is_true(*evaluate(*e.args[1]))) return evaluate(*e.args[0]);
        return e.args[2] == nullptr ? Result(undefined()) : evaluate(*e.args[2]);
      case Expr::Kind::kBinary:
        if (e.name == "or" || e.name == "and") {
          Result left = evaluate(*e.args[0]);
          return is_true(*left) == (e.name == "or") ? std::move(left) : evaluate(*e.args[1]);
        }
        break;
      default: break;
    }
    return made(compute(e), e.line);
  }

  // The expressions that always make a value.
  JinjaValue compute(const Expr& e) {
    const Place at = place(e.line);
    const auto bound = [&](size_t i) { return e.args[i] == nullptr ? JinjaValue(nullptr) : value_of(*e.args[i]); };
    switch (e.kind) {
      case Expr::Kind::kList: {
        JinjaValue list = JinjaValue::array();
        for (const auto& item : e.args) list.push_back(value_of(*item));
        return list;
      }
      case Expr::Kind::kDict: {
        JinjaValue dict = JinjaValue::object();
        for (size_t i = 0; i < e.args.size(); i += 2) {
          spend(size_of(dict), e.line);  // a key is looked for among those before it
          dict[to_text(*evaluate(*e.args[i]), at)] = value_of(*e.args[i + 1]);
        }
        return dict;
      }
      case Expr::Kind::kSlice: {
        const Result object = evaluate(*e.args[0]);
        spend(size_of(*object), e.line);
        return get_slice(*object, bound(1), bound(2), bound(3), at);
      }
      case Expr::Kind::kCall: return call(e);
      case Expr::Kind::kFilter: {
        const Result value = evaluate(*e.args[0]);
        const bool counts = e.name == "length" || e.name == "count";  // without looking into the items
        spend(counts ? size_of(*value) : weigh(*value, at), e.line);
        return apply_filter(e.name, *value, arguments(e), at);
      }
      case Expr::Kind::kTest: {
        const Result value = evaluate(*e.args[0]);
        const Arguments args = arguments(e);
        if (!args.positional.empty()) spend(weigh(*value, at), e.line);
        return apply_test(e.name, *value, args, at);
      }
      case Expr::Kind::kUnary: return apply_unary(e.name, *evaluate(*e.args[0]), at);
      case Expr::Kind::kBinary: {
        const Result left = evaluate(*e.args[0]);
        const Result right = evaluate(*e.args[1]);
        spend(weigh(*left, at) + weigh(*right, at), e.line);
        return apply_binary(e.name, *left, *right, at);
      }
      default: break;
    }
    at.refuse("this expression is not supported");
  }

  Arguments arguments(const Expr& e) {
    Arguments out;
    for (size_t i = 1; i < e.args.size(); ++i) out.positional.push_back(value_of(*e.args[i]));
    for (const auto& [name, value] : e.keywords) out.keywords.emplace_back(name, value_of(*value));
    return out;
  }

  JinjaValue call(const Expr& e) {
    const Place at = place(e.line);
    const Expr& callee = *e.args[0];
    const Arguments args = arguments(e);
    if (callee.kind == Expr::Kind::kAttribute) {
      const Result object = evaluate(*callee.args[0]);
      spend(size_of(*object), e.line);
      return call_method(*object, callee.name, args, at);
    }
    if (callee.kind != Expr::Kind::kName) at.refuse("this call is not supported");
    if (callee.name == "namespace" && args.positional.empty()) {
      JinjaValue space = JinjaValue::object();
      for (const auto& [name, value] : args.keywords) {
        spend(size_of(space), e.line);
        space[name] = value;
      }
      return space;
    }
    if (callee.name == "raise_exception" && args.positional.size() == 1) {
      fail("{}: the chat template refuses these messages: {}", where_, to_text(args.positional[0], at));
    }
    if (callee.name == "strftime_now" && args.positional.size() == 1 && args.positional[0].is_string()) {
      return now(args.positional[0].get<std::string>(), at);
    }
    at.refuse(fmt::format("the call of '{}' with these arguments is not supported", callee.name));
  }

  static JinjaValue now(const std::string& format, const Place& at) {
    const std::time_t time = std::time(nullptr);
    std::tm local{};
    localtime_r(&time, &local);
    char buffer[256];
    const size_t n = std::strftime(buffer, sizeof(buffer), format.c_str(), &local);
    if (n == 0 && !format.empty()) at.refuse(fmt::format("strftime_now('{}') gives no text or too much", format));
    return std::string(buffer, n);
  }

  const std::string& where_;
  const JinjaLimits limits_;
  std::vector<std::map<std::string, JinjaValue>> scopes_;  // innermost last
  int64_t steps_ = 0;
  int64_t bytes_ = 0;
};

}  // namespace
}  // namespace jinja

JinjaTemplate::JinjaTemplate(std::string_view source, std::string where) : where_(std::move(where)) {
  check(source.size() <= jinja::kMaxTemplateBytes, "{}: the chat template has {} bytes, at most {} are supported", where_,
        source.size(), jinja::kMaxTemplateBytes);
  nodes_ = std::make_shared<const std::vector<jinja::Node>>(jinja::parse(source, where_));
}

std::string JinjaTemplate::render(const JinjaValue& variables, const JinjaLimits& limits) const {
  return jinja::Renderer(where_, variables, limits).run(*nodes_);
}

}  // namespace lockstep::text
