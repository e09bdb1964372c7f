#include "io/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "io/failure.h"

namespace hindsight {

InputFile::InputFile(const std::string& path) : path_(path) {
  fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd_ < 0)
    throw Failure("FILE_MISSING", path + " cannot be opened (" + std::strerror(errno) + "): check the path and its permissions.");
  struct stat info {};
  if (::fstat(fd_, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(fd_);
    fd_ = -1;
    throw Failure("FILE_MISSING", path + " is not a regular file: give the folder of a Hugging Face checkpoint.");
  }
  size_ = static_cast<uint64_t>(info.st_size);
}

InputFile::InputFile(InputFile&& other) noexcept
    : path_(std::move(other.path_)), fd_(other.fd_), size_(other.size_) {
  other.fd_ = -1;
}

InputFile::~InputFile() {
  if (fd_ >= 0) ::close(fd_);
}

void InputFile::read(uint64_t offset, void* out, size_t bytes) const {
  auto* target = static_cast<char*>(out);
  while (bytes > 0) {
    const ssize_t got = ::pread(fd_, target, bytes, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0)
      throw Failure("FILE_TRUNCATED", path_ + " ends before the data its header promises: download it again.");
    target += got;
    offset += static_cast<uint64_t>(got);
    bytes -= static_cast<size_t>(got);
  }
}

bool fileExists(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

bool directoryExists(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

std::string readText(const std::string& path, size_t limit) {
  const InputFile file(path);
  if (file.size() > limit)
    throw Failure("FILE_TOO_LARGE", path + " has " + std::to_string(file.size()) + " bytes, more than such a file can need: check that it is the right one.");
  std::string text(file.size(), '\0');
  file.read(0, &text[0], text.size());
  return text;
}

std::string fileStamp(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return "";
#if defined(__APPLE__)
  const timespec& changed = info.st_mtimespec;
#else
  const timespec& changed = info.st_mtim;
#endif
  return std::to_string(info.st_size) + " bytes at " + std::to_string(changed.tv_sec) + "." + std::to_string(changed.tv_nsec);
}

[[noreturn]] static void writeFailed(const std::string& path, int fd) {
  const std::string reason = std::strerror(errno);
  if (fd >= 0) ::close(fd);
  throw Failure("WRITE_FAILED", path + " cannot be written (" + reason + "): check free space and permissions.");
}

void writeDurably(const std::string& path, const std::vector<Bytes>& pieces) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) writeFailed(path, fd);
  for (const Bytes& piece : pieces) {
    const auto* source = static_cast<const char*>(piece.data);
    for (size_t left = piece.count; left > 0;) {
      const ssize_t put = ::write(fd, source, left);
      if (put < 0 && errno == EINTR) continue;
      if (put <= 0) writeFailed(path, fd);
      source += put;
      left -= static_cast<size_t>(put);
    }
  }
  if (::fsync(fd) != 0) writeFailed(path, fd);
  ::close(fd);
}

void replaceFile(const std::string& from, const std::string& to) {
  if (std::rename(from.c_str(), to.c_str()) != 0) writeFailed(to, -1);
}

void syncDirectory(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  ::fsync(fd);
  ::close(fd);
}

}  // namespace hindsight
