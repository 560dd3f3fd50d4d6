// Renders the cases of files that make_cases.py wrote and compares with what transformers gave, byte for byte; where it raised an
// error, there must be one here. Exit code 1 when one differs.
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>

#include "base/error.h"
#include "text/chat_template.h"
#include "text/jinja/jinja.h"

namespace lockstep {
namespace {

using Json = nlohmann::ordered_json;

// A model directory of this process, removed when it ends.
class Directory {
 public:
  Directory() : path_(std::filesystem::temp_directory_path() / ("lockstep_chat_" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(path_);
  }
  ~Directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ChatTemplate load(const Json& config) const {
    std::ofstream(path_ / "tokenizer_config.json", std::ios::binary) << config.dump();
    return ChatTemplate::load(path_);
  }

 private:
  std::filesystem::path path_;
};

ChatRequest request_of(const Json& json) {
  ChatRequest request;
  request.messages = json.at("messages");
  request.tools = json.value("tools", Json());
  request.documents = json.value("documents", Json());
  request.add_generation_prompt = json.value("add_generation_prompt", false);
  request.continue_final_message = json.value("continue_final_message", "");
  request.template_kwargs = json.value("template_kwargs", Json::object());
  return request;
}

class Checker {
 public:
  void check_file(const std::string& file) {
    std::ifstream in(file, std::ios::binary);
    check(in.good(), "{}: cannot be read", file);
    const Json cases = Json::parse(in);
    if (cases.contains("chats")) return check_chats(cases);
    const Json& shared = cases.at("variables");
    for (const Json& one : cases.at("cases")) {
      const std::string& source = one.at("template").get_ref<const std::string&>();
      compare(source, one, [&] { return text::JinjaTemplate(source, "FILE").render(one.value("variables", shared)); });
    }
  }
  int report() const {
    std::printf("%d of %d cases differ; %d are errors on both sides\n", num_wrong_, num_cases_, num_errors_);
    return num_wrong_ > 0 || num_cases_ == 0 ? 1 : 0;
  }

 private:
  void check_chats(const Json& cases) {
    const Directory directory;
    for (const auto& [name, config] : cases.at("configs").items()) {
      std::unique_ptr<ChatTemplate> chat;
      try {
        chat = std::make_unique<ChatTemplate>(directory.load(config));
      } catch (const Error& error) {
        std::printf("%s: %s\n", name.c_str(), error.what());
        ++num_wrong_;
        continue;
      }
      for (const Json& one : cases.at("chats")) {
        if (one.at("config") != name) continue;
        const std::string& key = one.at("request").get_ref<const std::string&>();
        compare(name + ", " + key, one, [&] { return chat->render(request_of(cases.at("requests").at(key))); });
      }
    }
  }

  template <typename Render>
  void compare(const std::string& name, const Json& expected, const Render& render) {
    ++num_cases_;
    std::string text, error;
    try {
      text = render();
    } catch (const Error& e) {
      error = e.what();
    }
    const bool has_error = !error.empty(), wants_error = expected.contains("error");
    num_errors_ += has_error && wants_error ? 1 : 0;
    if (has_error == wants_error && (has_error || text == expected.at("text").get<std::string>())) return;
    if (++num_wrong_ > 50) return;
    std::printf("---- %s\nexpected: %s\ngot:      %s\n", name.c_str(),
                (wants_error ? expected["error"] : expected["text"]).dump().c_str(),
                has_error ? error.c_str() : Json(text).dump().c_str());
  }

  int num_cases_ = 0, num_wrong_ = 0, num_errors_ = 0;
};

}  // namespace
}  // namespace lockstep

int main(int argc, char** argv) {
  lockstep::Checker checker;
  for (int i = 1; i < argc; ++i) checker.check_file(argv[i]);
  return checker.report();
}
