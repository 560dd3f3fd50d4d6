#include "comm/faulty_communicator.h"

#include <signal.h>
#include <spdlog/spdlog.h>

#include <charconv>
#include <chrono>
#include <functional>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include "base/env.h"
#include "base/error.h"

namespace lockstep {
namespace {

class FaultyCommunicator final : public Communicator {
 public:
  FaultyCommunicator(std::unique_ptr<Communicator> inner, const Fault& fault, bool returns_when_done)
      : inner_(std::move(inner)), fault_(fault), returns_when_done_(returns_when_done) {}
  int rank() const override { return inner_->rank(); }
  int size() const override { return inner_->size(); }
  std::string description() const override { return inner_->description() + ", broken by LOCKSTEP_FAULT"; }
  std::optional<std::string> async_error() override { return inner_->async_error(); }
  void abort() noexcept override { inner_->abort(); }
  void* allocate(Backend& backend, size_t bytes, const std::string& what) override {
    return inner_->allocate(backend, bytes, what);
  }
  void count(const CommCounters& more) override {
    Communicator::count(more);
    inner_->count(more);
  }
  const CollectiveLog& log() const override { return inner_->log(); }
  void begin_step(int64_t step) override {
    Communicator::begin_step(step);
    inner_->begin_step(step);
  }

 protected:
  bool returns_when_done() const override { return returns_when_done_; }
  void do_all_reduce(TensorView x) override {
    run([&] { inner_->all_reduce(x); });
  }
  bool do_all_reduce_add_norm(Ops& ops, TensorView x, const ResidualNorm& norm) override {
    run([&] { inner_->all_reduce_add_norm(ops, x, norm); });
    return true;
  }
  void do_all_gather(void* recv, const void* send, size_t bytes) override {
    run([&] { inner_->all_gather(recv, send, bytes); });
  }

 private:
  void run(const std::function<void()>& collective) {
    ++number_;
    if (fault_.kind == Fault::Kind::kSlow && number_ >= fault_.number) {
      std::this_thread::sleep_for(std::chrono::milliseconds(fault_.slow_ms));
    } else if (number_ == fault_.number) {
      switch (fault_.kind) {
        case Fault::Kind::kSkip: return;
        case Fault::Kind::kRepeat: collective(); break;
        case Fault::Kind::kThrow: throw std::runtime_error("LOCKSTEP_FAULT: an exception, as asked for");
        case Fault::Kind::kSegv: ::raise(SIGSEGV); break;
        case Fault::Kind::kSlow: break;
      }
    }
    collective();
  }

  std::unique_ptr<Communicator> inner_;
  const Fault fault_;
  const bool returns_when_done_;
  int64_t number_ = 0;
};

int64_t parse_number(std::string_view text, std::string_view all) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  check(error == std::errc() && end == text.data() + text.size() && value >= 0 && value < 1'000'000'000,
        "LOCKSTEP_FAULT={}: '{}' is no number", all, text);
  return value;
}

}  // namespace

Fault Fault::parse(const std::string& text) {
  const std::string_view all = text;
  const size_t first = all.find(':'), second = first == all.npos ? all.npos : all.find(':', first + 1);
  check(second != all.npos, "LOCKSTEP_FAULT={}: expected RANK:NUMBER:WHAT, for instance 1:130:skip", text);
  Fault fault;
  fault.rank = static_cast<int>(parse_number(all.substr(0, first), all));
  fault.number = parse_number(all.substr(first + 1, second - first - 1), all);
  const std::string_view what = all.substr(second + 1);
  constexpr std::string_view kSlow = "slow=";
  if (what == "skip") {
    fault.kind = Kind::kSkip;
  } else if (what == "repeat") {
    fault.kind = Kind::kRepeat;
  } else if (what == "throw") {
    fault.kind = Kind::kThrow;
  } else if (what == "segv") {
    fault.kind = Kind::kSegv;
  } else if (what.substr(0, kSlow.size()) == kSlow) {
    fault.kind = Kind::kSlow;
    fault.slow_ms = static_cast<int>(parse_number(what.substr(kSlow.size()), all));
  } else {
    fail("LOCKSTEP_FAULT={}: '{}' is none of skip, repeat, throw, segv, slow=MS", text, what);
  }
  return fault;
}

std::unique_ptr<Communicator> with_faults(std::unique_ptr<Communicator> communicator, bool returns_when_done) {
  const auto text = Env::read().fault;
  if (!text) return communicator;
  const Fault fault = Fault::parse(*text);
  if (fault.rank != communicator->rank()) return communicator;
  spdlog::warn("LOCKSTEP_FAULT={}: this rank is going to break", *text);
  return std::make_unique<FaultyCommunicator>(std::move(communicator), fault, returns_when_done);
}

}  // namespace lockstep
