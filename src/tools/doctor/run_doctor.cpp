#include "tools/doctor/run_doctor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "comm/device_assignment.h"
#include "comm/message_probe.h"
#include "engine/open_device.h"
#include "engine/sampler.h"
#include "tools/doctor/checks.h"
#include "tools/doctor/examination.h"
#include "tools/doctor/layer_probe.h"
#include "tools/doctor/model_facts.h"
#include "tools/doctor/storage_probe.h"
#include "tools/doctor/transport_checks.h"
#include "tools/measure_all_reduce.h"

namespace lockstep::doctor {
namespace {

constexpr double kReadSeconds = 1.0;
constexpr int64_t kReadBytes = int64_t{1} << 30;  // of a rank at most
const std::vector<int64_t> kSizesCpu = {8 << 10, 1 << 20, 16 << 20}, kSizesCuda = {8 << 10, 1 << 20, 64 << 20};
constexpr int kRepeats = 5;

class Doctor {
 public:
  Doctor(World& world, const CommandLine& command_line, std::string arguments, Sources sources)
      : world_(world),
        line_(command_line),
        arguments_(std::move(arguments)),
        sources_(std::move(sources)),
        examination_(world, [json = command_line.doctor.json](const Job& job, const Report& report) {
          // Of processes that the launcher started together and that are alone, one speaks.
          if (job.size() == 1 && job.ranks.front().launch.launched_rank > 0) return;
          const std::string text = json ? json_of(job, report).dump(2) + '\n' : table_of(job, report);
          std::fwrite(text.data(), 1, text.size(), stdout);
          std::fflush(stdout);
        }) {}

  int run() {
    examine_facts();
    examine_messages();
    if (alike_) {
      if (!line_.engine.model.empty()) examine_model();
      if (can_compute_) examine_devices();
    } else {
      add({of_all(examination_.job(), "model and devices", {Status::kSkip, "not run: the ranks' command lines differ", "", ""})});
    }
    return examination_.finish(world_.is_root() ? recommend(examination_.job(), line_) : Recommendation{});
  }

 private:
  // Adds rank 0's findings.
  void add(Findings findings) {
    if (world_.is_root()) examination_.add(std::move(findings));
  }

  void examine_facts() {
    const bool known = examination_.step("facts", 15.0, [&] {
      const RankFacts mine = collect(world_, arguments_, sources_);
      Job job;
      for (const std::string& text : world_.all_gather(to_text(mine), "the facts of all ranks"))
        job.ranks.push_back(facts_from_text(text));
      job.tensor_parallel_size = line_.engine.tensor_parallel_size;
      decide_device(job);
      // What follows is decided by the command line on each rank, and would leave ranks waiting for others that do something
      // else.
      const auto is_like_first = [&](const RankFacts& r) { return r.launch.arguments == job.ranks.front().launch.arguments; };
      alike_ = std::all_of(job.ranks.begin(), job.ranks.end(), is_like_first);
      if (alike_ && !line_.engine.model.empty()) {
        model_ = load_model(line_);
        for (const std::string& text : world_.all_gather(to_text(model_.facts), "the model on all ranks"))
          models_.push_back(model_facts_from_text(text));
      }
      add_need(job);
      examination_.set_job(std::move(job));
    });
    if (!known) {
      can_compute_ = true;  // so that what is left out is told of
      return;
    }
    add(check_facts(examination_.job()));
    add(kind_of_device_);
  }

  // Where ranks would compute; all decide alike, since all know all.
  void decide_device(Job& job) {
    std::vector<std::string> kinds;
    for (const RankFacts& r : job.ranks) kinds.push_back(r.device.visible.empty() ? "cpu" : "cuda");
    const bool any = std::count(kinds.begin(), kinds.end(), "cuda") > 0;
    const bool all = std::count(kinds.begin(), kinds.end(), "cuda") == job.size();
    const DeviceChoice choice = line_.engine.device;
    job.cuda = choice == DeviceChoice::kCuda || (choice == DeviceChoice::kAuto && any);
    can_compute_ = !job.cuda || all;
    if (job.cuda && any && !all) {
      kind_of_device_ =
          same_everywhere(job, "kind of device", Scope::kRank, Status::kFail, "give GPUs to every rank, or use --device cpu",
                          [&](const RankFacts& r) { return kinds[static_cast<size_t>(r.launch.rank)]; });
    }
  }

  void add_need(Job& job) {
    if (!model_.config || !model_.facts.problem.empty()) return;
    try {
      job.need = need_of(*model_.config, model_.engine, job.size(), job.cuda);
    } catch (const std::exception& e) {
      need_problem_ = e.what();
    }
  }

  void examine_messages() {
    if (examination_.step("messages", 6.0, [&] { exchange_with_all(world_); }) && world_.size() > 1) {
      add({of_all(examination_.job(), "messages", {Status::kPass, "every rank reaches every other, in order", "", ""})});
    }
    if (world_.size() == 1) return;
    std::vector<PeerTiming> timings;
    std::vector<double> rates;
    if (examination_.step("message times", 10.0,
                          [&] {
                            timings = time_peers(world_);
                            world_.barrier("the clocks of all ranks");
                            rates = measure_host_links(world_);
                            world_.barrier("the links between hosts");
                          }) &&
        world_.is_root()) {
      add(check_clocks(examination_.job(), timings));
      add(check_host_links(examination_.job(), rates));
      slowest_link_ = 0.0;
      for (const double rate : rates) {
        if (rate > 0.0) slowest_link_ = slowest_link_ > 0.0 ? std::min(slowest_link_, rate) : rate;
      }
    }
  }

