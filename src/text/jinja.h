// The part of the Jinja template language that chat templates of the supported styles use, with the settings of transformers:
// trim_blocks, lstrip_blocks, sandboxed. Statements: for, if, set, break, continue, generation. What is missing (macros, imports,
// inheritance, many filters) is refused by name, when it is parsed or, for filters, tests and methods, when it is reached.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace lockstep::text {

using JinjaValue = nlohmann::ordered_json;  // type `discarded`: an undefined variable

namespace jinja {
struct Node;
}

// What rendering may cost: a template comes with the model, from anywhere.
struct JinjaLimits {
  int64_t steps = 5'000'000;         // statements and expressions; a long chat needs some thousands
  int64_t bytes = int64_t{2} << 30;  // of all values made and looked through, the result included
};

class JinjaTemplate {
 public:
  // where: the file, for messages. Throws Error naming the line.
  JinjaTemplate(std::string_view source, std::string where);

  // variables: an object. Throws Error, also when the template calls raise_exception() or exceeds the limits.
  std::string render(const JinjaValue& variables, const JinjaLimits& limits = {}) const;

 private:
  std::string where_;
  std::shared_ptr<const std::vector<jinja::Node>> nodes_;
};

}  // namespace lockstep::text
