#include "plan/hardware.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"
#include "base/files.h"
#include "config/map_reader.h"
#include "config/model_files.h"

namespace lockstep {
namespace fs = std::filesystem;
namespace {

constexpr const char* kFolder = "hardware";
constexpr double kMiB = 1024.0 * 1024.0;
constexpr double kMaxNumber = 1e9;

bool is_yaml(const fs::path& path) { return path.extension() == ".yaml" || path.extension() == ".yml"; }

double required_number(MapReader& keys, const char* key) {
  const std::optional<double> value = keys.number(key, 0.0, kMaxNumber);
  if (!value) keys.refuse(key, fmt::format("a number above 0 and at most {}", kMaxNumber));
  return *value;
}

std::vector<std::string> texts(MapReader& keys, const char* key) {
  std::vector<std::string> all;
  const Node* node = keys.find_value(key);
  if (node == nullptr) return all;
  const Node::List* list = node->get_if<Node::List>();
  if (list == nullptr) keys.refuse(key, "a list of names");
  for (const Node& item : *list) {
    const std::string* text = item.get_if<std::string>();
    if (text == nullptr || text->empty()) keys.refuse(key, "a list of names");
    all.push_back(*text);
  }
  return all;
}

void read_efficiency(MapReader& gpu, Efficiency& e) {
  const Node* node = gpu.find_value("efficiency");
  if (node == nullptr) return;
  MapReader keys(*node, gpu.file(), gpu.path_of("efficiency"));
  e.read = keys.number("read", 0.0, 1.0).value_or(e.read);
  e.library_read = keys.number("library_read", 0.0, 1.0).value_or(e.library_read);
  e.gemm = keys.number("gemm", 0.0, 1.0).value_or(e.gemm);
  e.attention = keys.number("attention", 0.0, 1.0).value_or(e.attention);
  e.rows_for_half = keys.number("rows_for_half", 0.0, 1e6).value_or(e.rows_for_half);
  e.kernel_us = keys.number("kernel_us", 0.0, 1e6).value_or(e.kernel_us);
  e.overlapped_us = keys.number("overlapped_us", 0.0, 1e6).value_or(e.overlapped_us);
  keys.refuse_unknown();
}

// A file has one of the sections `gpu`, `cpu` and `link`.
struct File {
  explicit File(const fs::path& path) : path(path), root(read_yaml(path)), top(root, path.string(), "") {
    for (const char* name : {"gpu", "cpu", "link"}) {
      if (const Node* node = top.find(name)) {
        check(section.empty(), "{}:{}: has the sections '{}' and '{}'; allowed: one", path.string(), node->line, section, name);
        section = name;
        map = node;
      }
    }
    check(map != nullptr, "{}: has no section; needed: one of gpu, cpu, link", path.string());
    top.refuse_unknown();
  }
  MapReader keys() { return {*map, path.string(), section}; }

