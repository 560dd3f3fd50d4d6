#include "plan/step_shape.h"

#include <algorithm>

namespace lockstep {

StepShape& StepShape::operator+=(const StepShape& other) {
  tokens += other.tokens;
  sampled += other.sampled;
  kv_tokens += other.kv_tokens;
  attended += other.attended;
  return *this;
}

StepShape StepShape::decode(double batch, double context) { return {batch, batch, batch * context, batch * context}; }

StepShape StepShape::chunk(int64_t begin, int64_t end, bool sample) {
  const auto b = static_cast<double>(begin);
  const auto e = static_cast<double>(end);
  // Token t attends to the t + 1 tokens up to itself.
  return {e - b, sample ? 1.0 : 0.0, e, (e * (e + 1.0) - b * (b + 1.0)) / 2.0};
}

std::vector<StepShape> prefill_steps(int64_t batch, int64_t length, int64_t budget) {
  std::vector<StepShape> steps;
  StepShape step;
  int64_t room = budget;
  const auto end_step = [&] {
    if (step.tokens > 0.0) steps.push_back(step);
    step = {};
    room = budget;
  };
  for (int64_t i = 0; i < batch; ++i) {
    for (int64_t begin = 0; begin < length;) {
      const int64_t end = std::min(begin + room, length);
      step += StepShape::chunk(begin, end, end == length);
      room -= end - begin;
      begin = end;
      if (room == 0) end_step();
    }
  }
  end_step();
  return steps;
}

}  // namespace lockstep
