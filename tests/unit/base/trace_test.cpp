#include "base/trace.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace lockstep {
namespace {

TEST(TraceTest, RecordsNothingWhileOff) {
  { const TraceSpan span("before"); }
  Trace::start();
  EXPECT_TRUE(Trace::stop().empty());
  { const TraceSpan span("after"); }
  EXPECT_TRUE(Trace::stop().empty());
}

TEST(TraceTest, NestedSpansEndInnermostFirst) {
  Trace::start();
  {
    const TraceSpan outer("outer");
    const TraceSpan inner("inner");
  }
  const std::vector<Trace::Span> spans = Trace::stop();
  ASSERT_EQ(spans.size(), 2u);
  EXPECT_EQ(spans[0].name, std::string("inner"));
  EXPECT_EQ(spans[1].name, std::string("outer"));
  EXPECT_LE(spans[1].begin_ns, spans[0].begin_ns);
  EXPECT_LE(spans[0].end_ns, spans[1].end_ns);
  EXPECT_LE(spans[0].begin_ns, spans[0].end_ns);
}

TEST(TraceTest, SpansThatStraddleARecordingAreLeftOut) {
  Trace::start();
  auto straddles = std::make_unique<TraceSpan>("straddles");
  EXPECT_TRUE(Trace::stop().empty());
  Trace::start();
  straddles.reset();
  EXPECT_TRUE(Trace::stop().empty());
}

TEST(TraceTest, TellsThreadsApartAndLosesNoSpan) {
  constexpr int kThreads = 4;
  constexpr int kSpans = 500;
  Trace::start();
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < kSpans; ++i) const TraceSpan span("work");
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::vector<int> counts;
  for (const Trace::Span& span : Trace::stop()) {
    counts.resize(std::max<size_t>(counts.size(), static_cast<size_t>(span.thread) + 1));
    ++counts[static_cast<size_t>(span.thread)];
  }
  EXPECT_EQ(std::count(counts.begin(), counts.end(), kSpans), kThreads);
  EXPECT_EQ(std::count(counts.begin(), counts.end(), 0) + kThreads, static_cast<int64_t>(counts.size()));
}

}  // namespace
}  // namespace lockstep
