#include "app/chat.h"

#include "app/chat_console.h"
#include "app/chat_signals.h"
#include "app/line_reader.h"
#include "llm/llm_impl.h"

namespace lockstep {

int run_chat(const World& world, const CommandLine& command_line) {
  LLM llm = LlmOfWorld::make(world, [&] {
    EngineOptions options = resolve_engine_options(command_line);
    if (!command_line.has_engine_flag("max-num-seqs")) options.max_num_seqs = 1;  // one answer at a time
    return options;
  });
  world.phase("trying the chat template", [&] {
    if (llm.is_root()) llm.encode_chat({{"user", "Hello"}});
  });
  ChatSignals signals;  // on every rank: Ctrl-C reaches all that share the terminal
  if (!llm.is_root()) {
    llm.serve_rank();
    return 0;
  }
  const std::unique_ptr<LineReader> reader = make_line_reader(signals);
  ChatConsole console(llm, command_line.chat, command_line.engine.model, *reader, signals);
  const int code = console.run();
  llm.shutdown();
  return signals.ended() ? 128 + SIGTERM : code;
}

}  // namespace lockstep
