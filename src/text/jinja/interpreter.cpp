#include <set>

#include "base/error.h"
#include "text/jinja/attributes.h"
#include "text/jinja/filters.h"
#include "text/jinja/functions.h"
#include "text/jinja/items.h"
#include "text/jinja/jinja.h"
#include "text/jinja/loop.h"
#include "text/jinja/macro.h"
#include "text/jinja/operators.h"
#include "text/jinja/repr.h"
#include "text/jinja/run.h"
#include "text/jinja/scope.h"
#include "text/jinja/syntax.h"
#include "text/jinja/tests.h"
#include "text/jinja/text_functions.h"

namespace lockstep::text::jinja {

namespace {

class Interpreter : public Run {
 public:
  Interpreter(const Program& program, const JinjaValue& variables, const JinjaLimits& limits)
      : Run(program.where, limits), program_(program), root_(new_scope({})), scope_(root_) {
    for (size_t id = 0; id < program.names.size(); ++id) {
      const std::string& name = program.names[id];
      if (const auto it = variables.find(name); it != variables.end()) {
        root_->set(static_cast<int>(id), value_from_json(*this, *it));
        continue;
      }
      for (const Builtin& function : functions()) {
        if (function.name == name) root_->set(static_cast<int>(id), Value(&function));
      }
    }
  }

  std::string run() {
    std::string out;
    render(program_.nodes, out);
    return out;
  }

  Value call(const Value& callee, Arguments& arguments) override {
    const Level level(*this);
    switch (callee.kind()) {
      case Kind::kBuiltin: return call_builtin(*callee.builtin(), {}, arguments);
      case Kind::kMethod: return call_builtin(*callee.as<Method>().function, callee.as<Method>().self, arguments);
      case Kind::kMacro: return call_macro(callee.as<Macro>(), arguments);
      case Kind::kLoop: {
        auto& loop = callee.as<Loop>();
        if (!loop.recurse) refuse("the variable 'loop' can be called in loops with 'recursive' only");
        if (arguments.positional.size() != 1 || !arguments.keywords.empty()) refuse("loop() takes one list");
        return loop.recurse(arguments.positional[0]);
      }
      case Kind::kJoiner: {
        if (!arguments.positional.empty() || !arguments.keywords.empty()) refuse("a joiner takes no arguments");
        auto& joiner = callee.as<Joiner>();
        return std::exchange(joiner.used, true) ? joiner.separator : string("");
      }
      default: refuse_type("a call", callee);
    }
  }

 private:
  enum class Flow { kNext, kBreak, kContinue };

  // Variables of a block while it runs.
  class Enter {
   public:
    Enter(Interpreter& interpreter, ScopePtr scope)
        : interpreter_(interpreter), outside_(std::exchange(interpreter.scope_, std::move(scope))) {}
    ~Enter() { interpreter_.scope_ = outside_; }

   private:
    Interpreter& interpreter_;
    ScopePtr outside_;
  };
  ScopePtr new_scope(ScopePtr parent) {
    auto* scope = new Scope(std::move(parent));
    const Value counted = make(scope, sizeof(Scope) + 64);
    return ScopePtr(scope);
  }

  Value call_builtin(const Builtin& function, const Value& self, Arguments& arguments) {
    if (function.call == nullptr) {
      if (self.is_none()) refuse(fmt::format("the function '{}' is not supported", function.name));
      refuse(fmt::format("the method '{}' of a value of type '{}' is not supported", function.name, type_name(self.kind())));
    }
    const Value made = function.call(*this, self, arguments);
    if (!self.is_string() || !self.as<String>().is_markup) return made;
    for (const Value& argument : arguments.positional) {
      const bool is_escaped = argument.is_string() && argument.text().find_first_of("&<>'\"") != std::string::npos;
      if (is_escaped && (made.is_string() || made.is_sequence())) {
        refuse(fmt::format("the method '{}' of the result of the filter 'safe' escapes HTML, which is not supported",
                           function.name));
      }
    }
    return keep_markup(self, made);
  }

  void append(std::string& out, const Value& value) {
    if (value.is_string()) spend(static_cast<int64_t>(value.text().size()));
    append_text(*this, value, out);
    check_output(static_cast<int64_t>(out.size()));
  }

  // Statements.

