// Api: the routes of `lockstep serve`.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "serve/api_context.h"
#include "serve/api_keys.h"
#include "serve/http.h"

namespace lockstep {

class Api {
 public:
  // Borrows the context.
  Api(ApiContext& context, ApiKeys keys);

  // Refuses by what the head says: no key, no such route, another method, a body that is not JSON.
  bool admit(const HttpRequest& head, HttpResponse& refusal) const;
  void handle(const std::shared_ptr<HttpExchange>& exchange) const;

 private:
  // A route whose answer is made at once; may throw RequestError.
  using Answer = std::function<HttpResponse(const HttpRequest& request)>;
  HttpResponse answer(const HttpRequest& request) const;
  HttpResponse models(const HttpRequest& request) const;
  HttpResponse tokenize(const HttpRequest& request) const;
  HttpResponse detokenize(const HttpRequest& request) const;

  ApiContext& context_;
  ApiKeys keys_;
};

// The page at "/", HTML.
std::string_view page();

}  // namespace lockstep
