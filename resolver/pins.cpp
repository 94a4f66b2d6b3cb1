// SPDX-License-Identifier: Apache-2.0
#include "pins.h"

#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "diagnostics.h"
#include "json_reader.h"
#include "usd.h"

namespace bifrost {

BIFROST_USD_USING

namespace {

constexpr int kFormat = 1;
constexpr std::size_t kLongestTold = 1000;  // of what a file says, in a message
constexpr double kMostBytes = 9e15;         // of a file, and what a double counts one by one
// So that a file which arrives late is seen, and a herd that wants it looks once.
constexpr double kMissingLasts_s = 1.0;
// How much is kept of references that are not pinned. Past that all share one failure.
constexpr std::size_t kMostFailureBytes = 64UL << 20U;
constexpr std::string_view kMoreReferences = "(more references)";

using Roots = std::vector<std::pair<std::string, std::string>>;

std::string withoutTrailingSlash(std::string folder) {
  while (folder.size() > 1 && folder.back() == '/') {
    folder.pop_back();
  }
  return folder;
}

// The longest folder first, so that the one that says most about a path decides.
Roots parsedRoots(const std::string& text) {
  Roots roots;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(';', begin), text.size());
    const std::string pair = text.substr(begin, end - begin);
    begin = end + 1;
    const std::size_t equals = pair.find('=');
    if (equals != std::string::npos && equals > 0 && equals + 1 < pair.size()) {
      roots.emplace_back(withoutTrailingSlash(pair.substr(0, equals)),
                         withoutTrailingSlash(pair.substr(equals + 1)));
    } else if (!pair.empty()) {
      warnOnce("BIFROST_PINS_ROOTS", pair, "ignored " + pair + ": expected OLD=NEW");
    }
  }
  std::stable_sort(roots.begin(), roots.end(), [](const auto& one, const auto& other) {
    return one.first.size() > other.first.size();
  });
  return roots;
}

std::string remapped(std::string path, const Roots& roots) {
  for (const auto& [old, now] : roots) {
    const bool isBelow = path.compare(0, old.size(), old) == 0 &&
                         (path.size() == old.size() || old == "/" || path[old.size()] == '/');
    if (isBelow) {
      const std::string rest = path.substr(old == "/" ? 0 : old.size());
      return now == "/" ? rest : now + rest;
    }
  }
  return path;
}

std::string contentOf(std::ifstream& file) {
  constexpr std::size_t kChunk = 1U << 16U;
  std::string data;
  while (file) {
    const std::size_t from = data.size();
    data.resize(from + kChunk);
    file.read(&data[from], kChunk);
    data.resize(from + static_cast<std::size_t>(file.gcount()));
  }
  return data;
}

// Whether there may be a file: not a pipe or a device, which would be waited for or read for ever.
bool isFile(const std::string& path) {
  struct stat info{};
  return stat(path.c_str(), &info) != 0 || S_ISREG(info.st_mode);
}

// A path that the system would read only the beginning of is none either.
bool isAbsolutePath(const std::string& path) {
  return !path.empty() && path.front() == '/' && path.find('\0') == std::string::npos;
}

// A value of another type than is expected is none. Of several the last counts, as everywhere.
void readText(JsonReader& json, std::string* text) {
  text->clear();
  if (json.isText()) {
    json.readText(text);
  } else {
    json.skip();
  }
}

void readNumber(JsonReader& json, double* number) {
  if (json.isNumber()) {
    json.readNumber(number);
  } else {
    json.skip();
  }
}

void readFlag(JsonReader& json, bool* flag) {
  if (json.isTrue()) {
    json.readFlag(flag);
  } else {
    json.skip();
  }
}

// What tells one content of a file from another; empty when there is no such file.
std::string stateOf(const std::string& path) {
  struct stat info{};
  if (stat(path.c_str(), &info) != 0) {
    return {};
  }
  return std::to_string(info.st_ino) + '.' + std::to_string(info.st_size) + '.' +
         std::to_string(info.st_mtim.tv_sec) + '.' + std::to_string(info.st_mtim.tv_nsec);
}

using List = std::unordered_map<std::string, std::weak_ptr<const Pins>>;

List& living() {
  static auto* list = new List;  // leaked: threads may still resolve while statics are destroyed
  return *list;
}

std::shared_ptr<const Pins> known(const std::string& key) {
  const std::lock_guard<std::mutex> lock(Pins::listMutex());
  const auto found = living().find(key);
  return found != living().end() ? found->second.lock() : nullptr;
}

void remember(const std::string& key, const std::shared_ptr<const Pins>& pins) {
  const std::lock_guard<std::mutex> lock(Pins::listMutex());
  List& list = living();
  for (auto each = list.begin(); each != list.end();) {
    each = each->second.expired() ? list.erase(each) : std::next(each);
  }
  list[key] = pins;
}

}  // namespace

