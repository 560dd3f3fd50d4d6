#include "plan/svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

namespace lockstep {
namespace {

constexpr double kWidth = 560, kHeight = 380;  // of a panel, pixels
constexpr double kLeft = 72, kRight = 16, kTop = 40, kBottom = 86;
constexpr int kTicks = 5;
// Told apart by most with any colour vision (Okabe and Ito 2008).
constexpr std::array kColours = {"#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"};

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default: out += c;
    }
  }
  return out;
}

// 1, 2 or 5 times a power of ten, at least `step`.
double round_step(double step) {
  const double power = std::pow(10.0, std::floor(std::log10(step)));
  for (const double factor : {1.0, 2.0, 5.0, 10.0}) {
    if (factor * power >= step * 0.999) return factor * power;
  }
  return 10.0 * power;
}

class PanelWriter {
 public:
  PanelWriter(const Panel& panel, double left) : panel_(panel), left_(left) {
    for (const auto* all : {&panel.lines, &panel.stacked}) {
      for (const Series& s : *all) {
        for (const auto& [x, y] : s.points) xs_.insert(x);
      }
    }
    double top = panel.limit;
    for (const Series& s : panel.lines) {
      for (const auto& [x, y] : s.points) top = std::max(top, y);
    }
    for (size_t i = 0; !panel.stacked.empty() && i < panel.stacked.front().points.size(); ++i) {
      double sum = 0.0;
      for (const Series& s : panel.stacked) sum += s.points[i].second;
      top = std::max(top, sum);
    }
    step_ = round_step(std::max(top, 1e-9) / kTicks);
    top_ = step_ * std::ceil(std::max(top, 1e-9) / step_);
  }

  std::string write() {
    frame();
    bars();
    lines();
    if (panel_.limit > 0.0) {
      const double y = at_y(panel_.limit);
      out_ += fmt::format(R"(<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" stroke="#444" stroke-dasharray="6 4"/>)",
                          left(), y, right(), y);
      text(right() - 4, y - 5, panel_.limit_name, "end", 11);
    }
    return out_;
  }

 private:
  double left() const { return left_ + kLeft; }
  double right() const { return left_ + kWidth - kRight; }
  double at_x(double x) const {
    const auto place = static_cast<double>(std::distance(xs_.begin(), xs_.find(x)));
    return left() + (right() - left()) * (place + 0.5) / static_cast<double>(xs_.size());
  }
  double at_y(double y) const { return kHeight - kBottom - (kHeight - kBottom - kTop) * y / top_; }

  void text(double x, double y, const std::string& what, const char* anchor, int size, const char* extra = "") {
    out_ += fmt::format(R"(<text x="{:.1f}" y="{:.1f}" text-anchor="{}" font-size="{}" {}>{}</text>)", x, y, anchor, size, extra,
                        escaped(what));
    out_ += '\n';
  }

  void frame() {
    text((left() + right()) / 2, 22, panel_.title, "middle", 14);
    for (double y = 0.0; y <= top_ * 1.0001; y += step_) {
      out_ += fmt::format(R"(<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" stroke="#ddd"/>)", left(), at_y(y), right(),
                          at_y(y));
      text(left() - 6, at_y(y) + 4, fmt::format("{:g}", y), "end", 11);
    }
    for (const double x : xs_) text(at_x(x), kHeight - kBottom + 16, fmt::format("{:g}", x), "middle", 11);
    text((left() + right()) / 2, kHeight - kBottom + 34, panel_.x_label, "middle", 12);
    const double middle = (kTop + kHeight - kBottom) / 2;
    text(left_ + 16, middle, panel_.y_label, "middle", 12,
         fmt::format(R"svg(transform="rotate(-90 {:.1f} {:.1f})")svg", left_ + 16, middle).c_str());
  }

  void legend(const std::string& name, size_t index) {
    const double x = left() + static_cast<double>(index % 4) * 118, y = kHeight - 34 + static_cast<double>(index / 4) * 16;
    out_ += fmt::format(R"(<rect x="{:.1f}" y="{:.1f}" width="10" height="10" fill="{}"/>)", x, y - 9, colour(index));
    text(x + 14, y, name, "start", 11);
  }
  static const char* colour(size_t index) { return kColours[index % kColours.size()]; }

  void bars() {
    if (panel_.stacked.empty()) return;
    const double width = (right() - left()) / static_cast<double>(xs_.size()) * 0.7;
    std::vector<double> base(panel_.stacked.front().points.size(), 0.0);
    for (size_t s = 0; s < panel_.stacked.size(); ++s) {
      for (size_t i = 0; i < base.size(); ++i) {
        const auto [x, y] = panel_.stacked[s].points[i];
        out_ += fmt::format(R"(<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" fill="{}"/>)", at_x(x) - width / 2,
                            at_y(base[i] + y), width, at_y(base[i]) - at_y(base[i] + y), colour(s));
        out_ += '\n';
        base[i] += y;
      }
      legend(panel_.stacked[s].name, s);
    }
  }

  void lines() {
    for (size_t s = 0; s < panel_.lines.size(); ++s) {
      std::string path;
      for (const auto& [x, y] : panel_.lines[s].points) {
        path += fmt::format("{:.1f},{:.1f} ", at_x(x), at_y(y));
        out_ += fmt::format(R"(<circle cx="{:.1f}" cy="{:.1f}" r="3" fill="{}"/>)", at_x(x), at_y(y), colour(s));
      }
      out_ += fmt::format(R"(<polyline points="{}" fill="none" stroke="{}" stroke-width="2"/>)", path, colour(s));
      out_ += '\n';
      legend(panel_.lines[s].name, s);
    }
  }

  const Panel& panel_;
  double left_, step_ = 1.0, top_ = 1.0;
  std::set<double> xs_;
  std::string out_;
};

}  // namespace

std::string to_svg(const std::vector<Panel>& panels) {
  const double width = kWidth * static_cast<double>(panels.size());
  std::string out = fmt::format(
      R"(<svg xmlns="http://www.w3.org/2000/svg" width="{0:.0f}" height="{1:.0f}" viewBox="0 0 {0:.0f} {1:.0f}" font-family="sans-serif">)",
      width, kHeight);
  out += "\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n";
  for (size_t i = 0; i < panels.size(); ++i) out += PanelWriter(panels[i], kWidth * static_cast<double>(i)).write();
  return out + "</svg>\n";
}

}  // namespace lockstep
