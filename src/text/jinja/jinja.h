// Jinja templates, rendered as transformers renders chat templates: jinja2's ImmutableSandboxedEnvironment with trim_blocks,
// lstrip_blocks, loop controls, {% generation %}, raise_exception, strftime_now and a plain tojson. What a template of one text
// cannot use (include, import, extends, block), and what makes HTML or chance (escape, urlize, random, lipsum, ...), is refused
// by name. Integers are those of 64 bits; a result outside of them is an error.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace lockstep::text {

using JinjaValue = nlohmann::ordered_json;

namespace jinja {
struct Program;
}

// What rendering may cost: a template comes with the model, from anywhere.
struct JinjaLimits {
  int64_t steps = 5'000'000;                // statements and expressions; a long chat needs some thousands
  int64_t bytes = int64_t{2} << 30;         // of all values made and looked through
  int64_t live_bytes = int64_t{512} << 20;  // of the values there are at one time
  int64_t output_bytes = 64 << 20;          // of the result
};

// Immutable once made; may be rendered from several threads at a time.
class JinjaTemplate {
 public:
  // source: valid UTF-8. where: the file, for messages. Throws Error naming file and line.
  JinjaTemplate(std::string_view source, std::string where);

  // variables: an object of valid UTF-8. Throws Error naming file and line, also when the template calls raise_exception() or
  // exceeds a limit.
  std::string render(const JinjaValue& variables, const JinjaLimits& limits = {}) const;

 private:
  std::shared_ptr<const jinja::Program> program_;
};

}  // namespace lockstep::text
