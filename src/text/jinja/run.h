// One rendering: its limits, its place in the template, its objects; and how values call each other.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/jinja.h"
#include "text/jinja/value.h"

namespace lockstep::text::jinja {

class Run {
 public:
  Run(const std::string& where, const JinjaLimits& limits) : where_(where), limits_(limits) {}
  virtual ~Run() = default;
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  // Calls a function, method, macro, loop or joiner. Throws Error where it cannot be called.
  virtual Value call(const Value& callee, Arguments& arguments) = 0;

  const std::string& where() const { return where_; }
  void set_line(int line) { line_ = line; }
  int line() const { return line_; }
  // Throws Error: "FILE: chat template, line N: what".
  [[noreturn]] void refuse(std::string_view what) const;
  // Throws Error that says why it is undefined.
  [[noreturn]] void refuse_undefined(const Value& value) const;
  [[noreturn]] void refuse_type(std::string_view what, const Value& value) const;  // "WHAT: not of a 'TYPE'"

  void step();                // counts one statement or expression
  void spend(int64_t bytes);  // counts what is looked through
  void check_output(int64_t bytes) const;

  // New objects. Each is refused where it exceeds a limit.
  Value string(std::string text);
  Value list(std::vector<Value> items) { return sequence(Kind::kList, std::move(items)); }
  Value tuple(std::vector<Value> items) { return sequence(Kind::kTuple, std::move(items)); }
  Value pair(Value first, Value second);
  Value range(int64_t start, int64_t stop, int64_t step);
  Value view(Value dict, View::What what) { return make(new View(std::move(dict), what), sizeof(View)); }
  Value iterator(const char* type, std::function<bool(Value&)> next) {
    return make(new Iterator(type, std::move(next)), sizeof(Iterator) + 128);
  }
  Value method(Value self, const Builtin* function) { return make(new Method(std::move(self), function), sizeof(Method)); }
  // Any other object; depth: that of the values in it.
  template <typename T>
  Value make(T* object, int64_t bytes) {
    const Value value(heap_.adopt(object, bytes));
    count(bytes);
    return value;
  }

  // Adds to a dictionary that is being made. Refuses keys that cannot be.
  void add(const Value& dict, Value key, Value value);
  bool is_key(const Value& key) const;
  void set(Namespace& space, const Value& name, Value value);

  // Bounds recursion: of expressions, statements and macros in each other.
  class Level {
   public:
    explicit Level(Run& run);
    ~Level() { --run_.level_; }

   private:
    Run& run_;
  };

 private:
  Value sequence(Kind kind, std::vector<Value> items);
  void count(int64_t bytes);
  void deepen(Object& object, const Value& item);

  const std::string& where_;
  const JinjaLimits limits_;
  Heap heap_;
  int64_t steps_ = 0;
  int64_t bytes_ = 0;
  int line_ = 1;
  int level_ = 0;
};

}  // namespace lockstep::text::jinja
