#include "serve/http_server.h"

#include <sys/resource.h>

#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>

#include "base/error.h"
#include "base/log.h"

namespace lockstep {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

// As many descriptors as the system allows: a connection takes one.
void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

void set_up_tls(asio::ssl::context& tls, const HttpServerOptions& options) {
  error_code error;
  tls.set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_sslv2 | asio::ssl::context::no_sslv3 |
                  asio::ssl::context::no_tlsv1 | asio::ssl::context::no_tlsv1_1);
  tls.use_certificate_chain_file(options.certificate.string(), error);
  check(!error, "--ssl-certfile {}: cannot be used: {}; give a PEM file with the chain of certificates",
        options.certificate.string(), error.message());
  tls.use_private_key_file(options.key.string(), asio::ssl::context::pem, error);
  check(!error, "--ssl-keyfile {}: cannot be used: {}; give a PEM file with the key of the certificate, without a password",
        options.key.string(), error.message());
}

tcp::endpoint find_endpoint(asio::io_context& io, const std::string& host, uint16_t port) {
  error_code error;
  tcp::resolver resolver(io);
  const auto found = resolver.resolve(host, std::to_string(port), tcp::resolver::passive, error);
  check(!error && !found.empty(), "--host {}: cannot be found: {}", host, error.message());
  return found.begin()->endpoint();
}

}  // namespace

HttpServer::HttpServer(const HttpServerOptions& options)
    : options_(options),
      io_(options.num_threads),
      acceptor_(io_),
      pause_(io_),
      service_(std::make_shared<HttpService>()),
      connections_(std::make_shared<Connections>()) {
  raise_descriptor_limit();
  service_->limits = options.limits;
  if (!options.certificate.empty()) {
    tls_.emplace(asio::ssl::context::tls_server);
    set_up_tls(*tls_, options);
  }
  const tcp::endpoint endpoint = find_endpoint(io_, options.host, options.port);
  error_code error;
  acceptor_.open(endpoint.protocol(), error);
  if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
  check(!error, "--host {} --port {}: cannot listen there: {}; is another server running? Choose another port", options.host,
        options.port, error.message());
}

HttpServer::~HttpServer() { stop(HttpSeconds(0)); }

uint16_t HttpServer::port() const {
  error_code ignored;
  return acceptor_.local_endpoint(ignored).port();
}

void HttpServer::start(HttpGate gate, HttpHandler handler) {
  service_->gate = std::move(gate);
  service_->handler = std::move(handler);
  asio::post(io_, [this] { accept(); });
  for (int i = 0; i < options_.num_threads; ++i) threads_.emplace_back([this] { io_.run(); });
}

void HttpServer::accept() {
  acceptor_.async_accept(asio::make_strand(io_), [this](const error_code& error, tcp::socket socket) {
    if (error == asio::error::operation_aborted || !acceptor_.is_open()) return;
    if (!error) {
      on_accept(std::move(socket));
      return accept();
    }
    spdlog::warn("a connection could not be accepted: {}", error.message());
    pause_.expires_after(std::chrono::milliseconds(100));
    pause_.async_wait([this](const error_code& stopped) {
      if (!stopped) accept();
    });
  });
}

void HttpServer::on_accept(tcp::socket socket) {
  const auto executor = socket.get_executor();
  std::unique_lock lock(connections_->mutex);
  const uint64_t number = connections_->next++;
  lock.unlock();
  const auto forget = [connections = connections_, number] {
    const std::lock_guard inner(connections->mutex);
    connections->open.erase(number);
  };
  const auto connection =
      std::make_shared<HttpConnection>(make_transport(std::move(socket), tls_ ? &*tls_ : nullptr), service_, forget);
  lock.lock();
  const bool full = static_cast<int64_t>(connections_->open.size()) >= options_.max_connections;
  connections_->open.emplace(number, connection);
  lock.unlock();
  asio::post(executor, [connection, full] {
    if (!full) return connection->start();
    HttpResponse response = {429,
                             "application/json",
                             R"({"error":{"message":"too many connections; try again later","type":"rate_limit_error",)"
                             R"("param":null,"code":null}})",
                             {{"Retry-After", "1"}}};
    connection->start_refused(std::move(response));
  });
}

void HttpServer::drain() {
  service_->draining = true;
  asio::post(io_, [this] {
    error_code ignored;
    acceptor_.close(ignored);
    pause_.cancel();
  });
  std::vector<std::shared_ptr<HttpConnection>> open;
  {
    const std::lock_guard lock(connections_->mutex);
    for (const auto& [number, weak] : connections_->open) open.push_back(weak.lock());
  }
  for (const auto& connection : open) {
    if (connection) connection->drain(/*at_once=*/false);
  }
}

int64_t HttpServer::num_connections() const {
  const std::lock_guard lock(connections_->mutex);
  return static_cast<int64_t>(connections_->open.size());
}

void HttpServer::stop(HttpSeconds patience) {
  if (threads_.empty()) return;
  drain();
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (num_connections() > 0 && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  io_.stop();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

}  // namespace lockstep
