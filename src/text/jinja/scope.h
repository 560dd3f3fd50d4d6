// The variables that a block of a template sees.
#pragma once

#include <utility>
#include <vector>

#include "text/jinja/value.h"

namespace lockstep::text::jinja {

struct Scope;

// A counted reference to a scope.
class ScopePtr {
 public:
  ScopePtr() = default;
  explicit ScopePtr(Scope* scope);
  Scope* operator->() const { return scope(); }
  Scope& operator*() const { return *scope(); }
  explicit operator bool() const { return value_.is_object(); }

 private:
  Scope* scope() const;
  Value value_;  // of no kind that a template meets
};

struct Scope : Mutable {
  explicit Scope(ScopePtr p) : Mutable(Kind::kNamespace), parent(std::move(p)) {}
  void clear() override {
    variables.clear();
    parent = {};
  }
  const Value* find_here(int id) const {
    for (const auto& [name, value] : variables) {
      if (name == id) return &value;
    }
    return nullptr;
  }
  const Value* find(int id) const {
    for (const Scope* scope = this; scope != nullptr; scope = scope->parent ? &*scope->parent : nullptr) {
      if (const Value* value = scope->find_here(id)) return value;
    }
    return nullptr;
  }
  void set(int id, Value value) {
    for (auto& [name, old] : variables) {
      if (name == id) {
        old = std::move(value);
        return;
      }
    }
    variables.emplace_back(id, std::move(value));
  }

  std::vector<std::pair<int, Value>> variables;  // few; by id of the name
  ScopePtr parent;
};

inline ScopePtr::ScopePtr(Scope* scope) : value_(scope) {}
inline Scope* ScopePtr::scope() const { return value_.is_object() ? static_cast<Scope*>(value_.object()) : nullptr; }

}  // namespace lockstep::text::jinja
