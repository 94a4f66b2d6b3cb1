// SPDX-License-Identifier: Apache-2.0
//
// JSON of any kind, passed over and read.
#include "json_reader.h"

#include "promise.h"

namespace {

using bifrost::JsonReader;

// Reads a value of any kind by the calls that keep it.
void read(JsonReader& json, std::size_t* texts) {
  std::string text;
  double number = 0.0;
  bool flag = false;
  if (json.isObject()) {
    json.readObject([&](const std::string& key) {
      *texts += key.size();
      read(json, texts);
    });
  } else if (json.isArray()) {
    json.readArray([&] { read(json, texts); });
  } else if (json.isText()) {
    json.readText(&text);
    *texts += text.size();
  } else if (json.isNumber()) {
    json.readNumber(&number);
  } else if (json.isTrue()) {
    json.readFlag(&flag);
  } else {
    json.skip();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  JsonReader skipped(text);
  const bool isJson = skipped.skip() && skipped.readEnd();
  JsonReader kept(text);
  std::size_t texts = 0;
  read(kept, &texts);
  bifrost::promise(isJson == (!kept.failed() && kept.readEnd()),
                   "what may be passed over may be read");
  bifrost::promise(isJson == kept.problem().empty(), "a failure says why");
  bifrost::promise(texts <= size, "texts are no longer than what they are read from");
  return 0;
}
