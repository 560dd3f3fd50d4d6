// The part of the Jinja template language that chat templates of the supported styles use, with the settings of transformers:
// trim_blocks, lstrip_blocks, sandboxed. Statements: for, if, set, break, continue, generation. What is missing (macros, imports,
// inheritance, many filters) is refused by name, when it is parsed or, for filters, tests and methods, when it is reached.
#pragma once

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

class JinjaTemplate {
 public:
  // where: the file, for messages. Throws Error naming the line.
  JinjaTemplate(std::string_view source, std::string where);

  // variables: an object. Throws Error, also when the template calls raise_exception().
  std::string render(const JinjaValue& variables) const;

 private:
  std::string where_;
  std::shared_ptr<const std::vector<jinja::Node>> nodes_;
};

}  // namespace lockstep::text
