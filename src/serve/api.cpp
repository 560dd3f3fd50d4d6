#include "serve/api.h"

#include <array>
#include <boost/asio/post.hpp>
#include <boost/beast/core/string.hpp>

#include "base/log.h"
#include "openai/chat_fields.h"
#include "openai/json_fields.h"
#include "serve/api_error.h"
#include "serve/generation_task.h"

namespace lockstep {
namespace {

using Json = RequestJson;

struct Route {
  std::string_view path;
  std::string_view method;
};
constexpr std::array kRoutes = {Route{"/", "GET"},
                                Route{"/health", "GET"},
                                Route{"/metrics", "GET"},
                                Route{"/version", "GET"},
                                Route{"/v1/models", "GET"},
                                Route{"/v1/completions", "POST"},
                                Route{"/v1/chat/completions", "POST"},
                                Route{"/tokenize", "POST"},
                                Route{"/detokenize", "POST"}};
constexpr std::string_view kModel = "/v1/models/";  // and a name

const Route* find_route(std::string_view path) {
  if (path.starts_with(kModel)) path.remove_suffix(path.size() - kModel.size() + 1);
  for (const Route& route : kRoutes) {
    if (route.path == path) return &route;
  }
  return nullptr;
}

HttpResponse json_response(const Json& body) {
  return {200, "application/json", body.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace), {}};
}

bool is_json(std::string_view content_type) {
  const std::string_view kind = content_type.substr(0, content_type.find_first_of("; "));
  return boost::beast::iequals({kind.data(), kind.size()}, "application/json");
}

}  // namespace

Api::Api(ApiContext& context, ApiKeys keys) : context_(context), keys_(std::move(keys)) {}

bool Api::admit(const HttpRequest& head, HttpResponse& refusal) const {
  const Route* route = find_route(head.path);
  if (head.path != "/health" && !keys_.allow(head.authorization)) {
    refusal = error_response(401, "no API key, or a wrong one; send 'Authorization: Bearer KEY'");
    // A browser asks for the key, as password, and sends it from then on.
    refusal.headers.emplace_back("WWW-Authenticate", head.path == "/" ? "Basic realm=\"lockstep\"" : "Bearer");
  } else if (route == nullptr) {
    refusal = error_response(404, "there is no such route");
  } else if (head.method != route->method && !(head.method == "HEAD" && route->method == "GET")) {
    refusal = error_response(405, fmt::format("the method must be {}", route->method));
    refusal.headers.emplace_back("Allow", route->method);
  } else if (route->method == "POST" && !is_json(head.content_type)) {
    // Browsers send other types across origins without asking.
    refusal = error_response(415, "Content-Type must be application/json");
  } else {
    return true;
  }
  context_.metrics.count_response(route == nullptr ? "other" : std::string(route->path), refusal.status);
  return false;
}

void Api::handle(const std::shared_ptr<HttpExchange>& exchange) const {
  const HttpRequest& request = exchange->request();
  if (const auto endpoint = find_endpoint(request.path)) {
    std::make_shared<GenerationTask>(context_, exchange, *endpoint)->start();
    return;
  }
  // What may take long does not hold up other connections.
  boost::asio::post(context_.workers, [this, exchange] {
    auto response = std::make_shared<HttpResponse>();
    try {
      *response = answer(exchange->request());
    } catch (const UnknownModel& error) {
      *response = error_response(404, error.what(), error.param());
    } catch (const RequestError& error) {
      *response = error_response(400, error.what(), error.param());
    } catch (const std::exception& error) {
      spdlog::error("{} failed: {}", exchange->request().path, error.what());
      *response = error_response(500, "internal error");
    }
    context_.metrics.count_response(std::string(find_route(exchange->request().path)->path), response->status);
    boost::asio::post(exchange->executor(), [exchange, response] { exchange->respond(std::move(*response)); });
  });
}

HttpResponse Api::answer(const HttpRequest& request) const {
  if (request.path == "/health") return {200, "text/plain", "", {}};
  if (request.path == "/metrics") return {200, "text/plain; version=0.0.4; charset=utf-8", context_.metrics.text(), {}};
  if (request.path == "/version") return json_response({{"version", context_.version}});
  if (request.path == "/tokenize") return tokenize(request);
  if (request.path == "/detokenize") return detokenize(request);
  if (request.path != "/") return models(request);
  HttpResponse response{200, "text/html; charset=utf-8", std::string(page()), {}};
  response.headers = {{"Content-Security-Policy",
                       "default-src 'none'; img-src data:; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
                       "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'"},
                      {"X-Content-Type-Options", "nosniff"}};
  return response;
}

HttpResponse Api::models(const HttpRequest& request) const {
  const auto describe = [&](const std::string& name) -> Json {
    return {{"id", name},
            {"object", "model"},
            {"created", context_.created},
            {"owned_by", "lockstep"},
            {"root", context_.encoder.model_name()},
            {"parent", nullptr},
            {"max_model_len", context_.encoder.max_model_len()}};
  };
  if (request.path.starts_with(kModel)) {
    const std::string name = request.path.substr(kModel.size());
    context_.encoder.check_model(name);
    return json_response(describe(name.empty() ? context_.encoder.model_name() : name));
  }
  Json list = Json::array();
  for (const std::string& name : context_.encoder.model_names()) list.push_back(describe(name));
  return json_response({{"object", "list"}, {"data", std::move(list)}});
}

HttpResponse Api::tokenize(const HttpRequest& request) const {
  const Json body = parse_request_json(request.body);
  JsonFields fields(body);
  std::string model;
  fields.text("model", model);
  context_.encoder.check_model(model);
  bool wants_texts = false;
  fields.boolean("return_token_strs", wants_texts);
  const bool chat = fields.has("messages");
  bool add_special_tokens = !chat;
  fields.boolean("add_special_tokens", add_special_tokens);
  std::vector<int32_t> tokens;
  if (chat) {
    OpenAiRequest parsed;
    parsed.endpoint = Endpoint::kChatCompletions;
    read_chat(fields, parsed);
    fields.finish();
    tokens = context_.encoder.encode_chat(parsed.chat, add_special_tokens);
  } else {
    if (!fields.has("prompt")) throw RequestError("prompt", "'prompt' and 'messages' are missing; expected one of them");
    std::string prompt;
    fields.text("prompt", prompt);
    fields.finish();
    tokens = context_.encoder.encode_text(prompt, add_special_tokens);
  }
  Json texts;
  if (wants_texts) {
    texts = Json::array();
    for (const int32_t token : tokens) texts.push_back(context_.encoder.tokenizer()->id_to_token(token).value_or(""));
  }
  return json_response({{"count", tokens.size()},
                        {"max_model_len", context_.encoder.max_model_len()},
                        {"tokens", tokens},
                        {"token_strs", std::move(texts)}});
}

HttpResponse Api::detokenize(const HttpRequest& request) const {
  const Json body = parse_request_json(request.body);
  JsonFields fields(body);
  std::string model;
  fields.text("model", model);
  context_.encoder.check_model(model);
  const Json* list = fields.find("tokens");
  if (list == nullptr) throw RequestError("tokens", "'tokens' is missing; expected a list of token ids");
  const std::vector<int32_t> tokens = read_token_ids("tokens", *list);
  fields.finish();
  const Tokenizer* tokenizer = context_.encoder.tokenizer();
  if (tokenizer == nullptr) throw RequestError("tokens", "the model has no tokenizer");
  return json_response({{"prompt", tokenizer->decode(tokens, /*skip_special_tokens=*/false)}});
}

}  // namespace lockstep