  Flow render(const std::vector<Node>& nodes, std::string& out) {
    const Level level(*this);
    for (const Node& n : nodes) {
      const Flow flow = render(n, out);
      if (flow != Flow::kNext) return flow;
    }
    return Flow::kNext;
  }

  Flow render(const Node& n, std::string& out) {
    set_line(n.line);
    step();
    switch (n.kind) {
      case Node::Kind::kText:
        spend(static_cast<int64_t>(n.text.size()));
        out += n.text;
        check_output(static_cast<int64_t>(out.size()));
        return Flow::kNext;
      case Node::Kind::kOutput:
        for (const ExprPtr& e : n.values) append(out, evaluate(*e));
        return Flow::kNext;
      case Node::Kind::kSet:
        check_namespaces(n.targets[0]);
        assign(n.targets[0], evaluate(*n.expr), *scope_);
        return Flow::kNext;
      case Node::Kind::kSetBlock: return render_set_block(n);
      case Node::Kind::kIf:
        for (const auto& [condition, body] : n.branches) {
          if (condition == nullptr || is_true(evaluate(*condition))) return render(body, out);
        }
        return Flow::kNext;
      case Node::Kind::kFor: render_for(n, out); return Flow::kNext;
      case Node::Kind::kMacro:
        assign(n.targets[0], make(new Macro(&n, n.text, scope_), sizeof(Macro)), *scope_);
        return Flow::kNext;
      case Node::Kind::kCallBlock: {
        const Value caller = make(new Macro(&n, "", scope_), sizeof(Macro));
        append(out, evaluate_call(*n.expr, &caller));
        return Flow::kNext;
      }
      case Node::Kind::kFilterBlock: {
        const Enter inside(*this, new_scope(scope_));
        std::string text;
        const Flow flow = render(n.body, text);
        if (flow == Flow::kNext) append(out, filter_block(*n.expr, std::move(text)));
        return flow;
      }
      case Node::Kind::kWith: {
        const ScopePtr inner = new_scope(scope_);
        for (size_t i = 0; i < n.targets.size(); ++i) assign(n.targets[i], evaluate(*n.values[i]), *inner);
        const Enter inside(*this, inner);
        return render(n.body, out);
      }
      case Node::Kind::kScope: {
        const Enter inside(*this, new_scope(scope_));
        return render(n.body, out);
      }
      case Node::Kind::kBreak: return Flow::kBreak;
      case Node::Kind::kContinue: return Flow::kContinue;
    }
    return Flow::kNext;
  }

  Flow render_set_block(const Node& n) {
    Value value;
    {
      const Enter inside(*this, new_scope(scope_));
      std::string text;
      const Flow flow = render(n.body, text);
      if (flow != Flow::kNext) return flow;
      value = n.expr == nullptr ? string(std::move(text)) : filter_block(*n.expr, std::move(text));
    }
    check_namespaces(n.targets[0]);
    assign(n.targets[0], std::move(value), *scope_);
    return Flow::kNext;
  }

  // The filters of a block, the first of which has no value of its own.
  Value filter_block(const Expr& filter, std::string text) {
    std::vector<const Expr*> chain;
    for (const Expr* e = &filter; e != nullptr; e = e->args[0].get()) chain.push_back(e);
    Value value = string(std::move(text));
    for (auto it = chain.rbegin(); it != chain.rend(); ++it) value = apply_filter(**it, value);
    return value;
  }

  void check_namespaces(const Target& target) {
    for (const Target& part : target.parts) check_namespaces(part);
    if (target.attribute.empty()) return;
    const Value* space = scope_->find(target.id);
    if (space == nullptr || !space->is(Kind::kNamespace))
      refuse(fmt::format("'{}.{} = ...': '{}' is no namespace", target.name, target.attribute, target.name));
  }

  void assign(const Target& target, Value value, Scope& scope) {
    if (target.id < 0) {
      const std::vector<Value> parts = all_items(*this, value, "an assignment to several names");
      if (parts.size() != target.parts.size()) refuse(fmt::format("{} values for {} names", parts.size(), target.parts.size()));
      for (size_t i = 0; i < parts.size(); ++i) assign(target.parts[i], parts[i], scope);
    } else if (target.attribute.empty()) {
      scope.set(target.id, std::move(value));
    } else {
      const Value space = *scope_->find(target.id);
      set(space.as<Namespace>(), string(target.attribute), std::move(value));
    }
  }

