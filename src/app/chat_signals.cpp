#include "app/chat_signals.h"

namespace lockstep {

ChatSignals::ChatSignals() {
  interrupted_ = false;
  ended_ = false;
  struct sigaction action {};
  action.sa_handler = &ChatSignals::handle;
  sigemptyset(&action.sa_mask);  // no SA_RESTART: who waits for a line is to look
  sigaction(SIGINT, &action, &previous_int_);
  sigaction(SIGTERM, &action, &previous_term_);
}

ChatSignals::~ChatSignals() {
  sigaction(SIGINT, &previous_int_, nullptr);
  sigaction(SIGTERM, &previous_term_, nullptr);
}

void ChatSignals::handle(int number) { (number == SIGTERM ? ended_ : interrupted_) = true; }

}  // namespace lockstep
