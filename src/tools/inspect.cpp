#include "tools/inspect.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <set>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "config/model_config.h"
#include "partition/partition.h"
#include "tools/check_model.h"
#include "weights/coverage.h"
#include "weights/safetensors.h"
#include "weights/strict_json.h"

namespace lockstep {
namespace {

constexpr size_t kLineWidth = 120;

// Rows of cells, printed with columns as wide as their widest cell; numbers are right-aligned.
class Table {
 public:
  explicit Table(std::vector<std::string> head, std::set<size_t> right) : right_(std::move(right)) { add(std::move(head)); }
  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  void print(std::ostream& out) const {
    std::vector<size_t> widths(rows_[0].size(), 0);
    for (const auto& row : rows_) {
      for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
    }
    for (const auto& row : rows_) {
      std::string line;
      for (size_t i = 0; i < row.size(); ++i) {
        line += right_.count(i) == 1 ? fmt::format("{:>{}}", row[i], widths[i]) : fmt::format("{:<{}}", row[i], widths[i]);
        line += "  ";
      }
      line.erase(line.find_last_not_of(' ') + 1);
      out << line << '\n';
    }
  }

 private:
  std::set<size_t> right_;
  std::vector<std::vector<std::string>> rows_;
};

std::string mebibytes(int64_t bytes) { return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20)); }

std::string range_text(Range r) { return r.size() == 0 ? "none" : fmt::format("[{}, {})", r.begin, r.end); }

std::string counted(Range r) { return r.size() == 0 ? "none" : fmt::format("{} {}", r.size(), range_text(r)); }

void print_tensors(const TensorSource& source, std::ostream& out) {
  Table table({"tensor", "dtype", "shape", "bytes", "file"}, {3});
  std::map<std::string, int64_t> bytes_of_dtype;
  std::set<std::string> files;
  for (const SourceTensor& t : source.tensors()) {
    table.add({printable(t.name), t.dtype_name, shape_text(t.shape), std::to_string(t.bytes), t.file});
    bytes_of_dtype[t.dtype_name] += t.bytes;
    files.insert(t.file);
  }
  table.print(out);
  out << fmt::format("\n{} tensors in {} file{}, {} bytes ({}), headers {} bytes\n", source.tensors().size(), files.size(),
                     files.size() == 1 ? "" : "s", total_bytes(source), mebibytes(total_bytes(source)), source.header_bytes());
  for (const auto& [dtype, bytes] : bytes_of_dtype) out << fmt::format("  {}: {} bytes ({})\n", dtype, bytes, mebibytes(bytes));
  for (const std::string& note : source.notes()) out << "metadata of " << note << '\n';
}

// Bytes that a rank reads, at the dtype of each tensor in the checkpoint, or of the configuration where there is none.
int64_t bytes_to_read(const Partition& partition, const TensorSource* source, DType config_dtype) {
  if (!source) return partition.checkpoint_bytes(size_of(config_dtype));
  const std::vector<size_t> tensors = match_tensors(partition, *source);
  int64_t bytes = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    bytes += partition.pieces[i].elements() * static_cast<int64_t>(size_of(*source->tensors()[tensors[i]].dtype));
  }
  return bytes;
}

void print_ranks(const std::vector<Partition>& ranks, const ModelConfig& config, const TensorSource* source, std::ostream& out) {
  const int64_t whole = bytes_to_read(make_partition(config, 1, 0), source, config.dtype);
  out << fmt::format("\ntensor parallelism {}; the whole model reads {} bytes ({}){}\n", ranks.size(), whole, mebibytes(whole),
                     source ? "" : fmt::format(", at {} of the configuration", name_of(config.dtype)));
  Table table({"rank", "query heads", "KV heads", "FFN columns", "vocabulary", "bytes to read", "share"}, {0, 5, 6});
  for (const Partition& p : ranks) {
    const int64_t bytes = bytes_to_read(p, source, config.dtype);
    table.add({std::to_string(p.rank), counted(p.share.q_heads), counted(p.share.kv_heads), counted(p.share.ffn),
               counted(p.share.vocab), std::to_string(bytes),
               fmt::format("{:.1f}%", 100.0 * static_cast<double>(bytes) / static_cast<double>(whole))});
  }
  table.print(out);
}

