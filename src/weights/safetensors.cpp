#include "weights/safetensors.h"

#include <algorithm>
#include <array>
#include <limits>

#include "base/error.h"
#include "weights/strict_json.h"

namespace lockstep {
namespace {

using nlohmann::json;

struct FormatDType {
  std::string_view name;
  int bits;
  std::optional<DType> loadable;
};

constexpr std::array<FormatDType, 22> kDTypes = {{
    {"F32", 32, DType::kFloat32},     {"BF16", 16, DType::kBFloat16}, {"F16", 16, DType::kFloat16},
    {"F64", 64, std::nullopt},        {"C64", 64, std::nullopt},      {"I64", 64, std::nullopt},
    {"U64", 64, std::nullopt},        {"I32", 32, std::nullopt},      {"U32", 32, std::nullopt},
    {"I16", 16, std::nullopt},        {"U16", 16, std::nullopt},      {"I8", 8, std::nullopt},
    {"U8", 8, std::nullopt},          {"BOOL", 8, std::nullopt},      {"F8_E4M3", 8, std::nullopt},
    {"F8_E5M2", 8, std::nullopt},     {"F8_E8M0", 8, std::nullopt},   {"F8_E4M3FNUZ", 8, std::nullopt},
    {"F8_E5M2FNUZ", 8, std::nullopt}, {"F6_E2M3", 6, std::nullopt},   {"F6_E3M2", 6, std::nullopt},
    {"F4", 4, std::nullopt},
}};

const FormatDType& find_dtype(const std::string& name, const std::string& where) {
  for (const FormatDType& d : kDTypes) {
    if (d.name == name) return d;
  }
  fail("{} has dtype '{}', which the safetensors format does not know; F32, BF16 and F16 can be loaded", where, printable(name));
}

// A non-negative integer of the header that fits int64.
int64_t count_of(const json& value, const std::string& where, const char* what) {
  check(value.is_number_unsigned() && value.get<uint64_t>() <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max()),
        "{} has {} {}, expected a non-negative integer", where, what, printable(value.dump(-1, ' ', true)));
  return value.get<int64_t>();
}

// Bytes of a tensor of this shape. Throws Error when there is no such number.
int64_t bytes_of(const std::vector<int64_t>& shape, int bits_per_element, const std::string& where) {
  int64_t bits = bits_per_element;
  bool overflow = false;
  // A zero anywhere makes the size zero, but the other dimensions must not overflow on the way there.
  for (const int64_t n : shape) overflow = __builtin_mul_overflow(bits, std::max<int64_t>(n, 1), &bits) || overflow;
  check(!overflow, "{} has shape {}, which is too large for any file", where, shape_text(shape));
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
  check(bits % 8 == 0, "{} has shape {} of {}-bit elements, which is not a whole number of bytes", where, shape_text(shape),
        bits_per_element);
  return bits / 8;
}

SafetensorsHeader::Entry parse_entry(const std::string& name, const json& value, const std::string& file) {
  const std::string where = fmt::format("{}: tensor '{}'", file, printable(name));
  check(value.is_object(), "{} is not described by a JSON object", where);
  for (const auto& [key, unused] : value.items()) {
    check(key == "dtype" || key == "shape" || key == "data_offsets", "{} has the unknown key '{}'", where, printable(key));
  }
  for (const char* key : {"dtype", "shape", "data_offsets"}) check(value.contains(key), "{} has no '{}'", where, key);
  const json& dtype = value["dtype"];
  const json& shape = value["shape"];
  const json& offsets = value["data_offsets"];
  check(dtype.is_string(), "{} has a dtype that is not a string", where);
  check(shape.is_array(), "{} has a shape that is not an array", where);
  check(offsets.is_array() && offsets.size() == 2, "{} has data_offsets that are not an array of two", where);

  SafetensorsHeader::Entry entry;
  const FormatDType format = find_dtype(dtype.get<std::string>(), where);
  entry.tensor.name = name;
  entry.tensor.dtype_name = format.name;
  entry.tensor.dtype = format.loadable;
  for (const json& n : shape) entry.tensor.shape.push_back(count_of(n, where, "dimension"));
  entry.tensor.bytes = bytes_of(entry.tensor.shape, format.bits, where);
  entry.begin = count_of(offsets[0], where, "data offset");
  const int64_t end = count_of(offsets[1], where, "data offset");
  check(entry.begin <= end, "{} begins at byte {} of the data but ends at {}", where, entry.begin, end);
  check(end - entry.begin == entry.tensor.bytes, "{} has {} bytes of data ({} to {}), but {} {} needs {}", where,
        end - entry.begin, entry.begin, end, format.name, shape_text(entry.tensor.shape), entry.tensor.bytes);
  return entry;
}

// The tensors, sorted by position, must cover [0, data_bytes) exactly.
void check_layout(const std::vector<SafetensorsHeader::Entry>& entries, int64_t data_bytes, const std::string& where) {
  int64_t position = 0;
  const std::string* previous = nullptr;
  for (const SafetensorsHeader::Entry& e : entries) {
    const int64_t end = e.begin + e.tensor.bytes;
    check(end <= data_bytes, "{}: tensor '{}' ends at byte {} of the data, but the file has {}: it is truncated", where,
          printable(e.tensor.name), end, data_bytes);
    check(e.begin >= position, "{}: tensor '{}' begins at byte {} of the data and overlaps tensor '{}', which ends at {}", where,
          printable(e.tensor.name), e.begin, previous ? printable(*previous) : "", position);
    check(e.begin == position, "{}: there is a hole of {} bytes before tensor '{}'", where, e.begin - position,
          printable(e.tensor.name));
    position = end;
    previous = &e.tensor.name;
  }
  check(position == data_bytes, "{}: {} bytes follow the last tensor", where, data_bytes - position);
}

}  // namespace

