#include "text/utf8.h"

#include <algorithm>

namespace lockstep::text {

char32_t next_code_point(std::string_view text, size_t& i) {
  const auto byte = [&](size_t k) { return static_cast<char32_t>(static_cast<unsigned char>(text[k])); };
  const char32_t lead = byte(i);
  const size_t length = utf8_length(text[i]);
  char32_t c = lead;
  switch (length) {
    case 1: break;
    case 2: c = (lead & 0x1F) << 6 | (byte(i + 1) & 0x3F); break;
    case 3: c = (lead & 0x0F) << 12 | (byte(i + 1) & 0x3F) << 6 | (byte(i + 2) & 0x3F); break;
    default: c = (lead & 0x07) << 18 | (byte(i + 1) & 0x3F) << 12 | (byte(i + 2) & 0x3F) << 6 | (byte(i + 3) & 0x3F); break;
  }
  i += length;
  return c;
}

void append_code_point(std::string& out, char32_t c) {
  const auto put = [&](char32_t b) { out.push_back(static_cast<char>(b)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6);
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12);
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18);
    put(0x80 | (c >> 12 & 0x3F));
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

size_t previous_character(std::string_view text, size_t end) {
  do --end;
  while ((static_cast<unsigned char>(text[end]) & 0xC0) == 0x80);
  return end;
}

size_t count_code_points(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

void Utf8Repairer::push(std::string_view bytes, std::string& out) {
  for (size_t i = 0; i < bytes.size();) {
    const auto b = static_cast<unsigned char>(bytes[i]);
    if (missing_ > 0) {
      if (b < low_ || b > high_) {
        out += kReplacementCharacter;  // what came so far is one maximal subpart; this byte starts anew
        num_pending_ = missing_ = 0;
        continue;
      }
      low_ = 0x80;
      high_ = 0xBF;
      if (--missing_ == 0) {
        out.append(pending_, num_pending_);
        out.push_back(bytes[i]);
        num_pending_ = 0;
      } else {
        pending_[num_pending_++] = bytes[i];
      }
      ++i;
      continue;
    }
    if (b < 0x80) {
      size_t end = i + 1;
      while (end < bytes.size() && static_cast<unsigned char>(bytes[end]) < 0x80) ++end;
      out.append(bytes, i, end - i);
      i = end;
      continue;
    }
    if (b < 0xC2 || b > 0xF4) {
      out += kReplacementCharacter;
    } else {
      missing_ = utf8_length(bytes[i]) - 1;
      // No overlong forms, no surrogates, nothing above U+10FFFF.
      low_ = b == 0xE0 ? 0xA0 : b == 0xF0 ? 0x90 : 0x80;
      high_ = b == 0xED ? 0x9F : b == 0xF4 ? 0x8F : 0xBF;
      pending_[num_pending_++] = bytes[i];
    }
    ++i;
  }
}

void Utf8Repairer::finish(std::string& out) {
  if (missing_ > 0) out += kReplacementCharacter;
  *this = Utf8Repairer();
}

std::string repair_utf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  Utf8Repairer repairer;
  repairer.push(bytes, out);
  repairer.finish(out);
  return out;
}

bool is_valid_utf8(std::string_view bytes) { return repair_utf8(bytes) == bytes; }

}  // namespace lockstep::text
