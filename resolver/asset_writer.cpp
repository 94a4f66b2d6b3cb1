// SPDX-License-Identifier: Apache-2.0
#include "asset_writer.h"

#include <pthread.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "asset_path.h"
#include "crate.h"
#include "diagnostics.h"
#include "python_bridge.h"
#include "staging.h"
#include "thread_owned.h"

namespace bifrost {

namespace {

constexpr std::size_t kLargestEmptyLayer = 1024;

// Whether files with *extension* are layers that USD writes.
bool isLayerExtension(std::string_view extension) {
  return extension == "usd" || extension == "usda" || extension == "usdc";
}

// What a layer last wrote or read at a path: bytes that are no version yet; else the file of a
// version, which stays known while there is a draft.
struct Content {
  std::shared_ptr<const std::string> draft;
  std::string file;
  double drafted = 0.0;
  // What could not be published. To OpenUSD it has been written: the next update is on top of it.
  std::shared_ptr<const File> refused;
};

std::mutex& contentsMutex() {
  static auto* mutex = new std::mutex;
  return *mutex;
}

std::unordered_map<std::string, Content>& contents() {
  static auto* byPath = new std::unordered_map<std::string, Content>;
  return *byPath;
}

Content contentAt(const std::string& path) {
  const std::lock_guard<std::mutex> lock(contentsMutex());
  const auto found = contents().find(path);
  return found == contents().end() ? Content{} : found->second;
}

void setContent(const std::string& path, Content content) {
  const std::lock_guard<std::mutex> lock(contentsMutex());
  contents()[path] = std::move(content);
}

[[maybe_unused]] const bool forkHandlersInstalled = [] {
  const auto unlock = [] { contentsMutex().unlock(); };
  pthread_atfork([] { contentsMutex().lock(); }, unlock, unlock);
  return true;
}();

// What USD asked on this thread, which tells how it is about to write.
enum class Step { kNone, kNamed, kPlaced, kTyped, kSought, kLookedUp, kDescribed };
struct Asked {
  std::string newAsset;     // of CreateIdentifierForNewAsset,
  Step step = Step::kNone;  // and how far CreateNew is with it
  std::string writable;     // of CanWriteAssetToPath, if it was the last
};

Asked& asked() { return ownedByThread<Asked>(); }

// One more of CreateNew's questions; those that come otherwise are somebody else's.
bool isNext(const std::string& assetPath, Step after, Step step) {
  const bool isIt = asked().step == after && asked().newAsset == assetPath;
  asked().step = isIt ? step : asked().step;
  return isIt;
}

// What this thread has just closed: a binary layer is opened again right away, and must find what
// it wrote, whatever another thread published to the same reference meanwhile.
struct Closed {
  std::string path;
  Content content;
};

Closed& closed() { return ownedByThread<Closed>(); }

enum class Way { kCreate, kSave, kExport };

Way wayTo(const std::string& path) {
  const Asked before = std::exchange(asked(), {});
  if (before.writable != path) {
    return Way::kExport;
  }
  return before.newAsset == path && before.step == Step::kDescribed ? Way::kCreate : Way::kSave;
}

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

void complain(const std::string& reference, const std::string& why) {
  TF_RUNTIME_ERROR("bifrost: %s: %s", reference.c_str(), why.c_str());
}

// What to say where an asset can't be staged, for the reason that *error* is the number of.
std::string notStaged(int error) {
  return "it can't be staged below " + stagingRoot() + ": " + std::strerror(error) +
         "; make room there, or have TMPDIR name another folder [storage]";
}

// Why no version of it can be made, as far as nobody has to be asked; or nothing.
std::string ruledOut(const std::string& path, const WritingFor& who, const std::string& current) {
  const std::string_view version = parameterOf(withoutFormatArgs(path), "version");
  const auto isDigit = [](char ch) { return ch >= '0' && ch <= '9'; };
  if (!version.empty() && std::all_of(version.begin(), version.end(), isDigit)) {
    return "version " + std::string(version) +
           " stays as it is; leave the version out to publish the next one [access]";
  }
  if (who.isFrozen) {
    return "pins are in force, and what is published would not be seen under them; write without "
           "BIFROST_PINS [access]";
  }
  if (!current.empty() && !canBeWrittenTo(path, current)) {
    return "its newest version is a ." + extensionOf(current) +
           " file, which USD doesn't write; write to another id, or say format=usd [access]";
  }
  return {};
}

// The parts of a reply of the bridge, which are ended by NUL, but for the last one.
std::vector<std::string> partsOf(std::string_view reply, std::size_t count) {
  std::vector<std::string> parts;
  while (parts.size() + 1 < count) {
    const std::size_t end = std::min(reply.find('\0'), reply.size());
    parts.emplace_back(reply.substr(0, end));
    reply.remove_prefix(std::min(end + 1, reply.size()));
  }
  parts.emplace_back(reply);
  return parts;
}

std::string describe(PythonBridge::Outcome outcome) {
  if (outcome == PythonBridge::Outcome::kInterrupted) {
    return "it was interrupted [cancelled]";
  }
  return outcome == PythonBridge::Outcome::kClosed
             ? "the process is ending; nothing can be published any more [unavailable]"
             : "Python, which publishes, can't be had or failed; see the warnings [unavailable]";
}

// Where the first section of the binary layer *file* begins; 0 where it is none.
std::uint64_t firstSectionOf(const File& file) {
  std::uint64_t first = 0;
  for (const auto& [name, section] : crateSections(file)) {
    first = first == 0 ? section.offset : std::min(first, section.offset);
  }
  return first;
}

// The count with which a section of the binary layer *file* begins; 0 where it has none.
std::uint64_t countIn(const File& file, const std::string& name) {
  const auto sections = crateSections(file);
  const auto found = sections.find(name);
  return found == sections.end()
             ? 0
             : numberAt(file.read(found->second.offset, sizeof(std::uint64_t)), 0);
}

// Whether *file*, of which these are the first *bytes*, is a layer of nothing but its root, which
// has no fields.
bool isEmptyLayer(const File& file, std::string_view bytes) {
  if (isCrate(bytes)) {
    return countIn(file, "SPECS") == 1 && countIn(file, "FIELDS") == 0;
  }
  const std::size_t end = std::min(bytes.find('\n'), bytes.size());
  return bytes.substr(0, 5) == "#usda" &&
         bytes.find_first_not_of(" \t\r\n", end) == std::string_view::npos;
}

// One asset on its way to become a version. What is not closed, or not without an error, is gone.
class AssetWriter final : public ArWritableAsset {
 public:
  AssetWriter(std::string path, Way way, bool isUpdate, WritingFor who, std::string current,
              std::unique_ptr<Staging> staging)
      : path_(std::move(path)),
        way_(way),
        isUpdate_(isUpdate),
        who_(std::move(who)),
        current_(std::move(current)),
        staging_(std::move(staging)) {}

