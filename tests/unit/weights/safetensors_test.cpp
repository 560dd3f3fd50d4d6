// The header is hostile input: each lie is refused by name.
#include "weights/safetensors.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "checkpoint_files.h"

namespace lockstep {
namespace {

using testing::error_of;
using testing::safetensors_bytes;
using testing::safetensors_file;
using testing::TempDir;
using testing::TestTensor;
using testing::write_file;

std::string refusal(const std::string& header, int64_t data_bytes) {
  return error_of([&] { parse_safetensors_header(header, data_bytes, "file.safetensors"); });
}

void expect_refused(const std::string& header, int64_t data_bytes, const std::string& why) {
  const std::string error = refusal(header, data_bytes);
  EXPECT_NE(error.find(why), std::string::npos)
      << "header " << header.substr(0, 200) << "\nexpected: " << why << "\ngot: " << error;
  EXPECT_EQ(error.rfind("file.safetensors: ", 0), 0u) << error;
  EXPECT_LT(error.size(), 800u);
}

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return fmt::format(R"("{}":{{"dtype":"{}","shape":{},"data_offsets":{}}})", name, dtype, shape, offsets);
}

TEST(SafetensorsHeader, TakesAGoodOneInOrderOfPosition) {
  const std::string header = "{" + entry("b", "BF16", "[2,3]", "[4,16]") + "," + entry("a", "F32", "[]", "[0,4]") + "," +
                             entry("c", "F8_E4M3", "[5]", "[16,21]") + "," + entry("empty", "F16", "[0,7]", "[16,16]") +
                             R"(,"__metadata__":{"format":"pt"}}   )";
  const SafetensorsHeader h = parse_safetensors_header(header, 21, "x");
  ASSERT_EQ(h.entries.size(), 4u);
  EXPECT_EQ(h.entries[0].tensor.name, "a");
  EXPECT_EQ(h.entries[0].tensor.bytes, 4);
  EXPECT_TRUE(h.entries[0].tensor.shape.empty());
  EXPECT_EQ(h.entries[1].tensor.name, "b");
  EXPECT_EQ(h.entries[1].begin, 4);
  EXPECT_EQ(h.entries[1].tensor.dtype, DType::kBFloat16);
  EXPECT_EQ(h.entries[1].tensor.shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(h.entries[2].tensor.name, "empty");
  EXPECT_EQ(h.entries[3].tensor.dtype_name, "F8_E4M3");
  EXPECT_FALSE(h.entries[3].tensor.dtype.has_value());
  ASSERT_EQ(h.metadata.size(), 1u);
  EXPECT_EQ(h.metadata[0].second, "pt");
  EXPECT_TRUE(parse_safetensors_header("{}", 0, "x").entries.empty());
}

TEST(SafetensorsHeader, RefusesBrokenJson) {
  expect_refused("", 0, "does not begin with '{'");
  expect_refused(" {}", 0, "does not begin with '{'");
  expect_refused("[]", 0, "does not begin with '{'");
  expect_refused("{", 0, "not valid JSON");
  expect_refused("{}x", 0, "not valid JSON");
  expect_refused(std::string("{}\0{", 4), 0, "zero byte");
  expect_refused("{\"\xff\":1}", 0, "not valid JSON");
  expect_refused("{\"a\":" + std::string(1000, 'x') + "}", 0, "not valid JSON");
  expect_refused("{\"a\":\"" + std::string(100000, 'x'), 0, "not valid JSON");
}

TEST(SafetensorsHeader, RefusesDuplicateKeysAtEveryLevel) {
  expect_refused("{" + entry("a", "F32", "[1]", "[0,4]") + "," + entry("a", "F32", "[1]", "[0,4]") + "}", 4,
                 "key 'a' occurs twice");
  expect_refused(R"({"a":{"dtype":"F32","dtype":"F16","shape":[1],"data_offsets":[0,4]}})", 4, "key 'dtype' occurs twice");
  expect_refused(R"({"__metadata__":{"x":"1","x":"2"}})", 0, "key 'x' occurs twice");
  // The same name written in another way.
  expect_refused(R"({"a":1,"\u0061":1})", 0, "key 'a' occurs twice");
}

TEST(SafetensorsHeader, RefusesDepthAndLength) {
  expect_refused("{\"a\":" + std::string(100000, '[') + "}", 0, "nested deeper");
  std::string objects = "{";
  for (int i = 0; i < 100000; ++i) objects += "\"a\":{";
  expect_refused(objects, 0, "nested deeper");
  std::string shape = "[1";
  for (int i = 0; i < 1000; ++i) shape += ",1";
  expect_refused("{" + entry("a", "F32", shape + "]", "[0,4]") + "}", 4, "more than 64 values");
}

TEST(SafetensorsHeader, RefusesIllFormedEntries) {
  expect_refused(R"({"a":3})", 0, "tensor 'a' is not described by a JSON object");
  expect_refused(R"({"a":{"dtype":"F32","shape":[1]}})", 4, "tensor 'a' has no 'data_offsets'");
  expect_refused(R"({"a":{"dtype":"F32","data_offsets":[0,4]}})", 4, "tensor 'a' has no 'shape'");
  expect_refused(R"({"a":{"shape":[1],"data_offsets":[0,4]}})", 4, "tensor 'a' has no 'dtype'");
  expect_refused(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}})", 4, "unknown key 'x'");
  expect_refused(R"({"a":{"dtype":7,"shape":[1],"data_offsets":[0,4]}})", 4, "dtype that is not a string");
  expect_refused(R"({"a":{"dtype":"F32","shape":1,"data_offsets":[0,4]}})", 4, "shape that is not an array");
  expect_refused("{" + entry("a", "F32", "[1]", "[0]") + "}", 4, "not an array of two");
  expect_refused("{" + entry("a", "F32", "[1]", "[0,4,8]") + "}", 4, "not an array of two");
  expect_refused("{" + entry("a", "Q4", "[1]", "[0,4]") + "}", 4, "dtype 'Q4'");
  expect_refused("{" + entry("a", "F32", "[-1]", "[0,4]") + "}", 4, "dimension -1");
  expect_refused("{" + entry("a", "F32", "[1.0]", "[0,4]") + "}", 4, "dimension 1.0");
  expect_refused("{" + entry("a", "F32", "[true]", "[0,4]") + "}", 4, "dimension true");
  expect_refused("{" + entry("a", "F32", "[\"1\"]", "[0,4]") + "}", 4, "dimension \"1\"");
  expect_refused("{" + entry("a", "F32", "[1]", "[0,null]") + "}", 4, "data offset null");
  expect_refused("{" + entry("a", "F32", "[1]", "[0,18446744073709551615]") + "}", 4, "data offset 18446744073709551615");
  expect_refused(R"({"__metadata__":3})", 0, "__metadata__ is not");
  expect_refused(R"({"__metadata__":{"x":3}})", 0, "__metadata__ key 'x'");
}

