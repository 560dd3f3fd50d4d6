#include "weights/coverage.h"

#include <algorithm>
#include <string>
#include <unordered_map>

#include "base/error.h"
#include "weights/strict_json.h"

namespace lockstep {
namespace {

struct Rectangle {
  Range rows;
  Range cols;
  const std::string* tensor;
};

bool overlap(const Range& a, const Range& b) { return a.begin < b.end && b.begin < a.end; }

void check_parameter(const Parameter& parameter, const std::vector<Rectangle>& filled) {
  int64_t elements = 0;
  for (size_t i = 0; i < filled.size(); ++i) {
    const Rectangle& a = filled[i];
    check(a.rows.begin >= 0 && a.rows.end <= parameter.rows && a.cols.begin >= 0 && a.cols.end <= parameter.cols,
          "parameter '{}' is [{}, {}], but tensor '{}' would fill rows {} to {} and columns {} to {}", parameter.name,
          parameter.rows, parameter.cols, *a.tensor, a.rows.begin, a.rows.end, a.cols.begin, a.cols.end);
    for (size_t j = 0; j < i; ++j) {
      check(!overlap(a.rows, filled[j].rows) || !overlap(a.cols, filled[j].cols),
            "parameter '{}': tensors '{}' and '{}' would fill the same elements", parameter.name, *filled[j].tensor, *a.tensor);
    }
    elements += a.rows.size() * a.cols.size();
  }
  // Inside, and without overlap: then the area is all there is to check.
  check(elements == parameter.rows * parameter.cols, "parameter '{}' has {} elements, but the checkpoint would fill only {}",
        parameter.name, parameter.rows * parameter.cols, elements);
}

// "a, b, c and 7 more".
std::string first_few(const std::vector<std::string>& names) {
  constexpr size_t kFew = 5;
  const size_t shown = std::min(names.size(), kFew);
  std::string text = fmt::format("{}", fmt::join(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(shown), ", "));
  if (names.size() > shown) text += fmt::format(" and {} more", names.size() - shown);
  return text;
}

}  // namespace

void check_coverage(const Partition& partition) {
  std::vector<std::vector<Rectangle>> filled(partition.parameters.size());
  for (const Piece& p : partition.pieces) {
    const Range rows = {p.to_row, p.to_row + p.matrix_rows().size()};
    const Range cols = {p.to_col, p.to_col + p.matrix_cols().size()};
    filled.at(p.parameter).push_back({rows, cols, &p.tensor});
  }
  for (size_t i = 0; i < filled.size(); ++i) check_parameter(partition.parameters[i], filled[i]);
}

std::vector<size_t> match_tensors(const Partition& partition, const TensorSource& source) {
  struct Expected {
    const CheckpointTensor* tensor;
    bool redundant;
  };
  std::unordered_map<std::string, Expected> expected;
  for (const CheckpointTensor& t : partition.tensors) expected[t.name] = {&t, false};
  for (const CheckpointTensor& t : partition.redundant) expected[t.name] = {&t, true};

  std::unordered_map<std::string, size_t> found;
  std::vector<std::string> unknown;
  for (size_t i = 0; i < source.tensors().size(); ++i) {
    const SourceTensor& t = source.tensors()[i];
    if (expected.count(t.name) == 1) {
      found[t.name] = i;
    } else {
      unknown.push_back(printable(t.name));
    }
  }
  std::vector<std::string> missing;
  for (const CheckpointTensor& t : partition.tensors) {
    if (found.count(t.name) == 0) missing.push_back(t.name);
  }
  std::string problems;
  if (!missing.empty()) problems += fmt::format("; missing: {}", first_few(missing));
  if (!unknown.empty()) problems += fmt::format("; unknown: {}", first_few(unknown));
  check(problems.empty(), "the checkpoint in {} does not have the tensors that its configuration asks for{}", source.where(),
        problems);

  for (const SourceTensor& t : source.tensors()) {
    const Expected& e = expected.at(t.name);
    const std::vector<int64_t>& shape = e.tensor->shape;
    check(t.shape == shape, "tensor '{}' in {} ({}) has shape {}, expected {}", t.name, source.where(), t.file,
          shape_text(t.shape), shape_text(shape));
    check(e.redundant || t.dtype.has_value(), "tensor '{}' in {} ({}) has dtype {}, expected F32, BF16 or F16", t.name,
          source.where(), t.file, t.dtype_name);
  }
  std::vector<size_t> index;
  for (const Piece& p : partition.pieces) index.push_back(found.at(p.tensor));
  return index;
}

}  // namespace lockstep