  void render_for(const Node& n, std::string& out) {
    const Value over = evaluate(*n.expr);
    if (!n.is_recursive) {
      run_loop(n, over, 0, out);
    } else {
      append(out, recurse(n, over, 0, scope_));
    }
  }

  Value recurse(const Node& n, const Value& over, int64_t depth, const ScopePtr& scope) {
    const Enter inside(*this, scope);
    std::string text;
    run_loop(n, over, depth, text);
    return string(std::move(text));
  }

  void run_loop(const Node& n, const Value& over, int64_t depth, std::string& out) {
    const Level level(*this);
    const ScopePtr inner = new_scope(scope_);
    const bool has_length = n.filter == nullptr && !over.is(Kind::kIterator);
    const Value loop_value =
        make(new Loop(items_of_loop(n, over), has_length ? length(*this, over) : -1, depth), sizeof(Loop) + 128);
    auto& loop = loop_value.as<Loop>();
    if (n.is_recursive) {
      loop.recurse = [this, &n, depth, scope = scope_](const Value& items) { return recurse(n, items, depth + 1, scope); };
    }
    bool takes_else = true;  // as in jinja2, until the body has once come to its end, break and continue left out
    while (loop.advance()) {
      set_line(n.line);
      step();
      inner->variables.clear();
      inner->set(kLoopName, loop_value);
      assign(n.targets[0], loop.current, *inner);
      const Enter inside(*this, inner);
      const Flow flow = render(n.body, out);
      if (flow == Flow::kNext) takes_else = false;
      if (flow == Flow::kBreak) break;
    }
    inner->variables.clear();
    loop.recurse = nullptr;
    if (takes_else && !n.otherwise.empty()) {
      const Enter inside(*this, inner);
      render(n.otherwise, out);
    }
  }

  // The items, without those that the loop's `if` leaves out.
  std::function<bool(Value&)> items_of_loop(const Node& n, const Value& over) {
    Items items(*this, over, "a loop");
    if (n.filter == nullptr) return [items](Value& item) mutable { return items.next(item); };
    return [this, &n, items, outer = scope_](Value& item) mutable {
      while (items.next(item)) {
        const ScopePtr inner = new_scope(outer);
        const Enter inside(*this, inner);
        assign(n.targets[0], item, *inner);
        if (is_true(evaluate(*n.filter))) return true;
      }
      return false;
    };
  }

  Value call_macro(const Macro& macro, Arguments& arguments) {
    const Node& n = *macro.node;
    const std::string_view name = macro.name.empty() ? "caller" : std::string_view(macro.name);
    const ScopePtr inner = new_scope(macro.scope);
    std::vector<bool> used(arguments.keywords.size(), false);
    const auto keyword = [&](std::string_view wanted) -> const Value* {
      for (size_t i = 0; i < arguments.keywords.size(); ++i) {
        if (arguments.keywords[i].first != wanted) continue;
        used[i] = true;
        return &arguments.keywords[i].second;
      }
      return nullptr;
    };
    const size_t num_positional = arguments.positional.size();
    for (size_t i = 0; i < n.parameters.size(); ++i) {
      if (i < num_positional) {
        inner->set(n.parameters[i].id, arguments.positional[i]);
      } else if (const Value* value = keyword(n.parameters[i].name)) {
        inner->set(n.parameters[i].id, *value);
      }
    }
    if (n.takes_caller) {
      const Value* caller = keyword("caller");
      inner->set(kCallerName,
                 caller != nullptr && !caller->is_none() ? *caller : Value::undefined(Reason::kHint, "no caller is defined"));
    }
    if (n.takes_kwargs) {
      const Value kwargs = make(new Dict, sizeof(Dict));
      for (size_t i = 0; i < arguments.keywords.size(); ++i) {
        if (!used[i]) add(kwargs, string(std::string(arguments.keywords[i].first)), arguments.keywords[i].second);
      }
      inner->set(kKwargsName, kwargs);
    } else {
      for (size_t i = 0; i < arguments.keywords.size(); ++i) {
        if (!used[i]) refuse(fmt::format("the macro '{}' takes no argument '{}'", name, arguments.keywords[i].first));
      }
    }
    if (n.takes_varargs) {
      const size_t first = std::min(n.parameters.size(), num_positional);
      inner->set(kVarargsName, tuple({arguments.positional.begin() + static_cast<int64_t>(first), arguments.positional.end()}));
    } else if (num_positional > n.parameters.size()) {
      refuse(fmt::format("the macro '{}' takes at most {} arguments, not {}", name, n.parameters.size(), num_positional));
    }
    const Enter inside(*this, inner);
    std::vector<const Parameter*> missing;
    for (const Parameter& parameter : n.parameters) {
      if (inner->find_here(parameter.id) != nullptr) continue;
      missing.push_back(&parameter);  // undefined for the defaults before its own
      inner->set(parameter.id, Value::undefined(Reason::kName, parameter.name.c_str()));
    }
    for (const Parameter* parameter : missing) {
      if (parameter->fallback != nullptr) inner->set(parameter->id, evaluate(*parameter->fallback));
    }
    std::string text;
    render(n.body, text);
    return string(std::move(text));
  }