TEST(SafetensorsHeader, RefusesSizesThatLie) {
  expect_refused("{" + entry("a", "F32", "[2]", "[0,4]") + "}", 4, "needs 8");
  expect_refused("{" + entry("a", "F32", "[1]", "[4,0]") + "}", 4, "begins at byte 4 of the data but ends at 0");
  expect_refused("{" + entry("a", "F32", "[4611686018427387904]", "[0,0]") + "}", 0, "too large");
  expect_refused("{" + entry("a", "F32", "[4294967296,4294967296]", "[0,0]") + "}", 0, "too large");
  expect_refused("{" + entry("a", "F32", "[9223372036854775807,0,9223372036854775807]", "[0,0]") + "}", 0, "too large");
  expect_refused("{" + entry("a", "F4", "[3]", "[0,1]") + "}", 1, "whole number of bytes");
  expect_refused("{" + entry("a", "F32", "[9223372036854775808]", "[0,0]") + "}", 0, "dimension 9223372036854775808");
}

TEST(SafetensorsHeader, RefusesLayoutsThatLie) {
  expect_refused("{" + entry("a", "F32", "[2]", "[0,8]") + "}", 7, "tensor 'a' ends at byte 8 of the data, but the file has 7");
  expect_refused("{" + entry("a", "F32", "[2]", "[0,8]") + "}", 9, "1 bytes follow the last tensor");
  expect_refused("{" + entry("a", "F32", "[1]", "[4,8]") + "}", 8, "a hole of 4 bytes before tensor 'a'");
  expect_refused("{" + entry("a", "F32", "[1]", "[0,4]") + "," + entry("b", "F32", "[1]", "[6,10]") + "}", 10,
                 "a hole of 2 bytes before tensor 'b'");
  expect_refused("{" + entry("a", "F32", "[2]", "[0,8]") + "," + entry("b", "F32", "[2]", "[4,12]") + "}", 12,
                 "tensor 'b' begins at byte 4 of the data and overlaps tensor 'a'");
  expect_refused("{" + entry("a", "F32", "[2]", "[0,8]") + "," + entry("b", "F32", "[2]", "[0,8]") + "}", 8, "overlaps");
  expect_refused("{" + entry("a", "F32", "[0]", "[9223372036854775807,9223372036854775807]") + "}", 0, "truncated");
}

