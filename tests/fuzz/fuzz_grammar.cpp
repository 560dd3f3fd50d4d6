// What a request asks of its output: the first byte says whether a regular expression or a JSON schema follows. A grammar that
// compiles is followed at random, and must always be able to go on.
#include <random>

#include "fuzz.h"
#include "grammar/compiler.h"
#include "grammar/stepper.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lockstep;
  if (size < 1) return 0;
  const GrammarSpec spec{data[0] % 2 == 0 ? GrammarKind::kRegex : GrammarKind::kJsonSchema, fuzz::text_of(data + 1, size - 1)};
  fuzz::allow_error([&] {
    const grammar::Grammar grammar = grammar::compile_grammar(spec, grammar::Alphabet().set());
    grammar::StackPool stacks;
    grammar::Stepper stepper(grammar, stacks);
    std::minstd_rand random(static_cast<unsigned>(size));
    grammar::Position position = stepper.start(), next;
    for (int i = 0; i < 200 && !position.threads.empty(); ++i) {
      fuzz::require(position.alive() && position.threads.size() <= grammar::Stepper::kMaxThreads);
      // Some byte must lead on.
      bool found = false;
      const unsigned first = static_cast<unsigned>(random());
      for (unsigned k = 0; k < 256 && !found; ++k) {
        stepper.step(position, static_cast<uint8_t>(first + k), next);
        found = next.alive();
      }
      fuzz::require(found);
      std::swap(position, next);
    }
  });
  return 0;
}
