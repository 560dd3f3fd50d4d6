#include "app/chat_history.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "base/error.h"

namespace lockstep {
namespace {

// A token a character, one for each role, one for the answer to begin.
std::vector<int32_t> encode(const std::vector<ChatMessage>& messages) {
  std::vector<int32_t> ids;
  for (const ChatMessage& message : messages) {
    ids.push_back(message.role == "system" ? 1000 : message.role == "user" ? 1001 : 1002);
    for (const char c : message.content) ids.push_back(c);
  }
  ids.push_back(1002);
  return ids;
}

TEST(ChatHistoryTest, AsksWithAllThatWasSaid) {
  ChatHistory history;
  history.set_system("be brief");
  history.add("one?", "1");
  const ChatHistory::Prompt prompt = history.ask("two?", encode, 100, 10);
  EXPECT_EQ(prompt.token_ids, encode({{"system", "be brief"}, {"user", "one?"}, {"assistant", "1"}, {"user", "two?"}}));
  EXPECT_EQ(prompt.num_dropped, 0u);
  history.clear();
  EXPECT_EQ(history.messages().size(), 1u);  // the system message
}

TEST(ChatHistoryTest, TheOldestTurnsGoFirstAndTheSystemMessageStays) {
  ChatHistory history;
  history.set_system("S");
  for (const char* text : {"aaaa", "bbbb", "cccc"}) history.add(text, "dddd");
  // S: 2 tokens, a turn: 10, the question: 5, the answer's start: 1.
  EXPECT_EQ(ChatHistory(history).ask("eeee", encode, 40, 2).num_dropped, 0u);  // 38 + 2
  const ChatHistory::Prompt prompt = history.ask("eeee", encode, 40, 3);
  EXPECT_EQ(prompt.num_dropped, 1u);
  EXPECT_EQ(
      prompt.token_ids,
      encode(
          {{"system", "S"}, {"user", "bbbb"}, {"assistant", "dddd"}, {"user", "cccc"}, {"assistant", "dddd"}, {"user", "eeee"}}));
  EXPECT_EQ(history.num_turns(), 2u);  // forgotten for good
}

TEST(ChatHistoryTest, AQuestionThatFillsTheContextIsRefusedAndNothingForgotten) {
  ChatHistory history;
  history.add("a", "b");
  EXPECT_EQ(ChatHistory(history).ask(std::string(17, 'x'), encode, 20, 5).token_ids.size(), 19u);  // room for one token
  try {
    history.ask(std::string(18, 'x'), encode, 20, 5);
    FAIL() << "a prompt of 20 tokens for a context of 20";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("20 tokens"), std::string::npos) << error.what();
  }
  EXPECT_EQ(history.num_turns(), 1u);
  EXPECT_THROW(history.ask(
                   "x", [](const auto&) -> std::vector<int32_t> { fail("roles must alternate"); }, 20, 5),
               Error);
  EXPECT_EQ(history.num_turns(), 1u);
}

TEST(ChatHistoryTest, WhateverIsSaidThePromptFits) {
  std::mt19937 random(5);
  ChatHistory history;
  size_t dropped = 0;
  for (int i = 0; i < 2000; ++i) {
    const std::string question(random() % 60, 'q');
    const ChatHistory::Prompt prompt = history.ask(question, encode, 128, 32);
    ASSERT_LE(prompt.token_ids.size(), 128u - 32u);
    dropped += prompt.num_dropped;
    history.add(question, std::string(random() % 32, 'a'));
    ASSERT_EQ(history.num_turns() + dropped, static_cast<size_t>(i + 1));
  }
  EXPECT_GT(dropped, 500u);
}

}  // namespace
}  // namespace lockstep
