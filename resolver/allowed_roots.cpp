// SPDX-License-Identifier: Apache-2.0
#include "allowed_roots.h"

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "diagnostics.h"
#include "environment.h"

namespace bifrost {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kTable = "resolve";
constexpr std::string_view kKey = "allowed_roots";
constexpr std::string_view kBlank = " \t\r";
constexpr char kNothing[] = "?";  // no absolute folder: it allows nothing

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) {
    return {};
  }
  return text.substr(begin, text.find_last_not_of(kBlank) + 1 - begin);
}

// The first of what *separator* divides, which is taken off *text*.
std::string_view cutOff(std::string_view* text, char separator) {
  const std::size_t end = std::min(text->find(separator), text->size());
  const std::string_view part = text->substr(0, end);
  text->remove_prefix(std::min(end + 1, text->size()));
  return part;
}

std::string homeOfUser() {
  if (const auto home = Environment::last()->value("HOME")) {
    return *home;
  }
  const passwd* user = getpwuid(getuid());
  return user != nullptr ? user->pw_dir : "";
}

std::string withoutTilde(std::string_view path) {
  const bool isHome = path == "~" || path.substr(0, 2) == "~/";
  return isHome ? homeOfUser() + std::string(path.substr(1)) : std::string(path);
}

// Where links lead to; what is not there stays as it is named.
std::string realPath(const std::string& path) {
  std::error_code failed;
  const fs::path real = fs::weakly_canonical(path, failed);
  return failed ? std::string{} : real.string();
}

bool isBelow(const std::string& path, std::string folder) {
  if (folder.empty()) {
    return false;  // nobody can say where it is
  }
  while (!folder.empty() && folder.back() == '/') {
    folder.pop_back();
  }
  return path.compare(0, folder.size(), folder) == 0 &&
         (path.size() == folder.size() || path[folder.size()] == '/');
}

fs::path settingsFolder() {
  const auto environment = Environment::last();
  if (const auto home = environment->value("BIFROST_HOME"); home && !home->empty()) {
    return withoutTilde(*home);
  }
#ifdef __APPLE__
  return fs::path(homeOfUser()) / "Library/Application Support/bifrost";
#else
  const auto config = environment->value("XDG_CONFIG_HOME");
  const bool isSet = config && !trimmed(*config).empty();
  return (isSet ? fs::path(*config) : fs::path(homeOfUser()) / ".config") / "bifrost";
#endif
}

std::string contentOf(const fs::path& path) {
  std::error_code failed;
  if (!fs::is_regular_file(path, failed)) {
    return {};
  }
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// The text between the quotes of a TOML value that stands alone on its line; false for any other.
bool readQuoted(std::string_view value, std::string* text) {
  const char quote = value.empty() ? '\0' : value.front();
  const std::size_t end = value.find(quote, 1);
  if ((quote != '"' && quote != '\'') || end == std::string_view::npos) {
    return false;
  }
  *text = value.substr(1, end - 1);
  const std::string_view rest = trimmed(value.substr(end + 1));
  const bool isPlain = quote == '\'' || text->find('\\') == std::string::npos;
  return isPlain && (rest.empty() || rest.front() == '#');
}

}  // namespace

AllowedRoots::AllowedRoots(std::string_view text) : areSet_(!trimmed(text).empty()) {
  while (!text.empty()) {
    std::string root = withoutTilde(trimmed(cutOff(&text, ';')));
    if (!root.empty() && root.front() == '/') {
      roots_.push_back(std::move(root));
    }
  }
}

bool AllowedRoots::hold(const std::string& path) const {
  if (!areSet_) {
    return true;
  }
  const std::string real = realPath(path);
  return !real.empty() && std::any_of(roots_.begin(), roots_.end(), [&](const std::string& root) {
    return isBelow(real, realPath(root));
  });
}

std::string allowedRootsIn(std::string_view settings) {
  std::string found;
  std::string_view table;
  while (!settings.empty()) {
    std::string_view line = trimmed(cutOff(&settings, '\n'));
    if (line.empty() || line.front() == '#') {
      continue;
    }
    if (line.front() == '[') {
      table = trimmed(line.substr(1, line.find(']') - 1));
    }
    if (line.find(kKey) == std::string_view::npos) {
      continue;
    }
    const std::string_view key = trimmed(cutOff(&line, '='));
    const bool isOurs =
        table.empty() ? key == "resolve.allowed_roots" : table == kTable && key == kKey;
    if (!isOurs || !readQuoted(trimmed(line), &found)) {
      return kNothing;
    }
  }
  return found;
}

std::string allowedRootsText() {
  if (const auto said = Environment::last()->value("BIFROST_RESOLVE__ALLOWED_ROOTS")) {
    return *said;
  }
  const fs::path folder = settingsFolder();
  std::string text;
  // As settings.py looks for it: files of earlier releases count where there is none of today's.
  for (const char* name : {"settings.toml", "settings.yaml", "settings.yml"}) {
    const std::string content = contentOf(folder / name);
    if (!content.empty()) {
      text = allowedRootsIn(content);
      break;
    }
  }
  if (text == kNothing) {
    warnOnce((folder / "settings.toml").string(), "allowed_roots",
             "no pin is believed: write resolve.allowed_roots as one line, allowed_roots = \"…\" "
             "below [resolve], or set BIFROST_RESOLVE__ALLOWED_ROOTS");
  }
  return text;
}

}  // namespace bifrost