  void examine_model() {
    if (models_.empty()) return;
    add(check_model_facts(examination_.job(), models_, line_.engine.model));
    if (!need_problem_.empty()) {
      add({of_all(examination_.job(), "partition", {Status::kFail, need_problem_, "", "start fewer ranks"})});
    }
    const auto has_weights = [](const ModelFacts& f) { return f.problem.empty() && f.checkpoint_bytes > 0; };
    if (!std::all_of(models_.begin(), models_.end(), has_weights)) return;
    std::vector<ReadRate> rates;
    if (examination_.step("reading the weights", 10.0, [&] {
          const ReadRate mine = measure_reads(model_.config->weights, world_.rank(), world_.size(), kReadSeconds, kReadBytes);
          for (const std::string& text : world_.all_gather(to_text(mine), "read rates"))
            rates.push_back(read_rate_from_text(text));
        })) {
      add(check_storage(examination_.job(), rates, models_.front().checkpoint_bytes));
    }
  }

  void examine_devices() {
    if (examination_.job().cuda) examine_links();
    const bool cuda = examination_.job().cuda;
    const DType dtype = cuda ? DType::kBFloat16 : DType::kFloat32;
    LayerResults mine;
    std::vector<LayerResults> layers;
    AllReduceReport sums;
    std::unique_ptr<Backend> backend;
    std::unique_ptr<Communicator> communicator;
    EngineOptions options = line_.engine;
    const std::vector<int64_t>& sizes = cuda ? kSizesCuda : kSizesCpu;
    if (!examination_.step("AllReduce", 25.0, [&] {
          backend = open_device(world_, options).backend;
          communicator = make_communicator(world_, *backend, options.allreduce, static_cast<size_t>(sizes.back()),
                                           layer_all_gather_bytes(world_.size()));
          sums.transport = communicator->description();
          world_.barrier("the devices of all ranks");
          sums.memory_bandwidth =
              static_cast<double>(world_.all_min(static_cast<int64_t>(backend->measure_read_bandwidth()), "memory bandwidth"));
          for (const int64_t bytes : sizes)
            sums.figures.push_back(measure_all_reduce(world_, *backend, *communicator, bytes, kRepeats));
        })) {
      return;
    }
    sums.host_link = slowest_link_;
    add(check_all_reduce(examination_.job(), sums));
    add({of_all(
        examination_.job(), "memory bandwidth",
        {Status::kPass,
         fmt::format("{:.1f} GB/s a rank, all reading; rank 0 on {}", sums.memory_bandwidth / 1e9, backend->description()), "",
         ""})});
    if (examination_.step("one layer", 20.0, [&] {
          mine.device = cuda ? "cuda" : backend->description();
          mine.together = run_layer(std::move(backend), std::move(communicator), dtype);
          std::unique_ptr<Backend> own = open_device(world_, options).backend;
          std::unique_ptr<Communicator> nobody = make_null_communicator(*own);
          mine.alone = run_layer(std::move(own), std::move(nobody), dtype);
          for (const std::string& text : world_.all_gather(to_text(mine), "one layer"))
            layers.push_back(layer_results_from_text(text));
        })) {
      add(check_layer(examination_.job(), layers, dtype));
    }
  }

  // Each rank from the host and from the next GPU of the host to its own, all at once.
  void examine_links() {
    std::vector<DeviceRate> rates;
    if (examination_.step("GPU links", 15.0, [&] {
          std::vector<VisibleDevices> visible;
          for (const RankFacts& r : examination_.job().ranks) visible.push_back({r.launch.host, r.device.visible});
          const auto rank = static_cast<size_t>(world_.rank());
          const int own = assign_devices(visible)[rank], count = static_cast<int>(visible[rank].uuids.size());
          DeviceRate mine;
          mine.from_host = measure_copy_bandwidth(-1, own, own);
          world_.barrier("copies from the host");
          if (count > 1) mine.from_peer = measure_copy_bandwidth((own + 1) % count, own, own);
          for (const std::string& text :
               world_.all_gather(nlohmann::json{mine.from_host, mine.from_peer}.dump(), "copies between GPUs")) {
            const nlohmann::json json = nlohmann::json::parse(text);
            rates.push_back({json[0].get<double>(), json[1].get<double>()});
          }
        })) {
      add(check_device_rates(examination_.job(), rates));
    }
  }

  World& world_;
  const CommandLine& line_;
  std::string arguments_;
  Sources sources_;
  Examination examination_;
  LoadedModel model_;
  std::vector<ModelFacts> models_;  // by rank
  std::string need_problem_;
  Findings kind_of_device_;
  bool can_compute_ = false;
  bool alike_ = true;  // the command lines of all ranks
  double slowest_link_ = 0.0;
};

}  // namespace

int run_doctor(World& world, const CommandLine& command_line, const std::string& arguments, const Sources& sources) {
  return Doctor(world, command_line, arguments, sources).run();
}

}  // namespace lockstep::doctor