  fs::path path;
  Node root;
  MapReader top;
  std::string section;
  const Node* map = nullptr;
};

// The names that a file answers to: its own and its aliases.
std::vector<std::string> names_of(File& file) {
  MapReader keys = file.keys();
  std::vector<std::string> names = texts(keys, "aliases");
  names.insert(names.begin(), file.path.stem().string());
  return names;
}

Gpu read_gpu(File& file) {
  MapReader keys = file.keys();
  Gpu gpu;
  gpu.name = file.path.stem().string();
  gpu.file = file.path;
  gpu.cpu = file.section == "cpu";
  texts(keys, "aliases");
  gpu.description = keys.text("description").value_or(gpu.name);
  gpu.device_names = texts(keys, "device_names");
  gpu.memory_bytes = required_number(keys, "memory_mib") * kMiB;
  gpu.bandwidth = required_number(keys, "bandwidth_gb_per_s") * 1e9;
  gpu.bf16_flops = required_number(keys, "bf16_tflops") * 1e12;
  gpu.fp8_flops = keys.number("fp8_tflops", 0.0, kMaxNumber).value_or(0.0) * 1e12;
  gpu.int8_ops = keys.number("int8_tops", 0.0, kMaxNumber).value_or(0.0) * 1e12;
  if (!gpu.cpu) {
    const double capability = required_number(keys, "compute_capability");
    gpu.compute_capability = static_cast<int>(capability * 10.0 + 0.5);
    gpu.multiprocessors = static_cast<int>(keys.required_integer("multiprocessors", 1, 10000));
    gpu.context_bytes = required_number(keys, "context_mib") * kMiB;
  }
  const auto interconnect = keys.text("interconnect");
  if (!interconnect) keys.refuse("interconnect", "the name of a link in configs/hardware");
  gpu.interconnect = *interconnect;
  gpu.max_gpus_per_link_group = static_cast<int32_t>(keys.integer("gpus_per_link_group", 1, 65536).value_or(0));
  gpu.beyond_group = keys.text("beyond_group").value_or("");
  if (gpu.max_gpus_per_link_group > 0 && gpu.beyond_group.empty()) {
    keys.refuse("beyond_group", "the name of the link beyond gpus_per_link_group GPUs");
  }
  if (gpu.cpu) {
    // No launches to wait for; one kind of linear for any number of rows.
    gpu.efficiency = {.read = 0.9,
                      .library_read = 0.9,
                      .gemm = 0.5,
                      .attention = 0.25,
                      .rows_for_half = 4.0,
                      .kernel_us = 5.0,
                      .overlapped_us = 5.0};
  }
  read_efficiency(keys, gpu.efficiency);
  keys.refuse_unknown();
  return gpu;
}

Link read_link(File& file) {
  MapReader keys = file.keys();
  Link link;
  link.name = file.path.stem().string();
  link.file = file.path;
  texts(keys, "aliases");
  link.description = keys.text("description").value_or(link.name);
  const std::string scope = keys.text("scope").value_or("");
  if (scope != "node" && scope != "network") keys.refuse("scope", "node (inside one) or network (between nodes)");
  link.scope = scope == "node" ? LinkScope::kNode : LinkScope::kNetwork;
  link.direct = keys.boolean("direct", false);
  link.bandwidth = required_number(keys, "bandwidth_gb_per_s") * 1e9;
  link.efficiency = keys.number("efficiency", 0.0, 1.0).value_or(link.efficiency);
  link.latency_s = required_number(keys, "latency_us") * 1e-6;
  link.hop_s = keys.number("hop_us", 0.0, kMaxNumber).value_or(0.0) * 1e-6;
  keys.refuse_unknown();
  return link;
}

// The file that `name` means, among those with one of `sections`.
fs::path find_hardware(const std::string& name, const std::vector<std::string>& sections, const char* flag) {
  if (is_yaml(name) || fs::path(name).has_parent_path()) {
    check(is_listed(name), "{} {}: no such file", flag, name);
    return name;
  }
  const Catalogue catalogue = find_catalogue(kFolder);
  std::vector<std::string> known;
  for (const fs::path& path : catalogue.files) {
    File file(path);
    if (std::find(sections.begin(), sections.end(), file.section) == sections.end()) continue;
    const std::vector<std::string> names = names_of(file);
    if (std::find(names.begin(), names.end(), name) != names.end()) return path;
    known.push_back(names.front());
  }
  fail("{} {}: no such hardware; known are {}; or give a YAML file of your own (see {}){}", flag, name,
       known.empty() ? "none" : fmt::format("{}", fmt::join(known, ", ")), "configs/hardware",
       catalogue.files.empty() ? fmt::format("; looked in {}", fmt::join(catalogue.looked, ", ")) : "");
}

}  // namespace

Gpu load_gpu(const std::string& name_or_file) {
  File file(find_hardware(name_or_file, {"gpu", "cpu"}, "--gpu"));
  check(file.section != "link", "--gpu {}: describes a link; needed: a file with the section gpu or cpu", name_or_file);
  return read_gpu(file);
}

Link load_link(const std::string& name_or_file, LinkScope scope) {
  const char* flag = scope == LinkScope::kNode ? "--interconnect" : "--network";
  File file(find_hardware(name_or_file, {"link"}, flag));
  check(file.section == "link", "{} {}: describes a {}; needed: a file with the section link", flag, name_or_file, file.section);
  Link link = read_link(file);
  check(link.scope == scope, "{} {}: is a link {}; needed: one {}", flag, name_or_file,
        link.scope == LinkScope::kNode ? "inside a node" : "between nodes",
        scope == LinkScope::kNode ? "inside a node (scope: node)" : "between nodes (scope: network)");
  return link;
}

std::vector<Gpu> all_gpus() {
  std::vector<Gpu> gpus;
  for (const fs::path& path : find_catalogue(kFolder).files) {
    File file(path);
    if (file.section == "gpu") gpus.push_back(read_gpu(file));
  }
  return gpus;
}

std::optional<Gpu> find_gpu_by_device(const std::string& device_name) {
  for (Gpu& gpu : all_gpus()) {
    if (std::find(gpu.device_names.begin(), gpu.device_names.end(), device_name) != gpu.device_names.end()) return gpu;
  }
  return std::nullopt;
}

}  // namespace lockstep
