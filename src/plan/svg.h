// A small writer of line plots as SVG.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace lockstep {

struct Series {
  std::string name;
  std::vector<std::pair<double, double>> points;  // in the order of x
};

struct Panel {
  std::string title, x_label, y_label;
  std::vector<Series> lines;
  std::vector<Series> stacked;  // areas of bars on top of each other, at the same xs
  double limit = 0.0;           // a horizontal line; 0: none
  std::string limit_name;
};

// Panels side by side. x values are counts: every one of them gets a tick.
std::string to_svg(const std::vector<Panel>& panels);

}  // namespace lockstep
