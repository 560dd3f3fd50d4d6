#include "plan/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace lockstep {
namespace {

constexpr size_t kWrap = 130;

// Breaks a line at blanks.
std::string wrapped(const std::string& line) {
  std::string out;
  size_t used = 0;
  for (size_t begin = 0; begin < line.size();) {
    const size_t end = std::min(line.find(' ', begin), line.size());
    const std::string word = line.substr(begin, end - begin);
    const size_t columns = columns_of(word);
    if (used > 0 && used + 1 + columns > kWrap) {
      out += '\n';
      used = 0;
    }
    out += (used > 0 ? " " : "") + word;
    used += columns + (used > 0 ? 1 : 0);
    begin = end + 1;
  }
  return out + '\n';
}

// The first column and columns of words lie to the left, numbers to the right.
bool is_number(const std::string& text) {
  return !text.empty() && (std::isdigit(static_cast<unsigned char>(text.front())) || text == "-");
}

std::string text_table(const Table& table) {
  std::vector<size_t> widths;
  std::vector<bool> right;
  for (size_t c = 0; c < table.header.size(); ++c) {
    size_t width = columns_of(table.header[c]);
    size_t numbers = 0;
    for (const auto& row : table.rows) {
      width = std::max(width, columns_of(row[c]));
      numbers += is_number(row[c]) ? 1 : 0;
    }
    widths.push_back(width);
    right.push_back(numbers * 2 > table.rows.size());
  }
  std::string out;
  const auto add = [&](const std::vector<std::string>& cells) {
    std::string line;
    for (size_t c = 0; c < cells.size(); ++c) {
      const std::string pad(widths[c] - columns_of(cells[c]), ' ');
      line += (c > 0 ? "  " : "") + (right[c] ? pad + cells[c] : cells[c] + pad);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + '\n';
  };
  add(table.header);
  for (const auto& row : table.rows) add(row);
  return out;
}

std::string markdown_row(const std::vector<std::string>& cells) {
  std::string line = "|";
  for (std::string cell : cells) {
    for (size_t at = 0; (at = cell.find('|', at)) != std::string::npos; at += 2) cell.insert(at, "\\");
    line += " " + cell + " |";
  }
  return line + '\n';
}

}  // namespace

size_t columns_of(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string to_text(const std::vector<Section>& sections) {
  std::string out;
  for (const Section& s : sections) {
    if (!out.empty()) out += '\n';
    if (!s.title.empty()) out += s.title + '\n';
    for (const std::string& line : s.lines) out += wrapped(line);
    if (!s.table.rows.empty()) out += text_table(s.table);
    for (const std::string& line : s.notes) out += wrapped(line);
  }
  return out;
}

std::string to_markdown(const std::vector<Section>& sections) {
  std::string out;
  for (const Section& s : sections) {
    if (!out.empty()) out += '\n';
    if (!s.title.empty()) out += "## " + s.title + "\n\n";
    for (const std::string& line : s.lines) out += "- " + line + '\n';
    if (!s.table.rows.empty()) {
      if (!s.lines.empty()) out += '\n';
      out += markdown_row(s.table.header) + markdown_row(std::vector<std::string>(s.table.header.size(), "---"));
      for (const auto& row : s.table.rows) out += markdown_row(row);
    }
    if (!s.notes.empty()) out += '\n';
    for (const std::string& line : s.notes) out += "- " + line + '\n';
  }
  return out;
}

}  // namespace lockstep