  // Expressions.

  Value evaluate(const Expr& e) {
    const Level level(*this);
    set_line(e.line);
    step();
    switch (e.kind) {
      case Expr::Kind::kConstant: return e.value;
      case Expr::Kind::kName: {
        const Value* value = scope_->find(e.id);
        return value != nullptr ? *value : Value::undefined(Reason::kName, e.name.c_str());
      }
      case Expr::Kind::kTuple: return tuple(evaluate_all(e));
      case Expr::Kind::kList: return list(evaluate_all(e));
      case Expr::Kind::kDict: return evaluate_dict(e);
      case Expr::Kind::kAttribute: {
        const Value object = evaluate(*e.args[0]);
        set_line(e.line);
        return get_attribute(*this, object, e.name, e.known_to);
      }
      case Expr::Kind::kIndex: {
        const Value object = evaluate(*e.args[0]);
        const Value index = evaluate(*e.args[1]);
        set_line(e.line);
        const Value item = get_item(*this, object, index);
        if (item.is_undefined() && e.args[1]->kind == Expr::Kind::kConstant && index.is_string() &&
            item.reason() == Reason::kHint) {
          return Value::undefined(Reason::kAttribute, index.text().c_str(), object.kind());
        }
        return item;
      }
      case Expr::Kind::kSlice: {
        const Value object = evaluate(*e.args[0]);
        Value bounds[3];
        for (size_t i = 0; i < 3; ++i) {
          if (e.args[i + 1] != nullptr) bounds[i] = evaluate(*e.args[i + 1]);
        }
        set_line(e.line);
        return slice(*this, object, bounds[0], bounds[1], bounds[2]);
      }
      case Expr::Kind::kCall: return evaluate_call(e, nullptr);
      case Expr::Kind::kFilter: return apply_filter(e, evaluate(*e.args[0]));
      case Expr::Kind::kTest: return evaluate_test(e);
      case Expr::Kind::kNot: return !is_true(evaluate(*e.args[0]));
      case Expr::Kind::kNegate: return negate(*this, evaluate(*e.args[0]));
      case Expr::Kind::kPlus: return plus(*this, evaluate(*e.args[0]));
      case Expr::Kind::kBinary: {
        const Value left = evaluate(*e.args[0]);
        const Value right = evaluate(*e.args[1]);
        set_line(e.line);
        return calculate(*this, e.op, left, right);
      }
      case Expr::Kind::kCompare: return evaluate_comparison(e);
      case Expr::Kind::kConcat: {
        std::vector<Value> parts = evaluate_all(e);
        std::string text;
        for (const Value& part : parts) append(text, part);
        return string(std::move(text));
      }
      case Expr::Kind::kAnd:
      case Expr::Kind::kOr: {
        Value left = evaluate(*e.args[0]);
        return is_true(left) == (e.kind == Expr::Kind::kOr) ? left : evaluate(*e.args[1]);
      }
      case Expr::Kind::kCondition:
        if (is_true(evaluate(*e.args[1]))) return evaluate(*e.args[0]);
        if (e.args[2] != nullptr) return evaluate(*e.args[2]);
        return Value::undefined(Reason::kHint, "a condition is false and has no 'else'");
    }
    return {};
  }

