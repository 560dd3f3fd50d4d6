#include "text/json_file.h"

#include <fstream>
#include <iterator>

#include "base/error.h"

namespace lockstep::text {

namespace {

constexpr size_t kMaxDepth = 64;
constexpr std::uintmax_t kMaxFileBytes = std::uintmax_t{256} << 20;  // the largest real ones have 35 MB

// Builds the value from the parser's events, as nlohmann's own handler does, but keeps an eye on keys and depth.
class StrictHandler final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit StrictHandler(std::string name) : name_(std::move(name)) {}
  nlohmann::json take() { return std::move(root_); }

  bool null() override { return add(nullptr), true; }
  bool boolean(bool value) override { return add(value), true; }
  bool number_integer(int64_t value) override { return add(value), true; }
  bool number_unsigned(uint64_t value) override { return add(value), true; }
  bool number_float(double value, const std::string& /*text*/) override { return add(value), true; }
  bool string(std::string& value) override { return add(std::move(value)), true; }
  bool binary(binary_t& /*value*/) override { return false; }
  bool start_object(size_t /*size*/) override { return open(nlohmann::json::object()); }
  bool start_array(size_t /*size*/) override { return open(nlohmann::json::array()); }
  bool end_object() override { return open_.pop_back(), true; }
  bool end_array() override { return open_.pop_back(), true; }
  bool key(std::string& value) override {
    const auto [it, is_new] = open_.back()->get_ref<nlohmann::json::object_t&>().try_emplace(std::move(value));
    check(is_new, "{}: key '{}' occurs twice in one object", name_, it->first);
    slot_ = &it->second;
    return true;
  }
  bool parse_error(size_t /*position*/, const std::string& /*token*/, const nlohmann::json::exception& e) override {
    fail("{}: is not valid JSON: {}", name_, e.what());
  }

 private:
  nlohmann::json& add(nlohmann::json value) {
    if (open_.empty()) return root_ = std::move(value);
    if (open_.back()->is_array()) return open_.back()->emplace_back(std::move(value));
    return *slot_ = std::move(value);
  }
  bool open(nlohmann::json value) {
    check(open_.size() < kMaxDepth, "{}: is nested more than {} deep", name_, kMaxDepth);
    open_.push_back(&add(std::move(value)));
    return true;
  }

  std::string name_;
  nlohmann::json root_;
  std::vector<nlohmann::json*> open_;  // objects and arrays around the next value
  nlohmann::json* slot_ = nullptr;     // where the value of the last key goes
};

}  // namespace

std::string read_file(const std::filesystem::path& file, std::string_view remedy) {
  std::error_code error;
  check(std::filesystem::is_regular_file(file, error), "{}: cannot be read; {}", file.string(), remedy);
  const auto size = std::filesystem::file_size(file, error);
  check(!error && size <= kMaxFileBytes, "{}: has {} bytes, at most {} are supported", file.string(), size, kMaxFileBytes);
  std::ifstream in(file, std::ios::binary);
  check(in.good(), "{}: cannot be read; {}", file.string(), remedy);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

nlohmann::json parse_json(std::string_view content, const std::string& name) {
  StrictHandler handler(name);
  nlohmann::json::sax_parse(content, &handler);
  return handler.take();
}

nlohmann::json read_json_file(const std::filesystem::path& file, std::string_view remedy) {
  return parse_json(read_file(file, remedy), file.string());
}

}  // namespace lockstep::text
