#include "app/batch_input.h"

#include <openssl/evp.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/error.h"
#include "kernels/random.h"

namespace lockstep {
namespace {

using Json = RequestJson;

constexpr size_t kMaxLineBytes = 64 << 20;
constexpr size_t kPartBytes = 1 << 20;
constexpr size_t kReadAhead = 1024;  // lines that are ready at most

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

std::ifstream open_input(const std::filesystem::path& file) {
  std::error_code ignored;
  check(std::filesystem::exists(file, ignored), "-i {}: there is no such file", file.string());
  check(std::filesystem::is_regular_file(file, ignored),
        "-i {}: is not a regular file; a job that is started again must be able to read it again", file.string());
  std::ifstream in(file, std::ios::binary);
  check(in.good(), "-i {}: the file cannot be opened: {}", file.string(), std::strerror(errno));
  return in;
}

// Calls on_part(part of a line, whether the line ends with it) for all of the file.
template <typename OnPart>
void for_each_part(const std::filesystem::path& file, OnPart&& on_part) {
  std::ifstream in = open_input(file);
  std::vector<char> buffer(kPartBytes);
  bool open = false;  // a line has begun
  do {
    in.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    std::string_view rest(buffer.data(), static_cast<size_t>(in.gcount()));
    while (!rest.empty()) {
      const size_t end = rest.find('\n');
      open = end == std::string_view::npos;
      if (!on_part(rest.substr(0, end), !open)) return;
      rest.remove_prefix(open ? rest.size() : end + 1);
    }
  } while (in.good());
  check(!in.bad(), "-i {}: the file cannot be read", file.string());
  if (open) on_part(std::string_view(), true);
}

std::string string_of(const Json& object, const char* key) {
  const auto it = object.find(key);
  if (it == object.end() || !it->is_string()) throw RequestError(key, fmt::format("'{}' is missing or no string", key));
  return it->get<std::string>();
}

// Of a line that is no JSON, which has an error code of its own.
struct NotJson : Error {
  using Error::Error;
};

Json parse_batch_json(const std::string& text) {
  try {
    return parse_request_json(text);
  } catch (const RequestError& error) {
    throw NotJson(error.what());
  }
}

// Endpoint and body of a line; sets the id as soon as it is known.
std::pair<Endpoint, Json> take_body(Json line, std::string& custom_id) {
  if (!line.is_object()) throw RequestError("", fmt::format("the line is {}; expected an object", line.type_name()));
  if (const auto id = line.find("custom_id"); id != line.end()) custom_id = string_of(line, "custom_id");
  if (line.contains("body") || line.contains("url") || line.contains("method")) {
    string_of(line, "custom_id");
    const std::string method = string_of(line, "method");
    if (method != "POST") throw RequestError("method", "'method' is not POST");
    const std::string url = string_of(line, "url");
    const std::optional<Endpoint> endpoint = find_endpoint(url);
    if (!endpoint) throw RequestError("url", "'url' is none of /v1/completions and /v1/chat/completions");
    if (!line.contains("body")) throw RequestError("body", "'body' is missing");
    return {*endpoint, std::move(line["body"])};
  }
  line.erase("custom_id");
  if (line.contains("prompt") == line.contains("messages")) {
    throw RequestError("", "the line has neither 'body' nor just one of 'prompt' and 'messages'");
  }
  return {line.contains("prompt") ? Endpoint::kCompletions : Endpoint::kChatCompletions, std::move(line)};
}

}  // namespace

BatchInputSummary summarize_batch_input(const std::filesystem::path& file, const BatchShard& shard) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> digest(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  check(digest != nullptr && EVP_DigestInit_ex(digest.get(), EVP_sha256(), nullptr) == 1, "OpenSSL gives no SHA-256");
  BatchInputSummary summary;
  int64_t line = 1;
  bool blank = true;
  for_each_part(file, [&](std::string_view part, bool ends) {
    EVP_DigestUpdate(digest.get(), part.data(), part.size());
    if (ends) EVP_DigestUpdate(digest.get(), "\n", 1);
    summary.bytes += static_cast<int64_t>(part.size()) + (ends ? 1 : 0);
    blank = blank && std::all_of(part.begin(), part.end(), is_blank);
    if (!ends) return true;
    summary.num_requests += !blank && shard.has(line) ? 1 : 0;
    blank = true;
    ++line;
    return true;
  });
  std::vector<unsigned char> hash(EVP_MAX_MD_SIZE);
  unsigned int size = 0;
  check(EVP_DigestFinal_ex(digest.get(), hash.data(), &size) == 1, "OpenSSL could not compute SHA-256");
  for (unsigned int i = 0; i < size; ++i) summary.sha256 += fmt::format("{:02x}", hash[i]);
  return summary;
}

BatchItem parse_batch_line(const std::string& text, int64_t line, const RequestEncoder& encoder, uint64_t seed) {
  BatchItem item;
  item.line = line;
  item.custom_id = fmt::format("line-{}", line);
  try {
    auto [endpoint, body] = take_body(parse_batch_json(text), item.custom_id);
    item.request = parse_openai_request(body, endpoint);
    if (item.request.stream) throw RequestError("stream", "'stream' is true; a batch is not streamed");
    item.prompts = encoder.encode(item.request);
    if (!item.request.sampling.seed) item.request.sampling.seed = mix64(seed ^ mix64(static_cast<uint64_t>(line)));
  } catch (const NotJson& error) {
    item.error_code = "invalid_json_line";
    item.error = fmt::format("line {}: {}", line, error.what());
  } catch (const Error& error) {
    item.error_code = "invalid_request";
    item.error = fmt::format("line {}: {}", line, error.what());
  }
  return item;
}

BatchReader::BatchReader(const std::filesystem::path& file, const RequestEncoder& encoder, uint64_t seed,
                         std::function<bool(int64_t line)> wants)
    : file_(file), encoder_(encoder), seed_(seed), wants_(std::move(wants)), thread_([this] { read(); }) {}

BatchReader::~BatchReader() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void BatchReader::read() {
  try {
    int64_t line = 1;
    std::string text;
    bool too_long = false;
    for_each_part(file_, [&](std::string_view part, bool ends) {
      too_long = too_long || text.size() + part.size() > kMaxLineBytes;
      if (too_long) {
        text.clear();
      } else {
        text += part;
      }
      if (!ends) return true;
      bool go_on = true;
      const bool blank = !too_long && std::all_of(text.begin(), text.end(), is_blank);
      if (!blank && wants_(line)) {
        BatchItem item;
        if (too_long) {
          item.line = line;
          item.custom_id = fmt::format("line-{}", line);
          item.error_code = "invalid_json_line";
          item.error = fmt::format("line {}: is longer than {} MiB", line, kMaxLineBytes >> 20);
        } else {
          item = parse_batch_line(text, line, encoder_, seed_);
        }
        go_on = put(std::move(item));
      }
      text.clear();
      too_long = false;
      ++line;
      return go_on;
    });
  } catch (...) {
    const std::lock_guard lock(mutex_);
    failure_ = std::current_exception();
  }
  const std::lock_guard lock(mutex_);
  ended_ = true;
  changed_.notify_all();
}

bool BatchReader::put(BatchItem item) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return stopped_ || ready_.size() < kReadAhead; });
  if (stopped_) return false;
  ready_.push_back(std::move(item));
  changed_.notify_all();
  return true;
}

std::optional<BatchItem> BatchReader::next(bool wait) {
  std::unique_lock lock(mutex_);
  if (wait) changed_.wait(lock, [&] { return ended_ || !ready_.empty(); });
  if (ready_.empty()) {
    if (ended_ && failure_ != nullptr) std::rethrow_exception(failure_);
    return std::nullopt;
  }
  BatchItem item = std::move(ready_.front());
  ready_.pop_front();
  changed_.notify_all();
  return item;
}

bool BatchReader::at_end() {
  const std::lock_guard lock(mutex_);
  return ended_ && ready_.empty() && failure_ == nullptr;
}

}  // namespace lockstep