// Reads a file into pins that nobody else sees yet.
struct Pins::Reader {
  Pins& pins;
  const Roots roots;
  double format = 0.0;
  bool hasEntities = false;
  std::string manager = {};  // of the pins that name none; it may stand after them
  std::string openUsd = {};
  std::vector<Pin*> withoutManager = {};
  std::optional<std::string> bad = {};  // the first entry that is no pin

  void read() {
    if (!isFile(pins.path_)) {
      pins.problem_ = "it is no file";
      return;
    }
    std::ifstream file(pins.path_);
    if (!file) {
      pins.problem_ = "there is no such file, or it can't be read";
      return;
    }
    const std::string data = contentOf(file);
    pins.problem_ = data.empty() ? "it is empty" : problemIn(data);
    if (pins.problem_.empty()) {
      finish();
    } else {
      pins.pins_.clear();
    }
  }

  // Reads all there is; returns why it is nothing to pin by, or nothing.
  std::string problemIn(const std::string& data) {
    JsonReader json(data);
    const bool isObject = json.isObject();
    if (isObject) {
      json.readObject([&](const std::string& key) { readMember(json, key); });
    } else {
      json.skip();
    }
    json.readEnd();
    if (json.isTooDeep()) {
      return "it is nested too deeply to hold pins";
    }
    if (json.failed()) {
      return "it is no JSON: " + json.problem();
    }
    if (!isObject) {
      return "it is no JSON object";
    }
    if (format != kFormat) {
      return format > kFormat ? "a later version of Bifrost wrote it"
                              : "it holds no pins: \"bifrost_pins\" is missing";
    }
    return hasEntities ? "" : "it has no list \"entities\"";
  }

  void readMember(JsonReader& json, const std::string& key) {
    if (key == "bifrost_pins") {
      readNumber(json, &format);
    } else if (key == "manager") {
      readText(json, &manager);
    } else if (key == "openusd") {
      readText(json, &openUsd);
    } else if (key == "entities" && json.isArray()) {
      hasEntities = true;
      json.readArray([&] { readPin(json); });
    } else {
      json.skip();
    }
  }

  void readPin(JsonReader& json) {
    Pin& pin = pins.pins_.emplace_back();
    Resolution& answer = pin.answer;
    bool hasManager = false;
    if (json.isObject()) {
      json.readObject([&](const std::string& key) {
        hasManager = hasManager || key == "manager";
        readField(json, key, &pin);
      });
    } else {
      json.skip();
    }
    if (answer.identifier.empty() || !isAbsolutePath(answer.path)) {
      bad = bad ? bad : answer.identifier.substr(0, kLongestTold);
      pins.pins_.pop_back();
      return;
    }
    answer.path = remapped(std::move(answer.path), roots);
    answer.freshUntil = std::numeric_limits<double>::infinity();
    answer.tier = Tier::kPins;
    if (!hasManager) {
      withoutManager.push_back(&pin);
    }
  }

  static void readField(JsonReader& json, const std::string& key, Pin* pin) {
    Resolution& answer = pin->answer;
    if (key == "reference") {
      readText(json, &answer.identifier);
    } else if (key == "path") {
      readText(json, &answer.path);
    } else if (key == "version") {
      readText(json, &answer.version);
    } else if (key == "name") {
      readText(json, &answer.name);
    } else if (key == "manager") {
      readText(json, &answer.manager);
    } else if (key == "modified") {
      readNumber(json, &answer.modified);
    } else if (key == "size") {
      double size = -1.0;
      readNumber(json, &size);
      pin->size = size >= 0.0 && size < kMostBytes ? static_cast<std::int64_t>(size) : -1;
    } else if (key == "immutable") {
      readFlag(json, &answer.immutable);
    } else if (key == "templated") {
      readFlag(json, &answer.templated);
    } else {
      json.skip();
    }
  }

  void finish() {
    for (Pin* pin : withoutManager) {
      pin->answer.manager = manager;
    }
    pins.byIdentifier_.reserve(pins.pins_.size());
    for (const Pin& pin : pins.pins_) {
      const Resolution& answer = pin.answer;
      pins.bytes_ += sizeof(Pin) + answer.identifier.size() + answer.path.size() +
                     answer.name.size() + answer.version.size() + answer.manager.size();
      pins.byIdentifier_.emplace(answer.identifier, &pin);
    }
    if (bad) {
      warnOnce(
          pins.path_, "bad_pin",
          "an entry of its \"entities\" has no \"reference\", or no absolute \"path\": " + *bad);
    }
    warnOfAnotherOpenUsd(openUsd);
  }

