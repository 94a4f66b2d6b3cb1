// SPDX-License-Identifier: Apache-2.0
#include "staging.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "environment.h"

namespace bifrost {

namespace {

constexpr std::size_t kChunk = 1U << 20U;

// The root, made where it is not there: nobody else can look into it, or have put it there. Empty
// if that is not so; errno says why.
std::string madeRoot() {
  const std::string root = stagingRoot();
  struct stat info{};
  if ((mkdir(root.c_str(), S_IRWXU) != 0 && errno != EEXIST) || lstat(root.c_str(), &info) != 0) {
    return {};
  }
  const bool isOurs =
      S_ISDIR(info.st_mode) && info.st_uid == geteuid() && (info.st_mode & 077) == 0;
  errno = isOurs ? 0 : EPERM;
  return isOurs ? root : std::string{};
}

}  // namespace

std::string stagingRoot() {
  const std::string temporary = Environment::last()->value("TMPDIR").value_or("");
  const std::string folder = temporary.substr(0, 1) == "/" ? temporary : "/tmp";
  return folder + "/bifrost-writing-" + std::to_string(geteuid());
}

Staging::Staging(const std::string& extension) {
  std::string folder = madeRoot();
  if (folder.empty()) {
    return;
  }
  folder += "/XXXXXX";
  if (mkdtemp(folder.data()) == nullptr) {
    return;
  }
  folder_ = folder;
  path_ = folder + "/layer." + extension;
  lock_ = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock_ >= 0 && flock(lock_, LOCK_EX | LOCK_NB) == 0) {
    file_ = open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
  }
}

Staging::~Staging() {
  if (file_ >= 0) {
    close(file_);
  }
  if (!folder_.empty()) {
    std::error_code ignored;  // a leftover is swept later
    std::filesystem::remove_all(folder_, ignored);
  }
  if (lock_ >= 0) {
    close(lock_);
  }
}

std::size_t Staging::size() const {
  struct stat info{};
  return fstat(file_, &info) == 0 ? static_cast<std::size_t>(info.st_size) : 0;
}

bool Staging::write(const void* buffer, std::size_t count, std::size_t offset) {
  const char* at = static_cast<const char*>(buffer);
  while (count > 0) {
    const ssize_t some = pwrite(file_, at, count, static_cast<off_t>(offset));
    if (some < 0 && errno == EINTR) {
      continue;
    }
    if (some <= 0) {
      return false;
    }
    at += some;
    offset += static_cast<std::size_t>(some);
    count -= static_cast<std::size_t>(some);
  }
  return true;
}

bool Staging::copy(const File& file, std::size_t begin, std::size_t end) {
  while (begin < end) {
    const std::string bytes = file.read(begin, std::min(kChunk, end - begin));
    if (bytes.empty() || !write(bytes.data(), bytes.size(), begin)) {
      return false;
    }
    begin += bytes.size();
  }
  return true;
}

std::shared_ptr<const File> Staging::nameless() const {
  return std::make_shared<const File>(fcntl(file_, F_DUPFD_CLOEXEC, 0));
}

}  // namespace bifrost