TEST(SafetensorsFile, RefusesBrokenFiles) {
  const TempDir dir;
  const auto refused = [&](const std::string& bytes) {
    write_file(dir / "a.safetensors", bytes);
    return error_of([&] { SafetensorsFile file(dir / "a.safetensors"); });
  };
  EXPECT_NE(refused("").find("has 0 bytes"), std::string::npos);
  EXPECT_NE(refused("1234567").find("has 7 bytes"), std::string::npos);
  EXPECT_NE(refused(std::string(8, '\0')).find("does not begin"), std::string::npos);
  EXPECT_NE(refused(std::string(8, '\xff')).find("header claims 18446744073709551615 bytes"), std::string::npos);
  EXPECT_NE(refused(std::string("\x01\xe1\xf5\x05\0\0\0\0", 8)).find("header claims 100000001 bytes"), std::string::npos);
  EXPECT_NE(refused(std::string("\x00\xe1\xf5\x05\0\0\0\0", 8)).find("but the file has 8"), std::string::npos);
  const std::string good = safetensors_file({{"t", DType::kFloat32, {2}, "12345678"}});
  EXPECT_EQ(refused(good), "");
  for (size_t size = 0; size < good.size(); ++size) {
    const std::string error = refused(good.substr(0, size));
    ASSERT_NE(error.find("a.safetensors"), std::string::npos) << size << ": " << error;
  }
  EXPECT_NE(refused(good + "x").find("1 bytes follow"), std::string::npos);
}

std::unique_ptr<TensorSource> open(const TempDir& dir) { return open_safetensors(dir.path()); }
std::string open_error(const TempDir& dir) {
  return error_of([&] { open(dir); });
}

const TestTensor kA = {"a", DType::kFloat32, {2}, "aaaabbbb"};
const TestTensor kB = {"b", DType::kBFloat16, {2, 2}, "ccddeeff"};

std::string index_of(const std::string& map) { return R"({"metadata":{"total_size":16},"weight_map":{)" + map + "}}"; }

TEST(SafetensorsDirectory, ReadsElementsOfASingleFile) {
  const TempDir dir;
  write_file(dir / "model.safetensors", safetensors_file({kA, kB}));
  write_file(dir / "other.safetensors", "ignored");
  const auto source = open(dir);
  ASSERT_EQ(source->tensors().size(), 2u);
  EXPECT_EQ(source->tensors()[1].file, "model.safetensors");
  std::string got(4, '?');
  source->read(1, 1, 2, got.data());
  EXPECT_EQ(got, "ddee");
  source->read(0, 1, 1, got.data());
  EXPECT_EQ(got, "bbbb");
  EXPECT_THROW(source->read(1, 3, 2, got.data()), Error);
  EXPECT_THROW(source->read(1, -1, 2, got.data()), Error);
  EXPECT_THROW(source->read(1, 0, -1, got.data()), Error);
  EXPECT_EQ(total_bytes(*source), 16);
  EXPECT_EQ(source->header_bytes() + 16, static_cast<int64_t>(std::filesystem::file_size(dir / "model.safetensors")));
  EXPECT_EQ(source->notes(), std::vector<std::string>{"model.safetensors: format = pt"});
}

TEST(SafetensorsDirectory, TakesAllFilesWhereNoneIsNamed) {
  const TempDir dir;
  write_file(dir / "2.safetensors", safetensors_file({kB}));
  write_file(dir / "1.safetensors", safetensors_file({kA}));
  write_file(dir / "notes.txt", "x");
  const auto source = open(dir);
  ASSERT_EQ(source->tensors().size(), 2u);
  EXPECT_EQ(source->tensors()[0].name, "a");
  std::string got(8, '?');
  source->read(1, 0, 4, got.data());
  EXPECT_EQ(got, kB.bytes);
}

TEST(SafetensorsDirectory, FollowsTheIndex) {
  const TempDir dir;
  write_file(dir / "s1.safetensors", safetensors_file({kA}));
  write_file(dir / "s2.safetensors", safetensors_file({kB}));
  write_file(dir / "consolidated.safetensors", "ignored");
  write_file(dir / "model.safetensors.index.json", index_of(R"("b":"s2.safetensors","a":"s1.safetensors")"));
  const auto source = open(dir);
  ASSERT_EQ(source->tensors().size(), 2u);
  EXPECT_EQ(source->tensors()[1].file, "s2.safetensors");
}

