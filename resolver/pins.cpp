// SPDX-License-Identifier: Apache-2.0
#include "pins.h"

#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <limits>
#include <utility>
#include <vector>

#include "diagnostics.h"
#include "usd.h"

namespace bifrost {

BIFROST_USD_USING

namespace {

constexpr int kFormat = 1;
constexpr int kDeepest = 64;  // brackets in each other; the format needs three
// So that a file which arrives late is seen, and a herd that wants it looks once.
constexpr double kMissingLasts_s = 1.0;

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

std::string remapped(const std::string& path, const Roots& roots) {
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

std::string text(const JsObject& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->second.IsString() ? found->second.GetString()
                                                           : std::string{};
}

double number(const JsObject& object, const char* key, double fallback) {
  const auto found = object.find(key);
  if (found == object.end()) {
    return fallback;
  }
  if (found->second.IsInt()) {
    return static_cast<double>(found->second.GetInt64());
  }
  return found->second.IsReal() ? found->second.GetReal() : fallback;
}

bool flag(const JsObject& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->second.IsBool() && found->second.GetBool();
}

// OpenUSD's JSON reader calls itself for each bracket; enough of them end the process.
bool isTooDeep(std::string_view json) {
  int depth = 0;
  bool isText = false;
  for (std::size_t i = 0; i < json.size() && depth <= kDeepest; ++i) {
    const char ch = json[i];
    if (isText) {
      i += ch == '\\' ? 1 : 0;
      isText = ch != '"';
    } else if (ch == '"') {
      isText = true;
    } else if (ch == '[' || ch == '{') {
      ++depth;
    } else if (ch == ']' || ch == '}') {
      --depth;
    }
  }
  return depth > kDeepest;
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

  void read() {
    std::ifstream file(pins.path_);
    if (!file) {
      pins.problem_ = "there is no such file, or it can't be read";
      return;
    }
    const std::string data{std::istreambuf_iterator<char>(file), {}};
    if (data.empty() || isTooDeep(data)) {
      pins.problem_ = data.empty() ? "it is empty" : "it is nested too deeply to hold pins";
      return;
    }
    JsParseError error;
    const JsValue value = JsParseString(data, &error);
    if (!value.IsObject()) {
      pins.problem_ = error.reason.empty()
                          ? "it is no JSON object"
                          : "it is no JSON: line " + std::to_string(error.line) + ", column " +
                                std::to_string(error.column) + ": " + error.reason;
      return;
    }
    readObject(value.GetJsObject());
  }

  void readObject(const JsObject& object) {
    const double format = number(object, "bifrost_pins", 0.0);
    if (format != kFormat) {
      pins.problem_ = format > kFormat ? "a later version of Bifrost wrote it"
                                       : "it holds no pins: \"bifrost_pins\" is missing";
      return;
    }
    const auto entities = object.find("entities");
    if (entities == object.end() || !entities->second.IsArray()) {
      pins.problem_ = "it has no list \"entities\"";
      return;
    }
    const std::string manager = text(object, "manager");
    for (const JsValue& each : entities->second.GetJsArray()) {
      readPin(each, manager);
    }
    warnOfAnotherOpenUsd(text(object, "openusd"));
  }

  void readPin(const JsValue& value, const std::string& manager) {
    static const JsObject kNothing;
    const JsObject& object = value.IsObject() ? value.GetJsObject() : kNothing;
    Pin& pin = pins.pins_.emplace_back();
    Resolution& answer = pin.answer;
    answer.identifier = text(object, "reference");
    answer.path = remapped(text(object, "path"), roots);
    answer.name = text(object, "name");
    answer.version = text(object, "version");
    answer.manager = object.count("manager") != 0 ? text(object, "manager") : manager;
    answer.modified = number(object, "modified", 0.0);
    answer.immutable = flag(object, "immutable");
    answer.templated = flag(object, "templated");
    answer.freshUntil = std::numeric_limits<double>::infinity();
    answer.tier = Tier::kPins;
    pin.size = static_cast<std::int64_t>(number(object, "size", -1.0));
    if (answer.identifier.empty() || answer.path.empty() || answer.path.front() != '/') {
      warnOnce(pins.path_, "bad_pin",
               "an entry of its \"entities\" has no \"reference\", or no absolute \"path\": " +
                   answer.identifier);
      pins.pins_.pop_back();
      return;
    }
    pins.bytes_ += sizeof(Pin) + answer.identifier.size() + answer.path.size() +
                   answer.name.size() + answer.version.size() + answer.manager.size();
    pins.byIdentifier_.emplace(answer.identifier, &pin);
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

Pins::Pins(std::string path, NotPinned notPinned) : path_(std::move(path)), notPinned_(notPinned) {}

std::shared_ptr<const Pins> Pins::at(const std::string& path, NotPinned notPinned,
                                     const std::string& roots) {
  const std::string key = std::to_string(static_cast<int>(notPinned)) + '\0' + path + '\0' +
                          stateOf(path) + '\0' + roots;
  if (std::shared_ptr<const Pins> pins = known(key)) {
    return pins;
  }
  // With no lock held: two threads may both read it, which harms nobody.
  const auto pins = std::make_shared<Pins>(path, notPinned);
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
    const Pin& pin = *found->second;
    return isThere(pin)
               ? &pin.answer
               : failure(identifier, "pinned_file_missing",
                         "the file that " + path_ + " pins it to is not there: " + pin.answer.path +
                             " (BIFROST_PINS_ROOTS says where a site has its folders)");
  }
  if (notPinned_ == NotPinned::kFail) {
    return failure(identifier, "not_pinned",
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
bool Pins::isThere(const Pin& pin) const {
  if (pin.answer.templated || pin.isSeen.load(std::memory_order_relaxed)) {
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
