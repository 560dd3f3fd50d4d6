#include "tools/config_tool.h"

#include <ostream>

#include "config/engine_flags.h"
#include "config/model_config.h"

namespace lockstep {

int run_config(const std::string& model, const EngineOptions& options, std::ostream& out) {
  ModelConfig config = load_model_config(model, options.max_model_len);
  if (!options.tokenizer.empty()) config.tokenizer = std::filesystem::absolute(options.tokenizer).lexically_normal();
  out << "# " << config.num_parameters() << " parameters\n" << to_yaml(config) << engine_yaml(options);
  return 0;
}

}  // namespace lockstep