TEST(SafetensorsDirectory, RefusesAnIndexThatDisagrees) {
  const TempDir dir;
  write_file(dir / "s1.safetensors", safetensors_file({kA}));
  write_file(dir / "s2.safetensors", safetensors_file({kB}));
  const auto with_index = [&](const std::string& text) {
    write_file(dir / "model.safetensors.index.json", text);
    return open_error(dir);
  };
  const auto expect = [&](const std::string& text, const std::string& why) {
    const std::string error = with_index(text);
    EXPECT_NE(error.find(why), std::string::npos) << error;
    EXPECT_NE(error.find(dir.path().string()), std::string::npos) << error;
  };
  EXPECT_EQ(with_index(index_of(R"("a":"s1.safetensors","b":"s2.safetensors")")), "");
  expect(index_of(R"("a":"s2.safetensors","b":"s2.safetensors")"),
         "says that tensor 'a' is in s2.safetensors, but it is not there");
  expect(index_of(R"("a":"s2.safetensors","b":"s1.safetensors")"), "but it is in");
  expect(index_of(R"("a":"s1.safetensors","x":"s2.safetensors")"), "does not name tensor 'b'");
  expect(index_of(R"("a":"s1.safetensors","b":"s2.safetensors","x":"s2.safetensors")"), "tensor 'x' is in s2.safetensors, but");
  expect(index_of(R"("a":"s1.safetensors","b":"s3.safetensors")"), "s3.safetensors: cannot open");
  expect(index_of(R"("a":"../s1.safetensors")"), "expected the plain name");
  expect(index_of(R"("a":"/etc/passwd")"), "expected the plain name");
  expect(index_of(R"("a":"..")"), "expected the plain name");
  expect(index_of(R"("a":"")"), "expected the plain name");
  expect(index_of(R"("a":3)"), "is not a string");
  expect(index_of(R"("a":"s1.safetensors","a":"s2.safetensors")"), "key 'a' occurs twice");
  expect(index_of(""), "weight_map is empty");
  expect("{}", "no object 'weight_map'");
  expect("[]", "no object 'weight_map'");
  expect("{", "not valid JSON");
}

TEST(SafetensorsDirectory, RefusesATensorInTwoFiles) {
  const TempDir dir;
  write_file(dir / "1.safetensors", safetensors_file({kA, kB}));
  write_file(dir / "2.safetensors", safetensors_file({kA}));
  const std::string error = open_error(dir);
  EXPECT_NE(error.find("tensor 'a' occurs twice"), std::string::npos) << error;
  EXPECT_NE(error.find("in 1.safetensors and in 2.safetensors"), std::string::npos) << error;
}

TEST(SafetensorsDirectory, TakesSymlinksToFilesAndRefusesTheRest) {
  namespace fs = std::filesystem;
  const TempDir blobs;
  const TempDir dir;
  write_file(blobs / "0123", safetensors_file({kA}));
  fs::create_symlink(blobs / "0123", dir / "model.safetensors");
  EXPECT_EQ(open(dir)->tensors().size(), 1u);

  fs::remove(dir / "model.safetensors");
  fs::create_symlink(blobs / "gone", dir / "model.safetensors");
  EXPECT_NE(open_error(dir).find("cannot open"), std::string::npos);

  fs::remove(dir / "model.safetensors");
  fs::create_directory(dir / "model.safetensors");
  EXPECT_NE(open_error(dir).find("not a regular file"), std::string::npos);

  fs::remove(dir / "model.safetensors");
  ASSERT_EQ(::mkfifo((dir / "model.safetensors").c_str(), 0600), 0);
  EXPECT_NE(open_error(dir).find("not a regular file"), std::string::npos);

  fs::remove(dir / "model.safetensors");
  EXPECT_NE(open_error(dir).find("holds no model.safetensors.index.json"), std::string::npos);
  EXPECT_NE(error_of([&] { open_safetensors(dir / "nowhere"); }).find("is not a directory"), std::string::npos);
}

TEST(SafetensorsDirectory, AFileThatShrinksWhileItIsReadIsAnError) {
  const TempDir dir;
  write_file(dir / "model.safetensors", safetensors_file({kA}));
  const auto source = open(dir);
  std::filesystem::resize_file(dir / "model.safetensors", std::filesystem::file_size(dir / "model.safetensors") - 1);
  std::string got(8, '?');
  const std::string error = error_of([&] { source->read(0, 0, 2, got.data()); });
  EXPECT_NE(error.find("was it cut"), std::string::npos) << error;
}

}  // namespace
}  // namespace lockstep
