// SPDX-License-Identifier: Apache-2.0
//
// The parsers that Python has twins of, as functions of bytes that return bytes, for the tests that
// compare the two (tests/cpp/test_fuzz_twins.py). Not for several threads: a result lives until the
// next call.
#include <cstring>
#include <string>

#include "asset_path.h"
#include "json_reader.h"
#include "memory_file.h"
#include "pins.h"
#include "resolver_context.h"
#include "wire.h"

namespace {

std::string result;

const char* told(std::string text, std::size_t* size) {
  result = std::move(text);
  *size = result.size();
  return result.data();
}

// "4:text", so that no text can be taken for two.
std::string netstring(std::string_view text) {
  return std::to_string(text.size()) + ':' + std::string(text);
}

const bifrost::MemoryFile& file() {
  static const auto* file = new bifrost::MemoryFile;
  return *file;
}

}  // namespace

#define BIFROST_TWIN extern "C" __attribute__((visibility("default"))) const char*

BIFROST_TWIN canonicalPolicy(const char* data, std::size_t size, std::size_t* outSize) {
  std::string complaint;
  return told(bifrost::canonicalPolicy(std::string(data, size), &complaint), outSize);
}

BIFROST_TWIN withoutFormatArgs(const char* data, std::size_t size, std::size_t* outSize) {
  return told(std::string(bifrost::withoutFormatArgs({data, size})), outSize);
}

BIFROST_TWIN withoutWritingParameters(const char* data, std::size_t size, std::size_t* outSize) {
  return told(bifrost::withoutWritingParameters({data, size}), outSize);
}

BIFROST_TWIN versionOf(const char* data, std::size_t size, std::size_t* outSize) {
  return told(std::string(bifrost::parameterOf({data, size}, "version")), outSize);
}

// "bad", or the count and, of each answer, its flags and texts as netstrings.
BIFROST_TWIN decodeAnswers(const char* data, std::size_t size, std::size_t* outSize) {
  const auto answers = bifrost::decodeAnswers({data, size});
  if (!answers) {
    return told("bad", outSize);
  }
  std::string text = std::to_string(answers->resolutions.size()) + ';';
  for (const bifrost::Resolution& answer : answers->resolutions) {
    text += answer.immutable ? 'i' : '-';
    text += answer.templated ? 't' : '-';
    for (const std::string* each : {&answer.identifier, &answer.path, &answer.message, &answer.name,
                                    &answer.version, &answer.manager, &answer.failureCode}) {
      text += netstring(*each);
    }
  }
  return told(std::move(text), outSize);
}

// Whether it is JSON: "json", "deep" (too deep to tell) or "bad".
BIFROST_TWIN readJson(const char* data, std::size_t size, std::size_t* outSize) {
  bifrost::JsonReader json({data, size});
  const bool isWhole = json.skip() && json.readEnd();
  return told(isWhole ? "json" : json.isTooDeep() ? "deep" : "bad", outSize);
}

// The eight bytes of the double that a JSON number is; none where it is no number.
BIFROST_TWIN readNumber(const char* data, std::size_t size, std::size_t* outSize) {
  bifrost::JsonReader json({data, size});
  double number = 0.0;
  std::string bytes(sizeof number, '\0');
  if (!json.readNumber(&number) || !json.readEnd()) {
    return told({}, outSize);
  }
  std::memcpy(bytes.data(), &number, sizeof number);
  return told(std::move(bytes), outSize);
}

// Of a reference, a NUL and a file of pins: the path, version, name and manager it is pinned to, as
// netstrings; empty where it is not pinned.
BIFROST_TWIN pinned(const char* data, std::size_t size, std::size_t* outSize) {
  const std::string_view text(data, size);
  const std::size_t end = text.find('\0');
  file().hold(reinterpret_cast<const std::uint8_t*>(data) + end + 1, size - end - 1);
  const auto pins = bifrost::Pins::at(file().path(), bifrost::NotPinned::kFail, "");
  const bifrost::Resolution* found = pins->find(text.substr(0, end));
  return told(found == nullptr ? std::string{}
                               : netstring(found->path) + netstring(found->version) +
                                     netstring(found->name) + netstring(found->manager),
              outSize);
}
