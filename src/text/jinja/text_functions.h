// What methods of strings and filters share.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/run.h"

namespace lockstep::text::jinja {

std::string_view strip_characters(std::string_view text, std::string_view characters, bool left, bool right);
// limit: how many cuts at most; negative: any number.
std::vector<std::string_view> split_at_space(std::string_view text, int64_t limit, bool from_right);
std::vector<std::string_view> split_at(std::string_view text, std::string_view separator, int64_t limit, bool from_right);
std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends);
// count: how many are replaced at most; negative: all.
std::string replace_text(Run& run, std::string_view text, std::string_view old, std::string_view now, int64_t count);
std::string justified(std::string_view text, int64_t width, std::string_view fill, char align);  // align: < > ^
bool is_lower_text(std::string_view text);
bool is_upper_text(std::string_view text);
// `made` of `from`, just now; where the one came of the filter `safe`, the other does, too.
Value keep_markup(const Value& from, Value made);
std::vector<Value> strings(Run& run, const std::vector<std::string_view>& parts);

}  // namespace lockstep::text::jinja
