// StepShape: what a step asks of the model, whatever it is.
#pragma once

#include <cstdint>
#include <vector>

namespace lockstep {

// Doubles, so that it can also be the mean or the sum of many steps.
struct StepShape {
  double tokens = 0.0;     // query tokens
  double sampled = 0.0;    // of them, those whose logits are needed
  double kv_tokens = 0.0;  // sum over sequences of the tokens whose K and V are read
  double attended = 0.0;   // sum over query tokens of the tokens that each attends to

  StepShape& operator+=(const StepShape& other);
  // One token of each of `batch` sequences, which have `context` tokens with it.
  static StepShape decode(double batch, double context);
  // The tokens [begin, end) of one prompt.
  static StepShape chunk(int64_t begin, int64_t end, bool sample);
};

// The steps into which the scheduler cuts `batch` prompts of `length` tokens that come together: one after the other, `budget`
// tokens a step.
std::vector<StepShape> prefill_steps(int64_t batch, int64_t length, int64_t budget);

}  // namespace lockstep