  bool Close() override {
    const std::unique_ptr<Staging> staging = std::move(staging_);
    try {
      return staging != nullptr && take(*staging);
    } catch (const std::exception& error) {  // and never `...`: design of the end of Python
      complain(path_, std::string(error.what()) + " [unknown]");
      return false;
    }
  }

  std::size_t Write(const void* buffer, std::size_t count, std::size_t offset) override {
    if (!staging_) {
      return 0;
    }
    if (offset >= kBootstrapBytes) {
      lowest_ = std::min(lowest_, offset);
    }
    if (!staging_->write(buffer, count, offset)) {
      failure_ = failure_ != 0 ? failure_ : errno;
      return 0;
    }
    return count;
  }

 private:
  bool take(Staging& staging) {
    isBinary_ = isCrate(staging.nameless()->read(0, kBootstrapBytes));
    if (failure_ != 0) {
      complain(path_, notStaged(failure_));
      return false;
    }
    if (const auto draft = draftIn(staging)) {
      return finish({draft, contentAt(path_).file, now(), nullptr});
    }
    if (isUnchangedDraft(staging)) {
      return finish(contentAt(path_));
    }
    if (isUpdate_ && !(isBinary_ && takeValues(staging))) {
      complain(path_,
               "what this layer was read from is not to be had any more, and holds values of it; "
               "export it to the same reference instead [conflict]");
      return false;
    }
    if (publish(staging.path())) {
      return true;
    }
    if (isUpdate_) {
      Content content = contentAt(path_);
      content.refused = staging.nameless();
      setContent(path_, std::move(content));
    }
    return false;
  }

