#include "text/jinja.h"

#include <ctime>
#include <map>

#include "base/error.h"
#include "text/jinja_syntax.h"
#include "text/jinja_values.h"

namespace lockstep::text {

namespace jinja {
namespace {

constexpr int64_t kMaxSteps = 5'000'000;  // statements and expressions; a long chat needs some thousands

class Renderer {
 public:
  Renderer(const std::string& where, const JinjaValue& variables) : where_(where), scopes_(1) {
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
    if (++steps_ > kMaxSteps) place(line).refuse("the template takes too many steps");
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
      case Node::Kind::kText: out += n.text; return Flow::kNext;
      case Node::Kind::kOutput: out += to_text(evaluate(*n.expr), place(n.line)); return Flow::kNext;
      case Node::Kind::kSet: assign(n, evaluate(*n.expr)); return Flow::kNext;
      case Node::Kind::kSetBlock: {
        std::string text;
        const Flow flow = render(n.body, text);
        assign(n, std::move(text));
        return flow;
      }
      case Node::Kind::kIf:
        for (const auto& [condition, body] : n.branches) {
          if (condition == nullptr || is_true(evaluate(*condition))) return render(body, out);
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
    const JinjaValue over = evaluate(*n.expr);
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
        return !is_true(evaluate(*n.filter));
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

  JinjaValue evaluate(const Expr& e) {
    count_step(e.line);
    const Place at = place(e.line);
    const auto bound = [&](size_t i) { return e.args[i] == nullptr ? JinjaValue(nullptr) : evaluate(*e.args[i]); };
    switch (e.kind) {
      case Expr::Kind::kLiteral: return e.value;
      case Expr::Kind::kName: {
        const JinjaValue* value = find(e.name);
        // Functions have no value here; templates ask only whether they are there.
        if (value == nullptr && (e.name == "raise_exception" || e.name == "strftime_now" || e.name == "namespace")) return true;
        return value == nullptr ? undefined() : *value;
      }
      case Expr::Kind::kList: {
        JinjaValue list = JinjaValue::array();
        for (const auto& item : e.args) list.push_back(evaluate(*item));
        return list;
      }
      case Expr::Kind::kDict: {
        JinjaValue dict = JinjaValue::object();
        for (size_t i = 0; i < e.args.size(); i += 2) dict[to_text(evaluate(*e.args[i]), at)] = evaluate(*e.args[i + 1]);
        return dict;
      }
      case Expr::Kind::kAttribute: return get_attribute(evaluate(*e.args[0]), e.name, at);
      case Expr::Kind::kIndex: return get_index(evaluate(*e.args[0]), evaluate(*e.args[1]), at);
      case Expr::Kind::kSlice: return get_slice(evaluate(*e.args[0]), bound(1), bound(2), bound(3), at);
      case Expr::Kind::kCall: return call(e);
      case Expr::Kind::kFilter: return apply_filter(e.name, evaluate(*e.args[0]), arguments(e), at);
      case Expr::Kind::kTest: return apply_test(e.name, evaluate(*e.args[0]), arguments(e), at);
      case Expr::Kind::kUnary: return apply_unary(e.name, evaluate(*e.args[0]), at);
      case Expr::Kind::kBinary: {
        JinjaValue left = evaluate(*e.args[0]);
        if (e.name == "or") return is_true(left) ? left : evaluate(*e.args[1]);
        if (e.name == "and") return is_true(left) ? evaluate(*e.args[1]) : left;
        return apply_binary(e.name, left, evaluate(*e.args[1]), at);
      }
      case Expr::Kind::kCondition:
        if (is_true(evaluate(*e.args[1]))) return evaluate(*e.args[0]);
        return e.args[2] == nullptr ? undefined() : evaluate(*e.args[2]);
    }
    return undefined();
  }

  Arguments arguments(const Expr& e) {
    Arguments out;
    for (size_t i = 1; i < e.args.size(); ++i) out.positional.push_back(evaluate(*e.args[i]));
    for (const auto& [name, value] : e.keywords) out.keywords.emplace_back(name, evaluate(*value));
    return out;
  }

  JinjaValue call(const Expr& e) {
    const Place at = place(e.line);
    const Expr& callee = *e.args[0];
    const Arguments args = arguments(e);
    if (callee.kind == Expr::Kind::kAttribute) return call_method(evaluate(*callee.args[0]), callee.name, args, at);
    if (callee.kind != Expr::Kind::kName) at.refuse("this call is not supported");
    if (callee.name == "namespace" && args.positional.empty()) {
      JinjaValue space = JinjaValue::object();
      for (const auto& [name, value] : args.keywords) space[name] = value;
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
  std::vector<std::map<std::string, JinjaValue>> scopes_;  // innermost last
  int64_t steps_ = 0;
};

}  // namespace
}  // namespace jinja

JinjaTemplate::JinjaTemplate(std::string_view source, std::string where)
    : where_(std::move(where)), nodes_(std::make_shared<const std::vector<jinja::Node>>(jinja::parse(source, where_))) {}

std::string JinjaTemplate::render(const JinjaValue& variables) const { return jinja::Renderer(where_, variables).run(*nodes_); }

}  // namespace lockstep::text
