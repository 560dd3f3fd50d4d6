// Texts that a grammar allows, at random: reads lines of JSON {"kind": "schema" | "regex", "text": …, "count": N, "try": [texts]}
// and answers each with {"samples": [texts], "accepted": [booleans]}, or {"error": …}. For compare.py.
#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <random>

#include "base/error.h"
#include "grammar/compiler.h"
#include "grammar/stepper.h"

namespace {

using namespace lockstep;
using grammar::Position;

// A walk over bytes that prefers to end once it may, the more so the longer it is. Empty: it did not come to an end.
bool sample(grammar::Stepper& stepper, std::mt19937_64& random, std::string& text) {
  Position position = stepper.start(), next;
  text.clear();
  for (int i = 0; i < 4000; ++i) {
    if (position.threads.empty()) return true;
    if (position.may_end && random() % 4 == 0) return true;
    std::vector<uint8_t> allowed;
    for (int b = 0; b < 256; ++b) {
      stepper.step(position, static_cast<uint8_t>(b), next);
      if (next.alive()) allowed.push_back(static_cast<uint8_t>(b));
    }
    uint8_t byte = allowed[random() % allowed.size()];
    // Strings and lists would hardly ever end.
    for (const char close : {'"', '}', ']'}) {
      const bool can = std::find(allowed.begin(), allowed.end(), static_cast<uint8_t>(close)) != allowed.end();
      if (can && random() % 100 < 12 + static_cast<unsigned>(i) / 4) byte = static_cast<uint8_t>(close);
    }
    stepper.step(position, byte, next);
    text += static_cast<char>(byte);
    std::swap(position, next);
  }
  return false;
}

nlohmann::json answer(const nlohmann::json& question) {
  const GrammarSpec spec{question["kind"] == "schema" ? GrammarKind::kJsonSchema : GrammarKind::kRegex, question["text"]};
  const grammar::Grammar grammar = grammar::compile_grammar(spec, grammar::Alphabet().set());
  grammar::StackPool stacks;
  grammar::Stepper stepper(grammar, stacks);
  std::mt19937_64 random(question.value("seed", 1));
  nlohmann::json out = {{"samples", nlohmann::json::array()}, {"accepted", nlohmann::json::array()}};
  for (int i = 0; i < question.value("count", 0); ++i) {
    std::string text;
    if (sample(stepper, random, text)) out["samples"].push_back(text);
  }
  for (const std::string text : question.value("try", nlohmann::json::array())) {
    Position position = stepper.start();
    out["accepted"].push_back(stepper.advance(position, text) && position.may_end);
  }
  return out;
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    try {
      std::cout << answer(nlohmann::json::parse(line)).dump() << std::endl;
    } catch (const Error& error) {
      std::cout << nlohmann::json{{"error", error.what()}}.dump() << std::endl;
    }
  }
  return 0;
}