  // What CreateNew wrote, if this is it. Not whatever an application writes that asks as it does.
  std::shared_ptr<const std::string> draftIn(const Staging& staging) const {
    if (way_ != Way::kCreate || staging.size() > kLargestEmptyLayer) {
      return nullptr;
    }
    const auto file = staging.nameless();
    auto bytes = std::make_shared<const std::string>(file->read(0, kLargestEmptyLayer));
    return isEmptyLayer(*file, *bytes) ? bytes : nullptr;
  }

  // Puts the values of *staging* where an update left them out. They are those of what the layer at
  // this path was last read from or written to; where its sections begin tells that it is that.
  bool takeValues(Staging& staging) const {
    if (lowest_ <= kBootstrapBytes) {
      return true;
    }
    const Content last = contentAt(path_);
    const std::string& file = last.file.empty() ? current_ : last.file;
    for (const auto& base : {last.refused, std::make_shared<const File>(file)}) {
      if (base != nullptr && firstSectionOf(*base) == lowest_) {
        return staging.copy(*base, kBootstrapBytes, lowest_);
      }
    }
    return false;
  }

  bool isUnchangedDraft(const Staging& staging) const {
    const Content before = contentAt(path_);
    return way_ == Way::kSave && before.draft != nullptr &&
           staging.size() == before.draft->size() &&
           staging.nameless()->read(0, before.draft->size()) == *before.draft;
  }

  bool publish(const std::string& file) {
    std::vector<std::string> parts;
    const std::shared_ptr<void> asking = who_.asking();
    const auto outcome =
        PythonBridge::get().callAside("publish", {who_.policy, path_, file},
                                      [&](std::string_view reply) { parts = partsOf(reply, 3); });
    if (outcome != PythonBridge::Outcome::kAnswered) {
      complain(path_, describe(outcome));
      return false;
    }
    if (parts[0] != "published") {
      complain(path_, parts[1]);
      return false;
    }
    who_.learn(parts[2]);
    return finish({nullptr, parts[1], 0.0, nullptr});
  }

  bool finish(Content content) {
    if (way_ != Way::kExport) {  // an export is of another layer than the one at this path, if any
      setContent(path_, content);
    }
    closed() = isBinary_ ? Closed{path_, std::move(content)} : Closed{};
    return true;
  }

