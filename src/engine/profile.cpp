#include "engine/profile.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "base/trace.h"

namespace lockstep {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kHost = 0;  // "processes" of the trace
constexpr int kDevice = 1;

Json name_row(const char* what, int process, int64_t row, const std::string& name) {
  return {{"name", what}, {"ph", "M"}, {"pid", process}, {"tid", row}, {"args", {{"name", name}}}};
}

// A complete event; times in microseconds from `origin_ns` on.
Json event(const std::string& name, int process, int64_t row, int64_t begin_ns, int64_t end_ns, int64_t origin_ns) {
  return {{"name", name},
          {"ph", "X"},
          {"pid", process},
          {"tid", row},
          {"ts", static_cast<double>(begin_ns - origin_ns) / 1e3},
          {"dur", static_cast<double>(end_ns - begin_ns) / 1e3}};
}

}  // namespace

Profile::Profile(ProfileOptions options) : options_(std::move(options)) {
  if (is_wanted()) device_ = make_device_tracer(no_device_because_);
}

void Profile::start() {
  if (!is_wanted() || recording_ || steps_ > 0) return;
  recording_ = true;
  if (device_ != nullptr) device_->start();
  Trace::start();
}

void Profile::end_step() {
  if (recording_ && ++steps_ == options_.steps) finish();
}

void Profile::finish() {
  if (!recording_) return;
  recording_ = false;
  const std::vector<Trace::Span> host = Trace::stop();
  const std::vector<DeviceSpan> device = device_ != nullptr ? device_->stop() : std::vector<DeviceSpan>{};
  int64_t origin = INT64_MAX;
  for (const Trace::Span& span : host) origin = std::min(origin, span.begin_ns);
  for (const DeviceSpan& span : device) origin = std::min(origin, span.begin_ns);

  Json events = Json::array();
  events.push_back(name_row("process_name", kHost, 0, "host"));
  std::set<int> threads;
  for (const Trace::Span& span : host) {
    if (threads.insert(span.thread).second) {
      events.push_back(name_row("thread_name", kHost, span.thread, fmt::format("thread {}", span.thread)));
    }
    events.push_back(event(span.name, kHost, span.thread, span.begin_ns, span.end_ns, origin));
  }
  if (!device.empty()) events.push_back(name_row("process_name", kDevice, 0, "device"));
  std::set<uint32_t> streams;
  for (const DeviceSpan& span : device) {
    if (streams.insert(span.stream).second) {
      events.push_back(name_row("thread_name", kDevice, span.stream, fmt::format("stream {}", span.stream)));
    }
    events.push_back(event(span.name, kDevice, span.stream, span.begin_ns, span.end_ns, origin));
  }
  std::ofstream out(options_.file);
  out << Json{{"displayTimeUnit", "ms"}, {"traceEvents", std::move(events)}}.dump(1) << '\n';
  out.close();
  check(out.good(), "--profile {}: the file cannot be written", options_.file.string());
  spdlog::info("{}: {} spans of the host, {} of the device{}", options_.file.string(), host.size(), device.size(),
               device_ == nullptr ? fmt::format(" ({})", no_device_because_) : "");
}

}  // namespace lockstep
