#include "text/jinja/mentions.h"

namespace lockstep::text::jinja {

namespace {

// Goes through a tree in jinja2's order: calls read(id) and store(id) for each name.
template <typename Read, typename Store>
class Walk {
 public:
  Walk(const Read& read, const Store& store) : read_(read), store_(store) {}

  void nodes(const std::vector<Node>& list) {
    for (const Node& n : list) node(n);
  }
  void node(const Node& n) {
    if (n.kind == Node::Kind::kCallBlock) expr(n.expr.get());
    for (const Target& t : n.targets) target(t);
    for (const Parameter& p : n.parameters) store_(p.id);
    for (const Parameter& p : n.parameters) expr(p.fallback.get());
    for (const ExprPtr& e : n.values) expr(e.get());
    const bool filter_follows = n.kind == Node::Kind::kFilterBlock;
    if (!filter_follows && n.kind != Node::Kind::kCallBlock) expr(n.expr.get());
    for (const auto& [condition, body] : n.branches) {
      expr(condition.get());
      nodes(body);
    }
    nodes(n.body);
    if (filter_follows) expr(n.expr.get());
    nodes(n.otherwise);
    expr(n.filter.get());
  }

 private:
  void target(const Target& t) {
    for (const Target& part : t.parts) target(part);
    if (t.id >= 0 && t.attribute.empty()) store_(t.id);
  }
  void expr(const Expr* e) {
    if (e == nullptr) return;
    if (e->kind == Expr::Kind::kName) read_(e->id);
    if (e->kind == Expr::Kind::kCondition) expr(e->args[1].get());
    for (size_t i = 0; i < e->args.size(); ++i) {
      if (e->kind != Expr::Kind::kCondition || i != 1) expr(e->args[i].get());
    }
    for (const auto& [name, value] : e->keywords) expr(value.get());
    expr(e->star.get());
    expr(e->star_star.get());
  }

  const Read& read_;
  const Store& store_;
};

}  // namespace

Mentions find_mentions(const std::vector<Node>& body) {
  Mentions found, stored;
  const auto field = [](Mentions& mentions, int id) -> bool* {
    return id == kCallerName    ? &mentions.caller
           : id == kKwargsName  ? &mentions.kwargs
           : id == kVarargsName ? &mentions.varargs
                                : nullptr;
  };
  const auto read = [&](int id) {
    bool* const mention = field(found, id);
    if (mention != nullptr && !*field(stored, id)) *mention = true;
  };
  const auto store = [&](int id) {
    if (bool* const mention = field(stored, id)) *mention = true;
  };
  Walk(read, store).nodes(body);
  return found;
}

bool assigns(const Node& node, int id) {
  bool found = false;
  const auto read = [](int) {};
  const auto store = [&](int stored) { found = found || stored == id; };
  Walk(read, store).node(node);
  return found;
}

}  // namespace lockstep::text::jinja