  std::vector<Value> evaluate_all(const Expr& e) {
    std::vector<Value> values;
    values.reserve(e.args.size());
    for (const ExprPtr& item : e.args) values.push_back(evaluate(*item));
    return values;
  }

  Value evaluate_dict(const Expr& e) {
    const Value dict = make(new Dict, sizeof(Dict));
    for (size_t i = 0; i < e.args.size(); i += 2) {
      Value key = evaluate(*e.args[i]);
      Value value = evaluate(*e.args[i + 1]);
      set_line(e.line);
      add(dict, std::move(key), std::move(value));
    }
    return dict;
  }

  bool evaluate_comparison(const Expr& e) {
    Value left = evaluate(*e.args[0]);
    for (size_t i = 0; i < e.ops.size(); ++i) {
      Value right = evaluate(*e.args[i + 1]);
      set_line(e.line);
      if (!compare(*this, e.ops[i], left, right)) return false;
      left = std::move(right);
    }
    return true;
  }

  Arguments arguments_of(const Expr& e) {
    Arguments out;
    for (size_t i = static_cast<size_t>(e.num_fixed); i < e.args.size(); ++i) out.positional.push_back(evaluate(*e.args[i]));
    // As in Python, *args come before the values with names.
    if (e.star != nullptr) {
      const Value more = evaluate(*e.star);
      for (Value& value : all_items(*this, more, "'*' before an argument")) out.positional.push_back(std::move(value));
    }
    for (const auto& [name, value] : e.keywords) out.keywords.emplace_back(name, evaluate(*value));
    if (e.star_star != nullptr) {
      out.keep = evaluate(*e.star_star);
      if (!out.keep.is(Kind::kDict)) refuse_type("'**' before an argument", out.keep);
      for (const auto& [key, value] : out.keep.as<Dict>().entries) {
        if (!key.is_string()) refuse_type("a name in '**' before an argument", key);
        for (const auto& [name, other] : out.keywords) {
          if (name == key.text()) refuse(fmt::format("the argument '{}' is given twice", name));
        }
        spend(static_cast<int64_t>(out.keywords.size()));
        out.keywords.emplace_back(key.text(), value);
      }
    }
    return out;
  }

  Value evaluate_call(const Expr& e, const Value* caller) {
    const Expr& callee = *e.args[0];
    Value function, self;
    const Builtin* method = nullptr;
    if (callee.kind == Expr::Kind::kAttribute) {  // mostly a method, called without making a value of it
      self = evaluate(*callee.args[0]);
      set_line(callee.line);
      method = find_method(self, callee.name, callee.known_to);
      if (method == nullptr) function = get_attribute(*this, self, callee.name, callee.known_to);
    } else {
      function = evaluate(callee);
    }
    Arguments arguments = arguments_of(e);
    if (caller != nullptr) arguments.keywords.emplace_back("caller", *caller);
    set_line(e.line);
    return method != nullptr ? call_builtin(*method, self, arguments) : call(function, arguments);
  }

  Value apply_filter(const Expr& e, const Value& value) {
    Arguments arguments = arguments_of(e);
    set_line(e.line);
    const Builtin* filter = find_filter(e.name);
    if (filter == nullptr) refuse(unknown_filter(e.name));
    return filter->call(*this, value, arguments);
  }

  Value evaluate_test(const Expr& e) {
    const Value value = evaluate(*e.args[0]);
    Arguments arguments = arguments_of(e);
    set_line(e.line);
    const Builtin* test = find_test(e.name);
    if (test == nullptr) refuse(unknown_test(e.name));
    return test->call(*this, value, arguments);
  }

  const Program& program_;
  ScopePtr root_, scope_;
};

constexpr size_t kMaxTemplateBytes = 1 << 20;  // the longest of real models have some 30 kB

}  // namespace

}  // namespace lockstep::text::jinja

namespace lockstep::text {

JinjaTemplate::JinjaTemplate(std::string_view source, std::string where) {
  check(source.size() <= jinja::kMaxTemplateBytes, "{}: the chat template has {} bytes, at most {} are supported", where,
        source.size(), jinja::kMaxTemplateBytes);
  program_ = jinja::parse(source, std::move(where));
}

std::string JinjaTemplate::render(const JinjaValue& variables, const JinjaLimits& limits) const {
  return jinja::Interpreter(*program_, variables, limits).run();
}

}  // namespace lockstep::text
