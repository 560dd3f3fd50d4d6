#include "comm/stop_signal.h"

#include <unistd.h>

#include "base/error.h"

namespace lockstep {

StopSignal::StopSignal(Also also) : user1_(also == Also::kUser1) {
  check(!installed_.exchange(true), "StopSignal: there is one already; make one in main() and pass it on");
  received_ = 0;
  struct sigaction action {};
  action.sa_handler = &StopSignal::handle;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;  // libraries rarely expect EINTR
  sigaction(SIGINT, &action, &previous_int_);
  sigaction(SIGTERM, &action, &previous_term_);
  if (user1_) sigaction(SIGUSR1, &action, &previous_user1_);
}

StopSignal::~StopSignal() {
  sigaction(SIGINT, &previous_int_, nullptr);
  sigaction(SIGTERM, &previous_term_, nullptr);
  if (user1_) sigaction(SIGUSR1, &previous_user1_, nullptr);
  installed_ = false;
}

void StopSignal::handle(int number) {
  if (received_.exchange(number) == SIGINT && number == SIGINT) _exit(128 + SIGINT);
}

}  // namespace lockstep