std::string slice_text(const Piece& p) {
  const bool all_rows = p.rows == Range{0, p.shape[0]};
  const bool all_cols = p.is_vector() || p.cols == Range{0, p.shape[1]};
  if (all_rows && all_cols) return "whole";
  if (p.is_vector()) return range_text(p.rows);
  if (all_cols) return "rows " + range_text(p.rows);
  if (all_rows) return "cols " + range_text(p.cols);
  return "rows " + range_text(p.rows) + " cols " + range_text(p.cols);
}

// "model.layers.3.mlp.up_proj.weight" -> "model.layers.*.mlp.up_proj.weight".
std::string any_layer(const std::string& tensor) {
  const std::string key = "layers.";
  const size_t at = tensor.find(key);
  if (at == std::string::npos) return tensor;
  const size_t number = at + key.size();
  return tensor.substr(0, number) + "*" + tensor.substr(tensor.find('.', number));
}

// Which slice of a tensor each rank reads, [tensor][rank]; "none" where it reads nothing.
std::map<std::string, std::vector<std::string>> slices_by_tensor(const std::vector<Partition>& ranks) {
  std::map<std::string, std::vector<std::string>> slices;
  for (const CheckpointTensor& t : ranks[0].tensors) slices[t.name].assign(ranks.size(), "none");
  for (const Partition& p : ranks) {
    for (const Piece& piece : p.pieces) slices[piece.tensor][static_cast<size_t>(p.rank)] = slice_text(piece);
  }
  return slices;
}

void print_slices(const std::vector<Partition>& ranks, std::ostream& out) {
  const auto slices = slices_by_tensor(ranks);
  std::map<std::string, const std::vector<std::string>*> printed;  // by name without the layer's number
  out << "\nwho reads what ('*': every layer; [begin, end) without the end)\n";
  for (const CheckpointTensor& t : ranks[0].tensors) {
    const std::vector<std::string>& mine = slices.at(t.name);
    const auto [first, fresh] = printed.emplace(any_layer(t.name), &mine);
    if (!fresh && *first->second == mine) continue;
    out << fmt::format("{} {}\n", fresh ? first->first : t.name, shape_text(t.shape));
    if (std::all_of(mine.begin(), mine.end(), [](const std::string& s) { return s == "whole"; })) {
      out << "    every rank: whole\n";
      continue;
    }
    std::string line;
    for (size_t rank = 0; rank < mine.size(); ++rank) {
      const std::string cell = fmt::format("    {}: {}", rank, mine[rank]);
      if (!line.empty() && line.size() + cell.size() > kLineWidth) {
        out << line << '\n';
        line.clear();
      }
      line += cell;
    }
    out << line << '\n';
  }
}

}  // namespace

int run_inspect(const InspectOptions& options, std::ostream& out) {
  const std::string dir = options.directory.string();
  const int tp = options.tensor_parallel_size;
  std::optional<ModelConfig> config;
  if (!leads_to_directory(dir) || tp != 0) config = load_model_config(dir);
  const std::filesystem::path checkpoint = leads_to_directory(dir) ? std::filesystem::path(dir) : config->weights;
  check(!checkpoint.empty() || (tp != 0 && !options.check),
        "{} names no weights, so there are no tensors to list; -tp N shows how they would be dealt out", dir);

  std::unique_ptr<TensorSource> source;
  if (!checkpoint.empty()) {
    source = open_safetensors(checkpoint);
    print_tensors(*source, out);
  }
  if (options.check) check_model(dir, *source, out);
  if (tp == 0) return 0;

  std::vector<Partition> ranks = {make_partition(*config, tp, 0)};  // throws for a tp that cannot be, before more are made
  for (int rank = 1; rank < tp; ++rank) ranks.push_back(make_partition(*config, tp, rank));
  print_ranks(ranks, *config, source.get(), out);
  print_slices(ranks, out);
  return 0;
}

}  // namespace lockstep