  // Composition may differ, the files do not: so it is said and no more.
  void warnOfAnotherOpenUsd(const std::string& version) const {
    const std::string own =
        std::to_string(BIFROST_USD_MINOR) + '.' + std::to_string(BIFROST_USD_PATCH);
    if (!version.empty() && version != own) {
      warnOnce(pins.path_, "other_openusd",
               "it was made with OpenUSD " + version + " and is opened with " + own +
                   ": what is composed may differ");
    }
  }
};

std::mutex& Pins::listMutex() {
  static auto* mutex = new std::mutex;
  return *mutex;
}

Pins::Pins(std::string path, NotPinned notPinned, const std::string& allowed)
    : path_(std::move(path)), notPinned_(notPinned), allowed_(allowed) {}

std::shared_ptr<const Pins> Pins::at(const std::string& path, NotPinned notPinned,
                                     const std::string& roots, const std::string& allowed) {
  const std::string key = std::to_string(static_cast<int>(notPinned)) + '\0' + path + '\0' +
                          stateOf(path) + '\0' + roots + '\0' + allowed;
  if (std::shared_ptr<const Pins> pins = known(key)) {
    return pins;
  }
  // With no lock held: two threads may both read it, which harms nobody.
  const auto pins = std::make_shared<Pins>(path, notPinned, allowed);
  Reader{*pins, parsedRoots(roots)}.read();
  if (!pins->problem_.empty()) {
    warnOnce(path, "bad_pins", "the pins can't be used: " + pins->problem_);
  }
  TF_DEBUG(BIFROST_CONTEXT)
      .Msg("BIFROST_CONTEXT: %zu pins in %s\n", pins->size(), pins->path_.c_str());
  remember(key, pins);
  return pins;
}

const Resolution* Pins::find(std::string_view identifier) const {
  const auto found = byIdentifier_.find(identifier);
  return found != byIdentifier_.end() ? &found->second->answer : nullptr;
}

const Resolution* Pins::answer(std::string_view identifier) const {
  const auto found = byIdentifier_.find(identifier);
  if (found != byIdentifier_.end()) {
    return answerOf(*found->second);
  }
  if (notPinned_ == NotPinned::kFail) {
    const bool areTooMany = failures_.bytes() > kMostFailureBytes;
    return failure(areTooMany ? kMoreReferences : identifier, "not_pinned",
                   problem_.empty()
                       ? path_ + " does not pin it, and nothing else is asked (pins_missing=fail)"
                       : "the pins in " + path_ + " can't be used: " + problem_);
  }
  if (notPinned_ == NotPinned::kWarn) {
    warnOnce(std::string(identifier), "not_pinned",
             path_ + " does not pin it, so the manager is asked");
  }
  return nullptr;
}

// One look for each pin: what was there once is not looked for again.
const Resolution* Pins::answerOf(const Pin& pin) const {
  const Resolution& answer = pin.answer;
  if (pin.isSeen.load(std::memory_order_relaxed)) {
    return &answer;
  }
  if (!allowed_.hold(answer.path)) {
    return failure(answer.identifier, "outside_roots",
                   path_ + " pins it to " + answer.path +
                       ", which is outside the folders of resolve.allowed_roots");
  }
  if (!isThere(pin)) {
    return failure(answer.identifier, "pinned_file_missing",
                   "the file that " + path_ + " pins it to is not there: " + answer.path +
                       " (BIFROST_PINS_ROOTS says where a site has its folders)");
  }
  return &answer;
}

bool Pins::isThere(const Pin& pin) const {
  if (pin.answer.templated) {
    pin.isSeen.store(true, std::memory_order_relaxed);
    return true;
  }
  struct stat info{};
  if (stat(pin.answer.path.c_str(), &info) != 0) {
    return false;
  }
  pin.isSeen.store(true, std::memory_order_relaxed);
  if (pin.size >= 0 && info.st_size != pin.size) {
    warnOnce(pin.answer.identifier, "pinned_file_changed",
             pin.answer.path + " has " + std::to_string(info.st_size) +
                 " bytes and was pinned at " + std::to_string(pin.size) +
                 " (bifrost usd pin verify " + path_ + " says more)");
  }
  return true;
}

const Resolution* Pins::failure(std::string_view identifier, const char* code,
                                const std::string& message) const {
  if (const Resolution* known = failures_.find(identifier)) {
    return known;
  }
  Resolution nothing;
  nothing.identifier = identifier;
  nothing.failureCode = code;
  nothing.message = message;
  nothing.freshUntil = monotonicNow() + kMissingLasts_s;
  std::vector<Resolution> one;
  one.push_back(std::move(nothing));
  failures_.add(std::move(one));
  return failures_.find(identifier);
}

}  // namespace bifrost
