// What a plan says, as sections of lines and tables, and these as text for a terminal or as Markdown.
#pragma once

#include <string>
#include <vector>

namespace lockstep {

struct Table {
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;  // as wide as the header
};

struct Section {
  std::string title;
  std::vector<std::string> lines;  // before the table
  Table table;                     // may be without rows
  std::vector<std::string> notes;  // after it
};

std::string to_text(const std::vector<Section>& sections);
std::string to_markdown(const std::vector<Section>& sections);

// Characters of UTF-8 text, as a terminal counts columns for ours.
size_t columns_of(const std::string& text);

}  // namespace lockstep