  const std::string path_;
  const Way way_;
  const bool isUpdate_;
  const WritingFor who_;
  const std::string current_;  // what the reference was known to resolve to when this was opened
  std::unique_ptr<Staging> staging_;
  bool isBinary_ = false;
  std::size_t lowest_ = SIZE_MAX;  // what was written behind the bootstrap begins here
  int failure_ = 0;                // errno of the first write that failed
};

// A nameless file with *bytes*. OpenUSD crashes over a binary layer that is saved and opened again
// as an asset that is no file (26.08: its values are looked for in a mapping that there is not).
std::shared_ptr<ArAsset> namelessFile(const std::string& bytes) {
  FILE* file = std::tmpfile();
  if (file == nullptr) {
    return nullptr;
  }
  if (std::fwrite(bytes.data(), 1, bytes.size(), file) != bytes.size() || std::fflush(file) != 0) {
    std::fclose(file);
    return nullptr;
  }
  return std::make_shared<ArFilesystemAsset>(file);
}

std::shared_ptr<ArAsset> opened(const Content& content) {
  if (content.draft != nullptr) {
    return namelessFile(*content.draft);
  }
  return content.file.empty() ? nullptr : ArFilesystemAsset::Open(ArResolvedPath(content.file));
}

}  // namespace

void noteIdentifierForNewAsset(const std::string& assetPath) {
  asked() = {assetPath, Step::kNamed, {}};
}

void noteResolveForNewAsset(const std::string& assetPath) {
  isNext(assetPath, Step::kNamed, Step::kPlaced);
}

bool noteExtension(const std::string& assetPath) {
  asked().writable.clear();
  return isNext(assetPath, Step::kPlaced, Step::kTyped);
}

bool noteResolve(const std::string& assetPath) {
  return isNext(assetPath, Step::kSought, Step::kLookedUp);
}

void noteIsContextDependent(const std::string& assetPath) {
  isNext(assetPath, Step::kTyped, Step::kSought);
}

void noteOther() {
  if (asked().step < Step::kLookedUp) {
    asked().step = Step::kNone;
  }
}

void noteAssetInfo(const std::string& assetPath) {
  if (asked().newAsset == assetPath && asked().step != Step::kNone) {
    asked().step = Step::kDescribed;
  }
}

std::string extensionOf(std::string_view identifier) {
  const std::string_view path = identifier.substr(0, identifier.find_first_of("?#"));
  const auto dot = path.find_last_of("./");
  return dot == std::string_view::npos || path[dot] == '/' ? std::string{}
                                                           : std::string(path.substr(dot + 1));
}

std::string extensionToWrite(std::string_view identifier, std::string_view current) {
  const std::string said(parameterOf(identifier, "format"));
  for (const std::string& each : {said, extensionOf(current), extensionOf(identifier)}) {
    if (isLayerExtension(each)) {  // others are refused when asked about
      return each;
    }
  }
  return "usd";
}

bool canBeWrittenTo(std::string_view identifier, std::string_view current) {
  const std::string extension = extensionOf(current);
  return extension.empty() || isLayerExtension(extension) ||
         !parameterOf(identifier, "format").empty();
}

bool canWrite(const std::string& path, const WritingFor& who, const std::string& current,
              std::string* whyNot) {
  std::string why = ruledOut(path, who, current);
  if (why.empty()) {
    const auto outcome = PythonBridge::get().call("why_not_writable", {who.policy, path},
                                                  [&](std::string_view reply) { why = reply; });
    if (outcome != PythonBridge::Outcome::kAnswered) {
      why = describe(outcome);
    }
  }
  if (whyNot != nullptr) {
    *whyNot = why;
  }
  asked().writable = path;
  if (!why.empty()) {
    // OpenUSD's own message is that saving is not allowed. That it asks is no error, but in
    // CreateNew.
    if (wayTo(path) == Way::kCreate) {
      complain(path, why);
    } else {
      warnOnce(path, "not writable", why);
    }
  }
  return why.empty();
}

std::shared_ptr<ArWritableAsset> openForWrite(const std::string& path, ArResolver::WriteMode mode,
                                              WritingFor who, const std::string& current) {
  const Way way = wayTo(path);
  if (const std::string why = ruledOut(path, who, current); !why.empty()) {
    complain(path, why);
    return nullptr;
  }
  auto staging = std::make_unique<Staging>(extensionToWrite(withoutFormatArgs(path), current));
  if (!staging->isOpen()) {
    complain(path, notStaged(errno));
    return nullptr;
  }
  const bool isUpdate = mode == ArResolver::WriteMode::Update;
  return std::make_shared<AssetWriter>(path, way, isUpdate, std::move(who), current,
                                       std::move(staging));
}

std::shared_ptr<ArAsset> openWritten(const std::string& path) {
  const Closed last = std::exchange(closed(), {});
  if (last.path == path) {
    return opened(last.content);
  }
  const Content content = contentAt(path);
  return content.draft != nullptr ? opened(content) : nullptr;
}

void noteOpened(const std::string& path, const std::string& file) {
  setContent(path, {nullptr, file, 0.0, nullptr});
}

std::optional<double> draftWritten(const std::string& path) {
  if (path.empty() || path[0] == '/') {  // a file, as nearly all that are asked about
    return std::nullopt;
  }
  const Content content = contentAt(path);
  return content.draft != nullptr ? std::optional<double>(content.drafted) : std::nullopt;
}

}  // namespace bifrost
