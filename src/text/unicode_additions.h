// Characters that Unicode 15.0, 15.1 and 16.0 added to Unicode 14. The regular expressions of `tokenizers` 0.23 know Unicode 16;
// the PCRE2 and utf8proc of Debian 12 and Ubuntu 24.04 know 14 or 15. Without this table a text in one of the newer scripts, or
// with an ideograph of extensions H and I, would be split otherwise than in training.
#pragma once

#include <cstdint>
#include <string_view>

namespace lockstep::text {

struct UnicodeAddition {
  uint32_t first;
  uint32_t last;
  std::string_view category;  // general category: "Lo", "Nd", ...; in kScriptAdditions the script
};

// Sorted by code point.
inline constexpr UnicodeAddition kUnicodeAdditions[] = {
    {0x897, 0x897, "Mn"},     {0xCF3, 0xCF3, "Mc"},     {0xECE, 0xECE, "Mn"},     {0x1B4E, 0x1B4F, "Po"},
    {0x1B7F, 0x1B7F, "Po"},   {0x1C89, 0x1C89, "Lu"},   {0x1C8A, 0x1C8A, "Ll"},   {0x2427, 0x2429, "So"},
    {0x2FFC, 0x2FFF, "So"},   {0x31E4, 0x31E5, "So"},   {0x31EF, 0x31EF, "So"},   {0xA7CB, 0xA7CC, "Lu"},
    {0xA7CD, 0xA7CD, "Ll"},   {0xA7DA, 0xA7DA, "Lu"},   {0xA7DB, 0xA7DB, "Ll"},   {0xA7DC, 0xA7DC, "Lu"},
    {0x105C0, 0x105F3, "Lo"}, {0x10D40, 0x10D49, "Nd"}, {0x10D4A, 0x10D4D, "Lo"}, {0x10D4E, 0x10D4E, "Lm"},
    {0x10D4F, 0x10D4F, "Lo"}, {0x10D50, 0x10D65, "Lu"}, {0x10D69, 0x10D6D, "Mn"}, {0x10D6E, 0x10D6E, "Pd"},
    {0x10D6F, 0x10D6F, "Lm"}, {0x10D70, 0x10D85, "Ll"}, {0x10D8E, 0x10D8F, "Sm"}, {0x10EC2, 0x10EC4, "Lo"},
    {0x10EFC, 0x10EFF, "Mn"}, {0x1123F, 0x11240, "Lo"}, {0x11241, 0x11241, "Mn"}, {0x11380, 0x11389, "Lo"},
    {0x1138B, 0x1138B, "Lo"}, {0x1138E, 0x1138E, "Lo"}, {0x11390, 0x113B5, "Lo"}, {0x113B7, 0x113B7, "Lo"},
    {0x113B8, 0x113BA, "Mc"}, {0x113BB, 0x113C0, "Mn"}, {0x113C2, 0x113C2, "Mc"}, {0x113C5, 0x113C5, "Mc"},
    {0x113C7, 0x113CA, "Mc"}, {0x113CC, 0x113CD, "Mc"}, {0x113CE, 0x113CE, "Mn"}, {0x113CF, 0x113CF, "Mc"},
    {0x113D0, 0x113D0, "Mn"}, {0x113D1, 0x113D1, "Lo"}, {0x113D2, 0x113D2, "Mn"}, {0x113D3, 0x113D3, "Lo"},
    {0x113D4, 0x113D5, "Po"}, {0x113D7, 0x113D8, "Po"}, {0x113E1, 0x113E2, "Mn"}, {0x116D0, 0x116E3, "Nd"},
    {0x11B00, 0x11B09, "Po"}, {0x11BC0, 0x11BE0, "Lo"}, {0x11BE1, 0x11BE1, "Po"}, {0x11BF0, 0x11BF9, "Nd"},
    {0x11F00, 0x11F01, "Mn"}, {0x11F02, 0x11F02, "Lo"}, {0x11F03, 0x11F03, "Mc"}, {0x11F04, 0x11F10, "Lo"},
    {0x11F12, 0x11F33, "Lo"}, {0x11F34, 0x11F35, "Mc"}, {0x11F36, 0x11F3A, "Mn"}, {0x11F3E, 0x11F3F, "Mc"},
    {0x11F40, 0x11F40, "Mn"}, {0x11F41, 0x11F41, "Mc"}, {0x11F42, 0x11F42, "Mn"}, {0x11F43, 0x11F4F, "Po"},
    {0x11F50, 0x11F59, "Nd"}, {0x11F5A, 0x11F5A, "Mn"}, {0x1342F, 0x1342F, "Lo"}, {0x13439, 0x1343F, "Cf"},
    {0x13440, 0x13440, "Mn"}, {0x13441, 0x13446, "Lo"}, {0x13447, 0x13455, "Mn"}, {0x13460, 0x143FA, "Lo"},
    {0x16100, 0x1611D, "Lo"}, {0x1611E, 0x16129, "Mn"}, {0x1612A, 0x1612C, "Mc"}, {0x1612D, 0x1612F, "Mn"},
    {0x16130, 0x16139, "Nd"}, {0x16D40, 0x16D42, "Lm"}, {0x16D43, 0x16D6A, "Lo"}, {0x16D6B, 0x16D6C, "Lm"},
    {0x16D6D, 0x16D6F, "Po"}, {0x16D70, 0x16D79, "Nd"}, {0x18CFF, 0x18CFF, "Lo"}, {0x1B132, 0x1B132, "Lo"},
    {0x1B155, 0x1B155, "Lo"}, {0x1CC00, 0x1CCEF, "So"}, {0x1CCF0, 0x1CCF9, "Nd"}, {0x1CD00, 0x1CEB3, "So"},
    {0x1D2C0, 0x1D2D3, "No"}, {0x1DF25, 0x1DF2A, "Ll"}, {0x1E030, 0x1E06D, "Lm"}, {0x1E08F, 0x1E08F, "Mn"},
    {0x1E4D0, 0x1E4EA, "Lo"}, {0x1E4EB, 0x1E4EB, "Lm"}, {0x1E4EC, 0x1E4EF, "Mn"}, {0x1E4F0, 0x1E4F9, "Nd"},
    {0x1E5D0, 0x1E5ED, "Lo"}, {0x1E5EE, 0x1E5EF, "Mn"}, {0x1E5F0, 0x1E5F0, "Lo"}, {0x1E5F1, 0x1E5FA, "Nd"},
    {0x1E5FF, 0x1E5FF, "Po"}, {0x1F6DC, 0x1F6DC, "So"}, {0x1F774, 0x1F776, "So"}, {0x1F77B, 0x1F77F, "So"},
    {0x1F7D9, 0x1F7D9, "So"}, {0x1F8B2, 0x1F8BB, "So"}, {0x1F8C0, 0x1F8C1, "So"}, {0x1FA75, 0x1FA77, "So"},
    {0x1FA87, 0x1FA89, "So"}, {0x1FA8F, 0x1FA8F, "So"}, {0x1FAAD, 0x1FAAF, "So"}, {0x1FABB, 0x1FABF, "So"},
    {0x1FAC6, 0x1FAC6, "So"}, {0x1FACE, 0x1FACF, "So"}, {0x1FADA, 0x1FADC, "So"}, {0x1FADF, 0x1FADF, "So"},
    {0x1FAE8, 0x1FAE9, "So"}, {0x1FAF7, 0x1FAF8, "So"}, {0x1FBCB, 0x1FBEF, "So"}, {0x2B739, 0x2B739, "Lo"},
    {0x2EBF0, 0x2EE5D, "Lo"}, {0x31350, 0x323AF, "Lo"},
};

// Numbers that Unicode 17 added: char::is_numeric of the Rust release behind `tokenizers` 0.23 knows them, its regular
// expressions do not.
inline constexpr UnicodeAddition kUnicode17Numbers[] = {{0x11DE0, 0x11DE9, "Nd"}, {0x16FF4, 0x16FF6, "Nl"}};

// Characters that decompose, compose or have a combining class in utf8proc, but not in the normalization of `tokenizers` 0.23,
// whose tables are of Unicode 9. (What is newer than utf8proc's own tables is in kUnicodeAdditions.)
inline constexpr UnicodeAddition kNewerThanNormalization[] = {
    {0x7FD, 0x7FD, ""},     {0x898, 0x89F, ""},     {0x8CA, 0x8D3, ""},     {0x9FE, 0x9FE, ""},     {0xC3C, 0xC3C, ""},
    {0xD3B, 0xD3C, ""},     {0xEBA, 0xEBA, ""},     {0x1715, 0x1715, ""},   {0x1ABF, 0x1ACE, ""},   {0x1DF6, 0x1DFA, ""},
    {0x32FF, 0x32FF, ""},   {0xA7F2, 0xA7F4, ""},   {0xA82C, 0xA82C, ""},   {0xAB69, 0xAB69, ""},   {0x10781, 0x10785, ""},
    {0x10787, 0x107B0, ""}, {0x107B2, 0x107BA, ""}, {0x10D24, 0x10D27, ""}, {0x10EAB, 0x10EAC, ""}, {0x10F46, 0x10F50, ""},
    {0x10F82, 0x10F85, ""}, {0x11070, 0x11070, ""}, {0x1133B, 0x1133B, ""}, {0x1145E, 0x1145E, ""}, {0x11839, 0x1183A, ""},
    {0x11930, 0x11930, ""}, {0x11938, 0x11938, ""}, {0x1193D, 0x1193E, ""}, {0x11943, 0x11943, ""}, {0x119E0, 0x119E0, ""},
    {0x11A34, 0x11A34, ""}, {0x11A47, 0x11A47, ""}, {0x11A99, 0x11A99, ""}, {0x11D42, 0x11D42, ""}, {0x11D44, 0x11D45, ""},
    {0x11D97, 0x11D97, ""}, {0x11F41, 0x11F42, ""}, {0x16FF0, 0x16FF1, ""}, {0x1E030, 0x1E06D, ""}, {0x1E08F, 0x1E08F, ""},
    {0x1E130, 0x1E136, ""}, {0x1E2AE, 0x1E2AE, ""}, {0x1E2EC, 0x1E2EF, ""}, {0x1E4EC, 0x1E4ED, ""}, {0x1E4EF, 0x1E4EF, ""},
    {0x1F16C, 0x1F16C, ""}, {0x1FBF0, 0x1FBF9, ""}};

// Characters of kUnicodeAdditions whose script the libraries at hand know. (A script that is new altogether is refused by name.)
inline constexpr UnicodeAddition kScriptAdditions[] = {{0x897, 0x897, "arabic"},
                                                       {0xCF3, 0xCF3, "kannada"},
                                                       {0xECE, 0xECE, "lao"},
                                                       {0x1B4E, 0x1B4F, "balinese"},
                                                       {0x1B7F, 0x1B7F, "balinese"},
                                                       {0x1C89, 0x1C8A, "cyrillic"},
                                                       {0x2427, 0x2429, "common"},
                                                       {0x2FFC, 0x2FFF, "common"},
                                                       {0x31E4, 0x31E5, "common"},
                                                       {0x31EF, 0x31EF, "common"},
                                                       {0xA7CB, 0xA7CD, "latin"},
                                                       {0xA7DA, 0xA7DC, "latin"},
                                                       {0x10EC2, 0x10EC4, "arabic"},
                                                       {0x10EFC, 0x10EFF, "arabic"},
                                                       {0x1123F, 0x11241, "khojki"},
                                                       {0x116D0, 0x116E3, "myanmar"},
                                                       {0x11B00, 0x11B09, "devanagari"},
                                                       {0x1342F, 0x1342F, "egyptianhieroglyphs"},
                                                       {0x13439, 0x13455, "egyptianhieroglyphs"},
                                                       {0x13460, 0x143FA, "egyptianhieroglyphs"},
                                                       {0x1B132, 0x1B132, "hiragana"},
                                                       {0x1B155, 0x1B155, "katakana"},
                                                       {0x1CC00, 0x1CCF9, "common"},
                                                       {0x1CD00, 0x1CEB3, "common"},
                                                       {0x1D2C0, 0x1D2D3, "common"},
                                                       {0x1DF25, 0x1DF2A, "latin"},
                                                       {0x1E030, 0x1E06D, "cyrillic"},
                                                       {0x1E08F, 0x1E08F, "cyrillic"},
                                                       {0x1F6DC, 0x1F6DC, "common"},
                                                       {0x1F774, 0x1F776, "common"},
                                                       {0x1F77B, 0x1F77F, "common"},
                                                       {0x1F7D9, 0x1F7D9, "common"},
                                                       {0x1F8B2, 0x1F8BB, "common"},
                                                       {0x1F8C0, 0x1F8C1, "common"},
                                                       {0x1FA75, 0x1FA77, "common"},
                                                       {0x1FA87, 0x1FA89, "common"},
                                                       {0x1FA8F, 0x1FA8F, "common"},
                                                       {0x1FAAD, 0x1FAAF, "common"},
                                                       {0x1FABB, 0x1FABF, "common"},
                                                       {0x1FAC6, 0x1FAC6, "common"},
                                                       {0x1FACE, 0x1FACF, "common"},
                                                       {0x1FADA, 0x1FADC, "common"},
                                                       {0x1FADF, 0x1FADF, "common"},
                                                       {0x1FAE8, 0x1FAE9, "common"},
                                                       {0x1FAF7, 0x1FAF8, "common"},
                                                       {0x1FBCB, 0x1FBEF, "common"},
                                                       {0x2B739, 0x2B739, "han"},
                                                       {0x2EBF0, 0x2EE5D, "han"},
                                                       {0x31350, 0x323AF, "han"}};

// Punctuation that the tables behind the pre-tokenizer Punctuation do not know, and marks that StripAccents leaves alone.
inline constexpr UnicodeAddition kNewerThanPunctuation[] = {
    {0x61D, 0x61D, ""},     {0x9FD, 0xA76, ""},     {0xC77, 0xC84, ""},     {0x1B7D, 0x1B7E, ""},
    {0x2E43, 0x2E5D, ""},   {0x10EAD, 0x10F89, ""}, {0x1144B, 0x1145D, ""}, {0x11660, 0x116B9, ""},
    {0x1183B, 0x11FFF, ""}, {0x12FF1, 0x12FF2, ""}, {0x16E97, 0x16FE2, ""}, {0x1E95E, 0x1E95F, ""}};
inline constexpr UnicodeAddition kNewerThanStrippedMarks[] = {
    {0x7FD, 0x7FD, ""},     {0x898, 0x8D3, ""},     {0x9FE, 0x9FE, ""},     {0xAFA, 0xAFF, ""},     {0xB55, 0xB55, ""},
    {0xC04, 0xC3C, ""},     {0xD00, 0xD00, ""},     {0xD3B, 0xD3C, ""},     {0xD81, 0xD81, ""},     {0xEBA, 0xEBA, ""},
    {0x1715, 0x1715, ""},   {0x180F, 0x180F, ""},   {0x1ABF, 0x1ACE, ""},   {0x1CF7, 0x1CF7, ""},   {0x1DF6, 0x1DFA, ""},
    {0xA82C, 0xA82C, ""},   {0xA8FF, 0xA8FF, ""},   {0x10D24, 0x10F85, ""}, {0x11070, 0x11074, ""}, {0x110C2, 0x110C2, ""},
    {0x11145, 0x11146, ""}, {0x111C9, 0x111C9, ""}, {0x111CE, 0x111CF, ""}, {0x1133B, 0x1133B, ""}, {0x1145E, 0x1145E, ""},
    {0x1182C, 0x11A99, ""}, {0x11D31, 0x11EF6, ""}, {0x16F4F, 0x16F4F, ""}, {0x16F7F, 0x16F87, ""}, {0x16FE4, 0x16FF1, ""},
    {0x1CF00, 0x1CF46, ""}, {0x1E130, 0x1E2EF, ""}};

// Capitals that Unicode 15 to 17 added: distance to the small letter.
struct CaseAddition {
  uint32_t first;
  uint32_t last;
  int32_t offset;
};
inline constexpr CaseAddition kNewerLowercase[] = {{0x1C89, 0x1C89, 1},      {0xA7CB, 0xA7CB, 0x264 - 0xA7CB},
                                                   {0xA7CC, 0xA7CC, 1},      {0xA7CE, 0xA7CE, 1},
                                                   {0xA7D2, 0xA7D2, 1},      {0xA7D4, 0xA7D4, 1},
                                                   {0xA7DA, 0xA7DA, 1},      {0xA7DC, 0xA7DC, 0x19B - 0xA7DC},
                                                   {0x10D50, 0x10D65, 0x20}, {0x16EA0, 0x16EB8, 0x1B}};

}  // namespace lockstep::text
