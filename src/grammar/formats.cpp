#include "grammar/formats.h"

#include <map>

namespace lockstep::grammar {
namespace {

// RFC 3339; the days that a month has in every year.
const std::string kDate =
    "(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})-"
    "((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))";
const std::string kTime = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])";
const std::string kLabel = "[a-zA-Z0-9]([a-zA-Z0-9-]{0,30}[a-zA-Z0-9])?";  // of a host name
const std::string kHostname = kLabel + "(\\." + kLabel + "){0,4}";
const std::string kByte = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
const std::string kIpv4 = kByte + "(\\." + kByte + "){3}";
const std::string kPathCharacter = "([a-zA-Z0-9._~!$&'()*+,;=:@-]|%[0-9A-F]{2})";

const std::map<std::string, std::string, std::less<>>& formats() {
  static const std::map<std::string, std::string, std::less<>> all = {
      {"date", kDate},
      {"time", kTime},
      {"date-time", kDate + "T" + kTime},
      {"duration",
       "P([0-9]{1,4}D(T[0-9]{1,4}H([0-9]{1,4}M([0-9]{1,4}S)?)?)?|T([0-9]{1,4}H([0-9]{1,4}M([0-9]{1,4}S)?)?|[0-9]{1,4}M"
       "([0-9]{1,4}S)?|[0-9]{1,4}S)|[0-9]{1,4}W)"},
      {"uuid", "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"},
      {"email", "[a-zA-Z0-9_+-]{1,32}(\\.[a-zA-Z0-9_+-]{1,31}){0,1}@" + kLabel + "(\\." + kLabel + "){1,4}"},
      {"hostname", kHostname},
      {"ipv4", kIpv4},
      {"ipv6", "[0-9a-fA-F]{1,4}(:[0-9a-fA-F]{1,4}){7}"},
      {"uri", "https?://" + kHostname + "(:[1-9][0-9]{0,3})?(/" + kPathCharacter + "*)*(\\?(" + kPathCharacter + "|[/?])*)?(#(" +
                  kPathCharacter + "|[/?])*)?"},
  };
  return all;
}

}  // namespace

std::string_view pattern_of_format(std::string_view format) {
  const auto found = formats().find(format);
  return found == formats().end() ? std::string_view() : std::string_view(found->second);
}

std::string known_formats() {
  std::string all;
  for (const auto& [name, pattern] : formats()) all += (all.empty() ? "" : ", ") + name;
  return all;
}

}  // namespace lockstep::grammar
