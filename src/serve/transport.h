// Transport: a connection's bytes, plain or through TLS.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/system/error_code.hpp>
#include <functional>
#include <memory>

namespace lockstep {

// At most one read and one write at a time; all on the socket's executor.
class Transport {
 public:
  using Socket = boost::asio::ip::tcp::socket;
  using Done = std::function<void(const boost::system::error_code& error, size_t count)>;

  virtual ~Transport() = default;
  virtual Socket& socket() = 0;
  virtual void handshake(Done done) = 0;
  virtual void read_some(boost::asio::mutable_buffer buffer, Done done) = 0;
  virtual void write(boost::asio::const_buffer buffer, Done done) = 0;
  // Tells the peer that nothing more comes.
  virtual void shutdown(Done done) = 0;
};

// tls: null for plain TCP; must outlive the transport.
std::unique_ptr<Transport> make_transport(Transport::Socket socket, boost::asio::ssl::context* tls);

}  // namespace lockstep
