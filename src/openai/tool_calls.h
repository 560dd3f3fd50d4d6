// Calls of tools in what a model writes, in the forms that the families have been taught.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/options.h"

namespace lockstep {

// The form that a chat template writes earlier calls in, or tells the model to use. kNone: none of these.
ToolFormat find_tool_format(std::string_view chat_template);

struct ToolCall {
  std::string name;
  std::string arguments;  // a JSON object
};

// Splits a stream of text. What looks like a call but is none is content.
class ToolCallParser {
 public:
  explicit ToolCallParser(ToolFormat format) : format_(format) {}
  // Of an output that is nothing but calls: the arguments of the tool of that name, or, without a name, a list of calls.
  static ToolCallParser forced(std::string tool);

  // The text that has become certain to be content; blanks before a call belong to it.
  std::string push(std::string_view text);
  // What was held back. Call once, at the end.
  std::string finish();
  // The calls that were completed since the last time.
  std::vector<ToolCall> take_calls();
  bool has_called() const { return num_calls_ > 0; }

 private:
  std::string push_hermes(bool at_end);
  std::string push_llama3(bool at_end);
  std::string push_mistral(bool at_end);
  // The text before the marker, as far as it is certain; the marker is then at the beginning of held_.
  std::string before(std::string_view marker, bool at_end);
  void add(std::vector<ToolCall> calls);

  void push_forced();

  ToolFormat format_;
  bool is_forced_ = false;
  std::string forced_tool_;
  std::string held_;
  bool is_plain_ = false;  // kLlama3Json: it has begun as text
  std::vector<ToolCall> calls_;
  size_t num_calls_ = 0;
};

}  // namespace lockstep
