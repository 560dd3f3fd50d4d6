// decide(): which degree to take, and the sentences that say why. The flow is drawn in docs/choosing-tp.md.
#include <fmt/format.h>

#include <algorithm>

#include "plan/plan.h"
#include "plan/rank_weights.h"

namespace lockstep {
namespace {

constexpr double kMuchAllReduce = 0.25;  // share of a step from which on another way is named
constexpr double kLittleGain = 1.15;     // speed-up of a further doubling that is not worth its GPUs
constexpr double kAlmostAsGood = 0.9;    // throughput a GPU of a degree that divides, beside one that does not

std::string gb(double bytes) { return fmt::format("{:.1f} GB", bytes / 1e9); }
std::string ms(double seconds) { return fmt::format("{:.2f} ms", seconds * 1e3); }

// Copies of the deciding steps' context, so that the helpers read short.
struct Deciding {
  const Plan& plan;
  const PlanRequest& request;
  Decision& decision;
  const Cluster& cluster() const { return request.cluster; }
  void say(std::string sentence) const { decision.reasons.push_back(std::move(sentence)); }
  double rate_per_gpu(const PlanRow& row) const {
    return static_cast<double>(request.need.concurrency) / row.token_seconds / row.degree.tp;
  }
};

void choose(const Deciding& d, int tp, int stages = 1) {
  d.decision.found = true;
  d.decision.tp = tp;
  d.decision.stages = stages;
  d.decision.choice = stages == 1 ? fmt::format("tp {}", tp) : fmt::format("tp {} × pp {}", tp, stages);
}

std::string load_text(const PlanRequest& r) {
  return fmt::format("{} sequence{} of {} tokens", r.need.concurrency, r.need.concurrency == 1 ? "" : "s", r.need.max_model_len);
}

std::string memory_text(const MemoryPlan& m) {
  return fmt::format("{} of {} usable a rank", gb(static_cast<double>(m.needed())), gb(static_cast<double>(m.usable)));
}

// The nearest degree from `tp` on, within the node, whose heads fall evenly, where it is about as good a use of GPUs.
const PlanRow& prefer_even(const Deciding& d, const PlanRow& row) {
  if (row.degree.is_even()) return row;
  for (int tp = row.degree.tp + 1; tp <= d.cluster().gpus_per_node; ++tp) {
    const PlanRow* other = d.plan.row(tp);
    if (other == nullptr || !other->fits() || !other->degree.is_even() || !d.cluster().is_direct(tp)) continue;
    if (d.rate_per_gpu(*other) < kAlmostAsGood * d.rate_per_gpu(row)) break;
    d.say(fmt::format("tp {} fits, too, but its heads do not fall evenly ({}); tp {} does and gives as much for each GPU.",
                      row.degree.tp, row.degree.waste.empty() ? "some ranks have more" : row.degree.waste, tp));
    return *other;
  }
  return row;
}

// Fewer GPUs in a narrower format?
void advise_quantization(const Deciding& d, int total_gpus) {
  if (total_gpus <= 1 || is_quantized(d.request.model.format)) return;
  for (const char* format : {"fp8", "int8", "int4"}) {
    PlannedModel model = d.request.model;
    set_formats(model, format, "", 0);
    if (std::string(format) == "fp8" && d.cluster().gpu.fp8_flops <= 0.0) continue;
    model.kv_element_bytes = d.request.model.kv_element_bytes;
    for (int tp = 1; tp < total_gpus && tp <= d.cluster().gpus_per_node; ++tp) {
      if (!judge_degree(model, tp).possible) continue;
      if (!plan_memory(model, d.cluster().gpu, tp, 1, d.cluster().gpus_per_node, d.request.need).fits) continue;
      d.say(
          fmt::format("Quantize first where the quality allows it: in {} the weights are {} and fit on {} GPU{} (lockstep does "
                      "not run {} yet).",
                      format, gb(static_cast<double>(rank_weight_bytes(model, 1, 0))), tp, tp == 1 ? "" : "s", format));
      return;
    }
  }
}

// What a degree's AllReduces cost where prompts are long, and what half the degree in two stages would make of it.
void warn_all_reduce(const Deciding& d, const PlanRow& row) {
  const PrefillPoint* worst = nullptr;
  for (const PrefillPoint& p : row.prefill) {
    if (worst == nullptr || p.time.all_reduce_share() >= worst->time.all_reduce_share()) worst = &p;
  }
  if (worst == nullptr || worst->time.all_reduce_share() < kMuchAllReduce) return;
  const int tp = row.degree.tp;
  const int smaller = tp % 2 == 0 ? tp / 2 : 1;
  const StepTimeModel half(d.request.model, d.cluster(), smaller);
  const double seconds = pipeline_prefill(half, d.cluster(), d.request.model, smaller, tp / smaller, worst->shape.batch,
                                          worst->shape.length, row.memory.limits.max_num_batched_tokens);
  std::string sentence =
      fmt::format("tp {} over {}, {}×{} prefill: {:.0f} % of the step is AllReduce", tp, d.cluster().link_for(tp).description,
                  worst->shape.batch, worst->shape.length, 100.0 * worst->time.all_reduce_share());
  if (seconds < worst->time.total()) {
    sentence +=
        fmt::format("; prefer tp {} × pp {} for such prompts ({:.3g} s instead of {:.3g} s; lockstep does not run pp yet)",
                    smaller, tp / smaller, seconds, worst->time.total());
  }
  d.say(sentence + ".");
}

void say_none_fits(const Deciding& d) {
  const PlanRow* best = nullptr;
  for (const PlanRow& row : d.plan.rows) {
    if (row.degree.possible) best = &row;
  }
  if (best == nullptr) {
    d.say(fmt::format("No degree is possible: {}.", d.plan.rows.empty() ? "no rows" : d.plan.rows.back().degree.why_not));
    return;
  }
  d.say(fmt::format("{} with {} does not fit {} × {}: tp {} needs {} a rank and {} are usable.", d.request.model.name,
                    load_text(d.request), d.cluster().total(), d.cluster().gpu.description, best->degree.tp,
                    gb(static_cast<double>(best->memory.needed())), gb(static_cast<double>(best->memory.usable))));
  if (best->memory.kv_pool_tokens > 0) {
    d.say(
        fmt::format("It would fit with {} tokens in all: lower --max-model-len or --concurrency.", best->memory.kv_pool_tokens));
  }
  // How many would do, were there more nodes.
  Cluster larger = d.cluster();
  for (int total = d.cluster().total() + 1; total <= std::max(64, 2 * d.cluster().total()); ++total) {
    const int tp = std::min(total, larger.gpus_per_node);
    if (total % tp != 0 || !judge_degree(d.request.model, tp).possible) continue;
    const int stages = total / tp;
    if (stages > d.request.model.config.num_layers) break;
    if (!plan_memory(d.request.model, larger.gpu, tp, stages, larger.gpus_per_node, d.request.need).fits) continue;
    d.say(stages == 1 ? fmt::format("{} GPUs in a node would do.", total)
                      : fmt::format("{} GPUs would do: tp {} × pp {} (lockstep does not run pp yet), or tp {}.", total, tp,
                                    stages, total));
    break;
  }
  advise_quantization(d, d.cluster().total() + 1);
}

// One GPU: nothing to exchange.
bool decide_one(const Deciding& d) {
  const PlanRow* one = d.plan.row(1);
  if (one == nullptr || !one->fits()) return false;
  if (!one->meets(d.request)) {
    d.say(fmt::format("It fits on one GPU, but a token takes {} there and {} were asked for.", ms(one->token_seconds),
                      ms(d.request.max_latency_s)));
    return false;
  }
  choose(d, 1);
  d.say(fmt::format("It fits on one GPU with {} ({}): more ranks would only add AllReduces.", load_text(d.request),
                    memory_text(one->memory)));
  if (d.cluster().total() > 1) {
    if (const PlanRow* two = d.plan.row(2); two != nullptr && two->fits()) {
      d.say(
          fmt::format("tp 2 would bring a token from {} to {} ({:.2f}×); {} copies of the model on one GPU each bring {:.1f}× "
                      "the throughput.",
                      ms(one->token_seconds), ms(two->token_seconds), one->token_seconds / two->token_seconds,
                      d.cluster().total(), static_cast<double>(d.cluster().total())));
    } else {
      d.say(fmt::format("Use the others for copies of the model: {} times the throughput.", d.cluster().total()));
    }
  }
  return true;
}

// NVLink inside a node: the smallest degree that fits and is fast enough.
bool decide_direct(const Deciding& d) {
  const PlanRow* fallback = nullptr;  // fits, but is not fast enough
  for (const PlanRow& row : d.plan.rows) {
    const int tp = row.degree.tp;
    if (tp == 1 || !row.fits() || !d.cluster().is_direct(tp)) continue;
    if (!row.meets(d.request)) {
      if (fallback == nullptr || row.token_seconds < fallback->token_seconds) fallback = &row;
      continue;
    }
    const PlanRow& chosen = prefer_even(d, row);
    choose(d, chosen.degree.tp);
    d.say(fmt::format("tp {} is the smallest{} over {} that fits {} ({}){}.", chosen.degree.tp,
                      &chosen == &row ? "" : " even one", d.cluster().link_for(chosen.degree.tp).description,
                      load_text(d.request), memory_text(chosen.memory),
                      d.request.max_latency_s > 0.0
                          ? fmt::format(" and meets {} a token ({})", ms(d.request.max_latency_s), ms(chosen.token_seconds))
                          : ""));
    const PlanRow* twice = d.plan.row(2 * chosen.degree.tp);
    if (twice != nullptr && twice->fits() && d.cluster().is_direct(2 * chosen.degree.tp)) {
      const double gain = chosen.token_seconds / twice->token_seconds;
      d.say(fmt::format("tp {} would bring a token from {} to {} ({:.2f}× for twice the GPUs{}).", twice->degree.tp,
                        ms(chosen.token_seconds), ms(twice->token_seconds), gain,
                        gain < kLittleGain ? ", seldom worth it" : "; worth it for latency, not for throughput"));
    }
    warn_all_reduce(d, chosen);
    advise_quantization(d, chosen.degree.tp);
    return true;
  }
  if (fallback == nullptr) return false;
  choose(d, fallback->degree.tp);
  d.say(fmt::format("No degree meets {} a token; tp {} comes nearest with {}.", ms(d.request.max_latency_s), fallback->degree.tp,
                    ms(fallback->token_seconds)));
  warn_all_reduce(d, *fallback);
  advise_quantization(d, fallback->degree.tp);
  return true;
}

// No direct link, or several nodes: of the fewest GPUs that do, the split between tp and pp that ends a request soonest.
bool decide_pipeline(const Deciding& d) {
  const PipelineRow* best = nullptr;
  for (const bool in_time : {true, false}) {
    for (const PipelineRow& row : d.plan.pipelines) {
      if (!row.memory.fits || row.total() == 1) continue;
      if (in_time && d.request.max_latency_s > 0.0 && row.token_seconds > d.request.max_latency_s) continue;
      if (best == nullptr || row.total() < best->total() ||
          (row.total() == best->total() && row.load_seconds < best->load_seconds)) {
        best = &row;
      }
    }
    if (best != nullptr) break;
  }
  if (best == nullptr) return false;
  choose(d, best->tp, best->stages);
  const char* why = d.cluster().is_direct(std::min(best->total(), d.cluster().gpus_per_node)) ? "over several nodes"
                                                                                              : "without NVLink between the GPUs";
  const int64_t at_once = d.request.need.concurrency;
  d.say(
      fmt::format("{} is the fewest GPUs that hold {} ({}); {} {} ends {} with {} prompt tokens and {} more soonest ({:.2f} s).",
                  best->total(), load_text(d.request), memory_text(best->memory), why, d.decision.choice,
                  at_once == 1 ? "a request" : fmt::format("{} requests", at_once),
                  d.request.prefills.empty() ? 1 : d.request.prefills.front().length, kRequestTokens, best->load_seconds));
  if (const PlanRow* row = d.plan.row(best->total()); row != nullptr && row->degree.possible) {
    warn_all_reduce(d, *row);
    if (best->stages > 1) {
      d.say(fmt::format("lockstep does not run pp yet; until then tp {}: {} a token{}.", best->total(), ms(row->token_seconds),
                        row->fits() ? "" : ", which does not fit"));
    }
  }
  if (d.request.max_latency_s > 0.0 && best->token_seconds > d.request.max_latency_s) {
    d.say(fmt::format("It takes {} a token; {} were asked for, which no split meets.", ms(best->token_seconds),
                      ms(d.request.max_latency_s)));
  }
  advise_quantization(d, best->total());
  return true;
}

}  // namespace

Decision decide(const Plan& plan) {
  Decision decision;
  const Deciding d{plan, plan.request, decision};
  if (plan.request.only_tp > 0) {
    const PlanRow& row = plan.rows.front();
    if (!row.degree.possible) {
      d.say(fmt::format("tp {} is not possible: {}.", row.degree.tp, row.degree.why_not));
    } else if (!row.memory.fits) {
      d.say(fmt::format("tp {} does not fit {}: {}.", row.degree.tp, load_text(plan.request), memory_text(row.memory)));
    } else {
      choose(d, row.degree.tp);
      d.say(
          fmt::format("tp {} was asked for and fits {} ({}).", row.degree.tp, load_text(plan.request), memory_text(row.memory)));
    }
    if (row.degree.possible) warn_all_reduce(d, row);
  } else if (!decide_one(d) && !decide_direct(d) && !decide_pipeline(d)) {
    say_none_fits(d);
  }
  if (!plan.request.cluster.gpu.runs_lockstep()) {
    d.say(fmt::format("lockstep itself needs compute capability 8.0 or newer; {} has {}.{}.",
                      plan.request.cluster.gpu.description, plan.request.cluster.gpu.compute_capability / 10,
                      plan.request.cluster.gpu.compute_capability % 10));
  }
  return decision;
}

}  // namespace lockstep