std::string shape_text(const std::vector<int64_t>& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

SafetensorsHeader parse_safetensors_header(std::string_view text, int64_t data_bytes, const std::string& where) {
  check(!text.empty() && text.front() == '{', "{}: the header does not begin with '{{'; is this a safetensors file?", where);
  const json root = parse_strict_json(text, where);
  SafetensorsHeader header;
  for (const auto& [name, value] : root.items()) {
    if (name == "__metadata__") {
      check(value.is_object(), "{}: __metadata__ is not a JSON object", where);
      for (const auto& [key, text_value] : value.items()) {
        check(text_value.is_string(), "{}: __metadata__ key '{}' is not a string", where, printable(key));
        header.metadata.emplace_back(key, text_value.get<std::string>());
      }
    } else {
      header.entries.push_back(parse_entry(name, value, where));
    }
  }
  std::stable_sort(header.entries.begin(), header.entries.end(), [](const auto& a, const auto& b) {
    return std::pair(a.begin, a.tensor.bytes) <
           std::pair(b.begin, b.tensor.bytes);  // empty tensors before the one at their place
  });
  check_layout(header.entries, data_bytes, where);
  return header;
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : file(path) {
  const std::string where = path.string();
  std::array<unsigned char, 8> prefix{};
  check(file.size() >= static_cast<int64_t>(prefix.size()),
        "{}: has {} bytes; a safetensors file has at least 8: it is truncated", where, file.size());
  file.read(0, prefix.size(), prefix.data());
  uint64_t length = 0;
  for (size_t i = prefix.size(); i-- > 0;) length = length << 8 | prefix[i];
  check(length <= static_cast<uint64_t>(kMaxSafetensorsHeader),
        "{}: the header claims {} bytes, more than the {} that the format allows; is this a safetensors file?", where, length,
        kMaxSafetensorsHeader);
  data_begin = static_cast<int64_t>(prefix.size() + length);
  check(data_begin <= file.size(), "{}: the header claims {} bytes, but the file has {} in all: it is truncated", where, length,
        file.size());
  std::string text(length, '\0');
  file.read(prefix.size(), static_cast<int64_t>(length), text.data());
  header = parse_safetensors_header(text, file.size() - data_begin, where);
}

}  // namespace lockstep
